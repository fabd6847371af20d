#include "tests/conformance/suite.h"

#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <numeric>

#include "kernels/canonical.h"
#include "tests/conformance/reference.h"

namespace muster::kernels::conformance {

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Conformance);

namespace {

constexpr std::size_t kRowCounts[] = {1, 2, 3, 7, 8, 9, 16, 17, 33, 64, 65, 100};
constexpr std::size_t kDimensions[] = {1, 31, 32, 33, 63, 64, 65, 255, 256, 257, 1000, 4099};

/// Rows times coordinates an emulated device is given at most.
constexpr std::size_t kEmulatedElements = 12'000;

/// Codecs and classes of values tried with each size.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kRepetitions = 1;
#else
constexpr int kRepetitions = 3;
#endif

/// Products a Gram case may cost: the reference computes them one by one.
constexpr std::size_t kGramProducts = 5'000'000;

/// Largest grid on which n values of magnitude 16, weighted up to 8, stay in i64.
int finest_grid(std::size_t n) { return 62 - 4 - 3 - static_cast<int>(std::bit_width(n)); }

/// Behind every upload.
constexpr std::size_t kGuardBytes = 64;
constexpr std::byte kGuard{0xa5};

}  // namespace

std::uint64_t Conformance::seed() {
  const char* text = std::getenv("MUSTER_TEST_SEED");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : 20'240'601;
}

void Conformance::SetUp() {
  auto backend = create_backend(GetParam().options, nullptr);
  if (!backend.ok()) GTEST_SKIP() << backend.status().to_string();
  backend_ = std::move(backend).value();
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed()));
}

void Conformance::TearDown() {
  if (backend_ == nullptr) return;
  release_uploads();
  EXPECT_EQ(backend_->allocated_bytes(), 0u);
}

void Conformance::for_each_shape(std::span<const Values> values,
                                 const std::function<void(const Shape&, Random&)>& check) {
  Random random(seed());
  std::size_t index = 0;
  const int repetitions = emulated() ? 1 : kRepetitions;
  for (const std::size_t n : kRowCounts)
    for (const std::size_t d : kDimensions) {
      if (emulated() && n * d > kEmulatedElements) continue;
      for (int repetition = 0; repetition < repetitions; ++repetition) {
        Shape shape{n, d, kStripCodecs[index++ % std::size(kStripCodecs)],
                    values[random() % values.size()]};
        const int grids[] = {24, 40, finest_grid(n)};
        shape.grid_bits = grids[random() % std::size(grids)];
        SCOPED_TRACE(shape.to_string());
        check(shape, random);
        release_uploads();
        if (HasFailure()) return;
      }
    }
}

void Conformance::release_uploads() {
  const std::vector<std::byte> expected(kGuardBytes, kGuard);
  std::vector<std::byte> guard(kGuardBytes);
  for (const Upload& upload : uploads_) {
    backend_->download(guard, upload.buffer.data + upload.bytes, Stream::kCompute);
    EXPECT_EQ(guard, expected) << "written past the end of " << upload.bytes << " bytes";
    backend_->release(upload.buffer);
  }
  uploads_.clear();
}

std::byte* Conformance::upload_bytes(ConstBytes bytes) {
  std::vector<std::byte> guarded(bytes.begin(), bytes.end());
  guarded.resize(bytes.size() + kGuardBytes, kGuard);
  const Buffer buffer = backend_->allocate(guarded.size()).value();
  uploads_.push_back({buffer, bytes.size()});
  backend_->upload(buffer.data, guarded, Stream::kCompute);
  backend_->wait(backend_->record(Stream::kCompute));
  return buffer.data;
}

