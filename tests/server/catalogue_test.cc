// The catalogue's lists of label values against those who make them.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <numeric>
#include <set>
#include <utility>

#include "base/metrics.h"
#include "robust_agg/rule.h"
#include "server/config_values.h"
#include "server/metered_backend.h"
#include "server/round.h"
#include "server/task_metrics.h"
#include "wire/reason.h"

namespace muster::server {
namespace {

std::vector<std::string_view> values(std::string_view metric, std::string_view label) {
  for (const Metric& row : metric_catalogue())
    if (row.name == metric)
      for (const MetricLabel& known : row.labels)
        if (known.name == label) return known.values;
  ADD_FAILURE() << metric << " has no label " << label;
  return {};
}

TEST(Catalogue, KnowsEveryReason) {
  std::vector<std::string_view> reasons;
  for (const auto& row : wire::reasons())
    if (row.reason != wire::Reason::kOk) reasons.emplace_back(row.token);
  EXPECT_EQ(values("muster_updates_rejected_total", "reason"), reasons);
}

template <std::size_t... I>
std::vector<std::string_view> rule_names(std::index_sequence<I...>) {
  return {robust::rule_name(robust::Rule(std::in_place_index<I>))...};
}

TEST(Catalogue, KnowsEveryRule) {
  EXPECT_EQ(values("muster_robust_excluded_total", "rule"),
            rule_names(std::make_index_sequence<std::variant_size_v<robust::Rule>>()));
}

TEST(Catalogue, KnowsEveryStateOfARound) {
  const auto states = values("muster_round_state", "state");
  EXPECT_TRUE(std::ranges::equal(states, kRoundStates));
  for (auto phase = RoundPhase::kOpen; phase <= RoundPhase::kDone;
       phase = RoundPhase(static_cast<int>(phase) + 1))
    EXPECT_NE(std::ranges::find(states, phase_name(phase)), states.end()) << phase_name(phase);
}

/// A call that the decorator forgets to pass on would fall to the default of the interface.
TEST(MeteredBackend, PassesEveryVirtualCallOn) {
  const auto count = [](const char* file, const std::string& word) {
    std::ifstream stream(std::string(MUSTER_SOURCE_DIR) + "/" + file);
    const std::string text{std::istreambuf_iterator<char>(stream), {}};
    std::size_t found = 0;
    for (std::size_t at = text.find(word); at != text.npos; at = text.find(word, at + 1)) ++found;
    return found;
  };
  const std::size_t calls = count("kernels/backend.h", "  virtual ") - 1;  // the destructor
  EXPECT_GT(calls, 20u);
  EXPECT_EQ(count("server/metered_backend.h", " override"), calls);
}

TEST(MeteredBackend, CountsTimeBytesAndMemory) {
  Stats stats;
  kernels::BackendOptions options;
  options.kind = "cpu";
  options.threads = 1;
  auto inner = kernels::create_backend(options, nullptr);
  ASSERT_TRUE(inner.ok());
  MeteredBackend backend(**inner, stats);
  const auto buffer = backend.allocate(4096);
  ASSERT_TRUE(buffer.ok());
  EXPECT_EQ(stats.total("muster_device_memory_used_bytes"), 4096);
  std::vector<std::byte> bytes(1000);
  backend.upload(buffer->data, bytes, kernels::Stream::kCopy);
  backend.download(bytes, buffer->data, kernels::Stream::kCopy);
  backend.fill_zero(buffer->data, 4096, kernels::Stream::kCopy);
  EXPECT_EQ(stats.counter("muster_copy_bytes_total", {{"direction", "to_device"}}).value(), 1000u);
  EXPECT_EQ(stats.counter("muster_copy_bytes_total", {{"direction", "from_device"}}).value(),
            1000u);
  backend.elect(buffer->as<std::int64_t>(), 8, kernels::Stream::kCompute);
  const auto& label = values("muster_kernel_duration_seconds", "kernel");
  for (const std::string_view name : label) {
    const auto counts =
        stats.histogram("muster_kernel_duration_seconds", {{"kernel", std::string(name)}})
            .snapshot()
            .counts;
    const bool used =
        name == "upload" || name == "download" || name == "fill_zero" || name == "elect";
    EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), std::uint64_t{0}), used ? 1u : 0u)
        << name;
  }
  backend.release(*buffer);
  EXPECT_EQ(stats.total("muster_device_memory_used_bytes"), 0);
}

TEST(MeteredBackend, ReadsTheDescriptionsOfBackends) {
  const BackendParts gpu =
      backend_parts("cuda, NVIDIA H100 80GB HBM3 (sm_90, 132 multiprocessors, 79 GiB)");
  EXPECT_EQ(gpu.device, "NVIDIA H100 80GB HBM3");
  EXPECT_EQ(gpu.kernels, "sm_90");
  const BackendParts cpu = backend_parts("cpu, avx512 with VNNI, 2 threads");
  EXPECT_EQ(cpu.device, "host");
  EXPECT_EQ(cpu.kernels, "avx512 with VNNI");
}

TEST(TaskMetrics, PrivateTasksExportNothingThatDependsOnSingleDevices) {
  const auto exported = [](bool is_private) {
    Stats stats;
    TaskConfig task;
    task.name = "t";
    const TaskMetrics metrics(stats, task, "krum", is_private);
    std::set<std::string_view> names;
    for (const MetricFamily& family : stats.families()) names.insert(family.metric->name);
    return names;
  };
  const auto open = exported(false), hidden = exported(true);
  std::size_t dependent = 0;
  for (const Metric& metric : metric_catalogue()) {
    if (!metric.data_dependent) continue;
    ++dependent;
    EXPECT_TRUE(open.contains(metric.name)) << metric.name;
    EXPECT_FALSE(hidden.contains(metric.name)) << metric.name;
  }
  EXPECT_EQ(dependent, 4u);
  EXPECT_TRUE(hidden.contains("muster_round_cohort_size"));
}

/// Reloading and support bundles know every key that the parser does.
TEST(ConfigValues, HaveEveryKeyOfTheServer) {
  std::set<std::string> keys;
  for (const std::string& key : config_keys())
    if (!key.starts_with("task.")) keys.insert(key);
  std::set<std::string> values_known;
  for (const auto& [key, value] : config_values(Config())) values_known.insert(key);
  EXPECT_EQ(values_known, keys);
}

TEST(ConfigChanges, TellWhatReloadsFromWhatNeedsARestart) {
  const auto changes = [](const char* before, const char* after) {
    return config_changes(parse_config(before, "a").value(), parse_config(after, "b").value());
  };
  const ConfigChanges found =
      changes("[log]\nlevel = 'info'\n",
              "drain_grace = '3s'\n[log]\nlevel = 'debug'\n[ingest]\nslab = '128MiB'\n"
              "[[task]]\nname = 't'\ndimension = 64\ntarget_cohort = 4\nminimum_cohort = 2\n");
  EXPECT_EQ(found.reloadable, (std::vector<std::string>{"drain_grace", "log.level"}));
  EXPECT_EQ(found.needs_restart, (std::vector<std::string>{"ingest.slab", "task.t"}));
  EXPECT_TRUE(changes("", "").reloadable.empty());
  EXPECT_TRUE(changes("", "").needs_restart.empty());
  // Spelled otherwise, the same.
  EXPECT_TRUE(
      changes("[ingest]\nslab = '64MiB'", "[ingest]\nslab = '65536KiB'").needs_restart.empty());
}

}  // namespace
}  // namespace muster::server
