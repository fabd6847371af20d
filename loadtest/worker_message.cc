// What the server says, and what becomes of the connections.
#include <algorithm>

#include "base/check.h"
#include "loadtest/worker.h"

namespace muster::loadtest {
namespace {

constexpr std::uint32_t kLinkRequest = std::uint32_t{1} << 31;

std::uint32_t wait_ms(std::uint32_t retry_ms) { return std::max(retry_ms, 1U); }

}  // namespace

void Worker::open_link(Index index, Nanoseconds due, std::int16_t phase) {
  Link& link = links_[index];
  const Status status =
      wires_->connect(index, identities_.empty() ? client::Identity() : identities_[index]);
  if (!status.ok()) {
    failure_ = status;
    return;
  }
  link.state = LinkState::kGreeting;
  link.due = due;
  link.phase = phase;
  link.asked = false;
  link.work.reset();
  ++outcome_.counts.connects;
  ask(index, kLinkRequest | index, wire::Hello{});
}

void Worker::close_link(Index index) {
  Link& link = links_[index];
  if (link.state == LinkState::kReady) --connected_;
  wires_->disconnect(index);
  link.state = LinkState::kClosed;
  link.work.reset();
  link.asked = false;
}

void Worker::ask_for_link(Index index) {
  Link& link = links_[index];
  if (link.state != LinkState::kReady || link.asked) return;
  link.asked = true;
  ask(index, kLinkRequest | index, wire::CheckIn{plan_.task, 0});
  // Unless there is an answer by then.
  timers_.push({now_ + plan_.reply_timeout, kLinkTimer | index, ++links_[index].asking});
}

Worker::Index Worker::visit_of_request(Index link, std::uint32_t request) const {
  if (request == 0 || request > visits_.size()) return kNone;
  const Visit& visit = visits_[request - 1];
  return visit.stage != Stage::kFree && visit.link == link ? request - 1 : kNone;
}

void Worker::take(const LinkMessage& message) {
  std::visit(
      [&](const auto& body) {
        if constexpr (requires { on(message.link, message.message.request, body); })
          on(message.link, message.message.request, body);
      },
      message.message.body);
}

void Worker::on(Index index, std::uint32_t, const wire::Welcome&) {
  Link& link = links_[index];
  if (link.state != LinkState::kGreeting) return;
  link.state = LinkState::kReady;
  ++connected_;
  if (measured(link.phase))
    outcome_.phases[static_cast<std::size_t>(link.phase)].connect.record(
        std::max<Nanoseconds>(now_ - link.due, 0));
  const std::vector<Index> held = std::exchange(link.held, {});
  for (const Index visit : held)
    if (visits_[visit].stage == Stage::kLinking && visits_[visit].link == index) {
      if (visits_[visit].work && visits_[visit].next_chunk > 0)
        query(visit);  // it had begun to send before the connection broke
      else
        proceed(visit);
    }
}

void Worker::on(Index index, std::uint32_t request, const wire::Assignment& assignment) {
  auto work = book_.work(assignment);
  if (!work.ok()) {
    failure_ = work.status();
    return;
  }
  if (request == (kLinkRequest | index)) {
    Link& link = links_[index];
    link.asked = false;
    link.work = std::move(work).value();
    const std::vector<Index> held = std::exchange(link.held, {});
    for (const Index visit : held)
      if (visits_[visit].stage == Stage::kHeld && visits_[visit].link == index) proceed(visit);
    return;
  }
  const Index visit = visit_of_request(index, request);
  if (visit != kNone && visits_[visit].stage == Stage::kAsked)
    assigned(visit, std::move(work).value());
}

void Worker::on(Index index, std::uint32_t request, const wire::RetryAfter& later) {
  ++outcome_.refusals[wire::describe(later.reason).token];
  // A tenth more at random: those sent away together do not come back together.
  const Nanoseconds pause = static_cast<Nanoseconds>(
      wait_ms(later.retry_ms) * static_cast<double>(kMillisecond) * (1 + 0.1 * random_.uniform()));
  if (request == (kLinkRequest | index)) {
    timers_.push({now_ + pause, kLinkTimer | index, ++links_[index].asking});
    return;
  }
  const Index visit = visit_of_request(index, request);
  if (visit == kNone || visits_[visit].stage != Stage::kAsked) return;
  if (now_ + pause - visits_[visit].due > plan_.patience) return end(visit, &Counts::put_off);
  visits_[visit].stage = Stage::kPutOff;
  set_timer(visit, now_ + pause);
}

void Worker::on(Index link, std::uint32_t request, const wire::ModelChunk& chunk) {
  const Index index = visit_of_request(link, request);
  if (index == kNone || visits_[index].stage != Stage::kFetching) return;
  Visit& visit = visits_[index];
  if (chunk.chunk != visit.next_chunk) return;
  visit.attempts = 0;
  if (++visit.next_chunk >= chunk.chunk_count) return ready(index, now_);
  expect_reply(index);
  ask(link, request, wire::FetchModel{chunk.task, chunk.version, visit.next_chunk});
}

void Worker::on(Index link, std::uint32_t, const wire::Receipt& receipt) {
  const Index f = links_[link].fleet;
  FleetState& fleet = fleets_[f];
  for (const wire::ReceiptEntry& entry : receipt.entries) {
    // Which of this worker's devices: rows of links, as begin() counts them.
    const Index number =
        plan_.fleets[f].gateway() ? static_cast<Index>(entry.device - 1) : link - first_link_[f];
    const auto place = std::lower_bound(fleet.links.begin(), fleet.links.end(), link);
    const std::uint64_t device =
        std::uint64_t{number / plan_.fleets[f].links()} * fleet.links.size() +
        static_cast<std::uint64_t>(place - fleet.links.begin());
    if (device >= fleet.visit_of.size() || fleet.visit_of[device] == kNone) continue;
    const Index index = fleet.visit_of[device];
    Visit& visit = visits_[index];
    if (visit.nonce != entry.nonce || !visit.work || visit.work->assignment.round != receipt.round)
      continue;
    outcome_.receipts[{receipt.task, receipt.round}].push_back({entry.update, visit.update});
    outcome_.last_receipt = now_ - options_.start;
    if (!fleet.last_round.empty())
      fleet.last_round[device] = static_cast<std::uint32_t>(receipt.round);
    window_.record(std::max<Nanoseconds>(now_ - visit.ready, 0));
    if (measured(visit.phase)) {
      PhaseLatencies& phase = outcome_.phases[static_cast<std::size_t>(visit.phase)];
      phase.acknowledge.record(std::max<Nanoseconds>(now_ - visit.ready, 0));
      phase.acknowledge_sent.record(
          std::max<Nanoseconds>(now_ - std::max(visit.sent, visit.ready), 0));
      phase.round.record(std::max<Nanoseconds>(now_ - visit.due, 0));
    }
    end(index, &Counts::acknowledged);
  }
}

void Worker::on(Index link, std::uint32_t request, const wire::MissingChunks& missing) {
  const Index index = visit_of_request(link, request);
  if (index == kNone || visits_[index].stage != Stage::kAwaiting) return;
  Visit& visit = visits_[index];
  if (missing.nonce != visit.nonce || missing.bitmap.size() * 8 < visit.work->chunk_count) return;
  bool all_sent = true;
  for (std::uint32_t chunk = 0; chunk < visit.work->chunk_count; ++chunk)
    if ((missing.bitmap[chunk / 8] >> chunk % 8 & 1) != 0) {
      all_sent = send_chunk(visit, index, chunk) && all_sent;
      ++outcome_.counts.resent;
    }
  visit.sent = now_;
  if (all_sent)
    expect_reply(index);
  else
    set_timer(index, now_ + plan_.reply_timeout / 10), visit.stage = Stage::kPaused;
}

void Worker::on(Index index, std::uint32_t request, const wire::Refusal& refusal) {
  const Index which = visit_of_request(index, request);
  if (refusal.reason == wire::Reason::kDuplicate) return;  // it is there; the receipt follows
  if (request == (kLinkRequest | index)) {
    ++outcome_.refusals[wire::describe(refusal.reason).token];
    links_[index].asked = false;
    return;
  }
  if (which == kNone) return;
  Visit& visit = visits_[which];
  // Several chunks of one update are refused for one reason.
  if (visit.stage == Stage::kPaused || visit.stage == Stage::kPutOff) return;
  ++outcome_.refusals[wire::describe(refusal.reason).token];
  const FleetPlan& plan = plan_.fleets[visit.fleet];
  const bool over = refusal.reason == wire::Reason::kRoundClosed ||
                    refusal.reason == wire::Reason::kRoundUnknown ||
                    refusal.reason == wire::Reason::kModelVersionStale ||
                    refusal.reason == wire::Reason::kModelUnknown;
  if (over && plan.checks_in) return end(which, &Counts::too_late);
  if (over || refusal.reason == wire::Reason::kCohortFull) {
    // Its connection learns of the next round, and the update goes there; it was due when it was.
    if (now_ - visit.due > plan_.patience) return end(which, &Counts::put_off);
    Link& link = links_[index];
    if (link.work == visit.work) link.work.reset();
    visit.next_chunk = 0;
    if (plan.checks_in) {
      visit.stage = Stage::kPutOff;
      return set_timer(which, now_ + wait_ms(refusal.retry_ms) * kMillisecond);
    }
    visit.work.reset();
    return proceed(which);
  }
  if (refusal.retry_ms == 0) return end(which, &Counts::refused);
  visit.stage = Stage::kPaused;
  set_timer(which, now_ + wait_ms(refusal.retry_ms) * kMillisecond);
}

}  // namespace muster::loadtest