TEST_P(Conformance, InspectFindsNormsAndInvalidCoordinates) {
  const Values all[] = {Values::kNormal, Values::kSubnormal, Values::kZeros,    Values::kLarge,
                        Values::kEqual,  Values::kTies,      Values::kPoisoned, Values::kWild};
  for_each_shape(all, [&](const Shape& shape, Random& random) {
    const HostCohort host = make_cohort(shape, random);
    const DeviceCohort cohort(*backend_, host);
    const float bounds[] = {kBound, 12.5f, 0.01f, 0, std::numeric_limits<float>::infinity()};
    const float bound = bounds[random() % std::size(bounds)];
    std::vector<RowSummary> summaries(shape.n);
    backend_->inspect({cohort.codes(), bound, summaries}, Stream::kCompute);
    for (std::size_t i = 0; i < shape.n; ++i) {
      const RowSummary expected = reference_inspect(host, i, bound);
      ASSERT_EQ(summaries[i].squared_norm, expected.squared_norm) << "row " << i;
      ASSERT_EQ(summaries[i].non_finite, expected.non_finite) << "row " << i;
      ASSERT_EQ(summaries[i].out_of_bound, expected.out_of_bound) << "row " << i;
    }
  });
}

TEST_P(Conformance, AccumulateAddsExactGridSums) {
  const Values values[] = {Values::kNormal, Values::kSubnormal, Values::kZeros,   Values::kLarge,
                           Values::kEqual,  Values::kTies,      Values::kPoisoned};
  for_each_shape(values, [&](const Shape& shape, Random& random) {
    const HostCohort host = make_cohort(shape, random);
    const DeviceCohort cohort(*backend_, host);
    std::vector<double> factors(shape.n);
    std::vector<std::int64_t> weights(shape.n);
    for (std::size_t i = 0; i < shape.n; ++i) {
      factors[i] = random() % 2 == 0 ? 1.0 : std::uniform_real_distribution<double>(-1, 1)(random);
      weights[i] = random() % 2 == 0 ? 1 : static_cast<std::int64_t>(random() % 15) - 7;
    }
    std::vector<std::int64_t> before(shape.d);
    for (auto& sum : before)
      sum = static_cast<std::int64_t>(random() >> 24) - (std::int64_t{1} << 39);
    std::int64_t* target = upload(std::span<const std::int64_t>(before));
    backend_->accumulate({cohort.codes(), factors, weights, shape.grid_bits, target},
                         Stream::kCompute);
    auto expected = reference_accumulate(host, factors, weights, shape.grid_bits);
    for (std::size_t k = 0; k < shape.d; ++k) expected[k] += before[k];
    ASSERT_EQ(download(target, shape.d), expected);
  });
}

TEST_P(Conformance, KeptSumEqualsSorting) {
  for_each_shape(kFiniteValues, [&](const Shape& shape, Random& random) {
    const HostCohort host = make_cohort(shape, random);
    const DeviceCohort cohort(*backend_, host);
    const auto n = static_cast<std::uint32_t>(shape.n);
    const auto any_low = static_cast<std::uint32_t>(random() % n);
    const auto any_high = static_cast<std::uint32_t>(random() % (n - any_low));
    const std::uint32_t cuts[][2] = {
        {0, 0}, {(n - 1) / 2, (n - 1) / 2}, {n / 5, n / 5}, {any_low, any_high}};
    std::int64_t* target =
        upload(std::span<const std::int64_t>(std::vector<std::int64_t>(shape.d, -1)));
    const Columns columns = reference_columns(host);
    for (const auto& [low, high] : cuts) {
      backend_->kept_sum({cohort.codes(), low, high, shape.grid_bits, target}, Stream::kCompute);
      ASSERT_EQ(download(target, shape.d), reference_kept_sum(columns, low, high, shape.grid_bits))
          << "low " << low << " high " << high;
    }
  });
}

