#include "cli/load_result.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

namespace muster::cli {
namespace {

using loadtest::LatencyHistogram;
using nlohmann::json;

double seconds(Nanoseconds duration) { return static_cast<double>(duration) / kSecond; }

std::string time_text(double value) {
  return value < 1e-3 ? fmt::format("{:.0f} us", value * 1e6)
         : value < 1  ? fmt::format("{:.2f} ms", value * 1e3)
                      : fmt::format("{:.2f} s", value);
}

json to_json(const LatencyHistogram& latencies) {
  json percentiles = json::object();
  for (const double percent : kPercentiles)
    percentiles[fmt::format("p{}", percent)] = seconds(latencies.percentile(percent));
  return {{"count", latencies.count()},
          {"mean", latencies.mean() / kSecond},
          {"deviation", latencies.standard_deviation() / kSecond},
          {"min", seconds(latencies.shortest())},
          {"max", seconds(latencies.longest())},
          {"seconds", percentiles}};
}

json to_json(const loadtest::PhaseLatencies& phase) {
  return {{"lag", to_json(phase.lag)},
          {"connect", to_json(phase.connect)},
          {"acknowledge", to_json(phase.acknowledge)},
          {"acknowledge_from_send", to_json(phase.acknowledge_sent)},
          {"round", to_json(phase.round)}};
}

json to_json(const loadtest::Counts& counts) {
  return {{"due", counts.due},
          {"acknowledged", counts.acknowledged},
          {"dropped_out", counts.dropped_out},
          {"refused", counts.refused},
          {"put_off", counts.put_off},
          {"too_late", counts.too_late},
          {"unanswered", counts.unanswered},
          {"cut_short", counts.cut_short},
          {"skipped", counts.skipped},
          {"connects", counts.connects},
          {"resent", counts.resent},
          {"payload_bytes", counts.bytes}};
}

/// Median over the phases whose name begins so; 0 without one.
double median_p99(const LoadResult& result, const std::string& prefix) {
  std::vector<double> values;
  for (std::size_t i = 0; i < result.outcome.phases.size(); ++i)
    if (result.scenario->plan.phases[i].name.starts_with(prefix) &&
        result.outcome.phases[i].acknowledge.count() > 0)
      values.push_back(seconds(result.outcome.phases[i].acknowledge.percentile(99)));
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

bool LoadResult::passed() const {
  return saturated.empty() &&
         std::all_of(judged.begin(), judged.end(), [](const Judged& one) { return one.met; });
}

loadtest::PhaseLatencies all_phases(const loadtest::Outcome& outcome) {
  loadtest::PhaseLatencies all;
  for (const auto& phase : outcome.phases) all.merge(phase);
  return all;
}

std::map<std::string, double> parse_metrics(const std::string& text) {
  std::map<std::string, double> series;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t stop = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, stop - at);
    at = stop + 1;
    const std::size_t space = line.rfind(' ');
    if (line.empty() || line[0] == '#' || space == std::string::npos) continue;
    series[line.substr(0, space)] = std::strtod(line.c_str() + space + 1, nullptr);
  }
  return series;
}

double growth(const LoadResult& result, const std::string& family) {
  const auto sum = [&](const std::map<std::string, double>& series) {
    double total = 0;
    for (auto found = series.lower_bound(family);
         found != series.end() && found->first.starts_with(family); ++found)
      if (found->first.size() == family.size() || found->first[family.size()] == '{')
        total += found->second;
    return total;
  };
  return sum(result.metrics_after) - sum(result.metrics_before);
}

Parts split_parts(const LoadResult& result) {
  const auto mean_of = [&](const std::string& family) {
    const double count = growth(result, family + "_count");
    return count > 0 ? growth(result, family + "_sum") / count : 0;
  };
  const loadtest::PhaseLatencies all = all_phases(result.outcome);
  const double total = all.acknowledge.mean() / kSecond;
  const double sent = all.acknowledge_sent.mean() / kSecond;
  const double inside = mean_of("muster_receipt_duration_seconds");
  Parts parts;
  parts.durable = std::min(mean_of("muster_spool_sync_duration_seconds"), inside);
  parts.queue = inside - parts.durable;
  parts.client = std::max(total - sent, 0.0);
  parts.network = std::max(sent - inside, 0.0);
  const std::string stage = "muster_round_duration_seconds";
  double sum = 0, count = 0;
  for (const auto& [name, value] : result.metrics_after) {
    if (name.find("stage=\"aggregate\"") == std::string::npos) continue;
    if (name.starts_with(stage + "_sum")) sum += value;
    if (name.starts_with(stage + "_count")) count += value;
  }
  parts.compute = count > 0 ? sum / count : 0;
  return parts;
}

std::string saturation(const LoadResult& result) {
  if (result.scenario->answer_only) return {};
  const double factor = result.null_sink.factor;
  if (result.null_sink.done && factor < 1.2)
    return fmt::format(
        "against a server that keeps nothing the simulator reached {:.0f} devices a second, {:.2f} "
        "times the scenario's rate; 1.2 times is the least that proves anything",
        result.null_sink.reached, factor);
  if (result.outcome.busiest > 0.9)
    return fmt::format("a thread of the simulator was busy {:.0f} % of the time",
                       100 * result.outcome.busiest);
  const loadtest::PhaseLatencies all = all_phases(result.outcome);
  const double lag = seconds(all.lag.percentile(99));
  const double latency = seconds(all.acknowledge.percentile(99));
  if (lag > 5e-3 && lag > latency / 2)
    return fmt::format(
        "the simulator began its turns up to {} late (p99), more than half of the "
        "acknowledge p99 of {}",
        time_text(lag), time_text(latency));
  return {};
}

std::vector<Judged> judge(const LoadResult& result) {
  std::vector<Judged> judged;
  const Thresholds& limits = result.scenario->thresholds;
  const loadtest::Counts& counts = result.outcome.counts;
  const loadtest::PhaseLatencies all = all_phases(result.outcome);
  const auto at_most = [&](const char* what, const std::optional<Nanoseconds>& limit,
                           const LatencyHistogram& latencies, double percent) {
    if (!limit) return;
    const Nanoseconds found = latencies.percentile(percent);
    judged.push_back({what, "at most " + time_text(seconds(*limit)), time_text(seconds(found)),
                      latencies.count() > 0 && found <= *limit});
  };
  const auto count_at_most = [&](const char* what, const std::optional<std::uint64_t>& limit,
                                 std::uint64_t found) {
    if (limit)
      judged.push_back(
          {what, fmt::format("at most {}", *limit), fmt::format("{}", found), found <= *limit});
  };
  const auto at_least = [&](const char* what, const std::optional<std::uint64_t>& limit,
                            std::uint64_t found) {
    if (limit)
      judged.push_back(
          {what, fmt::format("at least {}", *limit), fmt::format("{}", found), found >= *limit});
  };
  if (result.check.done) {
    judged.push_back(
        {"released models", "bit for bit as recomputed",
         result.check.exact ? fmt::format("{} equal", result.check.models) : result.check.trouble,
         result.check.exact});
    judged.push_back({"receipts that no release counts", "0", fmt::format("{}", result.check.lost),
                      result.check.lost == 0});
  }
  at_most("connect p99", limits.connect_p99, all.connect, 99);
  at_most("acknowledge p50", limits.acknowledge_p50, all.acknowledge, 50);
  at_most("acknowledge p99", limits.acknowledge_p99, all.acknowledge, 99);
  at_most("acknowledge p99.9", limits.acknowledge_p999, all.acknowledge, 99.9);
  at_most("round p99", limits.round_p99, all.round, 99);
  count_at_most("unanswered updates", limits.unanswered, counts.unanswered);
  count_at_most("refused updates", limits.refused, counts.refused);
  count_at_most("skipped turns", limits.skipped, counts.skipped);
  at_least("acknowledged updates", limits.acknowledged_at_least, counts.acknowledged);
  at_least("released rounds", limits.rounds_at_least, result.check.rounds);
  if (limits.rate_at_least)
    judged.push_back({"receipts a second", fmt::format("at least {:.0f}", *limits.rate_at_least),
                      fmt::format("{:.0f}", result.rate()),
                      result.rate() >= *limits.rate_at_least});
  constexpr double kMiB = 1 << 20;
  if (limits.server_memory)
    judged.push_back(
        {"server's resident peak",
         fmt::format("at most {:.0f} MiB", static_cast<double>(*limits.server_memory) / kMiB),
         fmt::format("{:.0f} MiB", result.server_peak / kMiB),
         result.server_peak > 0 &&
             result.server_peak <= static_cast<double>(*limits.server_memory)});
  if (limits.memory_in_budget)
    judged.push_back({"server's resident peak",
                      fmt::format("its budget, {:.0f} MiB", result.server_budget / kMiB),
                      fmt::format("{:.0f} MiB", result.server_peak / kMiB),
                      result.server_peak > 0 && result.server_peak <= result.server_budget});
  if (limits.p99_ratio) {
    const double of = median_p99(result, limits.p99_of), to = median_p99(result, limits.p99_to);
    const double ratio = to > 0 ? of / to : 0;
    judged.push_back({fmt::format("acknowledge p99, {} over {}", limits.p99_of, limits.p99_to),
                      fmt::format("at most {}", *limits.p99_ratio),
                      fmt::format("{:.2f} ({} over {})", ratio, time_text(of), time_text(to)),
                      to > 0 && ratio <= *limits.p99_ratio});
  }
  return judged;
}

json to_json(const LoadResult& result) {
  json phases = json::array();
  for (std::size_t i = 0; i < result.outcome.phases.size(); ++i) {
    const loadtest::Phase& phase = result.scenario->plan.phases[i];
    json one = to_json(result.outcome.phases[i]);
    one["name"] = phase.name;
    one["duration"] = seconds(phase.duration);
    phases.push_back(std::move(one));
  }
  json samples = json::array();
  for (const LoadSample& sample : result.samples)
    samples.push_back({{"at", sample.at},
                       {"due", sample.due},
                       {"acknowledged", sample.acknowledged},
                       {"active", sample.active},
                       {"connected", sample.connected},
                       {"peers", sample.peers},
                       {"p50", sample.p50},
                       {"p99", sample.p99},
                       {"server_bytes", sample.server_bytes},
                       {"server_cpu", sample.server_cpu}});
  json judged = json::array();
  for (const Judged& one : result.judged)
    judged.push_back(
        {{"what", one.what}, {"wanted", one.wanted}, {"found", one.found}, {"met", one.met}});
  json peers = json::array();
  for (std::size_t i = 0; i < result.peers.size(); ++i)
    peers.push_back({{"name", result.scenario->plan.peers[i].name},
                     {"kind", loadtest::peer_kind_name(result.scenario->plan.peers[i].kind)},
                     {"connected", result.peers[i].connected},
                     {"most_at_once", result.peers[i].most_at_once},
                     {"cut", result.peers[i].cut},
                     {"bytes_sent", result.peers[i].bytes_sent},
                     {"bytes_received", result.peers[i].bytes_received}});
  json machine = json::object();
  for (const auto& [name, value] : result.machine) machine[name] = value;
  return {{"scenario", result.scenario->name},
          {"text", result.scenario->text},
          {"machine", machine},
          {"commands", result.commands},
          {"backend", result.backend},
          {"seconds", result.seconds},
          {"last_receipt", seconds(result.outcome.last_receipt)},
          {"rate", result.rate()},
          {"counts", to_json(result.outcome.counts)},
          {"refusals", result.outcome.refusals},
          {"all", to_json(all_phases(result.outcome))},
          {"phases", phases},
          {"peers", peers},
          {"samples", samples},
          {"parts",
           {{"client", result.parts.client},
            {"network", result.parts.network},
            {"queue", result.parts.queue},
            {"durable", result.parts.durable},
            {"compute", result.parts.compute}}},
          {"null_sink",
           {{"done", result.null_sink.done},
            {"wanted", result.null_sink.wanted},
            {"reached", result.null_sink.reached},
            {"factor", result.null_sink.factor},
            {"p99", result.null_sink.p99}}},
          {"check",
           {{"done", result.check.done},
            {"exact", result.check.exact},
            {"rounds", result.check.rounds},
            {"abandoned", result.check.abandoned},
            {"receipts", result.check.receipts},
            {"lost", result.check.lost},
            {"unknown", result.check.unknown},
            {"models", result.check.models},
            {"invalid", result.check.invalid},
            {"seconds", result.check.seconds},
            {"trouble", result.check.trouble}}},
          {"server",
           {{"peak_bytes", result.server_peak},
            {"budget_bytes", result.server_budget},
            {"cpu_seconds", result.server_cpu},
            {"round_seconds", result.round_seconds}}},
          {"simulator",
           {{"peak_bytes", result.simulator_peak},
            {"cpu_seconds", result.simulator_cpu},
            {"busiest", result.outcome.busiest}}},
          {"metrics", result.metrics_after},
          {"judged", judged},
          {"saturated", result.saturated},
          {"passed", result.passed()}};
}

std::string samples_csv(const LoadResult& result) {
  std::string text =
      "seconds,due,acknowledged,active,connected,peers,p50_s,p99_s,server_bytes,server_cpu_s\n";
  for (const LoadSample& s : result.samples)
    text += fmt::format("{:.3f},{},{},{},{},{},{:.6f},{:.6f},{:.0f},{:.2f}\n", s.at, s.due,
                        s.acknowledged, s.active, s.connected, s.peers, s.p50, s.p99,
                        s.server_bytes, s.server_cpu);
  return text;
}

std::string percentiles_csv(const LoadResult& result) {
  std::string text = "phase,what,percentile,seconds,count\n";
  for (std::size_t i = 0; i < result.outcome.phases.size(); ++i) {
    const auto& phase = result.outcome.phases[i];
    for (const auto& [what, latencies] :
         {std::pair<const char*, const LatencyHistogram&>{"lag", phase.lag},
          {"connect", phase.connect},
          {"acknowledge", phase.acknowledge},
          {"acknowledge_from_send", phase.acknowledge_sent},
          {"round", phase.round}})
      for (const double percent : kPercentiles)
        if (latencies.count() > 0)
          text += fmt::format("{},{},{},{:.6f},{}\n", result.scenario->plan.phases[i].name, what,
                              percent, seconds(latencies.percentile(percent)), latencies.count());
  }
  return text;
}

}  // namespace muster::cli
