#include "loadtest/worker.h"

#include <algorithm>
#include <cmath>
#include <ctime>

#include "base/check.h"

namespace muster::loadtest {
namespace {

/// Bounds of one cycle, so that neither turns nor replies wait long behind the other.
constexpr int kTurnsAtOnce = 128;
constexpr int kMessagesAtOnce = 256;
/// Devices looked at for one that is free, before a turn is skipped.
constexpr std::uint32_t kTries = 64;
constexpr Nanoseconds kNever = std::int64_t{1} << 62;
/// Connections that took no more, looked at in one cycle.
constexpr std::size_t kBlockedAtOnce = 64;
/// Between such looks.
constexpr Nanoseconds kBlockedPause = kMillisecond / 2;

Nanoseconds thread_cpu() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return time.tv_sec * kSecond + time.tv_nsec;
}

}  // namespace

Gauge::Reading Gauge::read() {
  const std::lock_guard lock(mutex_);
  Reading reading = reading_;
  reading_.acknowledge = LatencyHistogram();
  return reading;
}

Worker::Worker(const LoadPlan& plan, const WorkerOptions& options,
               std::span<const client::Identity> identities, WorkBook& book,
               const std::atomic<bool>& stop)
    : plan_(plan),
      options_(options),
      identities_(identities),
      book_(book),
      stop_(stop),
      random_(client::mix(plan.seed, 100 + options.index)) {
  outcome_.phases.resize(plan.phases.size());
  fleets_.resize(plan.fleets.size());
  for (Index f = 0; f < plan.fleets.size(); ++f) {
    const FleetPlan& fleet = plan.fleets[f];
    FleetState& state = fleets_[f];
    first_link_.push_back(static_cast<Index>(links_.size()));
    for (Index c = 0; c < fleet.links(); ++c) {
      if (c % options.workers == options.index)
        state.links.push_back(static_cast<Index>(links_.size()));
      links_.emplace_back().fleet = f;
    }
    // Device k of this worker is behind its link k mod links.
    const std::uint64_t rows = divide_up<std::uint64_t>(fleet.devices, fleet.links());
    state.visit_of.assign(rows * state.links.size(), kNone);
    if (!fleet.checks_in) state.last_round.assign(state.visit_of.size(), 0);
  }
}

Worker::~Worker() {
  if (thread_.joinable()) thread_.join();
}

void Worker::start() {
  thread_ = std::thread([this] { run(); });
}

Result<Outcome> Worker::finish() {
  if (thread_.joinable()) thread_.join();
  if (!failure_.ok()) return failure_;
  if (measured_wall_ > 0)
    outcome_.busiest = static_cast<double>(measured_cpu_) / static_cast<double>(measured_wall_);
  return std::move(outcome_);
}

void Worker::run() {
  auto wires = Links::open(options_.links, static_cast<std::uint32_t>(links_.size()));
  if (!wires.ok()) {
    failure_ = wires.status();
    return;
  }
  wires_ = std::move(wires).value();
  const Nanoseconds over = options_.start + plan_.length();
  Nanoseconds limit = over + plan_.patience;
  bool ending = false;
  for (;;) {
    now_ = clock_.now();
    if (!ending && (now_ >= over || stop_.load(std::memory_order_relaxed))) {
      ending = true;
      limit = now_ + plan_.patience;
      for (FleetState& fleet : fleets_) fleet.active = false;
      // Who has nothing on the way may go.
      for (Index v = 0; v < visits_.size(); ++v)
        if (visits_[v].stage != Stage::kFree && visits_[v].stage != Stage::kAwaiting &&
            visits_[v].stage != Stage::kSending && visits_[v].stage != Stage::kPaused)
          end(v, &Counts::cut_short);
    }
    if (ending && (active_ == 0 || now_ >= limit)) break;
    const Nanoseconds cpu = thread_cpu();
    const bool worked = cycle();
    if (now_ >= measure_from_ && phase_ >= 0) measured_cpu_ += thread_cpu() - cpu;
    if (!failure_.ok()) break;
    if (!worked) wires_->wait(std::min(next_event(), limit));
    if (now_ >= measure_from_ && phase_ >= 0) measured_wall_ += clock_.now() - now_;
  }
  for (Index v = 0; v < visits_.size(); ++v) {
    const Stage stage = visits_[v].stage;
    if (stage == Stage::kFree) continue;
    end(v, stage == Stage::kAwaiting ? &Counts::unanswered : &Counts::cut_short);
  }
  show();
  wires_.reset();
}