TEST_P(Conformance, KeptSumOfEverythingIsTheAccumulatedSum) {
  for_each_shape(kFiniteValues, [&](const Shape& shape, Random& random) {
    const HostCohort host = make_cohort(shape, random);
    const DeviceCohort cohort(*backend_, host);
    const std::vector<std::int64_t> zeros(shape.d);
    std::int64_t* kept = upload(std::span<const std::int64_t>(zeros));
    std::int64_t* summed = upload(std::span<const std::int64_t>(zeros));
    backend_->kept_sum({cohort.codes(), 0, 0, shape.grid_bits, kept}, Stream::kCompute);
    const std::vector<double> factors(shape.n, 1.0);
    const std::vector<std::int64_t> weights(shape.n, 1);
    backend_->accumulate({cohort.codes(), factors, weights, shape.grid_bits, summed},
                         Stream::kCompute);
    ASSERT_EQ(download(kept, shape.d), download(summed, shape.d));
  });
}

TEST_P(Conformance, WindowSumsEqualSortingByDistance) {
  for_each_shape(kFiniteValues, [&](const Shape& shape, Random& random) {
    if (emulated() && shape.d > 65) return;
    const HostCohort host = make_cohort(shape, random);
    const DeviceCohort cohort(*backend_, host);
    const auto n = static_cast<std::uint32_t>(shape.n);
    const auto any_low = static_cast<std::uint32_t>(random() % n);
    const auto any_high = static_cast<std::uint32_t>(random() % (n - any_low));
    const auto any_keep = static_cast<std::uint32_t>(1 + random() % n);
    const std::uint32_t windows[][3] = {{(n - 1) / 2, (n - 1) / 2, n - n / 5},
                                        {n / 5, n / 5, n - n / 5},
                                        {any_low, any_high, any_keep},
                                        {any_low, any_high, 0}};
    WindowSumJob job{
        .codes = cohort.codes(),
        .factors = {},
        .stages = {},
        .grid_bits = shape.grid_bits,
        .target = upload(std::span<const std::int64_t>(std::vector<std::int64_t>(shape.d, -1)))};
    std::vector<double> factors(shape.n);
    for (double& factor : factors) factor = std::uniform_real_distribution<double>(-1, 1)(random);
    if (random() % 2 == 0) job.factors = factors;
    for (const auto& [low, high, keep] : windows) {
      job.low = low, job.high = high, job.keep = keep;
      backend_->window_sum(job, Stream::kCompute);
      ASSERT_EQ(download(job.target, shape.d), reference_window_sum(host, job))
          << "low " << low << " high " << high << " keep " << keep;
    }
  });
}

TEST_P(Conformance, WindowSumsMixRowsFirst) {
  Random random(seed());
  for (const Codec codec : {Codec::kF32, Codec::kI8B, Codec::kI8S})
    for (const std::uint32_t n : {2u, 5u, 17u, 70u}) {
      const Shape shape{n, 70, codec, random() % 2 == 0 ? Values::kTies : Values::kLarge};
      SCOPED_TRACE(shape.to_string());
      const HostCohort host = make_cohort(shape, random);
      const DeviceCohort cohort(*backend_, host);
      // Pairs of neighbours, then of those all but one or two: more rows than before, then fewer.
      std::vector<std::uint32_t> pairs, pair_bounds = {0}, others, other_bounds = {0};
      for (std::uint32_t i = 0; i < n + 3; ++i) {
        pairs.insert(pairs.end(), {i % n, (i + 1) % n});
        pair_bounds.push_back(static_cast<std::uint32_t>(pairs.size()));
      }
      for (std::uint32_t i = 0; i < n; ++i) {
        others.push_back(i);
        if (i % 2 == 0) others.push_back(n + 2);
        other_bounds.push_back(static_cast<std::uint32_t>(others.size()));
      }
      const MixStage stages[] = {{pair_bounds, pairs}, {other_bounds, others, true}};
      for (const std::size_t used : {1u, 2u})
        for (const std::uint32_t keep : {0u, 1u, (n + 1) / 2}) {
          const WindowSumJob job{
              .codes = cohort.codes(),
              .factors = {},
              .stages = std::span(stages).first(used),
              .low = (n - 1) / 2,
              .high = n / 3,
              .keep = keep,
              .grid_bits = shape.grid_bits,
              .target = upload(std::span<const std::int64_t>(std::vector<std::int64_t>(shape.d)))};
          backend_->window_sum(job, Stream::kCompute);
          ASSERT_EQ(download(job.target, shape.d), reference_window_sum(host, job))
              << used << " stages, keep " << keep;
        }
      release_uploads();
    }
}

