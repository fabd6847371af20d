// Sketches made while updates arrive: the release does not show when they were made, in which order
// the updates came, where their codes lay, or whether the node was restarted. Uncertified cohorts,
// where the sketches decide.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>

#include "base/simulated_storage.h"
#include "server/cohort.h"

namespace muster::sim {
namespace {

constexpr std::uint32_t kDevices = 90, kChunks = 3, kSlots = 24;
// More coordinates than a sketch has cells: otherwise it would not err.
constexpr std::size_t kDimension = 4200, kChunk = 2048, kSlotBytes = 16384;
constexpr std::uint64_t kSeed = 7'041;

/// Counts what is read back.
class CountingSpool final : public ingest::Spool {
 public:
  explicit CountingSpool(std::unique_ptr<Spool> spool) : spool_(std::move(spool)) {}
  Status commit(std::span<ingest::PendingRecord> records) override {
    return spool_->commit(records);
  }
  Status read(ingest::RecordLocation location, MutableBytes target) const override {
    ++reads_;
    return spool_->read(location, target);
  }
  Status release_round(TaskId task, RoundNumber round) override {
    return spool_->release_round(task, round);
  }
  bool low_on_space() override { return spool_->low_on_space(); }
  std::uint64_t live_bytes() const override { return spool_->live_bytes(); }
  std::size_t reads() const { return reads_; }

 private:
  std::unique_ptr<Spool> spool_;
  mutable std::size_t reads_ = 0;
};

struct Conditions {
  robust::PlanRequest request;
  std::uint8_t secret = 1;
  bool on_arrival = true;
  bool resident = true;
  std::uint64_t order = 0;          ///< seed of the order of arrival; 0: as numbered
  std::uint32_t restart_after = 0;  ///< chunks; 0: no restart
  std::vector<std::uint32_t> broken = {};
  std::optional<robust::StalenessWeight> staleness = {};
};

Conditions krum() {
  Conditions conditions;
  robust::PlanRequest& request = conditions.request;
  request.rule =
      robust::Krum{{18, 0}, robust::Neighbours::kNMinusFMinus2, robust::Scores::kSketched};
  request.dimension = kDimension;
  request.chunk_coordinates = kChunk;
  request.max_updates = kDevices;
  request.minimum_cohort = 60;
  return conditions;
}

/// Updates that differ by a hundredth of their length; broken ones have an infinity.
std::vector<std::vector<float>> updates(const Conditions& conditions) {
  std::mt19937_64 random(kSeed);
  std::normal_distribution<float> normal;
  std::vector<float> common(kDimension);
  for (float& x : common) x = normal(random);
  std::vector<std::vector<float>> rows(kDevices, common);
  for (auto& row : rows)
    for (float& x : row) x += 0.01f * normal(random);
  for (const std::uint32_t i : conditions.broken)
    rows[i][600] = std::numeric_limits<float>::infinity();
  return rows;
}

struct Released {
  std::vector<std::int64_t> sum;
  robust::Outcome outcome;
  std::size_t reads_before = 0, reads_of_close = 0;
};

class Node {
 public:
  explicit Node(const Conditions& conditions)
      : conditions_(conditions), slab_(kSlots * kSlotBytes) {
    kernels::BackendOptions options;
    options.kind = "cpu";
    options.threads = 1;
    backend_ = kernels::create_backend(options, nullptr).value();
    plan_ = robust::make_plan(conditions.request, *backend_).value();
    EXPECT_TRUE(plan_.sketched_on_arrival);
    plan_.sketched_on_arrival = conditions.on_arrival;
    plan_.resident = conditions.resident;
    EXPECT_TRUE(storage_.make_directory("spool").ok());
    ingest::RecoveryReport report;
    spool_ = std::make_unique<CountingSpool>(
        ingest::Spool::open(
            storage_, {.directory = "spool", .segment_bytes = 1 << 20, .low_water_bytes = 0},
            stats_, [](const auto&, auto) {}, &report)
            .value());
    slots_ = std::make_unique<ingest::SlotPool>(slab_, kSlotBytes);
    boot();
  }

  Released run() {
    std::vector<std::uint32_t> todo(kDevices * kChunks);
    std::iota(todo.begin(), todo.end(), 0u);
    std::mt19937_64 random(conditions_.order);
    if (conditions_.order != 0) std::shuffle(todo.begin(), todo.end(), random);
    const auto rows = updates(conditions_);
    for (std::size_t k = 0; k < todo.size(); ++k) {
      if (conditions_.restart_after != 0 && k == conditions_.restart_after) restart();
      receive(todo[k] / kChunks, todo[k] % kChunks, rows[todo[k] / kChunks]);
    }
    EXPECT_EQ(cohort_->complete(), kDevices);
    cohort_->release_slots();
    EXPECT_EQ(slots_->free_count(), kSlots);
    Released released;
    released.reads_before = spool_->reads();
    auto aggregated = cohort_->aggregate(cohort_->complete_ids(), 0);
    EXPECT_TRUE(aggregated.ok()) << aggregated.status().to_string();
    released.reads_of_close = spool_->reads() - released.reads_before;
    released.outcome = std::move(aggregated->outcome);
    released.sum.assign(aggregated->sum, aggregated->sum + kDimension);
    return released;
  }

