#include "cli/load_run.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "cli/interrupt.h"
#include "cli/load_check.h"
#include "cli/load_machine.h"
#include "loadtest/null_sink.h"
#include "loadtest/worker.h"

namespace muster::cli {
namespace {

using loadtest::LoadPlan;
using nlohmann::json;

constexpr Nanoseconds kLead = 200 * kMillisecond;  ///< threads are up before the first turn
constexpr auto kLook = std::chrono::milliseconds(250);
constexpr std::size_t kKeysAtOnce = 5'000;
/// Descriptors beside connections: libraries, logs, threads' mailboxes.
constexpr std::uint64_t kDescriptorsBeside = 256;
constexpr Nanoseconds kSinkSettle = 300 * kMillisecond, kSinkTime = 1'500 * kMillisecond;
constexpr std::uint32_t kSinkDevices = 500;
/// What may wait on a connection, bytes.
constexpr std::size_t kInFlight = std::size_t{4} << 20;

class LoadRun {
 public:
  LoadRun(const LoadTarget& target, const LoadObserver& observer, LoadResult& result)
      : target_(target),
        observer_(observer),
        result_(result),
        scenario_(*result.scenario),
        book_(scenario_.plan) {}

  Status run() {
    std::uint64_t links = 0, peers = 0;
    for (const auto& fleet : scenario_.plan.fleets) links += fleet.links();
    for (const auto& group : scenario_.plan.peers) peers += group.count;
    MUSTER_TRY(allow_descriptors(links + peers + kDescriptorsBeside));
    MUSTER_TRY(meet_server());
    MUSTER_TRY(enrol(links));
    MUSTER_TRY(target_.admin
                   .post("/v1/tasks", {{"toml", task_toml(scenario_.task)},
                                       {"file", scenario_.task.name + ".toml"}})
                   .status());
    MUSTER_TRY(meet_task());
    if (scenario_.null_sink) MUSTER_TRY(prove_limit());
    result_.metrics_before = scrape();
    MUSTER_TRY(load());
    MUSTER_TRY(settle());
    result_.metrics_after = scrape();
    measure_server();
    if (scenario_.check) {
      observer_.say("recomputing the released models from the receipts");
      MUSTER_ASSIGN(result_.check, check_answer(scenario_, target_.admin, book_, result_.outcome));
    }
    const ProcessUse own = process_use(::getpid());
    result_.simulator_peak = own.peak;
    result_.parts = split_parts(result_);
    result_.saturated = saturation(result_);
    result_.judged = judge(result_);
    return {};
  }

 private:
  Status meet_server() {
    MUSTER_ASSIGN(const json status, target_.admin.get("/v1/status"));
    if (!status.contains("endpoints") || status["endpoints"].empty())
      return {Code::kInternal, "bad_answer", "the server names no endpoint"};
    for (const json& endpoint : status["endpoints"])
      if (endpoint.is_string() && loadtest::is_loopback(endpoint.get<std::string>()))
        endpoint_ = endpoint.get<std::string>();
    if (endpoint_.empty()) {
      // A server that listens everywhere listens on loopback too.
      const std::string any = status["endpoints"][0].get<std::string>();
      endpoint_ = "tcp://127.0.0.1" + any.substr(std::min(any.rfind(':'), any.size()));
    }
    metrics_ = status.value("metrics", "");
    result_.backend = status.value("backend", "");
    // A running server says itself whether it wants keys; ours does as it was told.
    if (scenario_.server.security == "curve") server_key_ = status.value("server_key", "");
    return {};
  }