bool Worker::cycle() {
  bool worked = false;
  while (phase_ + 1 < static_cast<int>(plan_.phases.size()) &&
         now_ >= (phase_ < 0 ? options_.start : phase_end_))
    enter_phase();
  for (Index f = 0; f < fleets_.size(); ++f) {
    FleetState& fleet = fleets_[f];
    if (!fleet.active) continue;
    for (; fleet.to_connect > 0 && fleet.next_connect <= now_;
         fleet.next_connect += fleet.connect_every) {
      const Index link = fleet.links[--fleet.to_connect];
      if (links_[link].state == LinkState::kClosed)
        open_link(link, fleet.next_connect, static_cast<std::int16_t>(phase_));
      worked = true;
    }
    for (int turn = 0; turn < kTurnsAtOnce && fleet.arrivals && fleet.next_due <= now_; ++turn) {
      arrive(f);
      if (--fleet.turns_left == 0) {
        fleet.arrivals.reset();
        break;
      }
      fleet.next_due = fleet.origin + fleet.arrivals->next();
      worked = true;
    }
    if (fleet.next_storm <= now_) storm(fleet);
  }
  LinkMessage message;
  for (int i = 0; i < kMessagesAtOnce && wires_->receive(message); ++i) {
    now_ = clock_.now();
    take(message);
    worked = true;
  }
  worked = send_waiting() || worked;
  expire();
  if (now_ - shown_ >= kSecond / 4) show();
  return worked;
}

void Worker::enter_phase() {
  const Nanoseconds begin = phase_ < 0 ? options_.start : phase_end_;
  const Phase& phase = plan_.phases[static_cast<std::size_t>(++phase_)];
  measure_from_ = begin + phase.settle;
  phase_end_ = measure_from_ + phase.duration;
  for (Index f = 0; f < fleets_.size(); ++f) {
    FleetState& fleet = fleets_[f];
    const FleetPlan& plan = plan_.fleets[f];
    fleet.active = std::find(phase.fleets.begin(), phase.fleets.end(), f) != phase.fleets.end();
    fleet.arrivals.reset();
    fleet.to_connect = 0;
    fleet.next_storm = kNever;
    if (!fleet.active) {
      for (const Index link : fleet.links)
        if (links_[link].state != LinkState::kClosed) close_link(link);
      continue;
    }
    if (plan.connected) {
      fleet.to_connect = static_cast<Index>(fleet.links.size());
      fleet.next_connect = begin;
      // The last fifth is for the handshakes to end.
      fleet.connect_every = phase.settle * 4 / 5 /
                            static_cast<Nanoseconds>(std::max<std::size_t>(fleet.links.size(), 1));
    }
    if (plan.storm_every > 0) fleet.next_storm = begin + plan.storm_every;
    if (!plan.rate || fleet.links.empty()) continue;
    Rate rate = *plan.rate;
    const double share = static_cast<double>(fleet.links.size()) / plan.links();
    rate.from *= share;
    rate.to *= share;
    const std::uint64_t seed =
        client::mix(client::mix(plan_.seed, f + 1000),
                    client::mix(options_.index, static_cast<unsigned>(phase_)));
    fleet.arrivals.emplace(rate, plan.poisson, seed);
    fleet.turns_left = ~std::uint64_t{0};
    if (plan.turns > 0)
      fleet.turns_left =
          plan.turns / options_.workers + (options_.index < plan.turns % options_.workers ? 1 : 0);
    if (fleet.turns_left == 0) {
      fleet.arrivals.reset();
      continue;
    }
    fleet.origin = begin;
    fleet.next_due = begin + fleet.arrivals->next();
  }
}