 private:
  void boot() {
    ingest::NodeSecret secret{};
    secret[0] = std::byte{conditions_.secret};
    cohort_ = server::CohortBuilder::create(
                  {*backend_, *spool_, *slots_, plan_, secret, {}, {}, conditions_.staleness})
                  .value();
  }
  /// What was durable comes back from disk, in the order it was written.
  void restart() {
    boot();
    for (const ingest::Arrival& arrival : durable_) EXPECT_TRUE(cohort_->add(arrival).ok());
  }
  void receive(std::uint32_t device, std::uint32_t chunk, std::span<const float> row) {
    const auto values = std::as_bytes(
        row.subspan(chunk * kChunk, std::min(kChunk, kDimension - std::size_t{chunk} * kChunk)));
    ingest::Arrival arrival;
    arrival.slot = slots_->take().value();
    arrival.header.payload_bytes = static_cast<std::uint32_t>(values.size());
    arrival.header.task = 1;
    arrival.header.round = 1;
    arrival.header.update = {device * 0x9e3779b97f4a7c15, device};
    arrival.header.device = {device, 77};
    arrival.header.staleness = static_cast<std::uint8_t>(device % 3);
    arrival.header.chunk = chunk;
    arrival.header.chunk_count = kChunks;
    arrival.header.weight = 1;
    arrival.header.payload_checksum = checksum(values);
    const MutableBytes slot = slots_->bytes(arrival.slot);
    std::memcpy(slot.data(), &arrival.header, sizeof arrival.header);
    std::memcpy(slot.data() + sizeof arrival.header, values.data(), values.size());
    ingest::PendingRecord record{slot, {}};
    ASSERT_TRUE(spool_->commit({&record, 1}).ok());
    arrival.location = record.location;
    EXPECT_TRUE(cohort_->add(arrival).ok());
    arrival.slot = ingest::kNoSlot;
    durable_.push_back(arrival);
  }

  const Conditions conditions_;
  SimulatedStorage storage_{kSeed};
  Stats stats_;
  std::unique_ptr<kernels::Backend> backend_;
  robust::Plan plan_;
  std::unique_ptr<CountingSpool> spool_;
  std::vector<std::byte> slab_;
  std::unique_ptr<ingest::SlotPool> slots_;
  std::unique_ptr<server::CohortBuilder> cohort_;
  std::vector<ingest::Arrival> durable_;
};

Released release(const Conditions& conditions) { return Node(conditions).run(); }

void expect_one_release(Conditions conditions) {
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  conditions.on_arrival = false;
  const Released expected = release(conditions);
  for (const bool on_arrival : {true, false})
    for (const bool resident : {true, false})
      for (const std::uint64_t order : {0, 1, 2})
        for (const std::uint32_t restart_after : {0, 100}) {
          SCOPED_TRACE(testing::Message() << (on_arrival ? "on arrival" : "at the close")
                                          << (resident ? ", resident" : ", on disk") << ", order "
                                          << order << ", restart after " << restart_after);
          conditions.on_arrival = on_arrival;
          conditions.resident = resident;
          conditions.order = order;
          conditions.restart_after = restart_after;
          const Released released = release(conditions);
          EXPECT_EQ(released.sum, expected.sum);
          EXPECT_EQ(released.outcome.selected, expected.outcome.selected);
          EXPECT_EQ(released.outcome.chosen, expected.outcome.chosen);
          EXPECT_EQ(released.outcome.invalid, expected.outcome.invalid);
        }
}

TEST(SketchedCohort, IsOneReleaseHoweverItWasMade) {
  Conditions conditions = krum();
  expect_one_release(conditions);
  // The sketches did decide: another secret, another row.
  std::vector<std::vector<std::uint32_t>> winners;
  for (std::uint8_t secret = 1; secret <= 6; ++secret) {
    conditions.secret = secret;
    const Released released = release(conditions);
    EXPECT_NE(released.outcome.chosen.find("not certified"), std::string::npos)
        << released.outcome.chosen;
    winners.push_back(released.outcome.selected.rows());
  }
  std::sort(winners.begin(), winners.end());
  EXPECT_NE(winners.front(), winners.back());
}

TEST(SketchedCohort, LeavesOutInvalidUpdates) {
  Conditions conditions = krum();
  conditions.broken = {0, 40, 89};
  EXPECT_EQ(release(conditions).outcome.invalid, 3u);
  expect_one_release(conditions);
}

TEST(SketchedCohort, TakesInvalidUpdatesAsZero) {
  Conditions conditions = krum();
  conditions.broken = {0, 40, 89};
  conditions.request.invalid_updates = robust::InvalidUpdates::kZero;
  EXPECT_EQ(release(conditions).outcome.n, kDevices);
  expect_one_release(conditions);
}

TEST(SketchedCohort, WorksInShards) {
  Conditions conditions = krum();
  conditions.request.rule =
      robust::MultiKrum{{}, 8, robust::Neighbours::kNMinusFMinus2, robust::Scores::kSketched};
  conditions.request.sharding = robust::Sharding{80, 0.02};
  expect_one_release(conditions);
}

TEST(SketchedCohort, WorksInBufferedRounds) {
  Conditions conditions = krum();
  conditions.staleness = robust::StalenessWeight::kInverse;
  conditions.request.max_weight = robust::kStalenessUnit;
  expect_one_release(conditions);
}

TEST(SketchedCohort, ReadsNothingTwiceToSketchWhatIsInItsSlots) {
  Conditions conditions = krum();
  conditions.resident = false;
  const Released on_arrival = release(conditions);
  conditions.on_arrival = false;
  const Released at_close = release(conditions);
  EXPECT_EQ(on_arrival.reads_before, 0u);
  EXPECT_EQ(at_close.reads_before, 0u);
  EXPECT_EQ(on_arrival.reads_of_close + kDevices * kChunks, at_close.reads_of_close);
}

}  // namespace
}  // namespace muster::sim
