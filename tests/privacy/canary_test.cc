// An attacker who knows everything but which canaries took part guesses it from releases. A canary
// is clipped, so it moves the sum by the whole bound in a direction of its own, and what else lies
// in that direction the attacker knows. What remains is noise with or without the canary.
// tests/sim/canary_test.cc does the same through a whole server.
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

constexpr std::size_t kD = 256, kWidth = 4;  ///< coordinates of a direction
constexpr std::uint32_t kN = 40;
constexpr std::size_t kRuns = 200;  ///< of each canary, in each world
constexpr double kDelta = 1e-5;

std::uint64_t test_seed() {
  const char* text = std::getenv("MUSTER_TEST_SEED");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : 20'261'129;
}

/// Rounds of a mechanism with `quarters` fourths of the noise that it claims.
class Rounds {
 public:
  Rounds(Mechanism claimed, Roles roles, int quarters, std::uint64_t seed)
      : mechanism_(std::move(claimed)),
        roles_(roles),
        quarters_(quarters),
        random_(seed),
        worlds_(seed + 1) {
    kernels::BackendOptions options;
    options.kind = "cpu";
    options.threads = 1;
    backend_ = kernels::create_backend(options, nullptr).value();
    std::vector<std::byte> bytes(kSecretBytes);
    for (std::byte& b : bytes) b = static_cast<std::byte>(random_());
    master_.emplace(Secret::copy_of(bytes).value());
  }

  Observed observe() {
    Observed observed;
    for (std::size_t run = 0; run < 2 * kRuns; ++run) this->run(observed);
    return observed;
  }

 private:
  void run(Observed& observed) {
    const std::vector<bool> in = worlds_.next(roles_.canaries(kN));
    // Halves in the canary's coordinates, a hundred times too long; small values elsewhere, which
    // the attacker knows. Nobody else has anything in the directions of canaries: a sum would be
    // known too, but the order of values is what trimming looks at.
    std::normal_distribution<float> normal(0, 0.02f);
    std::vector<std::vector<float>> updates(kN, std::vector<float>(kD));
    for (std::uint32_t i = 0; i < kN; ++i) {
      const std::uint32_t canary = roles_.canary_of(i);
      if (roles_.is_canary(i) && !in[canary]) continue;
      for (std::size_t k = kN * kWidth; k < kD; ++k) updates[i][k] = normal(random_);
      for (std::size_t k = 0; k < kWidth; ++k) updates[i][canary * kWidth + k] = 50.0f;
    }
    const std::vector<std::int64_t> sums = noised_sums(updates);
    for (std::uint32_t canary = 0; canary < in.size(); ++canary) {
      // In units of the clip norm.
      double along = 0;
      for (std::size_t k = 0; k < kWidth; ++k)
        along += 0.5 * static_cast<double>(sums[canary * kWidth + k]) * mechanism_.grid.step;
      observed.add(along, in[canary]);
    }
  }

  std::vector<std::int64_t> noised_sums(const std::vector<std::vector<float>>& updates) {
    std::vector<const std::byte*> addresses;
    for (const auto& x : updates) addresses.push_back(reinterpret_cast<const std::byte*>(x.data()));
    const Rows rows{kN, kD, kD, [&](std::uint32_t) {
                      return kernels::Codes{{Codec::kF32, 0}, kD, addresses, {}};
                    }};
    const Contributions contributions = clip_to_grid(*backend_, rows, 100, mechanism_.grid).value();
    std::vector<std::int64_t> sum(kD);
    const std::vector<std::int64_t> ones(kN, 1);
    const Status added =
        roles_.trim > 0 ? add_trimmed(*backend_, rows, contributions, kN, roles_.trim, sum.data())
                        : add_contributions(*backend_, rows, contributions, ones, sum.data());
    EXPECT_TRUE(added.ok()) << added.to_string();
    std::array<std::byte, 32> round_secret{}, digest{};
    for (std::byte& b : round_secret) b = static_cast<std::byte>(random_());
    const Secret key = noise_key(*master_, {1, ++round_, round_secret, digest}).value();
    NoiseGrid quarter = mechanism_.grid;
    quarter.log2_sigma -= 2;
    if (quarters_ == 4)
      add_noise(*backend_, key, kReleaseVector, mechanism_.grid, sum.data(), kD);
    else if (quarters_ > 0)
      add_noise(*backend_, key, kReleaseVector, quarter, sum.data(), kD, quarters_);
    return sum;
  }

