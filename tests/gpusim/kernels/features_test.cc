// The kernels of features.cu and features_libraries.cu compute what the host computes, as PTX of
// every front end, under several seeds.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cfenv>
#include <cmath>
#include <cstring>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "tests/gpusim/harness.h"

namespace gpusim {
namespace {

using Word = std::uint32_t;
using Words = std::vector<Word>;

Word bits(float value) { return std::bit_cast<Word>(value); }

Words inputs() {
  Words in(256);
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<Word>(i * 2654435761U) % 100003;
  return in;
}

// Runs a kernel k(in, out) for every seed and compares the first `count` words of out.
class FeatureTest : public testing::TestWithParam<std::string> {
 protected:
  void check(const std::string& kernel,
             const std::function<Word(const Words&, std::size_t)>& expected, std::size_t count = 64,
             const std::string& file = "features") {
    for (std::uint32_t seed = 0; seed < 4; ++seed) {
      Harness gpu = loaded(file, seed);
      Words in = inputs(), out(256, 0);
      const Dim3 grid{kernel.starts_with("grid_") ? 4U : 1U};
      const auto report = gpu.launch(kernel, grid, {64}, 256, gpu.buffer(in), gpu.buffer(out));
      ASSERT_FALSE(report.has_value()) << report->text();
      for (std::size_t i = 0; i < count; ++i)
        ASSERT_EQ(out[i], expected(in, i)) << kernel << "[" << i << "]";
    }
  }

