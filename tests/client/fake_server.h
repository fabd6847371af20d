// A ROUTER that speaks wire messages and does what a test tells it to: lose a receipt, refuse once.
#pragma once

#include <zmq.h>

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "wire/message.h"

namespace muster::client {

/// Serves one task of one round on a port of its own, plain. Counters and the script are read by
/// the test's thread: under the mutex.
class FakeServer {
 public:
  struct Script {
    wire::Assignment assignment;
    std::vector<float> model;
    int silent_hellos = 0;  ///< this many are not answered
    int put_off = 0;        ///< CheckIns answered with RetryAfter
    std::uint32_t put_off_ms = 5;
    int damaged_chunks = 0;             ///< ModelChunks whose payload is not what the checksum says
    int lost_receipts = 0;              ///< receipts that never leave
    std::set<std::uint32_t> lose_once;  ///< Submit chunks that vanish the first time
    std::map<std::uint32_t, wire::Reason> refuse_once;  ///< chunk -> refusal the first time
    std::uint32_t refuse_ms = 5;                        ///< retry of those
    wire::Reason refuse_all = wire::Reason::kOk;        ///< every Submit, for good
  };
  struct Seen {
    std::vector<std::uint32_t> chunks;  ///< of every Submit, as they came
    std::set<std::uint64_t> nonces;
    int hellos = 0, check_ins = 0, queries = 0, completed = 0;
    bool payloads_intact = true;
  };

  explicit FakeServer(Script script, const std::string& bind_to = "tcp://127.0.0.1:*")
      : script_(std::move(script)) {
    context_ = zmq_ctx_new();
    socket_ = zmq_socket(context_, ZMQ_ROUTER);
    const int linger = 0;
    zmq_setsockopt(socket_, ZMQ_LINGER, &linger, sizeof linger);
    MUSTER_CHECK(zmq_bind(socket_, bind_to.c_str()) == 0);
    char endpoint[128];
    std::size_t size = sizeof endpoint;
    MUSTER_CHECK(zmq_getsockopt(socket_, ZMQ_LAST_ENDPOINT, endpoint, &size) == 0);
    endpoint_ = endpoint;
    thread_ = std::thread([this] { serve(); });
  }
  ~FakeServer() {
    stopping_ = true;
    thread_.join();
    zmq_close(socket_);
    zmq_ctx_term(context_);
  }

  const std::string& endpoint() const { return endpoint_; }
  Seen seen() {
    std::lock_guard lock(mutex_);
    return seen_;
  }

 private:
  using Frames = std::vector<std::vector<std::byte>>;

