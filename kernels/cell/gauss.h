// The discrete Gaussian on the integers with sigma = 2^m, P(x) ~ exp(-x^2 / 2^(2m + 1)), from
// uniform words by rejection; integers only, so that every platform draws the same value.
//
// The magnitudes below 16 sigma are cut into bins of width 2^(m - 6), the last one 512 times as
// wide. Bin j is proposed with the probability Q_j / 2^32 (an alias table: exact), a magnitude y in
// it uniformly, and accepted where U < c e^(-y^2 / 2^(2m + 1)) / Q_j. As Q_j >= c e^(-..) at the
// left end of the bin, whatever survives has the wanted law. All that is irrational stands in this
// one comparison, which is made with certainty: first against a bound of the whole bin, which
// settles 98.7 % of the draws, then with 52 bits of U and 64 of the exponential, then with 256 of
// both. What is still open then, less than 2^-230 of the draws, is rejected. That and the cut at
// 16 sigma (2^-188) are all that parts the sampler from the exact law: kGaussTotalVariationLog2.
#pragma once

#include "kernels/cell/chacha.h"
#include "kernels/cell/exponential.h"

namespace muster::kernels::cell {

constexpr int kGaussBins = 512;
constexpr int kGaussLog2Width = 6;  ///< bins of 2^(m - 6): 64 a sigma
constexpr int kGaussTailLog2 = 9;   ///< the last bin is wider by 2^9
constexpr int kGaussMinLog2Sigma = kGaussLog2Width, kGaussMaxLog2Sigma = 40;
/// Total variation distance of one draw from the exact law is at most 2 to this.
constexpr int kGaussTotalVariationLog2 = -186;
/// c: weight units of a bin at density 1, the most for which all weights fit into 2^32.
constexpr uint64_t kGaussScale = 53'213'410;

struct GaussTable {
  uint32_t alias[kGaussBins];   ///< cell: 23 bits of threshold, 9 of the bin beyond it
  uint32_t sure[kGaussBins];    ///< U 2^32 below this is accepted anywhere in the bin
  uint32_t weight[kGaussBins];  ///< Q_j; 2^32 in all
};

constexpr GaussTable make_gauss_table() {
  constexpr uint32_t kCell = uint32_t{1} << 23;
  GaussTable table{};
  uint64_t rest = uint64_t{1} << 32;
  for (uint32_t j = 0; j < kGaussBins; ++j) {
    const Wide most = Wide{exp_minus<1>(j, kGaussLog2Width).limb[0]} + kExpError;
    const bool tail = j + 1 == kGaussBins;
    // The tail's c 2^9 e^-31.9 is far below one unit.
    table.weight[j] = tail ? 1 : static_cast<uint32_t>(kGaussScale * most >> 64) + 1;
    rest -= table.weight[j];
  }
  table.weight[0] += static_cast<uint32_t>(rest);
  for (uint32_t j = 0; j + 1 < kGaussBins; ++j) {
    const uint64_t end = exp_minus<1>(j + 1, kGaussLog2Width).limb[0];
    const Wide least = end < kExpError ? Wide{0} : Wide{end - kExpError};
    table.sure[j] = static_cast<uint32_t>((kGaussScale * least >> 32) / table.weight[j]);
  }
  // Walker's alias method: a bin with less than a cell is filled up from one with more.
  uint32_t left[kGaussBins] = {}, small[kGaussBins] = {}, large[kGaussBins] = {};
  int small_count = 0, large_count = 0;
  for (uint32_t j = 0; j < kGaussBins; ++j) {
    left[j] = table.weight[j];
    (left[j] < kCell ? small[small_count++] : large[large_count++]) = j;
  }
  while (small_count > 0 && large_count > 0) {
    const uint32_t needy = small[--small_count], giver = large[large_count - 1];
    table.alias[needy] = left[needy] << 9 | giver;
    left[giver] -= kCell - left[needy];
    if (left[giver] < kCell) {
      --large_count;
      small[small_count++] = giver;
    }
  }
  for (int i = 0; i < large_count; ++i) table.alias[large[i]] = large[i];  // full: its own alias
  return table;
}

/// Bin of a uniform word.
MUSTER_CELL int32_t gauss_bin(const GaussTable& table, uint32_t word) {
  const int32_t cell = static_cast<int32_t>(word >> 23);
  const uint32_t entry = table.alias[cell];
  return (word & 0x7fffff) < entry >> 9 ? cell : static_cast<int32_t>(entry & 0x1ff);
}

/// What 128 uniform bits propose.
struct GaussProposal {
  uint64_t magnitude;
  bool negative;
  uint64_t weight;      ///< Q of the bin
  uint64_t multiplier;  ///< c, or c 2^9 in the tail: accepted where U < multiplier e^-t / weight
  uint64_t uniform;     ///< the first 52 bits of U
};

MUSTER_CELL GaussProposal gauss_propose(const GaussTable& table, int m, const uint32_t* words) {
  const int32_t bin = gauss_bin(table, words[0]);
  const bool tail = bin + 1 == kGaussBins;
  const int bits = m - kGaussLog2Width + (tail ? kGaussTailLog2 : 0);  // at most 43
  const uint64_t offset = static_cast<uint64_t>(words[2] & 0x7ff) << 32 | words[1];
  return {(static_cast<uint64_t>(bin) << (m - kGaussLog2Width)) +
              (offset & ((uint64_t{1} << bits) - 1)),
          (words[2] >> 31) != 0, table.weight[bin],
          tail ? kGaussScale << kGaussTailLog2 : kGaussScale,
          static_cast<uint64_t>(words[3]) << 20 | (words[2] >> 11 & 0xfffff)};
}

enum class GaussVerdict { kAccept, kReject, kOpen };

/// Compares U, known up to `spread` units, with multiplier e^-t / weight.
template <int kLimbs>
MUSTER_CELL GaussVerdict gauss_judge(const GaussProposal& proposal, int m,
                                     const Fraction<kLimbs>& uniform, uint64_t spread) {
  const Fraction<kLimbs> exponential = exp_minus<kLimbs>(proposal.magnitude, m);
  const Wide margin = Wide{spread} * proposal.weight + Wide{proposal.multiplier} * kExpError;
  // difference = multiplier * exponential - weight * uniform, in two's complement.
  uint64_t difference[kLimbs + 1] = {}, gain = 0, loss = 0, borrow = 0;
  for (int i = 0; i <= kLimbs; ++i) {
    const Wide plus = i < kLimbs ? Wide{proposal.multiplier} * exponential.limb[i] + gain : gain;
    const Wide minus = i < kLimbs ? Wide{proposal.weight} * uniform.limb[i] + loss : loss;
    gain = static_cast<uint64_t>(plus >> 64), loss = static_cast<uint64_t>(minus >> 64);
    const Wide digit =
        (Wide{1} << 64) + static_cast<uint64_t>(plus) - static_cast<uint64_t>(minus) - borrow;
    difference[i] = static_cast<uint64_t>(digit);
    borrow = digit >> 64 == 0 ? 1 : 0;
  }
  // |difference| against the margin, which is less than 2^64.
  const bool negative = borrow != 0;
  bool beyond = false;
  for (int i = 1; i <= kLimbs; ++i) beyond |= difference[i] != (negative ? ~uint64_t{0} : 0);
  const uint64_t low = negative ? uint64_t{0} - difference[0] : difference[0];
  beyond |= negative && difference[0] == 0;  // -2^64
  if (!beyond && low <= margin) return GaussVerdict::kOpen;
  return negative ? GaussVerdict::kReject : GaussVerdict::kAccept;
}

// Where the uniform words of a coordinate come from. A block serves four coordinates, 64 apart, so
// that neighbours lie in neighbouring blocks: blocks 64 i .. 64 i + 63 serve coordinates 256 i ..
// 256 i + 255. Counters of 32 bits are enough for 2^34 coordinates.
constexpr int kNoiseTile = 256;   ///< coordinates that share blocks
constexpr int kNoiseBlocks = 64;  ///< of a tile

struct NoiseStream {
  const uint32_t* key;  ///< 8 words
  uint32_t vector;      ///< which vector of noise under this key
};

/// The block with the words of coordinates tile * 256 + lane + 64 i, four each.
MUSTER_CELL ChaChaInput noise_input(const NoiseStream& stream, uint32_t tile, uint32_t lane) {
  return {stream.key, tile * kNoiseBlocks + lane, {0, stream.vector, 0}};
}

/// Words of one coordinate alone: four for attempt `attempt` (from 1 on), and in words 4 to 10 what
/// is needed to settle it.
MUSTER_CELL ChaChaInput more_noise_input(const NoiseStream& stream, uint64_t coordinate,
                                         uint32_t attempt) {
  return {stream.key,
          static_cast<uint32_t>(coordinate),
          {1 + attempt, stream.vector, static_cast<uint32_t>(coordinate >> 32)}};
}

/// The noise of a coordinate whose first four words are `first`.
MUSTER_CELL int64_t gauss_settle(const GaussTable& table, const NoiseStream& stream,
                                 uint64_t coordinate, int m, const uint32_t* first) {
  uint32_t words[16] = {first[0], first[1], first[2], first[3]};
  for (uint32_t attempt = 0;; ++attempt) {
    if (attempt > 0) chacha20_block(more_noise_input(stream, coordinate, attempt), words);
    const GaussProposal proposal = gauss_propose(table, m, words);
    if (proposal.magnitude == 0 && proposal.negative) continue;  // or zero would come twice
    GaussVerdict verdict = gauss_judge<1>(proposal, m, {{proposal.uniform << 12}}, 1 << 12);
    if (verdict == GaussVerdict::kOpen) {
      chacha20_block(more_noise_input(stream, coordinate, attempt), words);
      Fraction<4> uniform{};
      for (int i = 0; i < 3; ++i)
        uniform.limb[i] = static_cast<uint64_t>(words[2 * i + 6]) << 32 | words[2 * i + 5];
      uniform.limb[3] = proposal.uniform << 12 | (words[4] & 0xfff);
      verdict = gauss_judge<4>(proposal, m, uniform, 1);
    }
    if (verdict != GaussVerdict::kAccept) continue;
    const int64_t magnitude = static_cast<int64_t>(proposal.magnitude);
    return proposal.negative ? -magnitude : magnitude;
  }
}

}  // namespace muster::kernels::cell
