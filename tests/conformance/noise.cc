// Noise against its definition (kernels/cell/gauss.h), written once more: ChaCha20 in loops, one
// coordinate at a time, acceptance by the exponential of the C library.
#include <bit>
#include <cmath>

#include "kernels/cell/gauss.h"
#include "tests/conformance/suite.h"

namespace muster::kernels::conformance {
namespace {

using Key = std::array<std::uint32_t, 8>;
using Block = std::array<std::uint32_t, 16>;

Block reference_block(const Key& key, std::uint32_t counter, Block::value_type n0,
                      Block::value_type n1, Block::value_type n2) {
  Block start{0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
  std::copy(key.begin(), key.end(), start.begin() + 4);
  start[12] = counter, start[13] = n0, start[14] = n1, start[15] = n2;
  Block x = start;
  const auto mix = [&x](std::size_t a, std::size_t b, int by) {
    x[a] = std::rotl(x[a] ^ x[b], by);
  };
  for (int round = 0; round < 20; ++round)
    for (std::size_t i = 0; i < 4; ++i) {
      const std::size_t turn = round % 2 == 0 ? 0 : 1;
      const std::size_t a = i, b = 4 + (i + turn) % 4, c = 8 + (i + 2 * turn) % 4,
                        d = 12 + (i + 3 * turn) % 4;
      x[a] += x[b], mix(d, a, 16);
      x[c] += x[d], mix(b, c, 12);
      x[a] += x[b], mix(d, a, 8);
      x[c] += x[d], mix(b, c, 7);
    }
  for (std::size_t i = 0; i < x.size(); ++i) x[i] += start[i];
  return x;
}

constexpr cell::GaussTable kTable = cell::make_gauss_table();

std::int64_t reference_noise(const Key& key, std::uint32_t vector, int m, std::uint64_t k) {
  const auto tile = static_cast<std::uint32_t>(k / 256),
             place = static_cast<std::uint32_t>(k % 256);
  Block block = reference_block(key, tile * 64 + place % 64, 0, vector, 0);
  const std::uint32_t* words = block.data() + place / 64 * 4;
  for (std::uint32_t attempt = 1;; ++attempt) {
    const std::uint32_t index = words[0] >> 23, threshold = kTable.alias[index] >> 9;
    const std::uint32_t bin =
        (words[0] & 0x7fffff) < threshold ? index : kTable.alias[index] & 0x1ff;
    const bool tail = bin == 511;
    const std::uint64_t bits = words[1] + (std::uint64_t{words[2] % 2048} << 32);
    const std::uint64_t y =
        (std::uint64_t{bin} << (m - 6)) + bits % (std::uint64_t{1} << (tail ? m + 3 : m - 6));
    const long double x = std::ldexp(static_cast<long double>(y), -m);
    const long double chance = std::exp(-x * x / 2) * (tail ? 512 : 1) *
                               static_cast<long double>(cell::kGaussScale) / kTable.weight[bin];
    const std::uint64_t u = std::uint64_t{words[3]} << 20 | (words[2] >> 11) % (1u << 20);
    const bool negative = words[2] >> 31 == 1;
    if (std::ldexp(static_cast<long double>(u) + 0.5L, -52) < chance && !(negative && y == 0))
      return negative ? -static_cast<std::int64_t>(y) : static_cast<std::int64_t>(y);
    block = reference_block(key, static_cast<std::uint32_t>(k), 1 + attempt, vector,
                            static_cast<std::uint32_t>(k >> 32));
    words = block.data();
  }
}

TEST_P(Conformance, NoiseIsAFunctionOfKeyVectorAndCoordinate) {
  Random random(seed());
  struct Case {
    std::size_t d;
    std::uint64_t first;
    int log2_sigma;
  };
  const Case cases[] = {{1, 0, 39},
                        {63, 1, 7},
                        {64, 255, 20},
                        {257, 256, 31},
                        {300, 1000, kMinLog2Sigma},
                        {5000, (std::uint64_t{1} << 34) - 5000, kMaxLog2Sigma}};
  for (const auto& [d, first, log2_sigma] : cases) {
    Key key;
    for (std::uint32_t& word : key) word = static_cast<std::uint32_t>(random());
    NoiseJob job{.key = key,
                 .vector = static_cast<std::uint32_t>(random()),
                 .log2_sigma = log2_sigma,
                 .weight = static_cast<std::int64_t>(random() % 5) - 2,
                 .first = first,
                 .d = d};
    SCOPED_TRACE("d " + std::to_string(d) + " sigma 2^" + std::to_string(job.log2_sigma) +
                 " first " + std::to_string(job.first) + " weight " + std::to_string(job.weight));
    std::vector<std::int64_t> expected(d);
    for (std::int64_t& sum : expected) sum = static_cast<std::int64_t>(random()) >> 4;
    job.target = upload(std::span<const std::int64_t>(expected));
    backend_->add_noise(job, Stream::kCompute);
    for (std::size_t k = 0; k < d; ++k)
      expected[k] += job.weight * reference_noise(key, job.vector, job.log2_sigma, job.first + k);
    ASSERT_EQ(download(job.target, d), expected);
    release_uploads();
  }
}

TEST_P(Conformance, NoiseDoesNotDependOnHowCoordinatesAreSplit) {
  Random random(seed());
  Key key;
  for (std::uint32_t& word : key) word = static_cast<std::uint32_t>(random());
  constexpr std::size_t kD = 20'000;
  const std::vector<std::int64_t> zeros(kD);
  NoiseJob job{.key = key, .vector = 3, .log2_sigma = 30, .first = 77};
  std::int64_t* whole = upload(std::span<const std::int64_t>(zeros));
  std::int64_t* parts = upload(std::span<const std::int64_t>(zeros));
  job.target = whole, job.d = kD;
  backend_->add_noise(job, Stream::kCompute);
  for (std::size_t begin = 0; begin < kD; begin += job.d) {
    job.target = parts + begin;
    job.first = 77 + begin;
    job.d = std::min<std::size_t>(kD - begin, 1 + random() % 3000);
    backend_->add_noise(job, Stream::kCompute);
  }
  ASSERT_EQ(download(whole, kD), download(parts, kD));
}

}  // namespace
}  // namespace muster::kernels::conformance
