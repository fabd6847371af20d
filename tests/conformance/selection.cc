// Order statistics where selections go wrong: every small cohort, sizes around what counters and
// tiles hold, hostile columns, a million rows, and histograms in place of rows.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "tests/conformance/reference.h"
#include "tests/conformance/suite.h"

namespace muster::kernels::conformance {
namespace {

constexpr Values kColumns[] = {Values::kNormal, Values::kHuge,      Values::kClustered,
                               Values::kEqual,  Values::kBimodal,   Values::kTies,
                               Values::kZeros,  Values::kSubnormal, Values::kLarge};

struct Cut {
  std::uint32_t low, high;
};

/// Nothing, one side, both, all but one or two, and anything.
std::vector<Cut> cuts_of(std::uint32_t n, Random& random) {
  const auto low = static_cast<std::uint32_t>(random() % n);
  return {{0, 0},         {(n - 1) / 2, (n - 1) / 2},
          {n / 5, n / 5}, {n - 1, 0},
          {0, n - 1},     {0, low},
          {low, 0},       {low, static_cast<std::uint32_t>(random() % (n - low))}};
}

}  // namespace

void Conformance::check_kept_sums(const Shape& shape, Random& random) {
  SCOPED_TRACE(shape.to_string());
  const HostCohort host = make_cohort(shape, random);
  const DeviceCohort cohort(*backend_, host);
  std::int64_t* target =
      upload(std::span<const std::int64_t>(std::vector<std::int64_t>(shape.d, -1)));
  const Columns columns = reference_columns(host);
  for (const auto& [low, high] : cuts_of(static_cast<std::uint32_t>(shape.n), random)) {
    backend_->kept_sum({cohort.codes(), low, high, shape.grid_bits, target}, Stream::kCompute);
    ASSERT_EQ(download(target, shape.d), reference_kept_sum(columns, low, high, shape.grid_bits))
        << "low " << low << " high " << high;
  }
  release_uploads();
}

TEST_P(Conformance, KeptSumOfEverySmallCohort) {
  Random random(seed());
  std::size_t index = 0;
  for (std::size_t n = 1; n <= 70 && !HasFailure(); ++n)
    for (int repetition = 0; repetition < 3; ++repetition, ++index)
      check_kept_sums({n, 70, kStripCodecs[index % std::size(kStripCodecs)],
                       kColumns[index % std::size(kColumns)], 40},
                      random);
}

/// One more and one fewer than bytes, blocks of groups and tiles hold.
TEST_P(Conformance, KeptSumAroundTheSizesOfCounters) {
  Random random(seed());
  std::size_t index = 0;
  for (const std::size_t n : {127u, 128u, 129u, 191u, 193u, 255u, 256u, 257u, 513u, 1000u, 4097u})
    for (const Codec codec : kStripCodecs) {
      if (HasFailure()) return;
      if (emulated() && index++ % 5 != 0) continue;
      check_kept_sums({n, n > 1000 ? 5u : 67u, codec, kColumns[index % std::size(kColumns)],
                       index % 2 == 0 ? 40 : 24},
                      random);
      ++index;
    }
}

TEST_P(Conformance, KeptSumOfHostileColumns) {
  Random random(seed());
  for (const Values values : {Values::kHuge, Values::kClustered, Values::kBimodal})
    for (const Codec codec : kStripCodecs) {
      if (HasFailure()) return;
      check_kept_sums({300, emulated() ? 33u : 130u, codec, values, 40}, random);
    }
}

/// One boundary near zero and the other so many grid steps away that no single addition rounds it.
TEST_P(Conformance, KeptSumWithOneBoundaryFarOut) {
  Random random(seed());
  constexpr std::uint32_t kRows = 300;
  for (const Codec codec : {Codec::kF32, Codec::kF16}) {
    const Shape shape{kRows, 67, codec, Values::kHuge, 48};
    SCOPED_TRACE(shape.to_string());
    const HostCohort host = make_cohort(shape, random);
    const DeviceCohort cohort(*backend_, host);
    const Columns columns = reference_columns(host);
    std::int64_t* target =
        upload(std::span<const std::int64_t>(std::vector<std::int64_t>(shape.d)));
    // A fifth of the rows is at the bound on either side.
    for (const auto& [low, high] : {Cut{kRows / 10, kRows / 2}, Cut{kRows / 2, kRows / 10}}) {
      backend_->kept_sum({cohort.codes(), low, high, shape.grid_bits, target}, Stream::kCompute);
      ASSERT_EQ(download(target, shape.d), reference_kept_sum(columns, low, high, shape.grid_bits))
          << "low " << low << " high " << high;
    }
    release_uploads();
  }
}

/// Floats as great as two steps of the grid hold, a little greater and far greater, and between two
/// units of it; more rows than add up in 32 bits.
TEST_P(Conformance, KeptSumAtTheEndsOfTwoSteps) {
  Random random(seed());
  constexpr std::uint32_t kRows = 1100;
  constexpr std::size_t kD = 70;
  constexpr int kGridBits = 40;
  constexpr float kMost = 0x1p5f;  // 2^45 units
  for (const float most : {kMost, std::nextafter(kMost, 64.0f), 1.54f * kMost, 0x1p-18f}) {
    HostCohort host = make_cohort({kRows, kD, Codec::kF32, Values::kNormal}, random);
    for (auto& row : host.rows)
      for (std::size_t k = 0; k < kD; ++k) {
        // Columns that lie together of one sign, of the other, of both; a third of the rows
        // anywhere below.
        const std::size_t kind = k / 16 % 3;
        const float sign = kind == 0 || (kind == 1 && random() % 2 == 0) ? 1.0f : -1.0f;
        const float share =
            random() % 3 == 0 ? std::ldexp(static_cast<float>(random() % 4096), -12) : 1.0f;
        store(MutableBytes(row), k * sizeof(float), sign * most * share);
      }
    const DeviceCohort cohort(*backend_, host);
    std::int64_t* target = upload(std::span<const std::int64_t>(std::vector<std::int64_t>(kD)));
    backend_->kept_sum({cohort.codes(), 3, 5, kGridBits, target}, Stream::kCompute);
    ASSERT_EQ(download(target, kD), reference_kept_sum(reference_columns(host), 3, 5, kGridBits))
        << "most " << most;
    release_uploads();
  }
}

/// Codes as far apart as bytes add up without a carry, and one further: most rows at the upper end.
TEST_P(Conformance, KeptSumOfCodesFarApart) {
  Random random(seed());
  constexpr std::size_t kRows = 300, kD = 70;
  for (const int range : {1, 31, 32, 63, 64, 127, 128, 255}) {
    HostCohort host = make_cohort({kRows, kD, Codec::kI8S, Values::kNormal}, random);
    for (std::size_t i = 0; i < kRows; ++i)
      for (std::size_t k = 0; k < kD; ++k)
        host.rows[i][k] = static_cast<std::byte>(random() % 8 == 0 ? -128 : -128 + range);
    const DeviceCohort cohort(*backend_, host);
    std::int64_t* target = upload(std::span<const std::int64_t>(std::vector<std::int64_t>(kD)));
    backend_->kept_sum({cohort.codes(), 3, 5, 40, target}, Stream::kCompute);
    ASSERT_EQ(download(target, kD), reference_kept_sum(reference_columns(host), 3, 5, 40))
        << range << " apart";
    release_uploads();
  }
}

/// Several tiles, several panels, the last of each in part.
TEST_P(Conformance, KeptSumOfManyTiles) {
  Random random(seed());
  for (const Codec codec : {Codec::kF32, Codec::kBF16, Codec::kI8S})
    check_kept_sums({700, emulated() ? 67u : 1111u, codec, Values::kNormal, 40}, random);
  // Rows whose panels no cache holds.
  for (const Codec codec : {Codec::kF16, Codec::kI8S})
    if (!emulated()) check_kept_sums({9000, 300, codec, Values::kNormal, 40}, random);
}

/// Where few rows are left of a search, and where many are, in one chunk: a tile is searched in one
/// way, the next in another. Rows that a cache holds, and more than it does.
TEST_P(Conformance, KeptSumOfColumnsOfManyKinds) {
  Random random(seed());
  for (const Codec codec : {Codec::kF32, Codec::kI8B, Codec::kI4B}) {
    if (HasFailure() || (emulated() && codec != Codec::kF32)) return;
    check_kept_sums(
        {emulated() ? 100u : 650u, emulated() ? 1100u : 2222u, codec, Values::kStriped, 40},
        random);
    if (!emulated()) check_kept_sums({2600, 1100, codec, Values::kStriped, 40}, random);
  }
}

/// What is beyond the bound ends the job, wherever it is; nothing else does.
TEST_P(Conformance, KeptSumLooksAtTheBound) {
  if (!backend_->bounds_kept_sums(Codec::kF32))
    GTEST_SKIP() << "this backend leaves it to inspect()";
  Random random(seed());
  for (const std::size_t n : {1u, 7u, 64u, 65u, 300u, 3000u}) {
    const Shape shape{n, n > 1000 ? 70u : 1111u, Codec::kF32, Values::kNormal, 40};
    SCOPED_TRACE(shape.to_string());
    HostCohort host = make_cohort(shape, random);
    const auto cut = static_cast<std::uint32_t>(n / 5);
    std::int64_t* target =
        upload(std::span<const std::int64_t>(std::vector<std::int64_t>(shape.d)));
    const auto is_beyond = [&](float bound) {
      const DeviceCohort cohort(*backend_, host);
      bool beyond = false;
      backend_->kept_sum({cohort.codes(), cut, cut, shape.grid_bits, target, bound, &beyond},
                         Stream::kCompute);
      backend_->wait(backend_->record(Stream::kCompute));
      return beyond;
    };
    EXPECT_FALSE(is_beyond(kBound));
    ASSERT_EQ(download(target, shape.d),
              reference_kept_sum(reference_columns(host), cut, cut, shape.grid_bits));
    for (int repetition = 0; repetition < 20; ++repetition) {
      std::vector<std::byte>& row = host.rows[random() % n];
      const std::size_t k = repetition < 2 ? repetition * (shape.d - 1) : random() % shape.d;
      const std::vector<std::byte> before = row;
      const float bound = 12.5f;
      const float bad[] = {std::nextafter(bound, 13.0f),
                           -std::nextafter(bound, 13.0f),
                           std::numeric_limits<float>::max(),
                           std::numeric_limits<float>::infinity(),
                           -std::numeric_limits<float>::infinity(),
                           -std::numeric_limits<float>::quiet_NaN()};
      const float value = bad[random() % std::size(bad)];
      std::memcpy(&row[4 * k], &value, 4);
      EXPECT_TRUE(is_beyond(bound)) << value << " at " << k;
      EXPECT_EQ(is_beyond(std::numeric_limits<float>::infinity()), !std::isfinite(value)) << value;
      std::memcpy(&row[4 * k], &bound, 4);
      EXPECT_FALSE(is_beyond(bound)) << k;
      row = before;
    }
    release_uploads();
  }
}

/// The same few payloads over and over: counts beyond 16 bits at the price of little memory.
TEST_P(Conformance, KeptSumOfAMillionRows) {
  Random random(seed());
  const std::uint32_t kRows = emulated() ? 20'000 : 1'000'000;
  for (const Codec codec : {Codec::kF32, Codec::kF16, Codec::kI8S}) {
    const Shape shape{7, 2, codec, Values::kNormal, 24};
    SCOPED_TRACE(shape.to_string());
    const HostCohort host = make_cohort(shape, random);
    const DeviceCohort cohort(*backend_, host);
    Codes codes = cohort.codes();
    std::vector<const std::byte*> rows(kRows);
    for (std::size_t i = 0; i < kRows; ++i) rows[i] = codes.rows[i % 7];
    codes.rows = rows;
    Columns columns(shape.d);
    for (std::size_t k = 0; k < shape.d; ++k) {
      for (std::size_t i = 0; i < kRows; ++i) columns[k].push_back(host.value(i % 7, k));
      std::sort(columns[k].begin(), columns[k].end());
    }
    std::int64_t* target = upload(std::span<const std::int64_t>(std::vector<std::int64_t>(2)));
    backend_->kept_sum({codes, kRows / 5, kRows / 3, shape.grid_bits, target}, Stream::kCompute);
    ASSERT_EQ(download(target, 2),
              reference_kept_sum(columns, kRows / 5, kRows / 3, shape.grid_bits));
    release_uploads();
  }
}

TEST_P(Conformance, CountsGiveTheKeptSumOfTheRows) {
  Random random(seed());
  constexpr std::size_t kBins = count_bins(Codec::kI8S);
  std::size_t index = 0;
  for (const std::size_t n : {1u, 2u, 7u, 64u, 300u})
    for (const std::size_t d : {1u, 31u, 64u, 65u, 1000u}) {
      const Shape shape{n, d, Codec::kI8S, kColumns[index++ % std::size(kColumns)], 40};
      SCOPED_TRACE(shape.to_string());
      const HostCohort host = make_cohort(shape, random);
      const DeviceCohort cohort(*backend_, host);
      std::uint32_t* counters =
          upload(std::span<const std::uint32_t>(std::vector<std::uint32_t>(d * kBins)));
      // The cohort comes in two parts.
      const std::size_t first = random() % (n + 1);
      Codes part = cohort.codes();
      part.rows = part.rows.first(first);
      backend_->count({part, counters}, Stream::kCompute);
      part.rows = cohort.codes().rows.subspan(first);
      backend_->count({part, counters}, Stream::kCompute);
      std::vector<std::uint32_t> expected(d * kBins);
      for (std::size_t i = 0; i < n; ++i)
        for (std::size_t k = 0; k < d; ++k)
          ++expected[k * kBins + static_cast<std::size_t>(host.code(i, k) + 128)];
      ASSERT_EQ(download(counters, expected.size()), expected);

      std::int64_t* target =
          upload(std::span<const std::int64_t>(std::vector<std::int64_t>(d, -1)));
      const auto rows = static_cast<std::uint32_t>(n);
      const Columns columns = reference_columns(host);
      for (const auto& [low, high] : cuts_of(rows, random)) {
        backend_->kept_sum_of_counts(
            {host.format, d, host.exponents, counters, rows, low, high, shape.grid_bits, target},
            Stream::kCompute);
        ASSERT_EQ(download(target, d), reference_kept_sum(columns, low, high, shape.grid_bits))
            << "low " << low << " high " << high;
      }
      release_uploads();
    }
}

/// More rows than 16 bits count, all with the same codes.
TEST_P(Conformance, CountsManyRows) {
  Random random(seed());
  constexpr std::size_t kBins = count_bins(Codec::kI8S), kRows = 140'000;
  const HostCohort host = make_cohort({1, 3, Codec::kI8S, Values::kNormal}, random);
  const DeviceCohort cohort(*backend_, host);
  Codes codes = cohort.codes();
  const std::vector<const std::byte*> rows(kRows, codes.rows[0]);
  codes.rows = rows;
  std::uint32_t* counters =
      upload(std::span<const std::uint32_t>(std::vector<std::uint32_t>(3 * kBins, 1)));
  backend_->count({codes, counters}, Stream::kCompute);
  std::vector<std::uint32_t> expected(3 * kBins, 1);
  for (std::size_t k = 0; k < 3; ++k)
    expected[k * kBins + static_cast<std::size_t>(host.code(0, k) + 128)] += kRows;
  ASSERT_EQ(download(counters, expected.size()), expected);
}

}  // namespace muster::kernels::conformance