TEST_P(Conformance, GramFillsBothTrianglesInCanonicalOrder) {
  for_each_shape(kFiniteValues, [&](const Shape& shape, Random& random) {
    if (shape.n * shape.n * shape.d > kGramProducts) return;
    const HostCohort host = make_cohort(shape, random);
    const DeviceCohort cohort(*backend_, host);
    std::vector<float> centre;
    if (random() % 2 == 0)
      for (std::size_t k = 0; k < shape.d; ++k)
        centre.push_back(std::uniform_real_distribution<float>(-0.1f, 0.1f)(random));
    std::vector<double> expected(shape.n * shape.n, 0.25);
    double* gram = upload(std::span<const double>(expected));
    backend_->gram(
        {cohort.codes(), centre.empty() ? nullptr : upload(std::span<const float>(centre)), gram},
        Stream::kCompute);
    reference_gram(host, centre, expected);
    ASSERT_EQ(download(gram, expected.size()), expected);
  });
}

TEST_P(Conformance, GramOfSharedScalesIsExact) {
  Random random(seed());
  const HostCohort host = make_cohort({19, 9000, Codec::kI8S, Values::kNormal}, random);
  const DeviceCohort cohort(*backend_, host);
  double* gram = upload(std::span<const double>(std::vector<double>(19 * 19, 0.0)));
  backend_->gram({cohort.codes(), nullptr, gram}, Stream::kCompute);
  const std::vector<double> result = download(gram, 19 * 19);
  constexpr int kUnit = 128;  // all exponents are above -kUnit / 2
  for (std::size_t i = 0; i < 19; ++i)
    for (std::size_t j = 0; j < 19; ++j) {
      __int128 sum = 0;
      for (std::size_t k = 0; k < host.d; ++k)
        sum += static_cast<__int128>(host.code(i, k) * host.code(j, k))
               << (kUnit + 2 * host.exponents[k >> host.format.log2_block] - 64);
      ASSERT_EQ(result[i * 19 + j], std::ldexp(static_cast<double>(sum), 64 - kUnit));
    }
}

/// Enough rows for tiles of every size, and several columns of them.
TEST_P(Conformance, GramOfFewerRowsIsTheTopOfTheMatrix) {
  Random random(seed());
  for (const Codec codec :
       {Codec::kF32, Codec::kI8B, Codec::kI8S, Codec::kI4B, Codec::kI4S, Codec::kSign1})
    for (const std::size_t n : {150u, 515u}) {
      if (emulated() && n > 150) continue;
      const std::size_t d = n == 150 && !emulated() ? 4200 : 70;
      const Shape shape{n, d, codec, Values::kNormal};
      SCOPED_TRACE(shape.to_string());
      HostCohort host = make_cohort(shape, random);
      // One scale but for the last block: codes of one scale have a way of their own.
      std::fill(host.exponents.begin(), host.exponents.end(), std::int8_t{-9});
      if (!host.exponents.empty()) host.exponents.back() = -8;
      const DeviceCohort cohort(*backend_, host);
      const std::vector<double> before(n * n, 0.5);
      double* full = upload(std::span<const double>(before));
      backend_->gram({cohort.codes(), nullptr, full}, Stream::kCompute);
      const std::vector<double> matrix = download(full, n * n);
      // The reference is slow: of a large matrix a few rows.
      std::vector<std::size_t> at = {0, n / 3, n / 2, n - 2, n - 1};
      if (n * n * d <= kGramProducts) {
        at.resize(n);
        std::iota(at.begin(), at.end(), std::size_t{0});
      }
      HostCohort some = host;
      some.rows.clear();
      for (const std::size_t i : at) some.rows.push_back(host.rows[i]);
      std::vector<double> expected(at.size() * at.size(), 0.5);
      reference_gram(some, {}, expected);
      for (std::size_t i = 0; i < at.size(); ++i)
        for (std::size_t j = 0; j < at.size(); ++j)
          ASSERT_EQ(matrix[at[i] * n + at[j]], expected[at.size() * i + j])
              << at[i] << " " << at[j];
      for (const std::size_t rows : {std::size_t{1}, std::size_t{40}, n - 1}) {
        double* top = upload(std::span<const double>(before).first(rows * n));
        backend_->gram({cohort.codes(), nullptr, top, rows}, Stream::kCompute);
        ASSERT_EQ(download(top, rows * n),
                  std::vector<double>(matrix.begin(),
                                      matrix.begin() + static_cast<std::ptrdiff_t>(rows * n)));
      }
      release_uploads();
    }
}

