// Peers that do not speak the protocol, over bare TCP: what a port on a network meets. Loopback
// only.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
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

/// Keeps `count` peers of each group connected while a phase lasts in which it takes part. One
/// thread for all, nonblocking.
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
  void run();
  void dial(Peer& peer, Nanoseconds now);
  void speak(Peer& peer, Nanoseconds now);
  /// Reads and drops; closes it if the server did.
  void listen(Peer& peer, Nanoseconds now);
  void hang_up(Peer& peer);
  std::uint64_t draw();  ///< 32 bits
  Nanoseconds pause_of(const Peer& peer);

  const LoadPlan& plan_;
  const std::string endpoint_;
  const Nanoseconds start_;
  const std::atomic<bool>& stop_;
  Status failure_;
  std::vector<Peer> peers_;
  std::vector<PeersOutcome> outcomes_;
  std::vector<std::uint32_t> at_once_;
  std::uint64_t random_ = 1;
  std::atomic<std::uint32_t> connected_{0};
  int epoll_ = -1;
  std::thread thread_;
};

}  // namespace muster::loadtest
