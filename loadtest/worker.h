// One thread of a load test: devices as small state machines on many connections, driven by the
// times at which things are due and by nothing the server does.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <mutex>
#include <queue>
#include <span>
#include <thread>
#include <vector>

#include "loadtest/links.h"
#include "loadtest/outcome.h"
#include "loadtest/update_pool.h"

namespace muster::loadtest {

/// What a worker shows while it runs; read and reset by another thread.
class Gauge {
 public:
  struct Reading {
    LatencyHistogram acknowledge;  ///< since the last reading
    Counts counts;                 ///< since the start
    std::size_t active = 0;        ///< devices in the middle of something
    std::size_t connected = 0;
  };
  Reading read();

 private:
  friend class Worker;
  std::mutex mutex_;  // held for the length of a copy, once a second on either side
  Reading reading_;
};

struct WorkerOptions {
  std::uint32_t index = 0, workers = 1;
  LinkOptions links;
  Nanoseconds start = 0;  ///< when the first phase begins, monotonic
};

class Worker {
 public:
  /// All outlive it. `identities`: by link, all fleets in order; empty in plain mode. `stop`: no
  /// more turns; what is under way may end within the plan's patience.
  Worker(const LoadPlan& plan, const WorkerOptions& options,
         std::span<const client::Identity> identities, WorkBook& book,
         const std::atomic<bool>& stop);
  ~Worker();

  void start();
  /// Waits for the end. Fails where the simulator itself could not go on.
  Result<Outcome> finish();
  Gauge& gauge() { return gauge_; }

 private:
  using Index = std::uint32_t;
  static constexpr Index kNone = ~Index{0};
  static constexpr Index kLinkTimer = Index{1} << 31;

  enum class Stage : std::uint8_t {
    kFree,
    kLinking,  ///< until the connection has been welcomed
    kAsked,    ///< for work
    kHeld,     ///< until the connection has work
    kFetching,
    kThinking,
    kSending,
    kAwaiting,  ///< the receipt
    kPaused,    ///< the server asked for it; then asks what is missing
    kPutOff,    ///< the server asked for it; then asks for work
  };
  /// A device's turn.
  struct Visit {
    Nanoseconds due = 0, ready = 0, sent = 0, next_piece = 0;
    std::uint64_t nonce = 0;
    std::shared_ptr<const RoundWork> work;
    Index fleet = 0, device = 0, link = 0;
    Index update = 0;
    std::uint32_t next_chunk = 0, drop_at = kNone;
    std::uint32_t generation = 0;  ///< of its timers
    std::int16_t phase = -1;       ///< it is measured in; -1: none
    std::uint8_t attempts = 0;
    Stage stage = Stage::kFree;
    bool straggles = false, slow = false, doubles = false, hostile = false;
  };
  /// A visit, unless it is another one by now.
  struct Turn {
    Index visit;
    std::uint32_t generation;
  };
  enum class LinkState : std::uint8_t { kClosed, kGreeting, kReady };
  struct Link {
    Index fleet = 0;
    LinkState state = LinkState::kClosed;
    bool asked = false;        ///< for work of its own
    std::uint32_t asking = 0;  ///< generation of the timer of that
    std::int16_t phase = -1;
    Nanoseconds due = 0;  ///< when it had to connect
    std::shared_ptr<const RoundWork> work;
    std::vector<Index> held;
    std::deque<Turn> waiting;  ///< to send, in their order; the first may have begun
  };
  struct FleetState {
    std::vector<Index> links;               ///< this worker's, by global number
    std::vector<Index> visit_of;            ///< by device of this worker
    std::vector<std::uint32_t> last_round;  ///< fleets that do not check in: the last one it is in
    std::optional<Arrivals> arrivals;
    std::uint64_t turns_left = 0;
    Nanoseconds origin = 0, next_due = 0, next_storm = 0;
    Index cursor = 0;      ///< next device of this worker
    Index to_connect = 0;  ///< links still to be opened, from the back
    Nanoseconds connect_every = 0, next_connect = 0;
    bool active = false;
  };
  struct Timer {
    Nanoseconds at;
    Index index;  ///< of a visit, or kLinkTimer | link
    std::uint32_t generation;
    bool operator>(const Timer& other) const { return at > other.at; }
  };

  // worker.cc: time.
  void run();
  bool cycle();
  void enter_phase();
  void arrive(Index fleet);
  void storm(FleetState& fleet);
  void expire();
  void show();
  Nanoseconds next_event() const;

  // worker_visit.cc: one device.
  Index device_number(const Visit& visit) const;  ///< of all devices of its fleet
  void begin(Index fleet, Index device, Nanoseconds due);
  void proceed(Index visit);  ///< its connection is ready
  void assigned(Index visit, std::shared_ptr<const RoundWork> work);
  void ready(Index visit, Nanoseconds since);
  void wait_to_send(Index visit);
  bool send_waiting();
  bool send(Index visit);
  bool send_chunk(Visit& visit, Index index, std::uint32_t chunk);
  void query(Index visit);
  void resume(Index visit);
  void end(Index visit, std::uint64_t Counts::*how);
  bool ask(Index link, std::uint32_t request, const wire::Body& body);
  void expect_reply(Index visit);
  void set_timer(Index visit, Nanoseconds at);
  bool measured(std::int16_t phase) const { return phase >= 0; }

  // worker_message.cc: what the server says.
  void take(const LinkMessage& message);
  void on(Index link, std::uint32_t request, const wire::Welcome& welcome);
  void on(Index link, std::uint32_t request, const wire::Assignment& assignment);
  void on(Index link, std::uint32_t request, const wire::RetryAfter& later);
  void on(Index link, std::uint32_t request, const wire::ModelChunk& chunk);
  void on(Index link, std::uint32_t request, const wire::Receipt& receipt);
  void on(Index link, std::uint32_t request, const wire::MissingChunks& missing);
  void on(Index link, std::uint32_t request, const wire::Refusal& refusal);
  void open_link(Index link, Nanoseconds due, std::int16_t phase);
  void close_link(Index link);
  void ask_for_link(Index link);
  Index visit_of_request(Index link, std::uint32_t request) const;

  const LoadPlan& plan_;
  const WorkerOptions options_;
  std::span<const client::Identity> identities_;
  WorkBook& book_;
  const std::atomic<bool>& stop_;
  SystemClock clock_;
  client::Random random_;
  std::unique_ptr<Links> wires_;
  Status failure_;
  Outcome outcome_;
  Gauge gauge_;
  LatencyHistogram window_;

  std::vector<Link> links_;        ///< all fleets' in order
  std::vector<Index> first_link_;  ///< of a fleet
  std::vector<FleetState> fleets_;
  std::vector<Visit> visits_;
  std::vector<Index> free_;
  std::priority_queue<Timer, std::vector<Timer>, std::greater<>> timers_;
  std::deque<Timer> replies_;  ///< due after the same patience each, so in order
  std::deque<Index> blocked_;  ///< links with visits that wait to send
  std::size_t active_ = 0, connected_ = 0;
  Nanoseconds now_ = 0, shown_ = 0, phase_end_ = 0, measure_from_ = 0;
  int phase_ = -1;
  Nanoseconds measured_wall_ = 0, measured_cpu_ = 0;
  std::thread thread_;
};

}  // namespace muster::loadtest
