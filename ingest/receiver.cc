#include "ingest/receiver.h"

#include <poll.h>

#include <memory>

#include "base/check.h"
#include "base/log.h"

namespace muster::ingest {
namespace {

// Bounds of one cycle, so that receipts and commands never wait long behind a flood.
constexpr std::size_t kCycleMessages = 256;
constexpr std::size_t kCycleBytes = std::size_t{2} << 20;
// With no slot free: so many messages are answered between two breaths of so long.
constexpr std::size_t kBreathlessMessages = 16;
constexpr int kBreathMs = 5;
constexpr std::size_t kCommands = 256;
constexpr long kIdleMs = 500;
// A group commit on a slow disk; past that the process goes with what is durable.
constexpr Nanoseconds kStopPatience = 10 * kSecond;
// A commit that takes longer is no sign of life. A full disk is: its commits return.
constexpr Nanoseconds kCommitPatience = 5 * kSecond;

void release_model(void*, void* hint) {
  delete static_cast<std::shared_ptr<const PublishedModel>*>(hint);
}

}  // namespace

Receiver::Receiver(Socket router, bool curve, const ReceiverParts& parts)
    : router_(std::move(router)),
      curve_(curve),
      parts_(parts),
      replies_dropped_(parts.stats.counter("muster_replies_dropped_total")),
      inflight_(parts.stats.gauge("muster_inflight_bytes")),
      backpressure_(parts.stats.gauge("muster_backpressure_seconds_total")),
      commands_(kCommands),
      had_slots_(parts.clock.now()) {
  for (zmq_msg_t& frame : frames_) zmq_msg_init(&frame);
  admitted_.reserve(kCycleMessages);
  durable_.reserve(parts.slots.count());
  parts.stats.gauge("muster_slab_bytes")
      .set(static_cast<double>(parts.slots.count() * parts.slots.slot_bytes()));
  thread_ = std::thread([this] { run(); });
}

Receiver::~Receiver() {
  stop();
  for (zmq_msg_t& frame : frames_) zmq_msg_close(&frame);
}

void Receiver::post(std::function<void()> command) {
  if (commands_.push(std::move(command))) parts_.wake.signal();
}

void Receiver::stop() {
  stopping_ = true;
  parts_.wake.signal();
  if (thread_.joinable()) thread_.join();
}

void Receiver::run() {
  set_log_component("ingest");
  while (!stopping_)
    if (!cycle()) sleep();
  commands_.close();
  const Nanoseconds deadline = parts_.clock.now() + kStopPatience;
  while (outstanding_ > 0 && !parts_.committer.faulted() && parts_.clock.now() < deadline) {
    sleep();
    handle_durable();
  }
  router_.reset();
}

bool Receiver::cycle() {
  now_ = parts_.clock.now();
  if (now_ - ticked_ >= kSecond) every_second();
  pressure_ = pressure();
  running_.clear();
  commands_.pop_many(running_, kCommands, 0);
  for (const auto& command : running_) command();
  handle_durable();

  auto out_of_slots = [&] { return parts_.slots.free_count() == 0 && !pressure_.storage_fault; };
  if (out_of_slots()) {
    catch_breath();
    handle_durable();
  }
  const bool breathless = out_of_slots();
  if (!breathless) had_slots_ = now_;
  const bool waits = breathless && now_ - had_slots_ < parts_.slot_patience && pipes_are_small();
  const std::size_t most = !serving_ || waits ? 0
                           : breathless       ? kBreathlessMessages
                                              : kCycleMessages;
  std::size_t messages = 0;
  std::size_t bytes = 0;
  while (messages < most && bytes < kCycleBytes && (breathless || !out_of_slots()) &&
         read_message()) {
    now_ = parts_.clock.now();
    ++messages;
    if (content_count_ > 1) bytes += contents_[1].size();
    handle_message();
  }
  parts_.committer.admit(admitted_);
  outstanding_ += admitted_.size();
  admitted_.clear();
  return messages > 0 || !running_.empty() || out_of_slots();
}

void Receiver::sleep() {
  parts_.wake.arm();
  handle_durable();
  // While stopping nothing is read any more: only news of what is durable matters.
  const bool reading = !stopping_ && serving_;
  if (!stopping_ && commands_.size() > 0) return parts_.wake.disarm();
  zmq_pollitem_t items[] = {{nullptr, parts_.wake.descriptor(), ZMQ_POLLIN, 0},
                            {router_.get(), 0, ZMQ_POLLIN, 0}};
  if (!stopping_ || outstanding_ > 0) zmq_poll(items, reading ? 2 : 1, kIdleMs);
  parts_.wake.disarm();
}

void Receiver::catch_breath() {
  const Nanoseconds began = parts_.clock.now();
  for (int waited = 0; waited < kBreathMs && parts_.slots.free_count() == 0; ++waited) {
    parts_.wake.arm();
    pollfd item{parts_.wake.descriptor(), POLLIN, 0};
    ::poll(&item, 1, 1);
    parts_.wake.disarm();
  }
  backpressure_.add(static_cast<double>(parts_.clock.now() - began) / kSecond);
}

bool Receiver::pipes_are_small() const {
  return std::uint64_t{parts_.guard.connections()} * parts_.messages_per_peer <=
         parts_.slots.count();
}

bool Receiver::read_message() {
  void* const router = router_.get();
  if (zmq_msg_recv(&frames_[0], router, ZMQ_DONTWAIT) < 0) return false;
  peer_.routing_id.assign(static_cast<const char*>(zmq_msg_data(&frames_[0])),
                          zmq_msg_size(&frames_[0]));
  // A message is whole when its first frame is: none of these blocks.
  content_count_ = 0;
  bool more = zmq_msg_more(&frames_[0]) != 0;
  while (more) {
    zmq_msg_t* const frame = &frames_[content_count_ < 2 ? content_count_ + 1 : 0];
    if (zmq_msg_recv(frame, router, 0) < 0) return false;
    more = zmq_msg_more(frame) != 0;
    if (content_count_ < 2) {
      contents_[content_count_++] = {static_cast<const std::byte*>(zmq_msg_data(frame)),
                                     zmq_msg_size(frame)};
    } else {
      content_count_ = 3;  // frame_extra, whatever is in it
      contents_[2] = {};
    }
  }
  return true;
}

void Receiver::handle_message() {
  zmq_msg_t* const frame = &frames_[content_count_ > 0 ? 1 : 0];
  look_up_peer(frame);
  const int descriptor = zmq_msg_get(frame, ZMQ_SRCFD);
  parts_.guard.message_completed(descriptor, peer_.user_id);
  if (peer_.key.state == KeyState::kRevoked) parts_.guard.cut_soon(descriptor);
  // Not as it was when the cycle began: what comes after drain() returned is not admitted.
  pressure_.draining = draining_;
  Verdict verdict =
      parts_.intake.on_message(peer_, std::span(contents_).first(content_count_), now_, pressure_);
  if (verdict.slot != kNoSlot) {
    const std::size_t bytes = record_bytes(contents_[1].size());
    admitted_.push_back({verdict.slot, static_cast<std::uint32_t>(bytes), now_});
  }
  if (verdict.reply) {
    const auto& body = verdict.reply->message.body;
    if (std::holds_alternative<wire::RetryAfter>(body) ||
        std::holds_alternative<wire::Refusal>(body))
      pace_.count();
    send(*verdict.reply);
  }
}

void Receiver::look_up_peer(zmq_msg_t* frame) {
  if (!curve_) {
    peer_.user_id = peer_.routing_id;
    peer_.key = {KeyState::kEnrolled, KeyRole::kGateway};
    return;
  }
  const char* const user = zmq_msg_gets(frame, "User-Id");
  if (user == nullptr) {
    user_text_.clear();
    peer_.user_id.clear();
    peer_.key = {};
    return;
  }
  if (user_text_ != user) {
    user_text_ = user;
    const auto key = parse_key(user_text_);
    peer_.user_id = key ? std::string(as_text(*key)) : std::string();
  }
  if (peer_.user_id.size() == sizeof(PublicKey))
    peer_.key = parts_.keys.find(load<PublicKey>(as_bytes(peer_.user_id)));
  else
    peer_.key = {};
}

void Receiver::handle_durable() {
  durable_.clear();
  parts_.committer.take_durable(durable_);
  if (durable_.empty()) return;
  MUSTER_CHECK_OP(durable_.size(), <=, outstanding_);
  outstanding_ -= durable_.size();
  replies_.clear();
  drained_.clear();
  parts_.intake.on_durable(durable_, parts_.clock.now(), replies_, drained_);
  for (Reply& reply : replies_) send(reply);
  for (const auto& [task, round] : drained_) announce_drained(task, round);
}

void Receiver::announce_drained(TaskId task, RoundNumber round) {
  Arrival arrival;
  arrival.kind = Arrival::Kind::kRoundDrained;
  arrival.header.task = task;
  arrival.header.round = round;
  MUSTER_CHECK(parts_.arrivals.try_push(arrival) || parts_.arrivals.closed());
}

void Receiver::send(Reply& reply) {
  void* const router = router_.get();
  const std::vector<std::byte> header = wire::build_header(reply.message);
  // The first frame finds the peer's pipe, or that there is none or no room in it. From then on
  // nothing fails: a peer that goes away meanwhile is libzmq's business.
  if (zmq_send(router, reply.routing_id.data(), reply.routing_id.size(),
               ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) {
    replies_dropped_.add();
    return;
  }
  const bool has_payload = reply.model != nullptr;
  zmq_send(router, header.data(), header.size(), has_payload ? ZMQ_SNDMORE : 0);
  if (!has_payload) return;
  // No copy: the frame keeps the model alive until it has left.
  zmq_msg_t payload;
  auto keep = std::make_unique<std::shared_ptr<const PublishedModel>>(std::move(reply.model));
  MUSTER_CHECK(zmq_msg_init_data(&payload, const_cast<std::byte*>(reply.payload.data()),
                                 reply.payload.size(), release_model, keep.get()) == 0);
  keep.release();
  if (zmq_msg_send(&payload, router, 0) < 0) zmq_msg_close(&payload);
}

Pressure Receiver::pressure() const {
  Pressure pressure;
  pressure.storage_fault = parts_.committer.faulted();
  pressure.disk_low = parts_.committer.disk_low();
  const Nanoseconds age = 2 * parts_.committer.queue_age() / kMillisecond;
  pressure.retry_ms = std::max(
      pace_.wait_ms(), static_cast<std::uint32_t>(std::min<Nanoseconds>(age, RetryPace::kMostMs)));
  return pressure;
}

void Receiver::every_second() {
  ticked_ = now_;
  pace_.tick(now_);
  parts_.guard.sweep(now_);
  if (parts_.on_alive && now_ - parts_.committer.last_turn() < kCommitPatience) parts_.on_alive();
  inflight_.set(static_cast<double>((parts_.slots.count() - parts_.slots.free_count()) *
                                    parts_.slots.slot_bytes()));
}

}  // namespace muster::ingest
