// Many authenticated connections on one socket: each costs a descriptor and what the transport
// keeps for it, so that one process stands for ten thousand devices.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/status.h"
#include "client/client.h"

namespace muster::loadtest {

struct LinkOptions {
  std::string endpoint;    ///< "tcp://127.x.y.z:port" or "ipc://..."
  std::string server_key;  ///< Z85; empty: plain
  int io_threads = 1;
  int high_water = 64;  ///< messages that may wait on one connection
};

/// A message that came in. The payload is dropped but for its length: models are not trained.
struct LinkMessage {
  std::uint32_t link = 0;
  wire::Message message;
  std::size_t payload_bytes = 0;
};

/// A ROUTER that dials out. One thread.
class Links {
 public:
  /// "endpoint": not on loopback, where alone load may go.
  static Result<std::unique_ptr<Links>> open(const LinkOptions& options, std::uint32_t count);
  ~Links();
  Links(const Links&) = delete;
  Links& operator=(const Links&) = delete;

  /// Starts connecting; messages may be sent at once. `identity` is ignored in plain mode.
  Status connect(std::uint32_t link, const client::Identity& identity);
  /// What waits on the link is dropped.
  void disconnect(std::uint32_t link);
  bool connected(std::uint32_t link) const { return lines_[link].generation % 2 == 1; }

  /// False: there is no room now. `payload` must stay as it is for the life of this object.
  bool send(std::uint32_t link, ConstBytes header, ConstBytes payload = {});
  /// Takes what is there; messages of broken links and of no protocol are dropped. False: nothing.
  bool receive(LinkMessage& out);
  /// Until something may be there to receive, or `until` on the monotonic clock.
  void wait(Nanoseconds until);

 private:
  /// Odd generations are connected. A new name each time: the old connection may still be dying.
  struct Line {
    std::uint32_t generation = 0;
  };
  Links() = default;
  std::string endpoint_of(std::uint32_t link) const;

  LinkOptions options_;
  std::vector<Line> lines_;
  std::unique_ptr<client::Transport> transport_;
  void* socket_ = nullptr;
  int descriptor_ = -1;
};

/// Whether an endpoint is on this machine.
bool is_loopback(const std::string& endpoint);

}  // namespace muster::loadtest