  void serve() {
    while (!stopping_) {
      zmq_pollitem_t item = {socket_, 0, ZMQ_POLLIN, 0};
      if (zmq_poll(&item, 1, 5) > 0) handle(read());
    }
  }
  Frames read() {
    Frames frames;
    for (int more = 1; more != 0;) {
      zmq_msg_t message;
      zmq_msg_init(&message);
      MUSTER_CHECK(zmq_msg_recv(&message, socket_, 0) >= 0);
      const auto* data = static_cast<const std::byte*>(zmq_msg_data(&message));
      frames.emplace_back(data, data + zmq_msg_size(&message));
      more = zmq_msg_more(&message);
      zmq_msg_close(&message);
    }
    return frames;
  }
  void reply(const Frames& to, std::uint32_t request, wire::Body body, ConstBytes payload = {}) {
    wire::Message message;
    message.request = request;
    message.body = std::move(body);
    const auto header = wire::build_header(message);
    const bool more = wire::has_payload(message.body);
    zmq_send(socket_, to[0].data(), to[0].size(), ZMQ_SNDMORE);
    zmq_send(socket_, header.data(), header.size(), more ? ZMQ_SNDMORE : 0);
    if (more) zmq_send(socket_, payload.data(), payload.size(), 0);
  }
  void handle(const Frames& frames) {
    std::lock_guard lock(mutex_);
    const std::vector<ConstBytes> rest(frames.begin() + 1, frames.end());
    const wire::Parsed parsed = wire::parse_frames(rest);
    MUSTER_CHECK(parsed.ok());
    const std::uint32_t request = parsed.message.request;
    if (std::holds_alternative<wire::Hello>(parsed.message.body)) {
      ++seen_.hellos;
      if (script_.silent_hellos-- <= 0) reply(frames, request, wire::Welcome{1, "fake"});
    } else if (std::holds_alternative<wire::CheckIn>(parsed.message.body)) {
      ++seen_.check_ins;
      if (script_.put_off-- > 0)
        reply(frames, request, wire::RetryAfter{script_.put_off_ms, wire::Reason::kNoOpenRound});
      else
        reply(frames, request, script_.assignment);
    } else if (const auto* fetch = std::get_if<wire::FetchModel>(&parsed.message.body)) {
      send_model(frames, request, fetch->chunk);
    } else if (const auto* submit = std::get_if<wire::Submit>(&parsed.message.body)) {
      on_submit(frames, request, *submit);
    } else if (const auto* query = std::get_if<wire::QueryMissing>(&parsed.message.body)) {
      ++seen_.queries;
      if (stored_.size() == chunk_count()) return receipt(frames, request, query->nonce);
      wire::MissingChunks missing{query->task, query->round, query->nonce, chunk_count(), {}};
      missing.bitmap.resize((chunk_count() + 7) / 8);
      for (std::uint32_t c = 0; c < chunk_count(); ++c)
        if (!stored_.contains(c)) missing.bitmap[c / 8] |= static_cast<std::uint8_t>(1u << c % 8);
      reply(frames, request, missing);
    }
  }
  std::uint32_t chunk_count() const {
    const auto& a = script_.assignment;
    return static_cast<std::uint32_t>(divide_up<std::uint64_t>(a.dimension, a.chunk_coordinates));
  }
  void send_model(const Frames& to, std::uint32_t request, std::uint32_t chunk) {
    const auto& a = script_.assignment;
    const std::size_t first = std::size_t{chunk} * a.chunk_coordinates;
    const auto values =
        std::span(script_.model)
            .subspan(first, std::min<std::size_t>(a.chunk_coordinates, a.dimension - first));
    std::vector<std::byte> bytes(std::as_bytes(values).begin(), std::as_bytes(values).end());
    const wire::ModelChunk header{a.task, a.model_version, chunk, chunk_count(), checksum(bytes)};
    if (script_.damaged_chunks-- > 0) bytes[0] ^= std::byte{1};
    reply(to, request, header, bytes);
  }
  void on_submit(const Frames& frames, std::uint32_t request, const wire::Submit& submit) {
    seen_.chunks.push_back(submit.chunk);
    seen_.nonces.insert(submit.nonce);
    if (checksum(frames.back()) != submit.checksum) seen_.payloads_intact = false;
    const auto refuse = [&](wire::Reason reason, std::uint32_t retry_ms) {
      reply(frames, request,
            wire::Refusal{reason, retry_ms, submit.task, submit.round, submit.nonce, submit.chunk,
                          submit.device});
    };
    if (script_.refuse_all != wire::Reason::kOk) return refuse(script_.refuse_all, 0);
    if (script_.lose_once.erase(submit.chunk) > 0) return;
    if (const auto found = script_.refuse_once.find(submit.chunk);
        found != script_.refuse_once.end()) {
      const wire::Reason reason = found->second;
      script_.refuse_once.erase(found);
      return refuse(reason, script_.refuse_ms);
    }
    if (!stored_.insert(submit.chunk).second && stored_.size() < chunk_count())
      return refuse(wire::Reason::kDuplicate, 0);
    if (stored_.size() == chunk_count()) {
      ++seen_.completed;
      receipt(frames, request, submit.nonce);
    }
  }
  void receipt(const Frames& to, std::uint32_t request, std::uint64_t nonce) {
    if (script_.lost_receipts-- > 0) return;
    const auto& a = script_.assignment;
    reply(to, request, wire::Receipt{a.task, a.round, {{UpdateId{nonce, 1}, nonce, 0}}});
  }

  Script script_;
  Seen seen_;
  std::set<std::uint32_t> stored_;
  std::mutex mutex_;
  std::atomic<bool> stopping_{false};
  void* context_;
  void* socket_;
  std::string endpoint_;
  std::thread thread_;
};

}  // namespace muster::client
