// Gram matrices estimated in f32: the bits of every level that has them, and the error that
// selections rely on.
#include <cmath>

#include "tests/conformance/reference.h"
#include "tests/conformance/suite.h"

namespace muster::kernels::conformance {
namespace {

constexpr Codec kFloatCodecs[] = {Codec::kF32, Codec::kF16, Codec::kBF16, Codec::kHsq};

std::vector<float> some_centre(std::size_t d, Random& random) {
  std::vector<float> centre;
  for (std::size_t k = 0; k < d; ++k)
    centre.push_back(std::uniform_real_distribution<float>(-0.1f, 0.1f)(random));
  return centre;
}

TEST_P(Conformance, EstimatedGramIsMadeOfChainsOfProducts) {
  // Around a tile, the columns of a micro kernel of either width, and the depths of chains and
  // blocks.
  constexpr std::size_t kShapes[][2] = {{1, 1},    {2, 513},  {5, 4099}, {6, 127},   {7, 128},
                                        {12, 8},   {13, 31},  {16, 33},  {17, 1000}, {33, 129},
                                        {95, 300}, {96, 512}, {97, 511}, {100, 257}, {193, 40},
                                        {290, 17}, {191, 9}};
  Random random(seed());
  std::size_t index = 0;
  for (const auto& [n, d] : kShapes) {
    if (emulated() && n * d > 4000) continue;
    for (int repetition = 0; repetition < 4; ++repetition) {
      const Codec codec = kFloatCodecs[index % 4];
      const Shape shape{n, d, codec, kFiniteValues[index / 4 % std::size(kFiniteValues)]};
      ++index;
      SCOPED_TRACE(shape.to_string());
      const HostCohort host = make_cohort(shape, random);
      const DeviceCohort cohort(*backend_, host);
      std::vector<float> centre;
      if (random() % 2 == 0) centre = some_centre(d, random);
      std::vector<double> expected(n * n, 0.25);
      double* gram = upload(std::span<const double>(expected));
      backend_->estimate_gram(
          {cohort.codes(), centre.empty() ? nullptr : upload(std::span<const float>(centre)), gram},
          Stream::kCompute);
      if (backend_->estimates_gram(codec))
        reference_estimate(host, centre, expected);
      else
        reference_gram(host, centre, expected);
      ASSERT_EQ(download(gram, expected.size()), expected);
      release_uploads();
    }
  }
}

TEST_P(Conformance, EstimatesOfCodesAreTheGramMatrix) {
  Random random(seed());
  for (const Codec codec : {Codec::kI8B, Codec::kI8S, Codec::kI4B, Codec::kI4S, Codec::kSign1}) {
    EXPECT_FALSE(backend_->estimates_gram(codec));
    const HostCohort host = make_cohort({9, 300, codec, Values::kNormal}, random);
    const DeviceCohort cohort(*backend_, host);
    std::vector<double> expected(9 * 9, 0.25);
    double* gram = upload(std::span<const double>(expected));
    backend_->estimate_gram({cohort.codes(), nullptr, gram}, Stream::kCompute);
    reference_gram(host, {}, expected);
    ASSERT_EQ(download(gram, expected.size()), expected);
    release_uploads();
  }
}

/// Values made to add up errors: of one sign and just above a power of two, of any magnitude down
/// to where products vanish, equal rows, and rows that cancel but for a little.
TEST_P(Conformance, EstimatedGramErrsNoMoreThanStated) {
  Random random(seed());
  constexpr std::size_t kRows = 24;
  const std::size_t d = emulated() ? 60 : 1500;
  for (const int kind : {0, 1, 2, 3, 4}) {
    HostCohort host;
    host.format = {Codec::kF32, 0};
    host.d = d;
    const auto uniform = [&](double low, double high) {
      return std::uniform_real_distribution<double>(low, high)(random);
    };
    const auto value = [&](std::size_t row, std::size_t k) -> double {
      switch (kind) {
        case 0:
          return uniform(1, 1.0001);
        case 1:
          return std::ldexp(uniform(-1, 1), -static_cast<int>(random() % 140));
        case 2:
          return std::ldexp(uniform(0.5, 1), row % 2 == 0 ? -70 : 38);
        case 3:
          return std::sin(static_cast<double>(k)) + 1e-6 * uniform(-1, 1);
        default:
          return (k % 2 == 0 ? 1 : -1) * (row % 3 == 0 ? 1 : 3.0000002);
      }
    };
    for (std::size_t i = 0; i < kRows; ++i) {
      std::vector<float> row;
      for (std::size_t k = 0; k < d; ++k) row.push_back(static_cast<float>(value(i, k)));
      const auto bytes = std::as_bytes(std::span(row));
      host.rows.emplace_back(bytes.begin(), bytes.end());
    }
    for (const bool centred : {false, true}) {
      std::vector<float> centre;
      if (centred)
        for (std::size_t k = 0; k < d; ++k) centre.push_back(host.value(random() % kRows, k));
      const DeviceCohort cohort(*backend_, host);
      double* gram = upload(std::span<const double>(std::vector<double>(kRows * kRows)));
      backend_->estimate_gram(
          {cohort.codes(), centred ? upload(std::span<const float>(centre)) : nullptr, gram},
          Stream::kCompute);
      const std::vector<double> found = download(gram, kRows * kRows);
      const auto product = [&](std::size_t i, std::size_t j) {
        long double sum = 0;
        for (std::size_t k = 0; k < d; ++k) {
          const long double c = centred ? static_cast<long double>(centre[k]) : 0;
          sum += (static_cast<long double>(host.value(i, k)) - c) *
                 (static_cast<long double>(host.value(j, k)) - c);
        }
        return sum;
      };
      std::vector<long double> lengths;
      for (std::size_t i = 0; i < kRows; ++i) lengths.push_back(std::sqrt(product(i, i)));
      for (std::size_t i = 0; i < kRows; ++i)
        for (std::size_t j = 0; j < kRows; ++j) {
          const long double error = std::fabs(found[i * kRows + j] - product(i, j));
          ASSERT_LE(error, kEstimateError * lengths[i] * lengths[j] +
                               static_cast<long double>(d) * kEstimateUnderflow)
              << "kind " << kind << ", rows " << i << " and " << j;
        }
      release_uploads();
    }
  }
}

}  // namespace
}  // namespace muster::kernels::conformance
