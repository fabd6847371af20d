// A server that keeps nothing: what the simulator can do at most is what it does against this.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "base/status.h"
#include "client/client.h"
#include "wire/message.h"

namespace muster::loadtest {

class NullSink {
 public:
  /// Listens on loopback; with `curve` under a key of its own, taking any client. Everybody is
  /// given `assignment`; every update is acknowledged when its last chunk came.
  static Result<std::unique_ptr<NullSink>> start(const wire::Assignment& assignment, bool curve);
  ~NullSink();
  NullSink(const NullSink&) = delete;
  NullSink& operator=(const NullSink&) = delete;

  const std::string& endpoint() const { return endpoint_; }
  const std::string& server_key() const { return identity_.public_key; }

 private:
  explicit NullSink(const wire::Assignment& assignment) : assignment_(assignment) {}
  void run();
  /// The answer to one message; false: there is none.
  bool answer(const wire::Message& message, wire::Message& reply) const;

  const wire::Assignment assignment_;
  client::Identity identity_;
  client::Transport transport_;
  void* socket_ = nullptr;
  std::string endpoint_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace muster::loadtest