  Mechanism mechanism_;
  Roles roles_;
  int quarters_;
  std::mt19937_64 random_;
  Worlds worlds_;
  std::unique_ptr<kernels::Backend> backend_;
  std::optional<Secret> master_;
  std::uint64_t round_ = 0;
};

Mechanism mechanism_of(double z, std::uint32_t trim) {
  const MechanismRequest request{.clip_norm = 1, .noise_multiplier = z, .dimension = kD, .n = kN};
  return (trim > 0 ? trimmed_mean(request, trim) : gaussian_mean(request)).value();
}

class Canary : public testing::TestWithParam<std::tuple<double, std::uint32_t>> {};

TEST_P(Canary, IsHiddenByTheNoiseThatIsClaimedAndFoundWithAQuarterLess) {
  const auto [z, trim] = GetParam();
  const Mechanism claimed = mechanism_of(z, trim);
  const Roles roles{trim};
  const double mu = 1 / claimed.noise_multiplier, epsilon = gaussian_epsilon(mu, kDelta);
  const Attack attack(mu, kRuns * roles.canaries(kN), kDelta);
  const auto shows = [&](int quarters, const char* what) {
    const std::uint64_t seed = test_seed();
    const Observed seen = Rounds(claimed, roles, quarters, seed).observe();
    std::printf("seed %llu, %s, z %g (epsilon %.3f at %g), %s: %s\n",
                static_cast<unsigned long long>(seed), claimed.name.c_str(), z, epsilon, kDelta,
                what, attack.say(seen.with, seen.without).c_str());
    return attack.shows(seen.with, seen.without);
  };
  const Shown released = shows(4, "as released");
  EXPECT_LT(released.epsilon, epsilon);
  EXPECT_LT(gaussian_epsilon(released.mu, kDelta), epsilon);
  // The attack is near what an attacker can do at all,
  EXPECT_GT(released.mu, 0.6 * mu);
  // has the power to find that a quarter of the noise is missing,
  EXPECT_GT(gaussian_epsilon(shows(3, "a quarter less noise").mu, kDelta), epsilon);
  EXPECT_GT(gaussian_epsilon(shows(2, "half the noise").mu, kDelta), epsilon);
  // and without noise needs no assumption about what kind of noise there is.
  EXPECT_GT(shows(0, "without noise").epsilon, epsilon);
}

INSTANTIATE_TEST_SUITE_P(Mechanisms, Canary,
                         testing::Values(std::tuple(1.0, 0u), std::tuple(2.0, 0u),
                                         std::tuple(1.0, 3u)));

// Published values: 0 of 200 at 97.5 % is 1.83 %, 10 of 100 is 17.62 %.
TEST(ClopperPearson, GivesKnownBounds) {
  EXPECT_NEAR(rate_at_most(0, 200, 0.025), 0.018275, 1e-5);
  EXPECT_NEAR(rate_at_most(10, 100, 0.025), 0.176223, 1e-5);
  EXPECT_EQ(rate_at_most(5, 5, 0.025), 1);
  EXPECT_NEAR(normal_quantile(0.975), 1.959964, 1e-6);
  EXPECT_NEAR(normal_quantile(1e-9), -5.997807, 1e-6);
}

// 200 runs a world: mu = 2 (half the noise of z = 1) is shown to be above 1.
TEST(Attack, SaysWhatErrorRatesImply) {
  const Guesses rates{0.5, 200, 32, 32};  // 16 %: P(N(0, 1) > 1)
  const Shown shown = shown_by(rates, 1e-5, 0.025);
  EXPECT_NEAR(shown.mu, 2 * -normal_quantile(rate_at_most(32, 200, 0.025)), 1e-9);
  EXPECT_GT(shown.mu, 1.5);
  EXPECT_LT(shown.mu, 2);
  const Guesses none{0.5, 200, 0, 0};
  EXPECT_NEAR(shown_by(none, 1e-5, 0.025).epsilon, std::log((1 - 1e-5 - 0.018275) / 0.018275),
              1e-3);
  EXPECT_EQ(shown_by({0.5, 200, 100, 100}, 1e-5, 0.025).mu, 0);
  EXPECT_EQ(shown_by({0.5, 200, 200, 200}, 1e-5, 0.025).epsilon, 0);
}

}  // namespace
}  // namespace muster::privacy
