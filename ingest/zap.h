// The ZAP handler (ZeroMQ RFC 27): decides at the handshake whether a CURVE key may connect, and
// gives the connection its User-Id, the key in Z85.
#pragma once

#include <thread>

#include "base/stats.h"
#include "ingest/keys.h"
#include "ingest/socket.h"
#include "ingest/wake.h"

namespace muster::ingest {

/// One thread, one handler a context. Must be there before the ROUTER is bound.
class ZapHandler {
 public:
  ZapHandler(void* context, const KeyRing& keys, Stats& stats);
  ~ZapHandler();

 private:
  void run();
  void answer();

  const KeyRing& keys_;
  Counter& accepted_;
  Counter& unknown_;
  Counter& revoked_;
  Counter& malformed_;
  Socket socket_;
  WakeUp wake_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace muster::ingest