void Worker::arrive(Index f) {
  FleetState& fleet = fleets_[f];
  ++outcome_.counts.due;
  for (std::uint32_t tried = 0; tried < kTries; ++tried) {
    const Index device = fleet.cursor;
    fleet.cursor = (fleet.cursor + 1) % static_cast<Index>(fleet.visit_of.size());
    const std::uint64_t row = device / fleet.links.size();
    const Index link = fleet.links[device % fleet.links.size()] - first_link_[f];
    if (link + row * plan_.fleets[f].links() >= plan_.fleets[f].devices) continue;
    if (fleet.visit_of[device] != kNone) continue;
    begin(f, device, fleet.next_due);
    return;
  }
  ++outcome_.counts.skipped;
}

/// Whether anybody got to the end of what it had to send.
bool Worker::send_waiting() {
  bool worked = false;
  for (std::size_t i = std::min(blocked_.size(), kBlockedAtOnce); i > 0; --i) {
    const Index index = blocked_.front();
    blocked_.pop_front();
    std::deque<Turn>& waiting = links_[index].waiting;
    while (!waiting.empty()) {
      const Turn turn = waiting.front();
      if (visits_[turn.visit].generation == turn.generation && !send(turn.visit)) break;
      waiting.pop_front();
      worked = true;
    }
    if (!waiting.empty()) blocked_.push_back(index);
  }
  return worked;
}

/// A share of the connections breaks, and comes back at once.
void Worker::storm(FleetState& fleet) {
  const FleetPlan& plan = plan_.fleets[links_[fleet.links[0]].fleet];
  fleet.next_storm += plan.storm_every;
  for (const Index link : fleet.links) {
    if (links_[link].state != LinkState::kReady || random_.uniform() >= plan.storm_share) continue;
    close_link(link);
    open_link(link, now_, now_ >= measure_from_ ? static_cast<std::int16_t>(phase_) : -1);
  }
}

void Worker::expire() {
  while (!timers_.empty() && timers_.top().at <= now_) {
    const Timer timer = timers_.top();
    timers_.pop();
    if ((timer.index & kLinkTimer) != 0) {
      const Index link = timer.index & ~kLinkTimer;
      if (links_[link].asking != timer.generation) continue;
      links_[link].asked = false;
      if (!links_[link].work || !links_[link].held.empty()) ask_for_link(link);
      continue;
    }
    if (visits_[timer.index].generation != timer.generation) continue;
    switch (visits_[timer.index].stage) {
      case Stage::kThinking:
        ready(timer.index, timer.at);
        break;
      case Stage::kSending:
        wait_to_send(timer.index);
        break;
      case Stage::kHeld:
      case Stage::kPutOff:
        proceed(timer.index);
        break;
      case Stage::kPaused:
        query(timer.index);
        break;
      default:
        break;
    }
  }
  while (!replies_.empty() && replies_.front().at <= now_) {
    const Timer timer = replies_.front();
    replies_.pop_front();
    if (visits_[timer.index].generation == timer.generation) resume(timer.index);
  }
}

Nanoseconds Worker::next_event() const {
  Nanoseconds next = phase_ < 0 ? options_.start : phase_end_;
  for (const FleetState& fleet : fleets_) {
    if (!fleet.active) continue;
    if (fleet.arrivals) next = std::min(next, fleet.next_due);
    if (fleet.to_connect > 0) next = std::min(next, fleet.next_connect);
    next = std::min(next, fleet.next_storm);
  }
  if (!timers_.empty()) next = std::min(next, timers_.top().at);
  if (!replies_.empty()) next = std::min(next, replies_.front().at);
  if (!blocked_.empty()) next = std::min(next, clock_.now() + kBlockedPause);
  // At the end of the last phase there are only answers to wait for.
  return next <= now_ ? now_ + 10 * kMillisecond : next;
}

void Worker::show() {
  shown_ = now_;
  const std::lock_guard lock(gauge_.mutex_);
  gauge_.reading_.acknowledge.merge(window_);
  gauge_.reading_.counts = outcome_.counts;
  gauge_.reading_.active = active_;
  gauge_.reading_.connected = connected_;
  window_ = LatencyHistogram();
}

}  // namespace muster::loadtest
