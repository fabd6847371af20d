#include "cli/scenario.h"

#include <fmt/format.h>

#include <algorithm>
#include <type_traits>

#include "base/limits.h"
#include "cli/load_rule.h"
#include "server/config_reader.h"

namespace muster::cli {
namespace {

using loadtest::FleetPlan;
using loadtest::Phase;
using server::Document;
using server::Section;

constexpr std::uint32_t kMostDevices = 4'000'000;
constexpr std::uint32_t kMostConnections = 16'000;
constexpr double kMostRate = 1e6;
constexpr Nanoseconds kLongest = 24 * 3'600 * kSecond;

void read_share(Section& section, std::string_view key, double& target) {
  if (section.number(key, target) && !(target >= 0 && target <= 1))
    section.problem(key, "must be a share from 0 to 1");
}

void read_server(Document& document, ScenarioServer& server) {
  Section root(document, document.root(), "");
  Section section(document, root.table("server"), "server");
  section.choice("security", server.security, {"curve", "plain"});
  section.choice("encrypt", server.encrypt, {"all", "private"});
  section.integer("io_threads", server.io_threads, 1, 64);
  section.integer("threads", server.threads, 0, 1024);
  section.integer("max_connections", server.max_connections, 1, 1'000'000);
  section.bytes("slab", server.slab_bytes, 1 << 20, std::uint64_t{1} << 40);
  section.bytes("segment", server.segment_bytes, 1 << 20, std::uint64_t{1} << 40);
  section.bytes("memory", server.memory_bytes, 1 << 20, std::uint64_t{1} << 42);
  section.duration("commit_window", server.commit_window, 0, kSecond);
  section.finish();
}

void read_task(Document& document, Section& section, ScenarioTask& task) {
  section.text("name", task.name);
  section.integer("dimension", task.dimension, 1, static_cast<std::int64_t>(limits::kMaxDimension));
  section.text("codec", task.codec);
  if (!parse_codec(task.codec)) section.problem("codec", "is no codec; docs/codecs.md names them");
  section.integer("block", task.block, 16, 65'536);
  section.integer("scale_exponent", task.scale_exponent, -100, 100);
  section.integer("chunk_coordinates", task.chunk_coordinates, limits::kMinChunkCoordinates,
                  limits::kMaxChunkCoordinates);
  section.text("rule", task.rule);
  robust::for_each_parameter(task.parameters, [&](std::string_view key, auto& target) {
    section.optional(key, target, limits::kMaxUpdates);
  });
  const auto rule = robust::parse_rule(task.rule, task.parameters);
  if (!rule.ok()) section.problem("rule", std::string(rule.status().message()));
  if (task.parameters.shard_size)
    section.problem("shard_size",
                    "shards are drawn with a secret of the server: a load test cannot "
                    "recompute them");
  section.number("value_bound", task.value_bound);
  section.integer("target_cohort", task.target_cohort, 1, limits::kMaxUpdates);
  section.integer("minimum_cohort", task.minimum_cohort, 1, limits::kMaxUpdates);
  if (task.minimum_cohort > task.target_cohort)
    section.problem("minimum_cohort", "is above target_cohort");
  if (section.number("over_selection", task.over_selection) &&
      !(task.over_selection >= 1 && task.over_selection <= 10))
    section.problem("over_selection", "must be from 1 to 10");
  section.duration("deadline", task.deadline, 0, kLongest);
  section.integer("rounds", task.rounds, 0, 1'000'000'000);
  static_cast<void>(document);
}

void read_rate(Section& section, FleetPlan& fleet) {
  std::string arrivals = "constant";
  section.choice("arrivals", arrivals, {"constant", "ramp", "diurnal", "none"});
  loadtest::Rate rate;
  const bool given = section.number("rate", rate.from);
  const bool until = section.number("rate_to", rate.to);
  const bool over = section.duration("period", rate.period, kMillisecond, kLongest);
  section.flag("poisson", fleet.poisson);
  if (arrivals == "none") {
    if (given) section.problem("rate", "arrivals are \"none\": leave it out");
    return;
  }
  if (arrivals == "ramp") rate.shape = loadtest::Rate::Shape::kRamp;
  if (arrivals == "diurnal") rate.shape = loadtest::Rate::Shape::kDiurnal;
  const bool constant = arrivals == "constant";
  if (!given)
    return section.problem("rate", "is missing: devices a second (or arrivals = \"none\")");
  if (constant ? !(rate.from > 0) : !(rate.from >= 0))
    section.problem("rate", constant ? "must be above 0" : "must not be negative");
  if (rate.from > kMostRate || rate.to > kMostRate)
    section.problem(rate.from > kMostRate ? "rate" : "rate_to", "is above a million a second");
  if (constant && until) section.problem("rate_to", "is for arrivals \"ramp\" and \"diurnal\"");
  if (!constant && !(until && rate.to > 0)) section.problem("rate_to", "must be given, above 0");
  if (!constant && !over)
    section.problem("period", "is missing: how long the ramp or the day takes");
  if (section.sound({"rate", "rate_to", "period"})) fleet.rate = rate;
}

FleetPlan read_fleet(Section& section) {
  std::string profile = "phones";
  section.choice("profile", profile, {"phones", "cars", "hospitals", "gateways"});
  FleetPlan fleet =
      loadtest::profile_plan(loadtest::parse_profile(profile).value_or(loadtest::Profile::kPhones));
  section.text("name", fleet.name);
  section.integer("devices", fleet.devices, 1, kMostDevices);
  if (fleet.gateway())
    section.integer("connections", fleet.connections, 1, 1024);
  else if (fleet.devices > kMostConnections)
    section.problem("devices",
                    fmt::format("each has a connection of its own: at most {}; \"gateways\" "
                                "stand for more",
                                kMostConnections));
  section.integer("turns", fleet.turns, 0, 1'000'000'000);
  section.flag("stays", fleet.stays);
  section.flag("connected", fleet.connected);
  if (fleet.connected) fleet.stays = true;
  section.flag("checks_in", fleet.checks_in);
  section.flag("fetches", fleet.fetches);
  read_rate(section, fleet);
  read_share(section, "drop_out", fleet.drop_out);
  read_share(section, "duplicates", fleet.duplicates);
  read_share(section, "stragglers", fleet.stragglers);
  section.duration("straggle", fleet.straggle, 0, kLongest);
  section.duration("think", fleet.think, 0, kLongest);
  read_share(section, "slow_links", fleet.slow_links);
  section.bytes("link", fleet.link_bytes, 1, std::uint64_t{1} << 40);
  section.duration("storm_every", fleet.storm_every, 0, kLongest);
  read_share(section, "storm_share", fleet.storm_share);
  read_share(section, "hostile", fleet.hostile_share);
  std::string attack(loadtest::row_attack_name(fleet.attack));
  if (section.text("attack", attack)) {
    if (const auto known = loadtest::parse_row_attack(attack))
      fleet.attack = *known;
    else
      section.problem("attack",
                      fmt::format("is none of {}", fmt::join(loadtest::row_attack_names(), ", ")));
  }
  if (!fleet.checks_in && !fleet.stays)
    section.problem("checks_in", "false is for connections that stay (stays = true)");
  section.finish();
  return fleet;
}

loadtest::PeersPlan read_peers(Section& section) {
  loadtest::PeersPlan peers;
  std::string kind = "half_open";
  section.choice("kind", kind, {"garbage", "slow_loris", "oversized", "half_open", "idle"});
  peers.kind = loadtest::parse_peer_kind(kind).value_or(loadtest::PeerKind::kHalfOpen);
  peers.name = kind;
  section.text("name", peers.name);
  section.integer("count", peers.count, 1, kMostConnections);
  section.duration("come_back", peers.come_back, kMillisecond, kLongest);
  section.finish();
  return peers;
}

/// Indices of what `key` names; all where it is absent, nobody where it says "none".
template <class T>
std::vector<std::uint32_t> select(Section& section, std::string_view key,
                                  const std::vector<T>& from) {
  std::vector<std::uint32_t> chosen;
  std::vector<std::string> names;
  if (!section.texts(key, names)) {
    for (std::uint32_t i = 0; i < from.size(); ++i) chosen.push_back(i);
    return chosen;
  }
  if (names == std::vector<std::string>{"none"}) return chosen;
  for (const std::string& name : names) {
    const auto found =
        std::find_if(from.begin(), from.end(), [&](const T& item) { return item.name == name; });
    if (found == from.end())
      section.problem(key, "names \"" + name + "\", which is not described in this file");
    else
      chosen.push_back(static_cast<std::uint32_t>(found - from.begin()));
  }
  return chosen;
}

void read_thresholds(Section& section, Thresholds& limits) {
  const auto time = [&](std::string_view key, std::optional<Nanoseconds>& target) {
    Nanoseconds value = 0;
    if (section.duration(key, value, 0, kLongest)) target = value;
  };
  const auto count = [&](std::string_view key, std::optional<std::uint64_t>& target) {
    std::uint64_t value = 0;
    if (section.integer(key, value, 0, std::int64_t{1} << 62)) target = value;
  };
  time("connect_p99", limits.connect_p99);
  time("acknowledge_p50", limits.acknowledge_p50);
  time("acknowledge_p99", limits.acknowledge_p99);
  time("acknowledge_p99_9", limits.acknowledge_p999);
  time("round_p99", limits.round_p99);
  count("unanswered", limits.unanswered);
  count("refused", limits.refused);
  count("skipped", limits.skipped);
  count("acknowledged_at_least", limits.acknowledged_at_least);
  count("rounds_at_least", limits.rounds_at_least);
  double number = 0;
  if (section.number("rate_at_least", number)) limits.rate_at_least = number;
  std::uint64_t bytes = 0;
  if (section.bytes("server_memory", bytes, 0, std::uint64_t{1} << 42))
    limits.server_memory = bytes;
  section.flag("memory_in_budget", limits.memory_in_budget);
  if (section.number("p99_ratio", number)) limits.p99_ratio = number;
  section.text("p99_of", limits.p99_of);
  section.text("p99_to", limits.p99_to);
  if (limits.p99_ratio && (limits.p99_of.empty() || limits.p99_to.empty()))
    section.problem("p99_ratio", "needs p99_of and p99_to: how the names of the phases begin");
  section.finish();
}

}  // namespace

Result<Scenario> parse_scenario(std::string_view text, std::string_view file) {
  Scenario scenario;
  scenario.text = text;
  Document document(text, file);
  Section root(document, document.root(), "");
  root.text("name", scenario.name);
  root.text("title", scenario.title);
  if (scenario.title.empty()) scenario.title = scenario.name;
  const std::string& name = scenario.name;
  if (name.empty() || name.size() > limits::kNameBytes ||
      !std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
      }))
    root.problem("name", "must be given, of a-z, 0-9, _ and -");
  loadtest::LoadPlan& plan = scenario.plan;
  root.integer("seed", plan.seed, 0, std::int64_t{1} << 62);
  root.integer("workers", scenario.workers, 1, 64);
  root.integer("distinct", plan.distinct, 1, 65'536);
  root.flag("check", scenario.check);
  root.flag("answer_only", scenario.answer_only);
  scenario.null_sink = !scenario.answer_only;
  root.flag("null_sink", scenario.null_sink);
  root.duration("reply_timeout", plan.reply_timeout, kMillisecond, kLongest);
  root.duration("patience", plan.patience, kMillisecond, kLongest);
  root.integer("attempts", plan.attempts, 1, 100);
  Nanoseconds duration = 10 * kSecond, settle = 0;
  root.duration("duration", duration, kMillisecond, kLongest);
  root.duration("settle", settle, 0, kLongest);

  Section server(document, root.table("server"), "server");
  read_server(document, scenario.server);
  Section task(document, root.table("task"), "task");
  read_task(document, task, scenario.task);
  task.finish();
  plan.task = scenario.task.name;
  plan.cohort = scenario.task.target_cohort;
  plan.rule = cohort_rule(scenario.task);

  for (const toml::table* table : root.tables("fleet")) {
    Section section(document, *table, "fleet");
    plan.fleets.push_back(read_fleet(section));
  }
  if (plan.fleets.empty()) root.problem("fleet", "there is no [[fleet]]: nobody would come");
  for (const toml::table* table : root.tables("peers")) {
    Section section(document, *table, "peers");
    plan.peers.push_back(read_peers(section));
  }
  for (const toml::table* table : root.tables("phase")) {
    Section section(document, *table, "phase");
    Phase phase;
    phase.name = fmt::format("phase {}", plan.phases.size() + 1);
    section.text("name", phase.name);
    phase.duration = duration;
    phase.settle = settle;
    section.duration("duration", phase.duration, kMillisecond, kLongest);
    section.duration("settle", phase.settle, 0, kLongest);
    phase.fleets = select(section, "fleets", plan.fleets);
    phase.peers = select(section, "peers", plan.peers);
    section.finish();
    plan.phases.push_back(std::move(phase));
  }
  if (plan.phases.empty()) {
    Phase phase;
    phase.name = "load";
    phase.duration = duration;
    phase.settle = settle;
    for (std::uint32_t i = 0; i < plan.fleets.size(); ++i) phase.fleets.push_back(i);
    for (std::uint32_t i = 0; i < plan.peers.size(); ++i) phase.peers.push_back(i);
    plan.phases.push_back(std::move(phase));
  }
  Section thresholds(document, root.table("thresholds"), "thresholds");
  read_thresholds(thresholds, scenario.thresholds);
  root.finish();
  MUSTER_TRY(document.finish());
  return scenario;
}

std::string task_toml(const ScenarioTask& task) {
  std::string text = fmt::format(R"(name = "{}"
dimension = {}
codec = "{}"
block = {}
scale_exponent = {}
chunk_coordinates = {}
rule = "{}"
)",
                                 task.name, task.dimension, task.codec, task.block,
                                 task.scale_exponent, task.chunk_coordinates, task.rule);
  robust::for_each_parameter(
      task.parameters, [&]<class T>(std::string_view key, const std::optional<T>& value) {
        if (!value) return;
        if constexpr (std::is_same_v<T, std::string>)
          text += fmt::format("{} = \"{}\"\n", key, *value);
        else if constexpr (std::is_same_v<T, double>)
          text += fmt::format(
              "{} = {:.17g}{}\n", key, *value,
              fmt::format("{:.17g}", *value).find_first_of(".e") == std::string::npos ? ".0" : "");
        else
          text += fmt::format("{} = {}\n", key, *value);
      });
  text += fmt::format(R"(value_bound = {:#}
target_cohort = {}
minimum_cohort = {}
over_selection = {:#}
deadline = "{}ms"
rounds = {}
)",
                      task.value_bound, task.target_cohort, task.minimum_cohort,
                      task.over_selection, task.deadline / kMillisecond, task.rounds);
  return text;
}

std::string server_sections(const ScenarioServer& server, const ScenarioTask& task) {
  // Slots are cut at start, and the task comes later: room for its longest chunk. Scales take a
  // quarter of a byte a coordinate at most.
  const std::uint64_t d = std::min<std::uint64_t>(task.dimension, task.chunk_coordinates);
  const std::uint64_t each = task.codec == "f32" || task.codec == "topk"   ? 4
                             : task.codec == "f16" || task.codec == "bf16" ? 2
                                                                           : 1;
  const std::uint64_t slot = d * each + d / 4 + 2'048;
  return fmt::format(R"([ingest]
listen = ["tcp://127.0.0.1:*"]
security = "{}"
io_threads = {}
max_connections = {}
max_connections_per_address = {}
slab = "{}B"
slot = "{}B"
commit_window = "{}us"
[spool]
encrypt = "{}"
segment = "{}B"
low_water = "64MiB"
[backend]
threads = {}
memory = "{}B"
[monitoring]
listen = "127.0.0.1:0"
)",
                     server.security, server.io_threads, server.max_connections,
                     server.max_connections, server.slab_bytes, slot,
                     server.commit_window / kMicrosecond, server.encrypt, server.segment_bytes,
                     server.threads, server.memory_bytes);
}

}  // namespace muster::cli
