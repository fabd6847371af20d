#include "ingest/zap.h"

#include <zmq.h>

#include <array>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/log.h"

namespace muster::ingest {
namespace {

// Frames of a request: version, request id, domain, address, routing id, mechanism, credentials.
enum Frame : std::size_t {
  kVersion,
  kRequest,
  kDomain,
  kAddress,
  kRouting,
  kMechanism,
  kKey,
  kFrames
};

Counter& handshakes(Stats& stats, const char* result) {
  return stats.counter("muster_handshakes_total", {{"result", result}});
}

}  // namespace

ZapHandler::ZapHandler(void* context, const KeyRing& keys, Stats& stats)
    : keys_(keys),
      accepted_(handshakes(stats, "accepted")),
      unknown_(handshakes(stats, "unknown_key")),
      revoked_(handshakes(stats, "revoked")),
      malformed_(handshakes(stats, "malformed")),
      socket_(open_socket(context, ZMQ_REP)) {
  const int no_linger = 0;
  zmq_setsockopt(socket_.get(), ZMQ_LINGER, &no_linger, sizeof no_linger);
  MUSTER_CHECK(zmq_bind(socket_.get(), "inproc://zeromq.zap.01") == 0);
  wake_.arm();
  thread_ = std::thread([this] { run(); });
}

ZapHandler::~ZapHandler() {
  stopping_ = true;
  wake_.signal();
  thread_.join();
}

void ZapHandler::run() {
  set_log_component("handshake");
  while (!stopping_) {
    zmq_pollitem_t items[] = {{socket_.get(), 0, ZMQ_POLLIN, 0},
                              {nullptr, wake_.descriptor(), ZMQ_POLLIN, 0}};
    if (zmq_poll(items, 2, -1) < 0) continue;  // EINTR
    if (items[0].revents & ZMQ_POLLIN) answer();
  }
}

void ZapHandler::answer() {
  std::array<std::string, kFrames> frames;
  std::size_t count = 0;
  int more = 1;
  while (more != 0) {
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    if (zmq_msg_recv(&frame, socket_.get(), ZMQ_DONTWAIT) < 0) return;
    if (count < kFrames)
      frames[count].assign(static_cast<const char*>(zmq_msg_data(&frame)), zmq_msg_size(&frame));
    ++count;
    more = zmq_msg_more(&frame);
    zmq_msg_close(&frame);
  }
  bool let_in = false;
  std::string user;
  PublicKey key;
  if (count == kFrames && frames[kVersion] == "1.0" && frames[kDomain] == kZapDomain &&
      frames[kMechanism] == "CURVE" && frames[kKey].size() == key.size()) {
    key = load<PublicKey>(as_bytes(frames[kKey]));
    switch (keys_.find(key).state) {
      case KeyState::kEnrolled:
        let_in = true;
        user = key_text(key);
        accepted_.add();
        break;
      case KeyState::kUnknown:
        unknown_.add();
        break;
      case KeyState::kRevoked:
        revoked_.add();
        break;
    }
  } else {
    malformed_.add();
  }
  if (!let_in)
    log_info("handshake_refused", "a connection without an enrolled key was turned away");
  const std::array<std::string, 6> reply = {
      "1.0", frames[kRequest], let_in ? "200" : "400", let_in ? "OK" : "key not enrolled", user,
      ""};
  for (std::size_t i = 0; i < reply.size(); ++i)
    zmq_send(socket_.get(), reply[i].data(), reply[i].size(),
             i + 1 < reply.size() ? ZMQ_SNDMORE : 0);
}

}  // namespace muster::ingest
