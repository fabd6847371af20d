// Peers that do not speak the protocol, over bare TCP: what a port on a network meets. Loopback
// only.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <queue>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/status.h"
#include "loadtest/load_plan.h"

namespace muster::loadtest {

/// What became of them.
struct PeersOutcome {
  std::uint64_t connected = 0;  ///< in all, whoever came back included
  std::uint64_t cut = 0;        ///< by the server
  std::uint64_t bytes_sent = 0, bytes_received = 0;
  std::uint32_t most_at_once = 0;
};

/// Keeps `count` peers of each group connected while a phase lasts in which it takes part. Each
/// keeps its own time, as strangers do: what they send does not come in one burst. One thread for
/// all, nonblocking.
class HostilePeers {
 public:
  HostilePeers(const LoadPlan& plan, const std::string& endpoint, Nanoseconds start,
               const std::atomic<bool>& stop);
  ~HostilePeers();
  void start();
  /// Waits for the end; by group.
  Result<std::vector<PeersOutcome>> finish();
  std::uint32_t connected() const { return connected_; }

 private:
  struct Peer {
    int descriptor = -1;
    std::uint32_t group = 0;
    std::uint64_t sent = 0;
    Nanoseconds next = 0;  ///< when it does something again
  };
  /// When and who.
  using Due = std::pair<Nanoseconds, std::uint32_t>;
  void run();
  /// Hangs up those whose phase is over, and starts those whose phase begins.
  void follow_phase(Nanoseconds now);
  void act_at(Peer& peer, Nanoseconds when);
  void dial(Peer& peer, Nanoseconds now);
  void speak(Peer& peer, Nanoseconds now);
  /// Reads and drops; closes it if the server did.
  void listen(Peer& peer, Nanoseconds now);
  void hang_up(Peer& peer);
  std::uint64_t draw();  ///< 32 bits
  /// Half to one and a half times the mean: what happens together does not go on together.
  Nanoseconds about(Nanoseconds mean);
  void stay_away(Peer& peer, Nanoseconds now);

  const LoadPlan& plan_;
  const std::string endpoint_;
  const Nanoseconds start_;
  const std::atomic<bool>& stop_;
  Status failure_;
  std::vector<Peer> peers_;
  std::vector<PeersOutcome> outcomes_;
  std::vector<std::uint32_t> at_once_;
  std::vector<bool> takes_part_;  ///< by group, in this phase
  /// Earliest first; of a peer that has changed its mind old entries stay, and are passed over.
  std::priority_queue<Due, std::vector<Due>, std::greater<>> agenda_;
  std::uint64_t random_ = 1;
  std::atomic<std::uint32_t> connected_{0};
  int epoll_ = -1;
  std::thread thread_;
};

}  // namespace muster::loadtest
