#include "loadtest/null_sink.h"

#include <zmq.h>

#include <vector>

#include "base/check.h"
#include "client/plan.h"

namespace muster::loadtest {
namespace {

constexpr std::size_t kKeyCharacters = 40;
constexpr int kPollMs = 20;

ConstBytes bytes_of(zmq_msg_t& frame) {
  return {static_cast<const std::byte*>(zmq_msg_data(&frame)), zmq_msg_size(&frame)};
}

}  // namespace

Result<std::unique_ptr<NullSink>> NullSink::start(const wire::Assignment& assignment, bool curve) {
  std::unique_ptr<NullSink> sink(new NullSink(assignment));
  void* const socket = zmq_socket(sink->transport_.context(), ZMQ_ROUTER);
  MUSTER_CHECK(socket != nullptr);
  sink->socket_ = socket;
  const int none = 0, one = 1, backlog = 4'096;
  zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none);
  zmq_setsockopt(socket, ZMQ_SNDHWM, &none, sizeof none);
  zmq_setsockopt(socket, ZMQ_BACKLOG, &backlog, sizeof backlog);
  if (curve) {
    sink->identity_ = client::new_identity();
    zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &one, sizeof one);
    zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, sink->identity_.secret_key.c_str(),
                   kKeyCharacters + 1);
  }
  if (zmq_bind(socket, "tcp://127.0.0.1:*") != 0)
    return Status(Code::kUnavailable, "null_sink",
                  std::string("the null sink cannot listen: ") + zmq_strerror(zmq_errno()));
  char endpoint[256];
  std::size_t length = sizeof endpoint;
  MUSTER_CHECK(zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &length) == 0);
  sink->endpoint_ = endpoint;
  sink->thread_ = std::thread([raw = sink.get()] { raw->run(); });
  return sink;
}

NullSink::~NullSink() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
  if (socket_ != nullptr) zmq_close(socket_);
}

bool NullSink::answer(const wire::Message& message, wire::Message& reply) const {
  reply.request = message.request;
  if (std::holds_alternative<wire::Hello>(message.body)) {
    reply.body = wire::Welcome{wire::kProtocolVersion, "null sink"};
  } else if (std::holds_alternative<wire::CheckIn>(message.body)) {
    reply.body = assignment_;
  } else if (const auto* fetch = std::get_if<wire::FetchModel>(&message.body)) {
    reply.body = wire::ModelChunk{
        fetch->task, fetch->version, fetch->chunk, client::chunk_count(assignment_), {}};
  } else if (const auto* submit = std::get_if<wire::Submit>(&message.body)) {
    // Chunks of one update come in order on one connection.
    if (submit->chunk + 1 != submit->chunk_count) return false;
    reply.request = 0;
    reply.body = wire::Receipt{submit->task,
                               submit->round,
                               {{{submit->device, submit->nonce}, submit->nonce, submit->device}}};
  } else if (const auto* query = std::get_if<wire::QueryMissing>(&message.body)) {
    // It remembers nothing: who lost a receipt with its connection sends all again.
    const std::uint32_t chunks = client::chunk_count(assignment_);
    wire::MissingChunks missing{query->task, query->round, query->nonce, chunks, {}};
    missing.bitmap.assign((chunks + 7) / 8, 0xff);
    reply.body = std::move(missing);
  } else {
    return false;
  }
  return true;
}

void NullSink::run() {
  zmq_msg_t id, frame;
  zmq_msg_init(&id);
  zmq_msg_init(&frame);
  const std::vector<std::byte> nothing(client::coordinates_of(assignment_, 0) * sizeof(float));
  wire::Message reply;
  while (!stop_) {
    if (zmq_msg_recv(&id, socket_, ZMQ_DONTWAIT) < 0) {
      zmq_pollitem_t item{socket_, 0, ZMQ_POLLIN, 0};
      zmq_poll(&item, 1, kPollMs);
      continue;
    }
    MUSTER_CHECK(zmq_msg_recv(&frame, socket_, 0) >= 0);
    const wire::Parsed parsed = wire::parse_header(bytes_of(frame));
    while (zmq_msg_more(&frame) != 0) MUSTER_CHECK(zmq_msg_recv(&frame, socket_, 0) >= 0);
    if (!parsed.ok() || !answer(parsed.message, reply)) continue;
    const auto header = wire::build_header(reply);
    const bool model = std::holds_alternative<wire::ModelChunk>(reply.body);
    if (zmq_msg_send(&id, socket_, ZMQ_SNDMORE) < 0) continue;
    zmq_send(socket_, header.data(), header.size(), model ? ZMQ_SNDMORE : 0);
    if (model) zmq_send(socket_, nothing.data(), nothing.size(), 0);
  }
  zmq_msg_close(&id);
  zmq_msg_close(&frame);
}

}  // namespace muster::loadtest