  Harness loaded(const std::string& file, std::uint32_t seed) {
    Harness gpu;
    std::string path(GPUSIM_PTX "/");
    gpu.load(file_text(path.append(file).append("_").append(GetParam()).append(".ptx")));
    gpu.machine.options.seed = seed;
    return gpu;
  }
};

TEST_P(FeatureTest, Arithmetic) {
  check("arithmetic", [](const Words& in, std::size_t i) {
    const auto u = in[i];
    const auto v = static_cast<std::int32_t>(u);
    Word reversed = 0;
    for (int k = 0; k < 32; ++k) reversed |= (u >> k & 1) << (31 - k);
    const Word clz = v == 0 ? 32 : static_cast<Word>(__builtin_clz(u));
    Word r = static_cast<Word>(__builtin_popcount(u)) + clz * 3 + reversed % 7;
    r += static_cast<Word>(v / 7 + v % 11 + std::min(v, 4) + (v >> 3));
    r += static_cast<Word>(std::int64_t{v} * v >> 5) + u / 13;
    r += static_cast<Word>(std::int64_t{v} * 77777777 >> 32);
    const std::uint64_t both = u | std::uint64_t{u * 3} << 32;
    for (int k = 0; k < 4; ++k)
      r += static_cast<Word>(both >> (8 * (0x2541 >> 4 * k & 15)) & 255) << 8 * k;
    r += static_cast<Word>(((std::uint64_t{u * 5} << 32 | u) << 3) >> 32);
    r += v == 0 ? 0 : static_cast<Word>(__builtin_ctz(u)) + 1;
    return r + static_cast<Word>(std::abs(v)) + (u & (static_cast<Word>(v >> 1) ^ 0x5a));
  });
}

TEST_P(FeatureTest, WideArithmetic) {
  check("wide_arithmetic", [](const Words& in, std::size_t i) {
    const std::int64_t v = std::int64_t{in[i]} * 0x1234567 - 99;
    const auto u = static_cast<std::uint64_t>(v);
    std::uint64_t reversed = 0;
    for (int k = 0; k < 64; ++k) reversed |= (u >> k & 1) << (63 - k);
    const auto high = static_cast<std::uint64_t>(static_cast<unsigned __int128>(u) * u >> 64);
    std::uint64_t r = u / 1000003 + u % 77 + high + static_cast<std::uint64_t>(std::popcount(u)) +
                      static_cast<std::uint64_t>(std::countl_zero(u)) +
                      static_cast<std::uint64_t>(v >> 7) + static_cast<std::uint64_t>(v / -9);
    r ^= (u << (i & 63)) + reversed + (v < 0 ? 5 : 6) +
         static_cast<std::uint64_t>(std::max<std::int64_t>(v, 3));
    return static_cast<Word>(r ^ r >> 32);
  });
}

TEST_P(FeatureTest, DotProducts) {
  check("dot_products", [](const Words& in, std::size_t i) {
    Word sum = 3;
    for (int k = 0; k < 4; ++k) {
      const int part = static_cast<std::int8_t>(in[i] >> 8 * k);
      sum += static_cast<Word>(part * part) + (in[i] >> 8 * k & 255) * (0x01020304 >> 8 * k & 255);
    }
    return sum;
  });
}

TEST_P(FeatureTest, Floats) {
  check("floats", [](const Words& in, std::size_t i) {
    const float v = std::fma(static_cast<float>(in[i] % 1000) / 7.0F, 1.0F, -20.0F);
    volatile float x = v, tenth = 0.1F, third = 0.3F;
    std::fesetround(FE_TOWARDZERO);
    const volatile float down = x + tenth;
    std::fesetround(FE_UPWARD);
    const volatile float up = x * third;
    std::fesetround(FE_TONEAREST);
    // nvcc contracts products and sums.
    float r =
        std::fma(v, 3.0F, std::sqrt(std::fabs(v))) + std::fma(v, v, -1.0F) + std::fmin(v, 2.0F);
    r = r + std::rint(v) + std::floor(v) + std::trunc(v);
    return bits(r + (down + up + std::copysign(2.0F, v) + (v > 1.0F ? 1.0F : -1.0F)));
  });
}

TEST_P(FeatureTest, Doubles) {
  check("doubles", [](const Words& in, std::size_t i) {
    const double v = in[i] / 3.0;
    volatile double x = v, nine = 9.0;
    std::fesetround(FE_DOWNWARD);
    const volatile double ninth = x / nine;
    std::fesetround(FE_TONEAREST);
    const double r = std::sqrt(v) / 7.0 + std::fma(v, v, 0.25) + std::rint(v) + ninth;
    return static_cast<Word>(std::bit_cast<std::int64_t>(r) >> 9);
  });
}

TEST_P(FeatureTest, Conversions) {
  check("conversions", [](const Words& in, std::size_t i) {
    const auto v = static_cast<std::int32_t>(in[i]);
    const float f = static_cast<float>(v) * 0.37F;
    const auto word = [](double x) { return static_cast<Word>(static_cast<std::int64_t>(x)); };
    Word r = word(std::nearbyint(f)) + word(std::trunc(f)) + word(std::ceil(f)) * 3 +
             word(std::floor(f)) * 5;
    r += static_cast<Word>(static_cast<std::int8_t>(v) + static_cast<std::int16_t>(v * 3) +
                           static_cast<std::uint8_t>(v));
    r += word(std::nearbyint(f * 1e6F)) + word(std::nearbyint(f * 0.5));
    // Numbers below 2^24 are exact in any rounding.
    r ^= bits(static_cast<float>(v * 0x100000001LL)) + bits(static_cast<float>(v));
    r ^= bits(static_cast<float>(static_cast<double>(v) / 3.0));
    return r + 0 + 0x7fffffff;
  });
}

TEST_P(FeatureTest, Halves) {
  check(
      "halves",
      [](const Words& in, std::size_t i) {
        if (i % 2 == 1) return bits(1.0F - static_cast<float>(i / 2));
        return bits(static_cast<float>(in[i / 2] % 512) * 0.5F + 1.0F);
      },
      128);
}

TEST_P(FeatureTest, BrainFloats) {
  check("brain_floats", [](const Words& in, std::size_t i) {
    const Word exact = bits(static_cast<float>(in[i]) * 1.1F);
    return (exact + 0x7fff + (exact >> 16 & 1)) & 0xffff0000;
  });
}

TEST_P(FeatureTest, Vectors) {
  check(
      "vectors",
      [](const Words& in, std::size_t i) {
        return i % 4 == 0 ? in[i] + 1 : i % 4 == 3 ? in[i] * 2 : in[i];
      },
      256);
}

TEST_P(FeatureTest, LocalArraysAndCallsAndSwitches) {
  check("calls", [](const Words& in, std::size_t i) {
    const auto step = [](Word a, std::size_t k) {
      for (std::size_t n = 0; n < k; ++n) a = a * 3 + ((a & 1) != 0 ? 1 : 7);
      return a;
    };
    return step(in[i], i & 7) + step(static_cast<Word>(i), 2);
  });
  check("many_ways", [](const Words& in, std::size_t i) -> Word {
    switch (in[i] & 15) {
      case 0:
        return 3;
      case 1:
        return in[5];
      case 2:
        return 77 * in[3];
      case 3:
        return static_cast<Word>(i);
      case 4:
        return 11 * in[2];
      case 5:
        return 99;
      case 6:
        return in[1] ^ 5;
      case 9:
        return in[9] + 4;
      default:
        return 0;
    }
  });
  Harness gpu = loaded("features", 0);
  Words in = inputs(), out(64);
  const auto report = gpu.launch("local_array", {1}, {64}, 0, gpu.buffer(in), gpu.buffer(out), 20);
  ASSERT_FALSE(report.has_value()) << report->text();
  for (Word t = 0; t < 64; ++t) {
    Word sum = 0;
    for (Word i = 0; i < 20; ++i) sum += in[(i * 7 + 20) & 31] * (t + 1);
    EXPECT_EQ(out[t], sum);
  }
}

TEST_P(FeatureTest, Bytes) {
  Harness gpu = loaded("features", 0);
  std::vector<std::int8_t> in(256);
  std::iota(in.begin(), in.end(), std::int8_t{-100});
  std::vector<std::int16_t> out(128);
  const auto report = gpu.launch("bytes", {1}, {64}, 0, gpu.buffer(in), gpu.buffer(out, false));
  ASSERT_FALSE(report.has_value()) << report->text();
  for (std::size_t t = 0; t < 64; ++t) {
    EXPECT_EQ(out[2 * t], in[4 * t] * in[4 * t + 1]);
    EXPECT_EQ(out[2 * t + 1], in[4 * t + 2] - in[4 * t + 3]);
  }
}

TEST_P(FeatureTest, ParametersConstantsAndVariables) {
  struct Parameters {
    float scale = 1.5F;
    int count = 4;
    double offset = 0.25;
    std::int8_t small = -3;
  } parameters;
  Harness gpu = loaded("features", 0);
  std::vector<float> out(64);
  std::size_t bytes = 0;
  auto* table = static_cast<float*>(gpu.machine.symbol(gpu.module(), "table", 0, &bytes));
  ASSERT_NE(table, nullptr);
  ASSERT_EQ(bytes, 64U);
  std::iota(table, table + 16, 0.0F);
  const auto report = gpu.launch("parameters", {1}, {64}, 0, parameters, gpu.buffer(out, false));
  ASSERT_FALSE(report.has_value()) << report->text();
  const float steps[] = {-1, 2, -3, 4};
  for (std::size_t i = 0; i < 64; ++i)
    EXPECT_EQ(out[i], 3.25F + static_cast<float>(i & 15) + steps[i & 3]);
  EXPECT_EQ(*static_cast<Word*>(gpu.machine.symbol(gpu.module(), "ticket", 0, nullptr)), 10U);
  EXPECT_EQ(*static_cast<Word*>(gpu.machine.symbol(gpu.module(), "ticket", 1, nullptr)), 7U);
}

TEST_P(FeatureTest, ShufflesAndVotes) {
  check("shuffles", [](const Words& in, std::size_t i) {
    const std::size_t warp = i & ~std::size_t{31}, lane = i & 31;
    const Word sum = std::accumulate(&in[warp], &in[warp] + 32, Word{0});
    const Word up = lane < 3 ? in[i] : in[i - 3];
    const Word within = (lane & 7) > 5 ? in[i] : in[i + 2];
    return sum + 3 * up + 5 * within + 7 * in[warp + (i * 5 & 31)];
  });
  check("votes", [](const Words& in, std::size_t i) {
    const std::size_t warp = i & ~std::size_t{31};
    Word r = 0, odd = 0;
    for (std::size_t lane = 0; lane < 32; ++lane) {
      const Word v = in[warp + lane];
      odd |= (v & 1) << lane;
      r += ((v & 3) == (in[i] & 3) ? Word{1} << lane : 0) + v;
    }
    return r + odd + (odd != 0 ? 1 : 0) + (odd == ~Word{0} ? 2 : 0) + 32;
  });
  check("block_votes", [](const Words& in, std::size_t) {
    const auto odd = std::count_if(in.begin(), in.begin() + 64, [](Word v) { return v % 2 == 1; });
    return static_cast<Word>(odd * 4 + (odd > 0 ? 2 : 0) + (odd == 64 ? 1 : 0));
  });
}

TEST_P(FeatureTest, SharedMemory) {
  check("warp_tile", [](const Words& in, std::size_t i) {
    const std::size_t from = (i & ~std::size_t{15}) | ((i + 3) & 15);
    return in[from] + in[from ^ 1];
  });
  check("dynamic_shared", [](const Words& in, std::size_t i) { return 2 * in[63 - i] + 1; });
  check(
      "asynchronous_copy",
      [](const Words& in, std::size_t i) { return in[(63 - i / 4) * 4 + i % 4]; }, 256);
}

TEST_P(FeatureTest, Atomics) {
  check("atomics", [](const Words& in, std::size_t i) {
    Word sum = 0, most = 0, mixed = 0;
    for (std::size_t k = 0; k < 64; ++k) sum += in[k], most = std::max(most, in[k]), mixed ^= in[k];
    const Word answers[] = {sum, most, mixed, 64 % 10};
    return i < 4 ? answers[i] : static_cast<Word>((std::uint64_t{sum} << 20) >> (i & 15));
  });
  check(
      "grid_histogram",
      [](const Words& in, std::size_t i) {
        return static_cast<Word>(
            std::count_if(in.begin(), in.end(), [&](Word v) { return v % 8 == i; }));
      },
      8);
}

TEST_P(FeatureTest, TheLastBlockReadsWhatTheOthersHandedOver) {
  for (std::uint32_t seed = 0; seed < 8; ++seed) {
    Harness gpu = loaded("features", seed);
    Words in = inputs(), out(1), parts(8), count(1, 0);
    const auto report =
        gpu.launch("grid_last_block", {4}, {64}, 0, gpu.buffer(in), gpu.buffer(out, false),
                   gpu.buffer(parts, false), gpu.buffer(count));
    ASSERT_FALSE(report.has_value()) << report->text();
    EXPECT_EQ(out[0], std::accumulate(in.begin(), in.end(), Word{0}));
  }
}

INSTANTIATE_TEST_SUITE_P(Compute, FeatureTest, testing::Values("75", "80", "90", "100", "120"),
                         [](const auto& target) { return target.param; });

class LibraryTest : public FeatureTest {};

TEST_P(LibraryTest, TilesReduceScanAndSort) {
  const std::string file = "features_libraries";
  check(
      "tiles",
      [](const Words& in, std::size_t i) {
        const Word* tile = &in[i & ~std::size_t{15}];
        return std::accumulate(tile, tile + 16, static_cast<Word>(i & 15));
      },
      64, file);
  check(
      "block_reduce",
      [](const Words& in, std::size_t) {
        return std::accumulate(in.begin(), in.begin() + 64, Word{0});
      },
      1, file);
  check(
      "block_scan",
      [](const Words& in, std::size_t i) { return std::accumulate(&in[0], &in[i], Word{0}); }, 64,
      file);
  check(
      "block_sort",
      [](Words in, std::size_t i) {
        std::sort(in.begin(), in.end());
        return in[i];
      },
      256, file);
}

TEST_P(LibraryTest, MathematicsIsCloseAndRandomNumbersDiffer) {
  Harness gpu = loaded("features_libraries", 0);
  std::vector<float> in(64), out(64), random(64);
  for (std::size_t i = 0; i < 64; ++i) in[i] = static_cast<float>(i * 37 % 101) / 50.0F;
  const auto report =
      gpu.launch("mathematics", {1}, {64}, 0, gpu.buffer(in), gpu.buffer(out, false));
  ASSERT_FALSE(report.has_value()) << report->text();
  for (std::size_t i = 0; i < 64; ++i) {
    const double v = in[i];
    const double exact =
        std::exp(v) + std::log(v + 2) + std::sin(v) + std::tanh(v) + std::pow(v, 1.7) + std::erf(v);
    EXPECT_NEAR(out[i], exact, 3e-6 * exact);
  }
  const auto second = gpu.launch("random_numbers", {1}, {64}, 0, gpu.buffer(random, false));
  ASSERT_FALSE(second.has_value()) << second->text();
  EXPECT_NE(random[0], random[1]);
}

INSTANTIATE_TEST_SUITE_P(Compute, LibraryTest, testing::Values("80", "100"),
                         [](const auto& target) { return target.param; });

}  // namespace
}  // namespace gpusim
