// What one device can move, in the integers that noise is added to: lemmas L1 and L4 and the
// clipped mean, on neighbours at random and of ill will.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "privacy/apply.h"

namespace muster::privacy {
namespace {

using Wide = unsigned __int128;
using Values = std::vector<float>;
using Sums = std::vector<std::int64_t>;
using Random = std::mt19937_64;

std::uint64_t test_seed() {
  const char* text = std::getenv("MUSTER_TEST_SEED");
  const std::uint64_t seed = text != nullptr ? std::strtoull(text, nullptr, 10) : 20'240'601;
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

std::unique_ptr<kernels::Backend> cpu_backend() {
  kernels::BackendOptions options;
  options.kind = "cpu";
  options.threads = 1;
  return kernels::create_backend(options, nullptr).value();
}

/// What a device may send.
Values update(std::size_t d, double step, Random& random) {
  std::normal_distribution<float> normal(0, 1);
  Values x(d);
  const int kind = static_cast<int>(random() % 9);
  const float size = std::exp(4 * normal(random));
  for (std::size_t k = 0; k < d; ++k) {
    switch (kind) {
      case 0:  // ordinary, of any length
        x[k] = size * normal(random);
        break;
      case 1:  // huge and cancelling
        x[k] = (k % 2 == 0 ? 1.0f : -1.0f) * 3e37f;
        break;
      case 2:  // subnormal, and zeros of both signs
        x[k] = 0x1p-140f * static_cast<float>(static_cast<int>(random() % 5) - 2);
        break;
      case 3:
        x[k] = -0.0f;
        break;
      case 4:  // halves of a grid step, which all round the same way
        x[k] = static_cast<float>((static_cast<double>(random() % 7) + 0.5) * step);
        break;
      case 5:  // one coordinate beside tiny ones
        x[k] = k == d / 2 ? 1e30f : 1e-30f;
        break;
      case 6:  // all equal: just at, above or below the clip norm of 1
        x[k] = std::nextafter(static_cast<float>(1 / std::sqrt(static_cast<double>(d))),
                              random() % 2 == 0 ? 0.0f : 2.0f);
        break;
      case 7:  // what the contract refuses
        x[k] = k == d / 3   ? std::numeric_limits<float>::quiet_NaN()
               : k == d / 2 ? std::numeric_limits<float>::infinity()
                            : size;
        break;
      default:  // everything at once
        x[k] = random() % 3 == 0 ? 3e37f : random() % 2 == 0 ? -1e-44f : normal(random);
    }
  }
  return x;
}

/// A cohort in the memory of the CPU backend, which is ours.
class Cohort {
 public:
  explicit Cohort(std::vector<Values> updates) : updates_(std::move(updates)) {}
  Rows rows(std::size_t chunk = 128) const {
    const std::size_t d = updates_[0].size();
    return {
        static_cast<std::uint32_t>(updates_.size()), d, chunk, [this, d, chunk](auto c) {
          addresses_.clear();
          for (const Values& x : updates_)
            addresses_.push_back(reinterpret_cast<const std::byte*>(x.data() + c * chunk));
          return kernels::Codes{{Codec::kF32, 0}, std::min(chunk, d - c * chunk), addresses_, {}};
        }};
  }
  std::vector<Values> updates_;

 private:
  mutable std::vector<const std::byte*> addresses_;
};

/// Norm of a difference over a bound, decided in integers; the ratio is for the report.
double share_of_bound(const Sums& a, const Sums& b, std::uint64_t bound) {
  Wide square = 0;
  for (std::size_t k = 0; k < a.size(); ++k) {
    const auto difference = static_cast<Wide>(a[k] > b[k] ? a[k] - b[k] : b[k] - a[k]);
    square += difference * difference;
  }
  EXPECT_TRUE(square <= Wide{bound} * bound);
  return std::sqrt(static_cast<double>(square)) / static_cast<double>(bound);
}

struct Case {
  NoiseGrid grid;
  std::uint32_t n, f;
  std::size_t d;
  Values centre;
};

Case any_case(Random& random) {
  Case any;
  any.n = static_cast<std::uint32_t>(1 + random() % 12);
  any.f = static_cast<std::uint32_t>(random() % ((any.n + 1) / 2));
  any.d = 1 + random() % 300;
  if (random() % 2 == 0)
    any.grid = plan_grid({1, 1.0, any.d, any.n}).value();
  else  // so coarse that rounding is a good part of a contribution
    any.grid = {12, 2000, 1.0 / 2000, 2};
  for (std::size_t k = 0; k < any.d; ++k)
    any.centre.push_back(0.1f * static_cast<float>(random() % 100) - 5);
  return any;
}

/// The sums of three mechanisms for a cohort in which device `absent` (n: none) gives nothing.
struct Results {
  std::vector<Sums> sums;
  std::vector<Contributions> contributions;  ///< around the origin, around the centre
};
Results results(kernels::Backend& backend, const Case& any, const Cohort& cohort,
                std::uint32_t absent) {
  constexpr float kBound = 3.2e38f;
  Results out;
  const Rows rows = cohort.rows();
  out.contributions.push_back(clip_to_grid(backend, rows, kBound, any.grid).value());
  out.contributions.push_back(
      clip_to_grid(backend, rows, kBound, any.grid, any.centre.data()).value());
  for (Contributions& contributions : out.contributions) {
    EXPECT_EQ(contributions.unbounded, 0u);
    if (absent < any.n) contributions.factors[absent] = 0;
  }
  out.sums.assign(3, Sums(any.d));
  const std::vector<std::int64_t> ones(any.n, 1);
  EXPECT_TRUE(
      add_contributions(backend, rows, out.contributions[0], ones, out.sums[0].data()).ok());
  EXPECT_TRUE(
      add_trimmed(backend, rows, out.contributions[0], any.n, any.f, out.sums[1].data()).ok());
  EXPECT_TRUE(
      add_differences(backend, rows, out.contributions[1], any.centre.data(), out.sums[2].data())
          .ok());
  return out;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kCases = 200;
#else
constexpr int kCases = 10'000;
#endif

TEST(Sensitivity, OfMeanTrimmedMeanAndCentredClippingHoldsInIntegers) {
  Random random(test_seed());
  const auto backend = cpu_backend();
  double most[2][3] = {};
  for (int i = 0; i < kCases && !HasFailure(); ++i) {
    const Case any = any_case(random);
    std::vector<Values> updates;
    for (std::uint32_t row = 0; row < any.n; ++row)
      updates.push_back(update(any.d, any.grid.step, random));
    Cohort cohort(updates);
    const auto one = static_cast<std::uint32_t>(random() % any.n);
    const Results whole = results(*backend, any, cohort, any.n);
    const Results zeroed = results(*backend, any, cohort, one);
    // Replaced: by another, or by its own opposite, as far away as can be.
    const bool opposite = random() % 2 == 0;
    for (std::size_t k = 0; k < any.d; ++k) {
      float& x = cohort.updates_[one][k];
      x = opposite ? -x : x;
    }
    if (!opposite) cohort.updates_[one] = update(any.d, any.grid.step, random);
    const Results replaced = results(*backend, any, cohort, any.n);
    for (std::size_t m = 0; m < 3; ++m) {
      SCOPED_TRACE("case " + std::to_string(i) + " mechanism " + std::to_string(m));
      most[0][m] =
          std::max(most[0][m], share_of_bound(whole.sums[m], zeroed.sums[m], any.grid.bound));
      most[1][m] =
          std::max(most[1][m], share_of_bound(whole.sums[m], replaced.sums[m], 2 * any.grid.bound));
    }
    // Nobody else's part depends on the one.
    for (std::size_t which = 0; which < 2; ++which)
      for (std::uint32_t row = 0; row < any.n; ++row) {
        if (row == one) continue;
        EXPECT_EQ(whole.contributions[which].factors[row],
                  replaced.contributions[which].factors[row]);
      }
  }
  for (std::size_t m = 0; m < 3; ++m) {
    std::printf("mechanism %zu reaches %.4f of the zero-out bound, %.4f of the replace-one bound\n",
                m, most[0][m], most[1][m]);
    EXPECT_GT(most[0][m], 0.99);  // the bounds are tight: a smaller one would be wrong
    EXPECT_GT(most[1][m], 0.98);
  }
}

TEST(Sensitivity, OfSeveralTrimmedMeansTogetherIsThatOfOne) {
  // Lemma L2: shards of n_g updates, each device in one; the sum of all shards' kept sums.
  Random random(test_seed() + 1);
  const auto backend = cpu_backend();
  for (int i = 0; i < kCases / 10 && !HasFailure(); ++i) {
    Case any = any_case(random);
    std::vector<Values> updates;
    for (std::uint32_t row = 0; row < any.n; ++row)
      updates.push_back(update(any.d, any.grid.step, random));
    const Cohort first(updates);
    updates[0] = update(any.d, any.grid.step, random);
    const Cohort neighbour(updates), other(updates);
    Sums sums = results(*backend, any, first, any.n).sums[1];
    Sums moved = results(*backend, any, neighbour, any.n).sums[1];
    const Sums shared = results(*backend, any, other, any.n).sums[1];
    for (std::size_t k = 0; k < any.d; ++k) sums[k] += shared[k], moved[k] += shared[k];
    share_of_bound(sums, moved, 2 * any.grid.bound);
  }
}

TEST(Sensitivity, OfAnAbsentDeviceInATrimmedMeanIsThatOfAZeroVector) {
  Random random(test_seed() + 2);
  const auto backend = cpu_backend();
  for (int i = 0; i < kCases / 10 && !HasFailure(); ++i) {
    const Case any = any_case(random);
    std::vector<Values> updates;
    for (std::uint32_t row = 0; row < any.n; ++row)
      updates.push_back(update(any.d, any.grid.step, random));
    const Cohort here(updates);
    const Sums zeroed = results(*backend, any, here, any.n - 1).sums[1];
    if (any.n == 1) continue;
    updates.pop_back();
    const Cohort rest(updates);
    const Rows rows = rest.rows();
    const Contributions contributions = clip_to_grid(*backend, rows, 3.2e38f, any.grid).value();
    Sums absent(any.d);
    ASSERT_TRUE(add_trimmed(*backend, rows, contributions, any.n, any.f, absent.data()).ok());
    EXPECT_EQ(absent, zeroed);
  }
}

/// Codes that change between the passes: what was measured says nothing about what is added.
TEST(ClipToGrid, ZeroesWhatTheIntegerCheckRefuses) {
  const auto backend = cpu_backend();
  Cohort cohort({Values(64, 0.01f), Values(64, 0.02f)});
  Rows rows = cohort.rows();
  int call = 0;
  const auto honest = rows.chunk;
  rows.chunk = [&](std::uint32_t c) {
    if (call++ == 1) cohort.updates_[1].assign(64, 0.5f);
    return honest(c);
  };
  const NoiseGrid grid = plan_grid({1, 1.0, 64, 2}).value();
  const Contributions contributions = clip_to_grid(*backend, rows, 16, grid).value();
  EXPECT_EQ(contributions.unbounded, 1u);
  EXPECT_EQ(contributions.clipped, 0u);
  EXPECT_GT(contributions.factors[0], 0);
  EXPECT_EQ(contributions.factors[1], 0);
}

TEST(ClipToGrid, CountsClippedAndInvalidUpdates) {
  const auto backend = cpu_backend();
  Values poisoned(64, 0.01f);
  poisoned[5] = std::numeric_limits<float>::quiet_NaN();
  const Cohort cohort({Values(64, 0.01f), Values(64, 1.0f), poisoned, Values(64, 17.0f)});
  const NoiseGrid grid = plan_grid({1, 1.0, 64, 4}).value();
  const Contributions contributions = clip_to_grid(*backend, cohort.rows(), 16, grid).value();
  EXPECT_EQ(contributions.invalid, 2u);
  EXPECT_EQ(contributions.clipped, 1u);
  EXPECT_EQ(contributions.unbounded, 0u);
  EXPECT_NEAR(contributions.factors[0] * grid.step, 1, 1e-12);
  EXPECT_NEAR(contributions.factors[1] * grid.step, 1.0 / 8, 1e-5);  // its norm is 8
  EXPECT_EQ(contributions.factors[2], 0);
  EXPECT_EQ(contributions.factors[3], 0);
}

}  // namespace
}  // namespace muster::privacy