/// Canonical blocks are added one after the other, whatever the matrix holds already.
TEST_P(Conformance, GramOfSeveralBlocks) {
  Random random(seed());
  const auto check = [&](const HostCohort& host, double before) {
    const std::size_t n = host.rows.size();
    const DeviceCohort cohort(*backend_, host);
    std::vector<double> expected(n * n, before);
    double* gram = upload(std::span<const double>(expected));
    backend_->gram({cohort.codes(), nullptr, gram}, Stream::kCompute);
    reference_gram(host, {}, expected);
    ASSERT_EQ(download(gram, expected.size()), expected);
    release_uploads();
  };
  for (const Codec codec : {Codec::kF16, Codec::kI8B})
    check(make_cohort({37, 8300, codec, Values::kNormal}, random), 0.25);
  // Blocks shorter than the words that codes are read in, and rows for every place of a tile.
  check(make_cohort({66, 200, Codec::kI8B, Values::kNormal, 40, 3}, random), 0.25);
  // Rows for the tensor cores: stretches of one scale, and one block of several.
  constexpr std::size_t kD = 4 * canonical::kBlock + 100;
  HostCohort host = make_cohort({66, kD, Codec::kI8S, Values::kNormal}, random);
  const std::size_t blocks = canonical::kBlock >> host.format.log2_block;
  for (std::size_t b = 0; b < host.exponents.size(); ++b)
    host.exponents[b] = static_cast<std::int8_t>(b < 2 * blocks ? -9 : b < 3 * blocks ? -7 : -9);
  host.exponents[3 * blocks + 1] = -8;
  check(host, 0.5);
  check(host, 0.1);     // between two products, so that each block rounds
  check(host, 0x1p45);  // too large for whole products to be exact
}

/// One scale a block of the canonical order lets levels read columns as they lie.
TEST_P(Conformance, GramOfFewRowsOfOneScaleIsTheTopOfTheMatrix) {
  Random random(seed());
  for (const std::size_t d : {std::size_t{130}, std::size_t{17 * 4096 + 33}}) {
    if (emulated() && d > 1000) continue;
    constexpr std::size_t kRows = 23;
    HostCohort host = make_cohort({kRows, d, Codec::kI8S, Values::kNormal}, random);
    for (std::size_t b = 0; b < host.exponents.size(); ++b)
      host.exponents[b] = static_cast<std::int8_t>(-12 + ((b << host.format.log2_block) >> 12) % 3);
    const DeviceCohort cohort(*backend_, host);
    std::vector<double> expected(kRows * kRows, 0.5);
    reference_gram(host, {}, expected);
    for (const std::size_t rows : {1, 4, 7, 16, 17}) {
      const std::vector<double> before(rows * kRows, 0.5);
      double* top = upload(std::span<const double>(before));
      backend_->gram({cohort.codes(), nullptr, top, rows}, Stream::kCompute);
      ASSERT_EQ(download(top, rows * kRows),
                std::vector<double>(expected.begin(),
                                    expected.begin() + static_cast<std::ptrdiff_t>(rows * kRows)))
          << d << " coordinates, " << rows << " rows";
    }
    release_uploads();
  }
}

