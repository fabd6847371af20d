// An attacker who knows everything but whether one device took part guesses it from releases. The
// canary is clipped, so it moves the sum by the whole bound in a direction the attacker knows; the
// attacker subtracts what everyone else sent. What remains is noise with or without the canary.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <optional>
#include <random>
#include <tuple>
#include <vector>

#include "privacy/accountant_gaussian.h"
#include "privacy/apply.h"
#include "privacy/keys.h"
#include "tests/privacy/attack.h"

namespace muster::privacy {
namespace {

constexpr std::size_t kD = 256;
constexpr std::uint32_t kN = 40;  // the canary is the last
constexpr std::size_t kRuns = 200;
constexpr double kDelta = 1e-5;
constexpr double kConfidence = 0.95;

std::uint64_t test_seed() {
  const char* text = std::getenv("MUSTER_TEST_SEED");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : 20'261'129;
}

/// Rounds of a mechanism, with the noise of `noise_of`: another one's, or none.
class Rounds {
 public:
  Rounds(Mechanism claimed, std::uint32_t trim, const NoiseGrid* noise_of, std::uint64_t seed)
      : mechanism_(std::move(claimed)), trim_(trim), noise_of_(noise_of), random_(seed) {
    kernels::BackendOptions options;
    options.kind = "cpu";
    options.threads = 1;
    backend_ = kernels::create_backend(options, nullptr).value();
    std::vector<std::byte> bytes(kSecretBytes);
    for (std::byte& b : bytes) b = static_cast<std::byte>(random_());
    master_.emplace(Secret::copy_of(bytes).value());
  }

  /// The attacker's statistic on one release: in units of the clip norm, the part of the sum along
  /// the canary that the others do not explain.
  double run(bool canary_in) {
    std::normal_distribution<float> normal(0, 0.02f);
    std::vector<std::vector<float>> updates(kN, std::vector<float>(kD));
    for (auto& x : updates)
      for (float& v : x) v = normal(random_);
    // 0.5 in four coordinates, a hundred times too long.
    updates.back().assign(kD, 0.0f);
    for (std::size_t k = 0; k < 4; ++k) updates.back()[k] = canary_in ? 50.0f : 0.0f;
    const std::vector<std::int64_t> noised = sum_of(updates, true);
    updates.back().assign(kD, 0.0f);
    const std::vector<std::int64_t> others = sum_of(updates, false);
    double along = 0;
    for (std::size_t k = 0; k < 4; ++k)
      along += 0.5 * static_cast<double>(noised[k] - others[k]) * mechanism_.grid.step;
    return along;
  }

  std::vector<double> runs(bool canary_in) {
    std::vector<double> statistics(kRuns);
    for (double& statistic : statistics) statistic = run(canary_in);
    return statistics;
  }

 private:
  std::vector<std::int64_t> sum_of(const std::vector<std::vector<float>>& updates, bool noised) {
    std::vector<const std::byte*> addresses;
    for (const auto& x : updates) addresses.push_back(reinterpret_cast<const std::byte*>(x.data()));
    const Rows rows{kN, kD, kD, [&](std::uint32_t) {
                      return kernels::Codes{{Codec::kF32, 0}, kD, addresses, {}};
                    }};
    const Contributions contributions = clip_to_grid(*backend_, rows, 100, mechanism_.grid).value();
    std::vector<std::int64_t> sum(kD);
    const std::vector<std::int64_t> ones(kN, 1);
    const Status added = trim_ > 0
                             ? add_trimmed(*backend_, rows, contributions, kN, trim_, sum.data())
                             : add_contributions(*backend_, rows, contributions, ones, sum.data());
    EXPECT_TRUE(added.ok()) << added.to_string();
    if (!noised || noise_of_ == nullptr) return sum;
    std::array<std::byte, 32> round_secret{}, digest{};
    for (std::byte& b : round_secret) b = static_cast<std::byte>(random_());
    const Secret key = noise_key(*master_, {1, ++round_, round_secret, digest}).value();
    add_noise(*backend_, key, kReleaseVector, *noise_of_, sum.data(), kD);
    return sum;
  }

  Mechanism mechanism_;
  std::uint32_t trim_;
  const NoiseGrid* noise_of_;
  std::mt19937_64 random_;
  std::unique_ptr<kernels::Backend> backend_;
  std::optional<Secret> master_;
  std::uint64_t round_ = 0;
};

Mechanism mechanism_of(double z, std::uint32_t trim) {
  const MechanismRequest request{.clip_norm = 1, .noise_multiplier = z, .dimension = kD, .n = kN};
  return (trim > 0 ? trimmed_mean(request, trim) : gaussian_mean(request)).value();
}

/// Learns a threshold on 200 runs of each world, and guesses 200 more of each.
Guesses attack(const Mechanism& claimed, std::uint32_t trim, const NoiseGrid* noise,
               const char* what, double epsilon) {
  const std::uint64_t seed = test_seed();
  Rounds rounds(claimed, trim, noise, seed);
  const auto learn_in = rounds.runs(true), learn_out = rounds.runs(false);
  const double threshold = best_threshold(learn_in, learn_out, kDelta, kConfidence);
  const auto with = rounds.runs(true), without = rounds.runs(false);
  const Guesses guesses = guess(with, without, threshold, kDelta, kConfidence);
  std::printf(
      "seed %llu, %s, %s: claimed epsilon %.3f at delta %g; %zu of %zu said in wrongly, %zu "
      "missed; "
      "epsilon is at least %.3f (95 %%)\n",
      static_cast<unsigned long long>(seed), claimed.name.c_str(), what, epsilon, kDelta,
      guesses.false_in, guesses.runs, guesses.missed, guesses.epsilon_at_least);
  return guesses;
}

class Canary : public testing::TestWithParam<std::tuple<double, std::uint32_t>> {};

TEST_P(Canary, IsHiddenByTheNoiseThatIsClaimedAndFoundWithout) {
  const auto [z, trim] = GetParam();
  const Mechanism claimed = mechanism_of(z, trim);
  const double epsilon = gaussian_epsilon(1 / claimed.noise_multiplier, kDelta);
  EXPECT_LT(attack(claimed, trim, &claimed.grid, "as released", epsilon).epsilon_at_least, epsilon);
  // Trimming hides this canary, for it is extreme in its coordinates; the clipped mean does not.
  if (trim > 0) return;
  const Guesses bare = attack(claimed, trim, nullptr, "without noise", epsilon);
  EXPECT_GT(bare.epsilon_at_least, 1.5 * epsilon);
  EXPECT_EQ(bare.false_in + bare.missed, 0u);
  // And the attack has the power to find noise that is an eighth of what was claimed.
  NoiseGrid noise = claimed.grid;
  noise.log2_sigma -= 3;
  EXPECT_GT(attack(claimed, trim, &noise, "an eighth of the noise", epsilon).epsilon_at_least,
            epsilon);
}

INSTANTIATE_TEST_SUITE_P(Mechanisms, Canary,
                         testing::Values(std::tuple(2.0, 0u), std::tuple(4.0, 0u),
                                         std::tuple(1.0, 4u)));

// Published values: 0 of 200 at 97.5 % is 1.83 %, 10 of 100 is 17.62 %.
TEST(ClopperPearson, GivesKnownBounds) {
  EXPECT_NEAR(rate_at_most(0, 200, 0.025), 0.018275, 1e-5);
  EXPECT_NEAR(rate_at_most(10, 100, 0.025), 0.176223, 1e-5);
  EXPECT_EQ(rate_at_most(5, 5, 0.025), 1);
}

}  // namespace
}  // namespace muster::privacy
