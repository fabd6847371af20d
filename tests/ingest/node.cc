#include "tests/ingest/node.h"

#include <gtest/gtest.h>
#include <zmq.h>

#include <chrono>
#include <cstring>

namespace muster::ingest {
namespace {

ServiceOptions completed(ServiceOptions options, const KeyPair& server_key) {
  if (options.endpoints == ServiceOptions().endpoints) options.endpoints = {"tcp://127.0.0.1:*"};
  options.server_key = server_key;
  return options;
}

}  // namespace

TestNode::TestNode(ServiceOptions options, std::size_t slots, std::size_t slot_bytes)
    : slab(slots, slot_bytes / 64 * 64), arrivals(slots + 64) {
  auto result = Service::start(completed(std::move(options), server_key), spool, slab.pool, keys,
                               random_secret(), arrivals, clock, stats,
                               [this](Status status) { fault.set_value(std::move(status)); });
  started = result.status();
  if (result.ok()) service = std::move(*result);
  if (service) service->serve();
}

TestNode::~TestNode() {
  if (service) service->stop();
}

std::optional<Arrival> TestNode::next() {
  buffer_.clear();
  if (arrivals.pop_many(buffer_, 1, kPatienceMs * kMillisecond) == 0) return std::nullopt;
  return buffer_[0];
}

double TestNode::metric(const std::string& name, const std::string& label) const {
  for (const MetricFamily& family : stats.families()) {
    if (family.metric->name != name) continue;
    for (const auto& [labels, series] : family.series) {
      if (!label.empty() && (labels.empty() || labels[0].second != label)) continue;
      return family.value(series);
    }
  }
  ADD_FAILURE() << "no metric " << name << " " << label;
  return -1;
}

bool TestNode::await_metric(const std::string& name, const std::string& label, double value) const {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(kPatienceMs);
  while (metric(name, label) < value) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

RawDevice::RawDevice(const TestNode& node, const KeyPair* identity)
    : context_(open_context(1)), socket_(open_socket(context_.get(), ZMQ_DEALER)) {
  void* const s = socket_.get();
  const int linger = 0;
  zmq_setsockopt(s, ZMQ_LINGER, &linger, sizeof linger);
  // A connection that ended stays ended: no test mistakes a second one for the first.
  const int never_ms = 3'600'000;
  zmq_setsockopt(s, ZMQ_RECONNECT_IVL, &never_ms, sizeof never_ms);
  if (identity != nullptr) {
    zmq_setsockopt(s, ZMQ_CURVE_SERVERKEY, node.server_key.public_key.data(), 32);
    zmq_setsockopt(s, ZMQ_CURVE_PUBLICKEY, identity->public_key.data(), 32);
    zmq_setsockopt(s, ZMQ_CURVE_SECRETKEY, identity->secret_key.data(), 32);
  }
  EXPECT_EQ(zmq_socket_monitor(s, "inproc://end",
                               ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                                   ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                                   ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL),
            0);
  monitor_ = open_socket(context_.get(), ZMQ_PAIR);
  zmq_connect(monitor_.get(), "inproc://end");
  EXPECT_EQ(zmq_connect(s, node.endpoint().c_str()), 0);
}

RawDevice::~RawDevice() { zmq_socket_monitor(socket_.get(), nullptr, 0); }

void RawDevice::send(const Frames& message) {
  for (std::size_t i = 0; i < message.frames.size(); ++i)
    EXPECT_GE(zmq_send(socket_.get(), message.frames[i].data(), message.frames[i].size(),
                       i + 1 < message.frames.size() ? ZMQ_SNDMORE : 0),
              0);
}

std::optional<wire::Message> RawDevice::receive(int patience_ms) {
  zmq_pollitem_t item{socket_.get(), 0, ZMQ_POLLIN, 0};
  if (zmq_poll(&item, 1, patience_ms) <= 0) return std::nullopt;
  Frames frames;
  int more = 1;
  while (more != 0) {
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    if (zmq_msg_recv(&frame, socket_.get(), 0) < 0) return std::nullopt;
    const auto* const data = static_cast<const std::byte*>(zmq_msg_data(&frame));
    frames.frames.emplace_back(data, data + zmq_msg_size(&frame));
    more = zmq_msg_more(&frame);
    zmq_msg_close(&frame);
  }
  const auto parsed = wire::parse_frames(frames.views());
  EXPECT_TRUE(parsed.ok()) << wire::describe(parsed.reason).token;
  payload_ = frames.frames.size() > 1 ? frames.frames[1] : std::vector<std::byte>();
  return parsed.message;
}

bool RawDevice::await_end() {
  zmq_pollitem_t item{monitor_.get(), 0, ZMQ_POLLIN, 0};
  return zmq_poll(&item, 1, kPatienceMs) > 0;
}

}  // namespace muster::ingest
