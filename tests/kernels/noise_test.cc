// The discrete Gaussian: its generator, its exponential, its table, its law.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cell/gauss.h"

namespace muster::kernels {
namespace {

using cell::Fraction;
using cell::GaussVerdict;
using Wide = unsigned __int128;

constexpr cell::GaussTable kTable = cell::make_gauss_table();
constexpr int kMaxM = cell::kGaussMaxLog2Sigma;
static_assert(kMinLog2Sigma == cell::kGaussMinLog2Sigma && kMaxLog2Sigma == kMaxM);
static_assert(kNoiseVariationLog2 == cell::kGaussTotalVariationLog2);

std::uint64_t test_seed() {
  const char* text = std::getenv("MUSTER_TEST_SEED");
  const std::uint64_t seed = text != nullptr ? std::strtoull(text, nullptr, 10) : 20'240'601;
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

TEST(ChaCha20, GivesTheBlocksOfRfc8439) {
  struct Vector {
    bool counting_key;  ///< bytes 00 .. 1f; else zeros
    std::uint32_t counter;
    std::uint32_t nonce[3];
    std::array<std::uint32_t, 16> words;
  };
  // Sections 2.3.2, A.1 #1 and A.1 #2, as little-endian words.
  const Vector vectors[] = {
      {true,
       1,
       {0x09000000, 0x4a000000, 0},
       {0xe4e7f110, 0x15593bd1, 0x1fdd0f50, 0xc47120a3, 0xc7f4d1c7, 0x0368c033, 0x9aaa2204,
        0x4e6cd4c3, 0x466482d2, 0x09aa9f07, 0x05d7c214, 0xa2028bd9, 0xd19c12b5, 0xb94e16de,
        0xe883d0cb, 0x4e3c50a2}},
      {false,
       0,
       {0, 0, 0},
       {0xade0b876, 0x903df1a0, 0xe56a5d40, 0x28bd8653, 0xb819d2bd, 0x1aed8da0, 0xccef36a8,
        0xc70d778b, 0x7c5941da, 0x8d485751, 0x3fe02477, 0x374ad8b8, 0xf4b8436a, 0x1ca11815,
        0x69b687c3, 0x8665eeb2}},
      {false,
       1,
       {0, 0, 0},
       {0xbee7079f, 0x7a385155, 0x7c97ba98, 0x0d082d73, 0xa0290fcb, 0x6965e348, 0x3e53c612,
        0xed7aee32, 0x7621b729, 0x434ee69c, 0xb03371d5, 0xd539d874, 0x281fed31, 0x45fb0a51,
        0x1f0ae1ac, 0x6f4d794b}}};
  for (const Vector& vector : vectors) {
    std::uint32_t key[8] = {}, words[16];
    for (std::uint32_t i = 0; i < 8 && vector.counting_key; ++i)
      key[i] = 0x03020100 + i * 0x04040404;
    cell::chacha20_block({key, vector.counter, {vector.nonce[0], vector.nonce[1], vector.nonce[2]}},
                         words);
    EXPECT_TRUE(std::equal(vector.words.begin(), vector.words.end(), words));
  }
}

/// a - b in units, where it fits; limbs above must be equal.
std::uint64_t distance(const Fraction<4>& a, const Fraction<4>& b) {
  Wide borrow = 0;
  std::uint64_t low = 0;
  for (int i = 0; i < 4; ++i) {
    const Wide digit = (Wide{1} << 64) + a.limb[i] - b.limb[i] - borrow;
    borrow = digit >> 64 == 0 ? 1 : 0;
    const auto bits = static_cast<std::uint64_t>(digit);
    if (i == 0)
      low = bits;
    else
      EXPECT_EQ(bits, borrow != 0 && (low >> 63) != 0 ? ~std::uint64_t{0} : 0);
  }
  return borrow != 0 ? 0 - low : low;
}

TEST(Exponential, IsWithinItsBoundOfTheDigits) {
  struct Digits {
    std::uint64_t y;
    int m;
    Fraction<4> value;  ///< by decimal arithmetic of 130 digits
  };
  const Digits digits[] = {
      {64, 6, {{0xce4ae95861014318, 0xe347bf8ad0e80abb, 0xd675a35530cdd767, 0x9b4597e37cb04ff3}}},
      {2097152,
       20,
       {{0x9e1329cdbcb21c09, 0xf0dd961da28ac995, 0xb6edd5c25a052ae3, 0x22a555477f03973f}}},
      {4398046511104,
       40,
       {{0x8767ef801a32c2ef, 0xad23fbcb7f4a81e5, 0xbbfcd46780fee71e, 0x0015fc21041027ac}}},
      {12345678901,
       33,
       {{0xd276bf38ef6ecb6f, 0x5826cefbb2bc4588, 0xea0da1c7452c3e61, 0x5b232a7a389af7ec}}},
      {987654321,
       40,
       {{0xf00444499259e418, 0xab756f1e056e788b, 0x414daca2722671ba, 0xfffff93b3bc1ef52}}},
      {1023, 6, {{0x4b2f805efb2b3d64, 0xcf, 0, 0}}}};
  for (const Digits& sample : digits) {
    EXPECT_LE(distance(cell::exp_minus<4>(sample.y, sample.m), sample.value), cell::kExpError);
    const std::uint64_t one = cell::exp_minus<1>(sample.y, sample.m).limb[0];
    EXPECT_LE(std::max(one, sample.value.limb[3]) - std::min(one, sample.value.limb[3]),
              cell::kExpError);
  }
}

TEST(Exponential, OfOneLimbAgreesWithFour) {
  std::mt19937_64 random(test_seed());
  for (int i = 0; i < 20'000; ++i) {
    const int m = 6 + static_cast<int>(random() % 35);
    const std::uint64_t y = random() >> (60 - m) >> random() % 10;
    const std::uint64_t one = cell::exp_minus<1>(y, m).limb[0];
    const std::uint64_t four = cell::exp_minus<4>(y, m).limb[3];
    ASSERT_LE(std::max(one, four) - std::min(one, four), cell::kExpError + 1) << y << " " << m;
  }
}

TEST(GaussTable, AliasesAddUpToTheWeights) {
  std::vector<std::uint64_t> units(cell::kGaussBins);
  std::uint64_t total = 0;
  for (std::size_t cell = 0; cell < units.size(); ++cell) {
    const std::uint32_t threshold = kTable.alias[cell] >> 9, other = kTable.alias[cell] & 0x1ff;
    ASSERT_LE(threshold, 1u << 23);
    units[cell] += threshold;
    units[other] += (1u << 23) - threshold;
  }
  for (std::size_t bin = 0; bin < units.size(); ++bin) {
    EXPECT_EQ(units[bin], kTable.weight[bin]) << bin;
    total += kTable.weight[bin];
  }
  EXPECT_EQ(total, std::uint64_t{1} << 32);
}

/// Both by 256 bits, where the table was made with 64.
TEST(GaussTable, CoversTheDensityAndIsSureOnlyBelowIt) {
  for (std::uint64_t bin = 0; bin < cell::kGaussBins; ++bin) {
    const bool tail = bin + 1 == cell::kGaussBins;
    const std::uint64_t scale = cell::kGaussScale << (tail ? cell::kGaussTailLog2 : 0);
    const std::uint64_t start = cell::exp_minus<4>(bin, 6).limb[3];
    EXPECT_GT(Wide{kTable.weight[bin]} << 64, Wide{scale} * (start + 1)) << bin;
    if (tail) {
      EXPECT_EQ(kTable.sure[bin], 0u);
    } else {
      const std::uint64_t end = cell::exp_minus<4>(bin + 1, 6).limb[3];
      EXPECT_LE(Wide{kTable.sure[bin]} * kTable.weight[bin], Wide{scale} * end >> 32) << bin;
    }
  }
}

/// Uniform numbers around the border, where 64 bits leave the question open.
TEST(GaussJudge, SettlesByMoreBitsWhatFewLeaveOpen) {
  std::mt19937_64 random(test_seed());
  int open = 0;
  for (int i = 0; i < 20'000; ++i) {
    const int m = 6 + static_cast<int>(random() % 35);
    const std::uint32_t words[4] = {
        static_cast<std::uint32_t>(random()), static_cast<std::uint32_t>(random()),
        static_cast<std::uint32_t>(random()), static_cast<std::uint32_t>(random())};
    cell::GaussProposal proposal = cell::gauss_propose(kTable, m, words);
    // The border: multiplier e^-t / weight, and 2^-240 to either side.
    const Fraction<4> e = cell::exp_minus<4>(proposal.magnitude, m);
    std::uint64_t quotient[5] = {};
    Wide carry = 0;
    for (int j = 0; j < 5; ++j) {
      carry += j < 4 ? Wide{proposal.multiplier} * e.limb[j] : Wide{0};
      quotient[j] = static_cast<std::uint64_t>(carry);
      carry >>= 64;
    }
    Wide rest = quotient[4];
    Fraction<4> border{};
    ASSERT_LT(quotient[4], proposal.weight);
    for (int j = 4; j-- > 0;) {
      rest = rest << 64 | quotient[j];
      border.limb[j] = static_cast<std::uint64_t>(rest / proposal.weight);
      rest %= proposal.weight;
    }
    const Fraction<1> rounded{{border.limb[3] >> 12 << 12}};
    open += cell::gauss_judge<1>(proposal, m, rounded, 1 << 12) == GaussVerdict::kOpen ? 1 : 0;
    EXPECT_EQ(cell::gauss_judge<4>(proposal, m, border, 1), GaussVerdict::kOpen);
    const std::uint64_t far = std::uint64_t{1} << 42;  // more than margin / weight at Q = 2^4
    if (proposal.weight < 1 << 12 || border.limb[0] < far || border.limb[0] > ~far) continue;
    Fraction<4> below = border, above = border;
    below.limb[0] -= far;
    above.limb[0] += far;
    EXPECT_EQ(cell::gauss_judge<4>(proposal, m, below, 1), GaussVerdict::kAccept);
    EXPECT_EQ(cell::gauss_judge<4>(proposal, m, above, 1), GaussVerdict::kReject);
  }
  EXPECT_EQ(open, 20'000);
}

TEST(GaussJudge, OfFewBitsIsNeverContradictedByMore) {
  std::mt19937_64 random(test_seed());
  for (int i = 0; i < 20'000; ++i) {
    const int m = 6 + static_cast<int>(random() % 35);
    const std::uint32_t words[4] = {
        static_cast<std::uint32_t>(random()), static_cast<std::uint32_t>(random()),
        static_cast<std::uint32_t>(random()), static_cast<std::uint32_t>(random())};
    const cell::GaussProposal proposal = cell::gauss_propose(kTable, m, words);
    const GaussVerdict few = cell::gauss_judge<1>(proposal, m, {{proposal.uniform << 12}}, 1 << 12);
    if (few == GaussVerdict::kOpen) continue;
    const Fraction<4> uniform{
        {random(), random(), random(), proposal.uniform << 12 | random() % 4096}};
    EXPECT_EQ(cell::gauss_judge<4>(proposal, m, uniform, 1), few);
    if (words[3] < kTable.sure[cell::gauss_bin(kTable, words[0])]) {
      EXPECT_EQ(few, GaussVerdict::kAccept);
    }
  }
}

std::vector<std::int64_t> draws(int log2_sigma, std::size_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::array<std::uint32_t, 8> key;
  for (std::uint32_t& word : key) word = static_cast<std::uint32_t>(random());
  BackendOptions options;
  options.kind = "cpu";
  const auto backend = create_backend(options, nullptr).value();
  std::vector<std::int64_t> noise(count);
  backend->add_noise(
      {.key = key, .log2_sigma = log2_sigma, .target = noise.data(), .d = noise.size()},
      Stream::kCompute);
  return noise;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::size_t kDraws = std::size_t{1} << 18;
#else
constexpr std::size_t kDraws = std::size_t{1} << 24;
#endif

/// Upper quantile of chi-square at 4 standard deviations (Wilson-Hilferty): a false alarm in
/// 30,000.
double chi_square_bound(double freedom) {
  const double spread = 2 / (9 * freedom);
  return freedom * std::pow(1 - spread + 4 * std::sqrt(spread), 3);
}

TEST(DiscreteGaussian, HasTheExactLawByChiSquare) {
  const std::uint64_t seed = test_seed();
  for (const int m : {6, 8, 10}) {
    const std::vector<std::int64_t> noise = draws(m, kDraws, seed + static_cast<unsigned>(m));
    const std::int64_t most = 5 << m;  // every integer up to 5 sigma, then the rest
    std::vector<double> chance(2 * static_cast<std::size_t>(most) + 1), seen(chance.size());
    double total = 0, beyond = 0;
    for (std::int64_t x = -(16 << m); x <= 16 << m; ++x) {
      const double density = std::exp(-std::ldexp(static_cast<double>(x * x), -2 * m - 1));
      total += density;
      if (std::abs(x) <= most) chance[static_cast<std::size_t>(x + most)] = density;
    }
    for (const std::int64_t x : noise) {
      if (std::abs(x) > most)
        ++beyond;
      else
        ++seen[static_cast<std::size_t>(x + most)];
    }
    // Neighbours together until each group expects at least ten.
    double chi = 0, expected = 0, counted = 0, freedom = -1;
    for (std::size_t i = 0; i < chance.size(); ++i) {
      expected += chance[i] / total * static_cast<double>(kDraws);
      counted += seen[i];
      if (expected < 10) continue;
      chi += (counted - expected) * (counted - expected) / expected;
      ++freedom;
      expected = counted = 0;
    }
    std::printf("m %d: chi-square %.1f of %.0f, %.0f beyond 5 sigma\n", m, chi, freedom, beyond);
    EXPECT_LT(chi, chi_square_bound(freedom)) << "m " << m;
  }
}

TEST(DiscreteGaussian, HasItsMomentsAndNoMemory) {
  const std::uint64_t seed = test_seed();
  for (const int m : {6, 20, 30, 40}) {
    const std::vector<std::int64_t> noise = draws(m, kDraws, seed + 100 + static_cast<unsigned>(m));
    double sum = 0, square = 0, fourth = 0, lag = 0, tile_lag = 0, odd = 0;
    for (std::size_t i = 0; i < noise.size(); ++i) {
      const auto at = [&](std::size_t k) { return std::ldexp(static_cast<double>(noise[k]), -m); };
      const double x = at(i);
      sum += x;
      square += x * x;
      fourth += x * x * x * x;
      if (i >= 1) lag += x * at(i - 1);
      if (i >= 64) tile_lag += x * at(i - 64);  // the other draws of the same block
      odd += static_cast<double>(noise[i] & 1);
    }
    const double n = static_cast<double>(noise.size()), root = std::sqrt(n);
    // In standard errors; the false alarm of one is in 15,000.
    EXPECT_LT(std::abs(sum / root), 4) << "m " << m;
    EXPECT_LT(std::abs((square / n - 1) * root / std::sqrt(2)), 4) << "m " << m;
    EXPECT_LT(std::abs((fourth / n - 3) * root / std::sqrt(96)), 4) << "m " << m;
    EXPECT_LT(std::abs(lag / root), 4) << "m " << m;
    EXPECT_LT(std::abs(tile_lag / root), 4) << "m " << m;
    EXPECT_LT(std::abs(odd - n / 2) / (root / 2), 4) << "m " << m;
  }
}

/// What lies beyond is too rare to wait for: the bins there are proposed by force, and what they
/// accept, times the probability of the proposal, has to be the mass of the normal law (sigma is
/// 2^30 steps). Box-Muller on 24 or 32 bits ends at 5.77 and 6.66 sigma, on 53 at 8.57.
TEST(DiscreteGaussian, HasItsTailBeyondSixAndEightSigma) {
  std::mt19937_64 random(test_seed());
  constexpr int kM = 30;
  const auto mass_from = [&](std::uint32_t first_bin, int tries) {
    double mass = 0;
    for (std::uint32_t bin = first_bin; bin < cell::kGaussBins; ++bin) {
      int accepted = 0;
      const bool tail = bin + 1 == cell::kGaussBins;
      for (int i = 0; i < tries; ++i) {
        const std::uint32_t words[4] = {bin << 23, static_cast<std::uint32_t>(random()),
                                        static_cast<std::uint32_t>(random()),
                                        static_cast<std::uint32_t>(random())};
        const cell::GaussProposal proposal = cell::gauss_propose(kTable, kM, words);
        EXPECT_EQ(std::uint64_t{proposal.weight}, kTable.weight[bin]);
        EXPECT_GE(proposal.magnitude, std::uint64_t{bin} << (kM - 6));
        // Where almost all is rejected, U is made small by a factor that is known.
        cell::GaussProposal shrunk = proposal;
        shrunk.uniform >>= tail ? 11 : 0;
        GaussVerdict verdict = cell::gauss_judge<1>(shrunk, kM, {{shrunk.uniform << 12}}, 1 << 12);
        if (verdict == GaussVerdict::kOpen)
          verdict = cell::gauss_judge<4>(
              shrunk, kM, {{random(), random(), random(), shrunk.uniform << 12 | random() % 4096}},
              1);
        accepted += verdict == GaussVerdict::kAccept ? 1 : 0;
      }
      mass += std::ldexp(accepted / double(tries), -32 - (tail ? 11 : 0)) * kTable.weight[bin];
    }
    return mass;
  };
  // The sampler's masses are those of the law times its rate of acceptance.
  const double rate = static_cast<double>(cell::kGaussScale) * 64 * std::sqrt(M_PI / 2) * 0x1p-32;
  const double six = std::erfc(6 / std::sqrt(2)) * rate;
  EXPECT_NEAR(mass_from(6 * 64, 20'000) / six, 1, 0.02);
  const double eight = std::erfc(511.0 / 64 / std::sqrt(2)) * rate;
  EXPECT_NEAR(mass_from(511, 2'000'000) / eight, 1, 0.05);
}

}  // namespace
}  // namespace muster::kernels
