// The reference values of algorithms 7.5 to 7.8, to the digits printed there.
#include "privacy/accountant.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <numeric>

#include "privacy/accountant_gaussian.h"
#include "privacy/accountant_pld.h"
#include "privacy/accountant_rdp.h"

namespace muster::privacy {
namespace {

constexpr double kDigits4 = 5.1e-5;

double spent(const Schedule& run, double delta, Accountant accountant) {
  const auto value = epsilon(run, delta, accountant);
  EXPECT_TRUE(value.ok()) << value.status().to_string();
  return value.ok() ? *value : -1;
}

Schedule poisson(double q, double z, std::uint64_t rounds) {
  return {z, Adjacency::kZeroOut, Poisson{q}, rounds};
}

Schedule check_in(double z, std::uint32_t participations) {
  return {z, Adjacency::kZeroOut, CheckIn{{participations, 1}}, 100'000};
}

TEST(Accountant, OneGaussianIsExactAndRenyiAsTheTableSays) {
  struct Row {
    double z;
    std::array<double, 3> exact, renyi;
  };
  const std::array<double, 3> deltas = {1e-5, 1e-6, 1e-9};
  for (const Row& row : {Row{0.5, {9.9973, 10.9972, 13.5348}, {10.7255, 11.6886, 14.1502}},
                         Row{0.7, {6.6525, 7.3726, 9.1971}, {7.1628, 7.8581, 9.6306}},
                         Row{1.0, {4.3772, 4.8866, 6.1739}, {4.7285, 5.2215, 6.4741}},
                         Row{2.0, {1.9931, 2.2541, 2.9097}, {2.1657, 2.4191, 3.0582}},
                         Row{4.0, {0.9263, 1.0607, 1.3956}, {1.0126, 1.1432, 1.4698}},
                         Row{8.0, {0.4344, 0.5039, 0.6753}, {0.4776, 0.5451, 0.7125}}}) {
    for (std::size_t i = 0; i < deltas.size(); ++i) {
      EXPECT_NEAR(spent(check_in(row.z, 1), deltas[i], Accountant::kGaussian), row.exact[i],
                  kDigits4);
      EXPECT_NEAR(spent(check_in(row.z, 1), deltas[i], Accountant::kRdp), row.renyi[i], kDigits4);
    }
  }
}

TEST(Accountant, PoissonSampledRoundsCostWhatTheTableSays) {
  struct Row {
    double q, z;
    std::uint64_t rounds;
    double delta, renyi, pld;
  };
  for (const Row& row :
       {Row{.01, 1, 1000, 1e-6, 2.4367, 2.1245}, Row{.01, .7, 1000, 1e-6, 6.2787, 5.4479},
        Row{.01, 1, 100, 1e-6, 1.5074, .9542}, Row{.001, 1, 1000, 1e-8, 1.2535, .3051},
        Row{.001, .6, 2000, 1e-8, 4.5252, 3.7139},
        Row{5000.0 / 763430, 1, 5000, 1e-9, 4.1833, 3.8988},
        Row{150.0 / 60000, 1.3, 6000, 1e-5, .7242, .6401},
        Row{.001, 1, 30000, 1e-7, 1.4155, 1.0982}, Row{.1, 2, 200, 1e-5, 3.6797, 3.3597},
        Row{1e-4, .5, 10000, 1e-9, 5.3761, 4.3502}}) {
    const Schedule run = poisson(row.q, row.z, row.rounds);
    EXPECT_NEAR(spent(run, row.delta, Accountant::kRdp), row.renyi, kDigits4);
    // Both are upper bounds on a grid; for many small rounds ours is the finer one.
    const double pld = spent(run, row.delta, Accountant::kPld);
    EXPECT_LT(pld, row.pld * 1.001);
    EXPECT_GT(pld, row.pld * .9995);
  }
}

TEST(Accountant, ReplaceOneAndCapacityCostWhatTheTableSays) {
  const auto fixed = [](double z) {
    return Schedule{z, Adjacency::kReplaceOne, FixedSize{1'000'000, 10'000}, 1000};
  };
  EXPECT_NEAR(spent(fixed(2), 1e-6, Accountant::kRdp), 4.0212, kDigits4);  // 1 against 2C
  EXPECT_NEAR(spent(fixed(1), 1e-6, Accountant::kRdp), 23.29, 5.1e-3);
  EXPECT_NEAR(spent(fixed(4), 1e-6, Accountant::kRdp), 1.6292, kDigits4);
  const Schedule replaced{1, Adjacency::kReplaceOne, Poisson{.01}, 1000};
  EXPECT_NEAR(spent(replaced, 1e-6, Accountant::kPld), 3.2142, 3e-4);
  const auto capped = [](std::uint64_t capacity) {
    return Schedule{1, Adjacency::kZeroOut, Poisson{.01, 1'000'000, capacity}, 1000};
  };
  EXPECT_NEAR(spent(capped(10'000), 1e-6, Accountant::kPld), 13.15, 5.1e-3);
  EXPECT_NEAR(spent(capped(10'500), 1e-6, Accountant::kPld), 2.127, 5.1e-4);
  EXPECT_NEAR(spent(capped(11'000), 1e-6, Accountant::kPld), 2.1245, 2e-4);
}

TEST(Accountant, RenyiCurveOfSampledGaussianHitsTheCheckVector) {
  for (const auto& [alpha, r] : {std::pair{1.5, 6.70579741e-4},
                                 {2.5, 1.08548710e-3},
                                 {5.0, 2.18075656e-3},
                                 {50.0, 2.38460375e-2},
                                 {100.0, 167.416308}})
    EXPECT_NEAR(50 * rdp_poisson(.01, 2.5, alpha), r, 3e-9 * std::max(1.0, r * 10)) << alpha;
}

TEST(Accountant, OldConversionReproducesPublishedFigures) {
  const auto old = [](double q, double z, double rounds, double delta,
                      std::span<const double> orders) {
    std::vector<double> curve;
    for (const double alpha : orders) curve.push_back(rounds * rdp_poisson(q, z, alpha));
    return rdp_epsilon_old(orders, curve, delta);
  };
  std::vector<double> integers(31);
  std::iota(integers.begin(), integers.end(), 2);  // McMahan et al. 2018 used no others
  EXPECT_NEAR(old(5000.0 / 763430, 1, 5000, 1e-9, integers), 4.6338, kDigits4);
  const auto tutorial = [&](double z, double epochs) {
    return old(256.0 / 60000, z, epochs * 60000 / 256, 1e-5, rdp_orders());
  };
  EXPECT_NEAR(tutorial(1.1, 60), 3.008, 1e-3);
  EXPECT_NEAR(tutorial(1.3, 15), 1.192, 1e-3);
  EXPECT_NEAR(tutorial(.7, 45), 7.101, 2e-3);
}

TEST(Accountant, ParticipationsWithoutAmplificationAddUp) {
  const auto exact = [](double z, std::uint32_t k) {
    return spent(check_in(z, k), 1e-6, Accountant::kGaussian);
  };
  for (const auto& [k, e] : {std::pair{1u, 4.8866}, {2u, 7.2861}, {6u, 14.0901}, {10u, 19.4237}})
    EXPECT_NEAR(exact(1, k), e, kDigits4);
  for (const auto& [k, e] :
       {std::pair{1u, 1.0607}, {2u, 1.5436}, {6u, 2.8189}, {10u, 3.7472}, {100u, 14.4508}})
    EXPECT_NEAR(exact(4, k), e, kDigits4);
  for (const auto& [k, e] :
       {std::pair{1u, .5039}, {2u, .7305}, {6u, 1.3206}, {10u, 1.7430}, {100u, 6.3121}})
    EXPECT_NEAR(exact(8, k), e, kDigits4);
}

TEST(Accountant, ReplaceOneIsTwiceTheSensitivity) {
  Schedule run = check_in(1, 1);
  run.adjacency = Adjacency::kReplaceOne;
  EXPECT_NEAR(spent(run, 1e-6, Accountant::kGaussian), 11.00, 5.1e-3);
  EXPECT_EQ(spent(run, 1e-6, Accountant::kGaussian),
            spent(check_in(.5, 1), 1e-6, Accountant::kGaussian));
}

TEST(Accountant, ConcentratedPrivacyConverts) {
  for (const auto& [rho, first, second] : {std::tuple{.1, 1.995, 2.753},
                                           {.25, 3.308, 4.492},
                                           {.5, 4.887, 6.548},
                                           {.81, 6.445, 8.549},
                                           {1.0, 7.286, 9.618},
                                           {2.0, 10.997, 14.274}}) {
    EXPECT_NEAR(gaussian_epsilon(std::sqrt(2 * rho), 1e-6), first, 5.1e-4);
    EXPECT_NEAR(gaussian_epsilon(std::sqrt(2 * rho), 1e-10), second, 5.1e-4);
    EXPECT_GT(zcdp_epsilon(rho, 1e-6), first);
    EXPECT_LT(zcdp_epsilon(rho, 1e-6), zcdp_epsilon_loose(rho, 1e-6));
  }
  EXPECT_NEAR(zcdp_epsilon(.5, 1e-6), 5.2215, 1e-3);
}

TEST(Accountant, AShuffleIsNotPoissonSampling) {
  // TFP's own statement for 10,000 examples, batches of 64, z = 2, 5 epochs, delta 1e-6.
  Schedule run{2, Adjacency::kZeroOut, Tree{{5, 1}, 157}, 5 * 157};
  EXPECT_GT(spent(run, 1e-6, Accountant::kRdp), 10);
  EXPECT_NEAR(spent(poisson(64.0 / 10000, 2, 5 * 157), 1e-6, Accountant::kRdp), 1.616 / 2, .5);
}

TEST(Accountant, TheLossDistributionOfPlainRoundsIsTheExactGaussian) {
  for (const double z : {.5, 1.0, 3.0, 8.0})
    for (const std::uint64_t rounds : {1u, 7u, 100u})
      for (const double delta : {1e-3, 1e-6, 1e-10}) {
        const LossStep step{z, 1, rounds};
        const double exact = gaussian_epsilon(std::sqrt(static_cast<double>(rounds)) / z, delta);
        const double found = pld_epsilon({&step, 1}, Adjacency::kZeroOut, delta);
        EXPECT_GE(found, exact) << z << ' ' << rounds << ' ' << delta;
        EXPECT_LT(found, exact * 1.001) << z << ' ' << rounds << ' ' << delta;
      }
}

TEST(Accountant, LossesOfDifferentRoundsCompose) {
  const std::array<LossStep, 2> steps = {LossStep{2, 1, 3}, LossStep{4, 1, 5}};
  const double exact = gaussian_epsilon(std::sqrt(3 / 4.0 + 5 / 16.0), 1e-6);
  const double found = pld_epsilon(steps, Adjacency::kAddRemove, 1e-6);
  EXPECT_GE(found, exact);
  EXPECT_LT(found, exact * 1.001);
}

TEST(Accountant, MoreNoiseFewerRoundsOrALargerDeltaNeverCostMore) {
  for (const double q : {.003, .3}) {
    double last = 1e9;
    for (const double z : {.7, 1.4, 3.0}) {
      const double e = tightest(poisson(q, z, 30), 1e-7)->epsilon;
      EXPECT_LT(e, last);
      EXPECT_GE(tightest(poisson(q, z, 60), 1e-7)->epsilon, e);
      EXPECT_LE(tightest(poisson(q, z, 30), 1e-5)->epsilon, e);
      EXPECT_EQ(tightest(poisson(q, z, 30), 1e-5)->accountant, Accountant::kPld);
      last = e;
    }
  }
}

TEST(Accountant, TheSolverMeetsItsTargetAndNotByMuch) {
  for (const Schedule& run :
       {poisson(.01, 1, 100), check_in(1, 6),
        Schedule{1, Adjacency::kReplaceOne, FixedSize{100'000, 1000}, 500}, poisson(.2, 1, 3)}) {
    for (const Accountant accountant : accountants(run)) {
      for (const double target : {2.0}) {
        const auto z = solve_noise(run, target, 1e-6, accountant);
        ASSERT_TRUE(z.ok()) << z.status().to_string();
        Schedule solved = run;
        solved.noise_multiplier = *z;
        EXPECT_LE(spent(solved, 1e-6, accountant), target);
        solved.noise_multiplier = *z * .999;
        EXPECT_GT(spent(solved, 1e-6, accountant), target);
      }
    }
  }
  // algorithms 7.6, on a finer grid of orders: ours is a little above.
  const auto z = solve_noise(check_in(1, 1), 1, 1e-6, Accountant::kRdp);
  EXPECT_NEAR(*z, 4.530877117, 2e-3);
}

TEST(Accountant, RefusesWhatNobodyCanAccountFor) {
  const auto reason = [](const Schedule& run) {
    return std::string(tightest(run, 1e-6).status().reason());
  };
  EXPECT_EQ(reason({0, Adjacency::kZeroOut, CheckIn{}, 1}), "noise_invalid");
  EXPECT_EQ(reason({NAN, Adjacency::kZeroOut, CheckIn{}, 1}), "noise_invalid");
  EXPECT_EQ(reason({1, Adjacency::kZeroOut, CheckIn{}, 0}), "rounds_invalid");
  EXPECT_EQ(reason({1, Adjacency::kZeroOut, CheckIn{{0, 1}}, 1}), "sampling_invalid");
  EXPECT_EQ(reason(poisson(0, 1, 1)), "sampling_invalid");
  EXPECT_EQ(reason(poisson(1.5, 1, 1)), "sampling_invalid");
  EXPECT_EQ(reason({1, Adjacency::kZeroOut, FixedSize{10, 5}, 1}), "adjacency_unsupported");
  EXPECT_EQ(reason({1, Adjacency::kReplaceOne, FixedSize{10, 11}, 1}), "sampling_invalid");
  EXPECT_EQ(reason({1, Adjacency::kReplaceOne, Poisson{.1, 100, 20}, 1}), "adjacency_unsupported");
  EXPECT_EQ(reason({1, Adjacency::kZeroOut, BltNoise{{{.5, .5}, {.1, .1}}, {}}, 1}), "blt_invalid");
  EXPECT_EQ(epsilon(check_in(1, 1), 0, Accountant::kGaussian).status().reason(), "delta_invalid");
  EXPECT_EQ(epsilon(check_in(1, 1), 1e-6, Accountant::kPld).status().reason(),
            "accountant_unsound");
  EXPECT_EQ(epsilon(poisson(.1, 1, 1), 1e-6, Accountant::kZcdp).status().reason(),
            "accountant_unsound");
}

}  // namespace
}  // namespace muster::privacy