TEST_P(Conformance, PairDistancesComeFromDifferences) {
  for_each_shape(kFiniteValues, [&](const Shape& shape, Random& random) {
    const HostCohort host = make_cohort(shape, random);
    const DeviceCohort cohort(*backend_, host);
    std::vector<std::uint32_t> pairs;
    std::vector<double> expected;
    for (std::size_t p = 0; p < 5; ++p) {
      pairs.push_back(static_cast<std::uint32_t>(random() % shape.n));
      pairs.push_back(static_cast<std::uint32_t>(random() % shape.n));
      expected.push_back(0.125 * static_cast<double>(p));
    }
    std::vector<double> distances = expected;
    backend_->pair_distances({cohort.codes(), pairs, distances}, Stream::kCompute);
    for (std::size_t p = 0; p < expected.size(); ++p)
      reference_distance(host, pairs[2 * p], pairs[2 * p + 1], expected[p]);
    ASSERT_EQ(distances, expected);
  });
}

TEST_P(Conformance, RelateMeasuresRowsAgainstAVector) {
  for_each_shape(kFiniteValues, [&](const Shape& shape, Random& random) {
    const HostCohort host = make_cohort(shape, random);
    const DeviceCohort cohort(*backend_, host);
    std::vector<std::int64_t> reference(shape.d);
    for (auto& value : reference) value = static_cast<std::int64_t>(random()) >> (random() % 64);
    const double scale = std::ldexp(1.0, -60) / static_cast<double>(1 + random() % 9);
    std::vector<double> distances(shape.n, 0.125), dots(shape.n, -3.5);
    std::vector<double> expected_distances = distances, expected_dots = dots;
    const std::int64_t* uploaded = upload(std::span<const std::int64_t>(reference));
    backend_->relate({cohort.codes(), uploaded, scale, distances, dots}, Stream::kCompute);
    for (std::size_t i = 0; i < shape.n; ++i)
      reference_relate(host, i, reference, scale, expected_distances[i], expected_dots[i]);
    ASSERT_EQ(distances, expected_distances);
    ASSERT_EQ(dots, expected_dots);
    std::vector<double> again(shape.n, 0.125);
    backend_->relate({cohort.codes(), uploaded, scale, again, {}}, Stream::kCompute);
    ASSERT_EQ(again, expected_distances);
    again.assign(shape.n, -3.5);
    backend_->relate({cohort.codes(), uploaded, scale, {}, again}, Stream::kCompute);
    ASSERT_EQ(again, expected_dots);
  });
}

TEST_P(Conformance, VotesCountSigns) {
  const Values all[] = {Values::kNormal, Values::kSubnormal, Values::kZeros,    Values::kLarge,
                        Values::kEqual,  Values::kTies,      Values::kPoisoned, Values::kWild};
  for_each_shape(all, [&](const Shape& shape, Random& random) {
    const HostCohort host = make_cohort(shape, random);
    const DeviceCohort cohort(*backend_, host);
    std::vector<std::int64_t> expected = reference_vote(host);
    const std::vector<std::int64_t> before(shape.d, 7);
    std::int64_t* target = upload(std::span<const std::int64_t>(before));
    backend_->vote({cohort.codes(), target}, Stream::kCompute);
    for (auto& votes : expected) votes += 7;
    ASSERT_EQ(download(target, shape.d), expected);
  });
}

/// More rows than a byte counts.
TEST_P(Conformance, VotesCountManyRows) {
  Random random(seed());
  for (const Codec codec : {Codec::kF32, Codec::kI8B, Codec::kI8S})
    for (const Values values : {Values::kNormal, Values::kEqual})
      for (const std::size_t n : {127u, 128u, 255u, 700u}) {
        const Shape shape{n, emulated() ? std::size_t{100} : std::size_t{4196}, codec, values};
        SCOPED_TRACE(shape.to_string());
        const HostCohort host = make_cohort(shape, random);
        const DeviceCohort cohort(*backend_, host);
        std::int64_t* target =
            upload(std::span<const std::int64_t>(std::vector<std::int64_t>(shape.d)));
        backend_->vote({cohort.codes(), target}, Stream::kCompute);
        ASSERT_EQ(download(target, shape.d), reference_vote(host));
        release_uploads();
      }
}

