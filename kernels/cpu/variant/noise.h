// Discrete Gaussian noise onto sums (kernels/cell/gauss.h). A tile of 256 coordinates at a time: 64
// ChaCha20 blocks side by side, one draw a coordinate without branches, and the one or two in a
// hundred that this does not settle one by one. Reads and writes each sum once.
#pragma once

#include "kernels/cell/gauss.h"
#include "kernels/cell/grid.h"
#include "kernels/cpu/table.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

constexpr cell::GaussTable kGaussTable = cell::make_gauss_table();
constexpr size_t kLanes = cell::kNoiseBlocks;

/// words[i][lane] = word i of block `lane` of the tile.
void noise_words(const cell::NoiseStream& stream, uint32_t tile,
                 uint32_t (*__restrict words)[kLanes]) {
  for (uint32_t lane = 0; lane < kLanes; ++lane) {
    uint32_t block[16];
    cell::chacha20_block(cell::noise_input(stream, tile, lane), block);
    for (int i = 0; i < 16; ++i) words[i][lane] = block[i];
  }
}

/// noise[lane] and whether that draw is open, from four words a lane.
void draw_lanes(const uint32_t (*__restrict words)[kLanes], int m, int64_t* __restrict noise,
                uint32_t* __restrict open) {
  alignas(64) int32_t bins[kLanes];
  for (size_t lane = 0; lane < kLanes; ++lane) {
    const int32_t bin = cell::gauss_bin(kGaussTable, words[0][lane]);
    bins[lane] = bin;
    open[lane] = words[3][lane] < kGaussTable.sure[bin] ? 0 : 1;
  }
  const int width = m - cell::kGaussLog2Width;
  const uint64_t mask = (uint64_t{1} << width) - 1;
  for (size_t lane = 0; lane < kLanes; ++lane) {
    const uint64_t offset = static_cast<uint64_t>(words[2][lane] & 0x7ff) << 32 | words[1][lane];
    const uint64_t magnitude = (static_cast<uint64_t>(bins[lane]) << width) + (offset & mask);
    const uint64_t sign = uint64_t{0} - (words[2][lane] >> 31);
    noise[lane] = static_cast<int64_t>((magnitude ^ sign) - sign);
    open[lane] |= magnitude == 0 ? 1 : 0;
  }
}

void noise_tile(const NoiseView& job, uint32_t tile, int64_t* __restrict noise) {
  const cell::NoiseStream stream{job.key, job.vector};
  alignas(64) uint32_t words[16][kLanes];
  alignas(64) uint32_t open[kLanes];
  noise_words(stream, tile, words);
  for (size_t part = 0; part < 4; ++part) {
    const uint32_t(*own)[kLanes] = words + 4 * part;
    draw_lanes(own, job.log2_sigma, noise + part * kLanes, open);
    for (size_t lane = 0; lane < kLanes; ++lane) {
      if (open[lane] == 0) continue;
      const uint32_t first[4] = {own[0][lane], own[1][lane], own[2][lane], own[3][lane]};
      const uint64_t coordinate = uint64_t{tile} * cell::kNoiseTile + part * kLanes + lane;
      noise[part * kLanes + lane] =
          cell::gauss_settle(kGaussTable, stream, coordinate, job.log2_sigma, first);
    }
  }
}

void add_noise(const NoiseView& job, size_t begin, size_t end) {
  alignas(64) int64_t noise[cell::kNoiseTile];
  for (size_t k = begin; k < end;) {
    const uint64_t coordinate = job.first + k;
    const size_t skipped = coordinate % cell::kNoiseTile;
    const size_t count =
        end - k < cell::kNoiseTile - skipped ? end - k : cell::kNoiseTile - skipped;
    noise_tile(job, static_cast<uint32_t>(coordinate / cell::kNoiseTile), noise);
    int64_t* __restrict target = job.target + k;
    for (size_t i = 0; i < count; ++i)
      target[i] = cell::add_weighted(target[i], job.weight, noise[skipped + i]);
    k += count;
  }
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
