#include "robust_agg/scales.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace muster::robust {
namespace {

constexpr int kRangeWidth = 24;
/// Bits a block is lowered by whose codes are all zero.
constexpr int kSilentStep = 3;

/// Where the median peak of a block belongs: in (low, high]. Twice `low` is no more than `high`, so
/// a scale that was moved stays.
struct Target {
  int greatest, low, high;
  int raise;  ///< bits a saturated block is raised by
};
constexpr Target kEight{127, 31, 63, 3}, kFour{7, 1, 6, 1};

const Target& target_of(Codec codec) { return codec == Codec::kI8S ? kEight : kFour; }

int magnitude8(std::byte code) {
  return std::abs(static_cast<int>(static_cast<std::int8_t>(code)));
}
/// Of the low half of `code`, two's complement.
int magnitude4(unsigned code) {
  const int q = static_cast<int>(code & 0xf);
  return q < 8 ? q : 16 - q;
}

}  // namespace

void block_peaks(ChunkFormat format, std::size_t d, ConstBytes payload,
                 std::span<std::uint8_t> peaks) {
  MUSTER_CHECK(has_shared_scales(format.codec));
  MUSTER_CHECK_OP(payload.size(), ==, payload_bytes(format, d));
  const std::size_t block = std::size_t{1} << format.log2_block;
  MUSTER_CHECK_OP(peaks.size(), ==, divide_up(d, block));
  const std::size_t codes_a_byte = format.codec == Codec::kI8S ? 1 : 2;
  for (std::size_t b = 0; b < peaks.size(); ++b) {
    // Blocks are powers of two of at least two coordinates; the padding of the last byte is zero.
    const std::size_t first = b * block / codes_a_byte;
    const std::size_t end = divide_up(std::min(d, (b + 1) * block), codes_a_byte);
    int peak = 0;
    for (const std::byte code : payload.subspan(first, end - first)) {
      if (codes_a_byte == 1) {
        peak = std::max(peak, magnitude8(code));
      } else {
        const auto pair = static_cast<unsigned>(code);
        peak = std::max({peak, magnitude4(pair), magnitude4(pair >> 4)});
      }
    }
    peaks[b] = static_cast<std::uint8_t>(peak);
  }
}

ScaleRange scale_range(Codec codec, float value_bound, int grid_bits) {
  const int most = static_cast<int>(
      std::floor(std::log2(static_cast<double>(value_bound) / target_of(codec).greatest)));
  const int least = std::min(most, std::max(-grid_bits, most - kRangeWidth));
  return {static_cast<std::int8_t>(least), static_cast<std::int8_t>(most)};
}

void adapt_scales(Codec codec, std::span<const std::uint8_t> peaks, ScaleRange range,
                  std::span<std::int8_t> exponents) {
  if (peaks.empty() || exponents.empty()) return;
  const std::size_t blocks = exponents.size(), rows = peaks.size() / blocks;
  MUSTER_CHECK_OP(rows * blocks, ==, peaks.size());
  const Target& target = target_of(codec);
  const auto clamped = [&](int exponent) {
    return static_cast<std::int8_t>(std::clamp<int>(exponent, range.least, range.most));
  };
  std::vector<std::uint8_t> column(rows);
  std::vector<std::size_t> silent;
  int least = range.most;  // of the blocks that say something
  for (std::size_t b = 0; b < blocks; ++b) {
    for (std::size_t row = 0; row < rows; ++row) column[row] = peaks[row * blocks + b];
    const auto median = column.begin() + static_cast<std::ptrdiff_t>((rows - 1) / 2);
    std::nth_element(column.begin(), median, column.end());
    const int peak = *median;
    if (peak == 0) {
      silent.push_back(b);
      continue;
    }
    int step = 0;
    if (peak >= target.greatest)
      step = target.raise;
    else if (peak > target.high)
      step = 1;
    else
      while (peak << -step <= target.low) --step;
    exponents[b] = clamped(exponents[b] + step);
    least = std::min<int>(least, exponents[b]);
  }
  if (silent.size() == blocks) least = range.least;
  for (const std::size_t b : silent)
    exponents[b] =
        clamped(std::max(exponents[b] - kSilentStep, std::min<int>(exponents[b], least)));
}

}  // namespace muster::robust