  Status enrol(std::uint64_t links) {
    if (server_key_.empty()) return {};
    observer_.say(fmt::format("enrolling {} keys", links));
    std::vector<const loadtest::FleetPlan*> fleet_of;
    for (const auto& fleet : scenario_.plan.fleets)
      for (std::uint32_t i = 0; i < fleet.links(); ++i) fleet_of.push_back(&fleet);
    json keys = json::array();
    for (std::size_t i = 0; i < fleet_of.size(); ++i) {
      identities_.push_back(client::new_identity());
      keys.push_back({{"key", identities_.back().public_key},
                      {"role", fleet_of[i]->gateway() ? "gateway" : "device"},
                      {"label", "loadtest"}});
      if (keys.size() < kKeysAtOnce && i + 1 < fleet_of.size()) continue;
      MUSTER_TRY(target_.admin.post("/v1/keys", {{"keys", std::move(keys)}}).status());
      keys = json::array();
    }
    return {};
  }

  /// Asks for work as the first device will, so that updates are encoded before the load begins.
  Status meet_task() {
    const loadtest::FleetPlan& first = scenario_.plan.fleets.front();
    client::ClientOptions options;
    options.endpoint = endpoint_;
    options.server_key = server_key_;
    if (!identities_.empty()) options.identity = identities_.front();
    options.device = first.gateway() && first.checks_in ? 1 : 0;
    MUSTER_ASSIGN(const auto scout, client::Client::connect(options));
    MUSTER_ASSIGN(assignment_, scout->join(scenario_.task.name, 30 * kSecond));
    return book_.work(assignment_).status();
  }

