// From a device's delta to the sums of the model: what client/ encodes, ingest accepts and the
// rules aggregate to what the payloads say, with equal bits on every level.
#include <gtest/gtest.h>

#include <numeric>

#include "ingest/inflate.h"
#include "ingest/intake.h"
#include "robust_agg/aggregate.h"
#include "tests/codecs/decode.h"
#include "tests/codecs/samples.h"

namespace muster::testing {
namespace {

constexpr std::size_t kDimension = 1000;
constexpr std::uint32_t kChunk = 384;
constexpr std::uint64_t kSeed = 77;

std::span<const std::int8_t> exponents_of(const wire::Assignment& assignment, std::size_t chunk) {
  if (!has_shared_scales(assignment.format.codec)) return {};
  const std::size_t d = std::min<std::size_t>(kChunk, kDimension - chunk * kChunk);
  const std::size_t block = std::size_t{1} << assignment.format.log2_block;
  return std::span(assignment.scale_exponents)
      .subspan(chunk * kChunk / block, (d + block - 1) / block);
}

/// Encoded updates, as a server holds them.
struct Fleet {
  wire::Assignment assignment;
  std::vector<client::EncodedUpdate> updates;

  Fleet(ChunkFormat format, std::size_t n)
      : assignment(assignment_for(format, kDimension, kChunk, kSeed)) {
    for (std::size_t i = 0; i < n; ++i)
      updates.push_back(
          *client::encode(assignment, draw(Law::kGaussian, kDimension, 100 + i, 0.3), i));
  }
  std::size_t d(std::size_t chunk) const {
    return std::min<std::size_t>(kChunk, kDimension - chunk * kChunk);
  }
  /// Update i as the payloads say.
  std::vector<double> decoded(std::size_t i) const {
    std::vector<double> values;
    for (std::size_t c = 0; c < updates[i].chunks.size(); ++c) {
      const auto part =
          decode({assignment.format, d(c), exponents_of(assignment, c), chunk_key(kSeed, c)},
                 updates[i].chunks[c]);
      values.insert(values.end(), part.begin(), part.end());
    }
    return values;
  }
};

/// The same in backend memory (host memory will do for the CPU).
class FleetCohort final : public robust::Cohort {
 public:
  explicit FleetCohort(const Fleet& fleet)
      : fleet_(fleet), weights_(fleet.updates.size(), 1), ranks_(fleet.updates.size()) {
    std::iota(ranks_.begin(), ranks_.end(), std::uint64_t{0});
  }
  std::uint32_t size() const override { return static_cast<std::uint32_t>(weights_.size()); }
  std::span<const std::uint32_t> weights() const override { return weights_; }
  std::span<const std::uint64_t> ranks() const override { return ranks_; }
  Result<kernels::Codes> chunk(std::uint32_t index) override {
    const std::size_t longest = payload_bytes(fleet_.assignment.format, fleet_.d(index));
    payloads_.clear();
    rows_.clear();
    for (const auto& update : fleet_.updates) {
      payloads_.push_back(update.chunks[index]);
      payloads_.back().resize(longest);
    }
    for (const auto& payload : payloads_) rows_.push_back(payload.data());
    return kernels::Codes{fleet_.assignment.format, fleet_.d(index), rows_,
                          exponents_of(fleet_.assignment, index)};
  }