TEST_P(Conformance, MergeAddsARoundedMoveAndElectTakesSigns) {
  Random random(seed());
  for (const std::size_t d : kDimensions)
    for (const double pull : {0.0, 1.0, 7.25, 1000.0 / 3}) {
      SCOPED_TRACE("d " + std::to_string(d) + " pull " + std::to_string(pull));
      const double divisor = pull == 1 ? 2 : 1000.0 / 3;
      std::vector<std::int64_t> sum(d), target(d), merged(d), signs(d);
      for (std::size_t k = 0; k < d; ++k) {
        sum[k] = static_cast<std::int64_t>(random()) >> (2 + random() % 62);
        target[k] = static_cast<std::int64_t>(random()) >> (12 + random() % 52);
        merged[k] = reference_merge(target[k], sum[k], pull, divisor);
        signs[k] = merged[k] == 0 ? 0 : merged[k] < 0 ? -1 : 1;
      }
      std::int64_t* device = upload(std::span<const std::int64_t>(target));
      backend_->merge({upload(std::span<const std::int64_t>(sum)), pull, divisor, device, d},
                      Stream::kCompute);
      ASSERT_EQ(download(device, d), merged);
      backend_->elect(device, d, Stream::kCompute);
      ASSERT_EQ(download(device, d), signs);
      release_uploads();
    }
}

/// Signs and places of every block of a sketch.
std::pair<std::vector<std::uint64_t>, std::vector<std::uint32_t>> draw_sketch(std::size_t d,
                                                                              std::uint32_t cells,
                                                                              Random& random) {
  std::vector<std::uint64_t> signs(divide_up(d, kSketchBlock));
  std::vector<std::uint32_t> places(signs.size());
  for (std::size_t b = 0; b < signs.size(); ++b) {
    signs[b] = random();
    places[b] = static_cast<std::uint32_t>(random() % (cells - kSketchBlock + 1));
  }
  return {signs, places};
}

TEST_P(Conformance, SketchFoldsBlocksToTheirPlaces) {
  for_each_shape(kFiniteValues, [&](const Shape& shape, Random& random) {
    const HostCohort host = make_cohort(shape, random);
    const DeviceCohort cohort(*backend_, host);
    constexpr int kUnitBits = 26;  // |x| <= 16
    const std::uint32_t cells = 64u << random() % 4;
    const auto [signs, places] = draw_sketch(shape.d, cells, random);
    std::vector<std::int64_t> expected(shape.n * cells);
    for (auto& cell : expected) cell = static_cast<std::int64_t>(random() >> 20) - (1ll << 43);
    std::int64_t* target = upload(std::span<const std::int64_t>(expected));
    backend_->sketch({cohort.codes(), cells, upload(std::span<const std::uint64_t>(signs)),
                      upload(std::span<const std::uint32_t>(places)), kUnitBits, target},
                     Stream::kCompute);
    for (std::size_t i = 0; i < shape.n; ++i)
      reference_sketch(host, i, signs, places, kUnitBits,
                       std::span(expected).subspan(i * cells, cells));
    ASSERT_EQ(download(target, expected.size()), expected);
  });
}