  loadtest::WorkerOptions worker_options(std::uint32_t index, const std::string& endpoint,
                                         const std::string& key, Nanoseconds start) {
    loadtest::WorkerOptions options;
    options.index = index;
    options.workers = scenario_.workers;
    options.links.endpoint = endpoint;
    options.links.server_key = key;
    const auto work = book_.find(assignment_.task, assignment_.round);
    const std::size_t bytes = work->pool->update(0).chunks.front().size();
    options.links.high_water =
        static_cast<int>(std::clamp<std::size_t>(kInFlight / bytes, 16, 4'096));
    options.start = start;
    return options;
  }

  using Workers = std::vector<std::unique_ptr<loadtest::Worker>>;
  Workers start_workers(const LoadPlan& plan, const std::string& endpoint, const std::string& key,
                        Nanoseconds start) {
    Workers workers;
    for (std::uint32_t i = 0; i < scenario_.workers; ++i)
      workers.push_back(std::make_unique<loadtest::Worker>(
          plan, worker_options(i, endpoint, key, start),
          key.empty() ? std::span<client::Identity>() : std::span(identities_), book_, stop_));
    for (const auto& worker : workers) worker->start();
    return workers;
  }

  static Result<loadtest::Outcome> finish(Workers& workers) {
    loadtest::Outcome all;
    Status failure;
    for (const auto& worker : workers) {
      auto outcome = worker->finish();
      if (outcome.ok())
        all.merge(std::move(outcome).value());
      else
        failure = outcome.status();
    }
    if (!failure.ok()) return failure;
    return all;
  }

  /// The busiest phase at twice its rate against a server that keeps nothing.
  Status prove_limit() {
    const double peak = loadtest::peak_rate(scenario_.plan);
    if (peak <= 0) return {};
    observer_.say(
        fmt::format("null sink: can the simulator offer {:.0f} devices a second?", 2 * peak));
    MUSTER_ASSIGN(const auto sink, loadtest::NullSink::start(assignment_, !server_key_.empty()));
    LoadPlan plan = scenario_.plan;
    plan.peers.clear();
    plan.patience = kSecond;
    plan.one_round = true;
    loadtest::Phase phase{"sink", kSinkSettle, kSinkTime, {}, {}};
    double sum = 0;
    for (std::uint32_t f = 0; f < plan.fleets.size(); ++f) {
      auto& fleet = plan.fleets[f];
      // Every link keeps its identity, so the numbers of links stay.
      fleet.connected = false;
      fleet.turns = 0;
      fleet.drop_out = fleet.stragglers = fleet.slow_links = 0;
      fleet.think = fleet.storm_every = 0;
      if (!fleet.rate) continue;
      const double most = fleet.rate->shape == loadtest::Rate::Shape::kConstant
                              ? fleet.rate->from
                              : std::max(fleet.rate->from, fleet.rate->to);
      fleet.rate = loadtest::Rate{};
      fleet.rate->from = 2 * most;
      if (!fleet.gateway()) fleet.devices = std::min(fleet.devices, kSinkDevices);
      phase.fleets.push_back(f);
      sum += 2 * most;
    }
    plan.phases = {phase};
    stop_ = false;
    SystemClock clock;
    Workers workers = start_workers(
        plan, sink->endpoint(), server_key_.empty() ? "" : sink->server_key(), clock.now() + kLead);
    MUSTER_ASSIGN(const loadtest::Outcome outcome, finish(workers));
    const auto& latencies = outcome.phases[0].acknowledge;
    result_.null_sink.done = true;
    result_.null_sink.wanted = sum;
    result_.null_sink.reached =
        static_cast<double>(latencies.count()) / (static_cast<double>(kSinkTime) / kSecond);
    // What was not acknowledged within the time it had counts as not reached.
    if (outcome.counts.unanswered + outcome.counts.cut_short > 0 ||
        latencies.percentile(99) > kSecond)
      result_.null_sink.reached *=
          static_cast<double>(outcome.counts.acknowledged) /
          static_cast<double>(std::max<std::uint64_t>(outcome.counts.due, 1));
    result_.null_sink.p99 = static_cast<double>(latencies.percentile(99)) / kSecond;
    result_.null_sink.factor = result_.null_sink.reached / peak;
    return {};
  }

  Status load() {
    observer_.say(fmt::format("load: {} phase{}, {:.0f} s", scenario_.plan.phases.size(),
                              scenario_.plan.phases.size() == 1 ? "" : "s",
                              static_cast<double>(scenario_.plan.length()) / kSecond));
    stop_ = false;
    SystemClock clock;
    const ProcessUse server_before = use_of_server();
    const ProcessUse own_before = process_use(::getpid());
    const Nanoseconds start = clock.now() + kLead;
    loadtest::HostilePeers peers(scenario_.plan, endpoint_, start, stop_);
    peers.start();
    Workers workers = start_workers(scenario_.plan, endpoint_, server_key_, start);
    Nanoseconds sampled = 0;
    const Nanoseconds over = start + scenario_.plan.length();
    for (bool ended = false; !ended;) {
      std::this_thread::sleep_for(kLook);
      const Nanoseconds now = clock.now();
      LoadSample sample = read(workers, peers, now - start);
      if (InterruptGuard::interrupted() || rounds_are_done()) stop_ = true;
      ended = (now >= over || stop_) && sample.active == 0;
      ended = ended || now >= over + scenario_.plan.patience + kSecond ||
              (stop_ && now - sampled > scenario_.plan.patience + 2 * kSecond);
      if (now - sampled >= kSecond || ended) {
        sampled = now;
        sample.p50 = static_cast<double>(window_.percentile(50)) / kSecond;
        sample.p99 = static_cast<double>(window_.percentile(99)) / kSecond;
        window_ = loadtest::LatencyHistogram();
        result_.samples.push_back(sample);
      } else {
        sample.p50 = static_cast<double>(window_.percentile(50)) / kSecond;
        sample.p99 = static_cast<double>(window_.percentile(99)) / kSecond;
      }
      observer_.progress(
          sample, phase_at(now - start),
          static_cast<double>(now - start) / static_cast<double>(scenario_.plan.length()));
    }
    result_.seconds = static_cast<double>(clock.now() - start) / kSecond;
    MUSTER_ASSIGN(result_.outcome, finish(workers));
    stop_ = true;
    MUSTER_ASSIGN(result_.peers, peers.finish());
    result_.server_cpu = use_of_server().cpu - server_before.cpu;
    result_.simulator_cpu = process_use(::getpid()).cpu - own_before.cpu;
    if (InterruptGuard::interrupted())
      return {Code::kClosed, "interrupted", "stopped before the end"};
    return {};
  }

  LoadSample read(Workers& workers, const loadtest::HostilePeers& peers, Nanoseconds since) {
    LoadSample sample;
    sample.at = static_cast<double>(since) / kSecond;
    sample.peers = peers.connected();
    for (const auto& worker : workers) {
      const loadtest::Gauge::Reading reading = worker->gauge().read();
      window_.merge(reading.acknowledge);
      sample.due += reading.counts.due;
      sample.acknowledged += reading.counts.acknowledged;
      sample.active += reading.active;
      sample.connected += reading.connected;
    }
    const ProcessUse use = use_of_server();
    sample.server_bytes = use.resident;
    sample.server_cpu = use.cpu;
    return sample;
  }

  ProcessUse use_of_server() {
    if (target_.pid > 0) return process_use(target_.pid);
    ProcessUse use;
    const auto series = scrape();
    const auto value = [&](const char* name) {
      const auto found = series.find(name);
      return found == series.end() ? 0.0 : found->second;
    };
    use.resident = value("muster_process_resident_memory_bytes");
    use.cpu = value("muster_process_cpu_seconds_total");
    foreign_peak_ = std::max(foreign_peak_, use.resident);
    use.peak = foreign_peak_;
    return use;
  }

  bool rounds_are_done() {
    if (scenario_.task.rounds == 0) return false;
    const auto task = target_.admin.get("/v1/tasks/" + escape(scenario_.task.name));
    return task.ok() && task->value("rounds_done", std::uint64_t{0}) >= scenario_.task.rounds;
  }

  std::string phase_at(Nanoseconds since) const {
    for (const auto& phase : scenario_.plan.phases) {
      if (since < phase.settle) return phase.name + " (settling)";
      since -= phase.settle + phase.duration;
      if (since < 0) return phase.name;
    }
    return "last answers";
  }

  /// The last round is closed, so that every receipt has a release to be found in.
  Status settle() {
    const std::string path = "/v1/tasks/" + escape(scenario_.task.name);
    MUSTER_ASSIGN(json task, target_.admin.get(path));
    const auto round = task.value("round", std::uint64_t{0});
    if (task.value("state", "") == "open")
      static_cast<void>(target_.admin.post(path + "/rounds/current/close", json::object()));
    SystemClock clock;
    const Nanoseconds end = clock.now() + 300 * kSecond;
    while (clock.now() < end) {
      MUSTER_ASSIGN(task, target_.admin.get(path));
      const std::string state = task.value("state", "");
      if (state == "finished" || (state == "open" && task.value("round", std::uint64_t{0}) > round))
        break;
      std::this_thread::sleep_for(kLook);
    }
    MUSTER_ASSIGN(const json answer, target_.admin.get(path + "/rounds?limit=1000"));
    MUSTER_ASSIGN(const json rounds, objects_of(answer, "rounds"));
    double sum = 0, count = 0;
    for (const json& one : rounds)
      if (const double took = one.value("seconds", 0.0); took > 0) sum += took, ++count;
    result_.round_seconds = count > 0 ? sum / count : 0;
    return {};
  }

  void measure_server() {
    result_.server_peak = use_of_server().peak;
    const auto status = target_.admin.get("/v1/status");
    if (status.ok() && status->contains("memory"))
      result_.server_budget = status->at("memory").value("budget", 0.0);
  }

  std::map<std::string, double> scrape() const {
    const auto text = fetch_text(metrics_, "/metrics", 10);
    return text.ok() ? parse_metrics(*text) : std::map<std::string, double>();
  }

  const LoadTarget& target_;
  const LoadObserver& observer_;
  LoadResult& result_;
  const Scenario& scenario_;
  loadtest::WorkBook book_;
  std::vector<client::Identity> identities_;
  std::string endpoint_, server_key_, metrics_;
  wire::Assignment assignment_;
  loadtest::LatencyHistogram window_;
  double foreign_peak_ = 0;
  std::atomic<bool> stop_{false};
};

}  // namespace

Status run_load(const LoadTarget& target, const LoadObserver& observer, LoadResult& result) {
  return LoadRun(target, observer, result).run();
}

}  // namespace muster::cli
