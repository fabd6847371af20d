// A device's turn, from its coming to its receipt.
#include <algorithm>

#include "base/check.h"
#include "client/plan.h"
#include "loadtest/fleet.h"
#include "loadtest/worker.h"

namespace muster::loadtest {
namespace {

/// Draws of one device that must not depend on one another.
enum Purpose : std::uint64_t { kWhich = 11, kFate = 12 };
/// A device of a connection whose round it is in already looks again after this.
constexpr Nanoseconds kRoundPause = 50 * kMillisecond;

}  // namespace

Worker::Index Worker::device_number(const Visit& visit) const {
  const FleetState& fleet = fleets_[visit.fleet];
  const auto row = static_cast<Index>(visit.device / fleet.links.size());
  return visit.link - first_link_[visit.fleet] + row * plan_.fleets[visit.fleet].links();
}

void Worker::begin(Index f, Index device, Nanoseconds due) {
  const FleetPlan& plan = plan_.fleets[f];
  FleetState& fleet = fleets_[f];
  Index index = 0;
  if (free_.empty()) {
    index = static_cast<Index>(visits_.size());
    visits_.emplace_back();
  } else {
    index = free_.back();
    free_.pop_back();
  }
  const std::uint32_t generation = visits_[index].generation;
  Visit& visit = visits_[index] = Visit();
  visit.generation = generation + 1;
  visit.fleet = f;
  visit.device = device;
  visit.link = fleet.links[device % fleet.links.size()];
  visit.due = due;
  visit.phase = due >= measure_from_ ? static_cast<std::int16_t>(phase_) : std::int16_t{-1};
  while (visit.nonce == 0) visit.nonce = random_.next();
  visit.stage = Stage::kLinking;
  client::Random fate(client::mix(client::mix(plan_.seed, kFate), random_.next()));
  visit.straggles = fate.uniform() < plan.stragglers;
  visit.slow = fate.uniform() < plan.slow_links;
  visit.doubles = fate.uniform() < plan.duplicates;
  if (fate.uniform() < plan.drop_out) visit.drop_at = 0;
  const auto hostile = static_cast<std::size_t>(plan.hostile_share * plan.devices + 1e-9);
  visit.hostile = is_hostile(device_number(visit), plan.devices, hostile);
  fleet.visit_of[device] = index;
  ++active_;
  if (measured(visit.phase))
    outcome_.phases[static_cast<std::size_t>(visit.phase)].lag.record(
        std::max<Nanoseconds>(now_ - due, 0));
  Link& link = links_[visit.link];
  if (link.state == LinkState::kClosed) open_link(visit.link, due, visit.phase);
  if (link.state == LinkState::kReady)
    proceed(index);
  else
    link.held.push_back(index);
}

void Worker::proceed(Index index) {
  Visit& visit = visits_[index];
  const FleetPlan& plan = plan_.fleets[visit.fleet];
  Link& link = links_[visit.link];
  if (link.state != LinkState::kReady) {
    visit.stage = Stage::kLinking;
    ++visit.generation;
    link.held.push_back(index);
    return;
  }
  if (plan.checks_in) {
    visit.stage = Stage::kAsked;
    expect_reply(index);
    ask(visit.link, index + 1,
        wire::CheckIn{plan_.task, plan.gateway() ? device_number(visit) + 1 : 0});
    return;
  }
  const auto round = static_cast<std::uint32_t>(link.work ? link.work->assignment.round : 0);
  if (link.work && (plan_.one_round || fleets_[visit.fleet].last_round[visit.device] != round)) {
    assigned(index, link.work);
    return;
  }
  visit.stage = Stage::kHeld;
  ++visit.generation;
  if (link.work && plan.gateway()) {
    // It is in this round already, which for others behind the gateway may be the right one.
    set_timer(index, now_ + kRoundPause);
    ask_for_link(visit.link);
    return;
  }
  // What the connection knows is a round that is over for this device.
  link.work.reset();
  link.held.push_back(index);
  ask_for_link(visit.link);
}

void Worker::assigned(Index index, std::shared_ptr<const RoundWork> work) {
  Visit& visit = visits_[index];
  visit.work = std::move(work);
  visit.attempts = 0;
  if (plan_.fleets[visit.fleet].fetches) {
    visit.stage = Stage::kFetching;
    visit.next_chunk = 0;
    expect_reply(index);
    ask(visit.link, index + 1,
        wire::FetchModel{visit.work->assignment.task, visit.work->assignment.model_version, 0});
    return;
  }
  ready(index, plan_.fleets[visit.fleet].checks_in ? now_ : visit.due);
}

/// `since`: when it had all it needs to train, or, out of kThinking, when it was to be done.
void Worker::ready(Index index, Nanoseconds since) {
  Visit& visit = visits_[index];
  const FleetPlan& plan = plan_.fleets[visit.fleet];
  if (visit.stage != Stage::kThinking) {
    const Nanoseconds pause = plan.think + (visit.straggles ? plan.straggle : 0);
    if (pause > 0) {
      visit.stage = Stage::kThinking;
      set_timer(index, since + pause);
      return;
    }
  }
  const UpdatePool& pool = *visit.work->pool;
  const std::uint64_t draw =
      client::mix(client::mix(plan_.seed, kWhich), client::mix(visit.fleet, device_number(visit)));
  visit.update = visit.hostile ? pool.hostile_index(plan.attack, draw) : pool.honest_index(draw);
  // It vanishes having sent a part, never all.
  if (visit.drop_at != kNone)
    visit.drop_at = static_cast<std::uint32_t>(random_.below(visit.work->chunk_count));
  visit.ready = since;
  visit.next_piece = since;
  visit.next_chunk = 0;
  visit.attempts = 0;
  visit.stage = Stage::kSending;
  wait_to_send(index);
}

/// A connection sends one update after another, as a gateway does: the server need not keep many
/// that are half here.
void Worker::wait_to_send(Index index) {
  Visit& visit = visits_[index];
  std::deque<Turn>& waiting = links_[visit.link].waiting;
  if (waiting.empty() && send(index)) return;
  waiting.push_back({index, visit.generation});
  if (waiting.size() == 1) blocked_.push_back(visit.link);
}

/// False where the connection takes no more for now.
bool Worker::send(Index index) {
  Visit& visit = visits_[index];
  const FleetPlan& plan = plan_.fleets[visit.fleet];
  if (links_[visit.link].state != LinkState::kReady) {
    proceed(index);
    return true;
  }
  const PooledUpdate& update = visit.work->pool->update(visit.update);
  while (visit.next_chunk < visit.work->chunk_count) {
    if (visit.next_chunk == visit.drop_at) {
      if (!plan.gateway()) close_link(visit.link);
      end(index, &Counts::dropped_out);
      return true;
    }
    if (visit.slow) {
      // Its bytes trickle out; the last one makes the message.
      const Nanoseconds takes =
          static_cast<Nanoseconds>(static_cast<double>(update.chunks[visit.next_chunk].size()) *
                                   kSecond / static_cast<double>(plan.link_bytes));
      if (now_ < visit.next_piece + takes) {
        set_timer(index, visit.next_piece + takes);
        return true;
      }
      visit.next_piece += takes;
    }
    if (!send_chunk(visit, index, visit.next_chunk)) return false;
    ++visit.next_chunk;
  }
  visit.sent = now_;
  if (visit.doubles) {
    visit.doubles = false;
    for (std::uint32_t chunk = 0; chunk < visit.work->chunk_count; ++chunk)
      outcome_.counts.resent += send_chunk(visit, index, chunk) ? 1 : 0;
  }
  visit.stage = Stage::kAwaiting;
  expect_reply(index);
  return true;
}

bool Worker::send_chunk(Visit& visit, Index index, std::uint32_t chunk) {
  const wire::Assignment& assignment = visit.work->assignment;
  const PooledUpdate& update = visit.work->pool->update(visit.update);
  wire::Message message;
  message.request = index + 1;
  wire::Submit submit;
  submit.task = assignment.task;
  submit.round = assignment.round;
  submit.model_version = assignment.model_version;
  submit.device = plan_.fleets[visit.fleet].gateway() ? device_number(visit) + 1 : 0;
  submit.nonce = visit.nonce;
  submit.dimension = assignment.dimension;
  submit.chunk = chunk;
  submit.chunk_count = visit.work->chunk_count;
  submit.coordinates = client::coordinates_of(assignment, chunk);
  submit.codec = static_cast<std::uint8_t>(assignment.format.codec);
  submit.log2_block = assignment.format.log2_block;
  submit.payload_bytes = static_cast<std::uint32_t>(update.chunks[chunk].size());
  submit.checksum = update.checksums[chunk];
  submit.terms = assignment.terms;
  message.body = submit;
  if (!wires_->send(visit.link, wire::build_header(message), update.chunks[chunk])) return false;
  outcome_.counts.bytes += update.chunks[chunk].size();
  return true;
}

void Worker::query(Index index) {
  Visit& visit = visits_[index];
  if (links_[visit.link].state != LinkState::kReady) return proceed(index);
  visit.stage = Stage::kAwaiting;
  expect_reply(index);
  const wire::Assignment& assignment = visit.work->assignment;
  const std::uint64_t device = plan_.fleets[visit.fleet].gateway() ? device_number(visit) + 1 : 0;
  ask(visit.link, index + 1,
      wire::QueryMissing{assignment.task, assignment.round, device, visit.nonce});
}

/// No answer in time, or a new connection: says again what it waits to be answered.
void Worker::resume(Index index) {
  Visit& visit = visits_[index];
  switch (visit.stage) {
    case Stage::kAsked:
    case Stage::kFetching:
    case Stage::kAwaiting:
      break;
    default:
      return;
  }
  if (++visit.attempts > plan_.attempts)
    return end(index, visit.stage == Stage::kAwaiting ? &Counts::unanswered : &Counts::put_off);
  if (visit.stage == Stage::kAwaiting) {
    ++outcome_.counts.resent;
    return query(index);
  }
  if (visit.stage == Stage::kFetching) {
    expect_reply(index);
    ask(visit.link, index + 1,
        wire::FetchModel{visit.work->assignment.task, visit.work->assignment.model_version,
                         visit.next_chunk});
    return;
  }
  proceed(index);
}

void Worker::end(Index index, std::uint64_t Counts::*how) {
  Visit& visit = visits_[index];
  MUSTER_CHECK(visit.stage != Stage::kFree);
  ++(outcome_.counts.*how);
  FleetState& fleet = fleets_[visit.fleet];
  fleet.visit_of[visit.device] = kNone;
  visit.stage = Stage::kFree;
  ++visit.generation;
  visit.work.reset();
  --active_;
  free_.push_back(index);
  const FleetPlan& plan = plan_.fleets[visit.fleet];
  const bool goes = !plan.stays || !fleet.active;
  if (!plan.gateway() && goes && links_[visit.link].state != LinkState::kClosed)
    close_link(visit.link);
}

bool Worker::ask(Index link, std::uint32_t request, const wire::Body& body) {
  wire::Message message;
  message.request = request;
  message.body = body;
  return wires_->connected(link) && wires_->send(link, wire::build_header(message));
}

void Worker::expect_reply(Index index) {
  ++visits_[index].generation;
  replies_.push_back({now_ + plan_.reply_timeout, index, visits_[index].generation});
}

void Worker::set_timer(Index index, Nanoseconds at) {
  ++visits_[index].generation;
  timers_.push({at, index, visits_[index].generation});
}

}  // namespace muster::loadtest
