// A few devices that train one task over sockets, on a real musterd.
#pragma once

#include <string>
#include <vector>

#include "client/client.h"
#include "tests/e2e/server_process.h"

namespace muster::e2e {

struct FleetOutcome {
  std::string model_sha256;  ///< of the last release; empty: there was none
  std::string log;           ///< what the server said
  int status = -1;           ///< of the server, as waitpid gives it
};

/// Six enrolled devices, a task, and the disk of its server, which may run several times.
class SocketFleet {
 public:
  static constexpr std::uint32_t kDevices = 6;

  /// `task`: lines of a [[task]] beside its size and its `rounds`; tables of it last.
  explicit SocketFleet(std::string task, std::uint64_t rounds = 2);
  /// The same devices, and a copy of all that is on the server's disk, its secrets too.
  SocketFleet(const SocketFleet& other);
  SocketFleet& operator=(const SocketFleet&) = delete;

  /// Runs the server on `kind` = "auto", "cpu" or "cuda" until devices [first, last) have their
  /// receipts of all rounds and, where these are the last ones, the last release is there.
  FleetOutcome serve(const std::string& kind, std::uint32_t first = 0,
                     std::uint32_t last = kDevices);

 private:
  std::string data() const { return folder_.path() + "/data"; }
  void configure(const std::string& file, const std::string& kind, int port) const;

  TemporaryFolder folder_;
  std::string task_;
  std::uint64_t rounds_;
  std::vector<client::Identity> identities_;
  std::string server_key_;
};

}  // namespace muster::e2e