 private:
  const Fleet& fleet_;
  std::vector<std::uint32_t> weights_;
  std::vector<std::uint64_t> ranks_;
  std::vector<std::vector<std::byte>> payloads_;
  std::vector<const std::byte*> rows_;
};

std::unique_ptr<kernels::Backend> backend_at(kernels::CpuLevel level, std::size_t threads) {
  kernels::BackendOptions options;
  options.kind = "cpu";
  options.level = level;
  options.threads = threads;
  return kernels::create_backend(options, nullptr).value();
}

robust::Plan plan_of(const Fleet& fleet, const robust::Rule& rule, kernels::Backend& backend) {
  robust::PlanRequest request;
  request.rule = rule;
  request.dimension = kDimension;
  request.chunk_coordinates = kChunk;
  request.format = fleet.assignment.format;
  request.max_updates = static_cast<std::uint32_t>(fleet.updates.size());
  request.minimum_cohort = request.max_updates;
  return robust::make_plan(request, backend).value();
}

/// The model's sums, divided.
std::vector<double> aggregate_with(const Fleet& fleet, const robust::Rule& rule,
                                   kernels::Backend& backend) {
  const robust::Plan plan = plan_of(fleet, rule, backend);
  FleetCohort cohort(fleet);
  std::vector<std::int64_t> sums(plan.rule_dimension), model(kDimension);
  const auto outcome = robust::aggregate(plan, backend, cohort, sums.data());
  EXPECT_TRUE(outcome.ok()) << outcome.status().to_string();
  if (!outcome.ok()) return {};
  EXPECT_EQ(outcome->invalid, 0u);
  if (plan.restores)
    robust::restore(plan, backend, kSeed, sums.data(), model.data());
  else
    model = sums;
  std::vector<double> values;
  for (const std::int64_t sum : model)
    values.push_back(std::ldexp(static_cast<double>(sum), -plan.grid_bits) / outcome->divisor);
  return values;
}

TEST(CodecPath, IngestAcceptsWhatDevicesEncode) {
  for (const ChunkFormat format : formats()) {
    SCOPED_TRACE(name_of(format));
    const Fleet fleet(format, 3);
    for (const auto& update : fleet.updates)
      for (std::size_t c = 0; c < update.chunks.size(); ++c) {
        ASSERT_TRUE(is_payload_length(format, fleet.d(c), update.chunks[c].size()));
        EXPECT_EQ(ingest::check_payload(format, fleet.d(c), 16, exponents_of(fleet.assignment, c),
                                        update.chunks[c]),
                  wire::Reason::kOk);
      }
  }
}

TEST(CodecPath, TheMeanIsTheMeanOfWhatPayloadsSay) {
  const auto backend = backend_at(kernels::detect_cpu_level(), 1);
  for (const ChunkFormat format : formats()) {
    SCOPED_TRACE(name_of(format));
    const Fleet fleet(format, 5);
    const auto mean = aggregate_with(fleet, robust::Mean{}, *backend);
    ASSERT_EQ(mean.size(), kDimension);
    std::vector<double> expected(kDimension);
    for (std::size_t i = 0; i < 5; ++i) {
      const auto values = fleet.decoded(i);
      for (std::size_t k = 0; k < kDimension; ++k) expected[k] += values[k] / 5;
    }
    for (std::size_t k = 0; k < kDimension; ++k)
      ASSERT_NEAR(mean[k], expected[k], 2e-6) << k;  // f32 rows of EDEN and I8B
  }
}

/// take(chunks) for every update of a fleet, as a server folds them when they are whole.
template <class Take>
void for_each_update(const Fleet& fleet, ChunkFormat format, Take&& take) {
  for (const auto& update : fleet.updates) {
    std::vector<std::vector<std::byte>> payloads = update.chunks;
    std::vector<const std::byte*> rows(payloads.size());
    std::vector<kernels::Codes> chunks;
    for (std::size_t c = 0; c < payloads.size(); ++c) {
      payloads[c].resize(payload_bytes(format, fleet.d(c)));
      rows[c] = payloads[c].data();
      chunks.push_back({format, fleet.d(c), {&rows[c], 1}, exponents_of(fleet.assignment, c)});
    }
    take(chunks);
  }
}

TEST(CodecPath, RowsFoldedOneByOneGiveTheSameSums) {
  const auto backend = backend_at(kernels::detect_cpu_level(), 1);
  for (const ChunkFormat format : formats()) {
    SCOPED_TRACE(name_of(format));
    const Fleet fleet(format, 4);
    const robust::Plan plan = plan_of(fleet, robust::ClippedMean{2}, *backend);
    FleetCohort cohort(fleet);
    std::vector<std::int64_t> together(plan.rule_dimension), folded(plan.rule_dimension);
    ASSERT_TRUE(robust::aggregate(plan, *backend, cohort, together.data()).ok());
    std::vector<float> decoded(plan.decoded_bytes / sizeof(float));
    robust::RowFold fold(*backend, plan, folded.data(), decoded.data());
    for_each_update(fleet, format, [&](std::span<const kernels::Codes> chunks) {
      EXPECT_TRUE(fold.add(chunks, 1).valid);
    });
    ASSERT_TRUE(std::move(fold).finish().ok());
    EXPECT_EQ(folded, together);
  }
}

TEST(CodecPath, EveryLevelGivesTheSameBitsUnderEveryRule) {
  const robust::Rule rules[] = {robust::Mean{}, robust::ClippedMean{2}, robust::Median{},
                                robust::TrimmedMean{{2, 0}}, robust::MultiKrum{{2, 0}, 3}};
  for (const ChunkFormat format : formats()) {
    const Fleet fleet(format, 9);
    for (const robust::Rule& rule : rules) {
      SCOPED_TRACE(name_of(format) + " " + robust::to_string(rule));
      if (!robust::accepts(rule, format).ok()) {
        EXPECT_EQ(format.codec, Codec::kTopK);
        continue;
      }
      const auto expected =
          aggregate_with(fleet, rule, *backend_at(kernels::CpuLevel::kBaseline, 1));
      for (int level = 0; level <= static_cast<int>(kernels::detect_cpu_level()); ++level)
        EXPECT_EQ(
            aggregate_with(fleet, rule, *backend_at(static_cast<kernels::CpuLevel>(level), 2)),
            expected);
    }
  }
}

/// The rotation keeps distances and the mask of a round keeps the coordinates of all devices, so an
/// attacker is as visible as in the model's coordinates.
TEST(CodecPath, RobustRulesHoldInTheSpaceOfTheRound) {
  const auto backend = backend_at(kernels::detect_cpu_level(), 1);
  for (const ChunkFormat format :
       {ChunkFormat{Codec::kHsq, 8, 6}, ChunkFormat{Codec::kRandK, 0, 32, false, share_of(0.5)}}) {
    SCOPED_TRACE(name_of(format));
    Fleet fleet(format, 0);
    const auto truth = draw(Law::kGaussian, kDimension, 9, 0.1);
    for (std::size_t i = 0; i < 9; ++i) {
      auto delta = draw(Law::kGaussian, kDimension, 20 + i, 0.01);
      for (std::size_t k = 0; k < kDimension; ++k) delta[k] += i < 2 ? -5 : truth[k];
      fleet.updates.push_back(*client::encode(fleet.assignment, delta, i));
    }
    const Fleet& cohort = fleet;
    for (const robust::Rule& rule :
         {robust::Rule(robust::TrimmedMean{{2, 0}}), robust::Rule(robust::MultiKrum{{2, 0}, 3})}) {
      const auto values = aggregate_with(cohort, rule, *backend);
      double along = 0, square = 0;
      for (std::size_t k = 0; k < kDimension; ++k) {
        along += values[k] * double{truth[k]};
        square += double{truth[k]} * double{truth[k]};
      }
      EXPECT_NEAR(along / square, 1, 0.15) << robust::to_string(rule);
    }
  }
}

TEST(CodecPath, SketchedKrumSelectsWhatKrumSelects) {
  const auto backend = backend_at(kernels::detect_cpu_level(), 1);
  constexpr auto kNeighbours = robust::Neighbours::kNMinusFMinus2;
  for (const ChunkFormat format : formats()) {
    if (!robust::accepts(robust::Krum{}, format).ok()) continue;
    SCOPED_TRACE(name_of(format));
    const Fleet fleet(format, 9);
    const robust::Plan exact = plan_of(fleet, robust::MultiKrum{{2, 0}, 3}, *backend);
    const robust::Plan plan = plan_of(
        fleet, robust::MultiKrum{{2, 0}, 3, kNeighbours, robust::Scores::kSketched}, *backend);
    FleetCohort cohort(fleet);
    std::vector<std::int64_t> expected(plan.rule_dimension), scanned(expected), folded(expected);
    ASSERT_TRUE(robust::aggregate(exact, *backend, cohort, expected.data()).ok());
    ASSERT_TRUE(robust::aggregate(plan, *backend, cohort, scanned.data()).ok());
    EXPECT_EQ(scanned, expected);

    robust::SketchFold fold = robust::SketchFold::create(*backend, plan, {1, 2}, 9).value();
    std::vector<std::uint32_t> indices;
    for_each_update(fleet, format, [&](std::span<const kernels::Codes> chunks) {
      indices.push_back(fold.add(chunks).index);
    });
    const robust::SketchedCohort sketched{&fold, indices};
    ASSERT_TRUE(robust::aggregate(plan, *backend, cohort, folded.data(), nullptr, &sketched).ok());
    EXPECT_EQ(folded, expected);
  }
}

TEST(CodecPath, TheGridLeavesRoomForTheWayBack) {
  const auto backend = backend_at(kernels::detect_cpu_level(), 1);
  const auto grid = [&](ChunkFormat format) {
    robust::PlanRequest request;
    request.dimension = 1 << 20;
    request.format = format;
    request.max_updates = 1 << 18;
    return robust::make_plan(request, *backend)->grid_bits;
  };
  EXPECT_EQ(grid({Codec::kF32}), 40);
  EXPECT_EQ(grid({Codec::kHsq, 16, 4}), 32);
  EXPECT_EQ(grid({Codec::kRandK, 0, 32, false, kWholeShare / 64}), 34);
}

TEST(CodecPath, TheCodecsWithoutStripsAreCharged) {
  const auto backend = backend_at(kernels::detect_cpu_level(), 1);
  const Fleet eden({Codec::kEden, 6, 2}, 4);
  const auto streaming = plan_of(eden, robust::Mean{}, *backend);
  EXPECT_NE(streaming.describe().find("decoded update"), std::string::npos);
  EXPECT_EQ(streaming.decoded_bytes, 3 * kChunk * sizeof(float));
  const auto resident = plan_of(eden, robust::Median{}, *backend);
  EXPECT_NE(resident.describe().find("decoded codes of one chunk"), std::string::npos);
  EXPECT_EQ(resident.decoded_bytes, 4 * kChunk * sizeof(float));
}

TEST(CodecPath, ZstdComesBackToTheSameCodes) {
  ingest::Inflater inflater;
  for (ChunkFormat format : formats()) {
    if (format.codec == Codec::kTopK) continue;
    SCOPED_TRACE(name_of(format));
    auto plain = assignment_for(format, kDimension, kChunk);
    auto deflated = plain;
    deflated.format.zstd = true;
    std::vector<float> delta(kDimension, 0.001f);  // mostly one code
    delta[5] = 1;
    const auto raw = client::encode(plain, delta, 3);
    const auto packed = client::encode(deflated, delta, 3);
    for (std::size_t c = 0; c < raw->chunks.size(); ++c) {
      const std::size_t d = c == 2 ? kDimension - 2 * kChunk : kChunk;
      const auto& payload = packed->chunks[c];
      ASSERT_TRUE(is_payload_length(deflated.format, d, payload.size()));
      if (!ingest::is_deflated(deflated.format, d, payload.size())) {
        EXPECT_EQ(payload, raw->chunks[c]);
        continue;
      }
      std::vector<std::byte> back(payload_bytes(format, d));
      ASSERT_EQ(inflater.inflate(payload, back), wire::Reason::kOk);
      EXPECT_EQ(back, raw->chunks[c]);
    }
  }
}

}  // namespace
}  // namespace muster::testing