/// More cells than the shared memory of a GPU holds, and a row long enough to be cut into shares
/// that meet in them.
TEST_P(Conformance, SketchOfManyCells) {
  constexpr int kUnitBits = 26;
  constexpr std::uint32_t kCells = 64 * 460;
  const Shape shape{.n = 1, .d = 9 * kCells, .codec = Codec::kI8B};
  Random random(seed());
  const HostCohort host = make_cohort(shape, random);
  const DeviceCohort cohort(*backend_, host);
  const auto [signs, places] = draw_sketch(shape.d, kCells, random);
  std::vector<std::int64_t> expected(kCells);
  std::int64_t* target = upload(std::span<const std::int64_t>(expected));
  backend_->sketch({cohort.codes(), kCells, upload(std::span<const std::uint64_t>(signs)),
                    upload(std::span<const std::uint32_t>(places)), kUnitBits, target},
                   Stream::kCompute);
  reference_sketch(host, 0, signs, places, kUnitBits, expected);
  ASSERT_EQ(download(target, kCells), expected);
}

TEST_P(Conformance, StepMovesModelAndMoments) {
  Random random(seed());
  std::normal_distribution<float> normal(0, 0.1f);
  for (const std::size_t d : kDimensions)
    for (const Optimiser optimiser : {Optimiser::kSgd, Optimiser::kMomentum, Optimiser::kAdam,
                                      Optimiser::kYogi, Optimiser::kAdagrad}) {
      SCOPED_TRACE("d " + std::to_string(d) + " optimiser " +
                   std::to_string(static_cast<int>(optimiser)));
      std::vector<std::int64_t> sum(d);
      std::vector<float> model(d), first(d), second(d);
      for (std::size_t k = 0; k < d; ++k) {
        sum[k] = static_cast<std::int64_t>(random()) >> (random() % 64);
        model[k] = normal(random), first[k] = normal(random), second[k] = std::fabs(normal(random));
      }
      StepJob job;
      job.optimiser = optimiser;
      job.learning_rate = 0.3;
      job.scale = 0x1p-60 / 3;
      job.sum = upload(std::span<const std::int64_t>(sum));
      job.model = upload(std::span<const float>(model));
      job.first = upload(std::span<const float>(first));
      job.second = upload(std::span<const float>(second));
      job.d = d;
      backend_->step(job, Stream::kCompute);
      reference_step(job, sum, model, first, second);
      ASSERT_EQ(download(job.model, d), model);
      ASSERT_EQ(download(job.first, d), first);
      ASSERT_EQ(download(job.second, d), second);
      release_uploads();
    }
}

/// Large enough that every worker gets a share.
TEST_P(Conformance, LargeChunksAgreeWithTheReference) {
  Random random(seed());
  for (const Codec codec : kStripCodecs) {
    const std::size_t d = emulated() ? 3 * 4096 + 70 : 65'536 + 70;
    const Shape shape{3, d, codec, Values::kNormal};
    SCOPED_TRACE(shape.to_string());
    const HostCohort host = make_cohort(shape, random);
    const DeviceCohort cohort(*backend_, host);
    std::int64_t* target =
        upload(std::span<const std::int64_t>(std::vector<std::int64_t>(shape.d)));
    const std::vector<double> factors = {1, 0.3, -0.7};
    const std::vector<std::int64_t> weights = {1, 3, 2};
    backend_->accumulate({cohort.codes(), factors, weights, 40, target}, Stream::kCompute);
    ASSERT_EQ(download(target, shape.d), reference_accumulate(host, factors, weights, 40));
    backend_->kept_sum({cohort.codes(), 1, 1, 40, target}, Stream::kCompute);
    ASSERT_EQ(download(target, shape.d), reference_kept_sum(reference_columns(host), 1, 1, 40));
    std::vector<RowSummary> summaries(3);
    backend_->inspect({cohort.codes(), kBound, summaries}, Stream::kCompute);
    for (std::size_t i = 0; i < 3; ++i)
      ASSERT_EQ(summaries[i].squared_norm, reference_inspect(host, i, kBound).squared_norm);
    std::vector<double> distance(1), expected(1);
    const std::vector<std::uint32_t> pair = {0, 2};
    backend_->pair_distances({cohort.codes(), pair, distance}, Stream::kCompute);
    reference_distance(host, 0, 2, expected[0]);
    ASSERT_EQ(distance, expected);
    release_uploads();
  }
}

}  // namespace muster::kernels::conformance
