// The fast Walsh-Hadamard transform of all rotations of a chunk at once, in the order of
// kernels/cpu/variant/hadamard.h: stage s adds and subtracts coordinates that differ in bit s only,
// stages run from bit 0 up, each addition is rounded once.
//
// Rotations lie one after the other in [0, length), all of 2^log2_block coordinates but the last;
// each begins at a multiple of its own length. So a stage needs no map of rotations: coordinate k
// takes part in it where s < stages_at(k). Two kernels visit the values:
//
//   tiles    one thread block a tile of 4096 neighbours, 256 threads of 16 values: bits 0 to 3 in
//            registers, through shared memory, bits 4 to 7, shared memory, bits 8 to 11. Values
//            come in through shared memory too, so that neighbours read neighbours; its words are
//            spread so that no pass meets a bank twice.
//   columns  where rotations are longer: a thread takes the up to 16 values 4096 apart, bits 12 to
//            15 in registers; neighbouring threads take neighbouring values.
//
// Each visit reads and writes a value once; what is between them stays in L2 where the caller keeps
// it below that (50 MB on an H100). Shared memory: 17 / 16 of 16 KB (f32) or 32 KB (f64).
#pragma once

#include "base/codec.h"
#include "kernels/cuda/launch.cuh"

namespace muster::kernels::cuda {

inline constexpr unsigned kLog2Tile = 12;
inline constexpr size_t kTile = size_t{1} << kLog2Tile;
inline constexpr unsigned kRadix = 16, kLog2Radix = 4;
static_assert(kTile == kThreads * kRadix);
static_assert(kMaxLog2Rotation <= kLog2Tile + kLog2Radix);

/// All rotations of one chunk.
struct Rotations {
  std::uint32_t log2_block;  ///< of the length of all but the last
  std::uint32_t log2_last;
  size_t last_begin;  ///< of the last rotation
  size_t length;      ///< of all, padding included
  size_t d;           ///< coordinates that are no padding

  __host__ __device__ __forceinline__ unsigned stages_at(size_t k) const {
    return k < last_begin ? log2_block : log2_last;
  }
};

inline Rotations rotations_of(const ChunkFormat& format, std::size_t d) {
  const std::size_t last = rotation_count(format, d) - 1;
  return {format.log2_block, log2_rotation(format, d, last), last << format.log2_block,
          rotated_length(format, d), d};
}

/// Stages `first_bit` to first_bit + 3 over v[j] = the value at k + (j << first_bit).
template <class T>
__device__ __forceinline__ void radix_stages(T (&v)[kRadix], const Rotations& rotations, size_t k,
                                             unsigned first_bit) {
#pragma unroll
  for (unsigned stage = 0; stage < kLog2Radix; ++stage) {
#pragma unroll
    for (unsigned j = 0; j < kRadix; ++j) {
      if ((j >> stage & 1) != 0) continue;
      const unsigned partner = j | 1u << stage;
      const bool active =
          first_bit + stage < rotations.stages_at(k + (static_cast<size_t>(j) << first_bit));
      const T a = v[j], b = v[partner];
      v[j] = active ? a + b : a;
      v[partner] = active ? a - b : b;
    }
  }
}

/// Where word w of a tile lies in shared memory, so that no pass meets a bank twice: f64, of which
/// 16 are a line of banks, one more word in 16; f32 one in 32, and 16 in the middle of the tile.
template <class T>
__device__ __forceinline__ unsigned spread(unsigned w) {
  return sizeof(T) == 8 ? w + w / 16 : w + w / 32 + w / (kTile / 2) * 16;
}
/// Values 16 t + j of thread t (bits 0 to 3 of w), low + 256 b + 16 j (bits 4 to 7), t + 256 j
/// (bits 8 to 11). Halves of a warp take `low` 0 to 15 of two b that are half a tile apart.
struct TilePlaces {
  unsigned first, middle, last;
};
__device__ __forceinline__ TilePlaces tile_places(unsigned t) {
  const unsigned b = t / kWarp + t / kRadix % 2 * (kRadix / 2);
  return {t * kRadix, t % kRadix + b * kRadix * kRadix, t};
}

/// values[row * length + k] for tile blockIdx.x of row blockIdx.y: source(row, k) transformed up to
/// bit 11.
template <class T, class Source>
__global__ void __launch_bounds__(kThreads, kLeastBlocks)
    hadamard_tiles(Rotations rotations, Source source, T* values) {
  __shared__ T shared[kTile + kTile / kRadix];
  const size_t begin = blockIdx.x * kTile;
  const unsigned row = blockIdx.y;
  const TilePlaces at = tile_places(threadIdx.x);
  T v[kRadix];
  // Neighbours read neighbours, and pass them on.
#pragma unroll
  for (unsigned j = 0; j < kRadix; ++j) {
    const size_t k = begin + at.last + j * kThreads;
    shared[spread<T>(at.last + j * kThreads)] = k < rotations.length ? source(row, k) : T{0};
  }
  __syncthreads();
#pragma unroll
  for (unsigned j = 0; j < kRadix; ++j) v[j] = shared[spread<T>(at.first + j)];
  radix_stages(v, rotations, begin + at.first, 0);
#pragma unroll
  for (unsigned j = 0; j < kRadix; ++j) shared[spread<T>(at.first + j)] = v[j];
  __syncthreads();
#pragma unroll
  for (unsigned j = 0; j < kRadix; ++j) v[j] = shared[spread<T>(at.middle + j * kRadix)];
  radix_stages(v, rotations, begin + at.middle, kLog2Radix);
#pragma unroll
  for (unsigned j = 0; j < kRadix; ++j) shared[spread<T>(at.middle + j * kRadix)] = v[j];
  __syncthreads();
#pragma unroll
  for (unsigned j = 0; j < kRadix; ++j) v[j] = shared[spread<T>(at.last + j * kThreads)];
  radix_stages(v, rotations, begin + at.last, 2 * kLog2Radix);
#pragma unroll
  for (unsigned j = 0; j < kRadix; ++j) {
    const size_t k = begin + at.last + j * kThreads;
    if (k < rotations.length) values[row * rotations.length + k] = v[j];
  }
}

/// The rest: bits 12 to 15, then finish(row, k, value) for k < d. Column `thread` of the grid takes
/// the values 4096 apart from one base in each run of 16 tiles.
template <class T, class Finish>
__global__ void __launch_bounds__(kThreads, kLeastBlocks)
    hadamard_columns(Rotations rotations, const T* values, Finish finish) {
  const size_t column = thread_index();
  const size_t base = column / kTile * kTile * kRadix + column % kTile;
  const unsigned row = blockIdx.y;
  T v[kRadix];
#pragma unroll
  for (unsigned j = 0; j < kRadix; ++j) {
    const size_t k = base + j * kTile;
    v[j] = k < rotations.length ? values[row * rotations.length + k] : T{0};
  }
  radix_stages(v, rotations, base, kLog2Tile);
#pragma unroll
  for (unsigned j = 0; j < kRadix; ++j) {
    const size_t k = base + j * kTile;
    if (k < rotations.d) finish(row, k, v[j]);
  }
}

/// finish(row, k, (H x_row)_k) for k < d, where x_row,k = source(row, k), for `rows` rows (at most
/// 65,535). `values`: room for rows * rotations.length.
template <class T, class Source, class Finish>
void hadamard(Context& context, const Rotations& rotations, std::size_t rows, const Source& source,
              T* values, const Finish& finish) {
  const auto tiles = static_cast<unsigned>(divide_up(rotations.length, kTile));
  const auto height = static_cast<unsigned>(rows);
  launch(context, hadamard_tiles<T, Source>, dim3(tiles, height), kThreads, rotations, source,
         values);
  const auto blocks = static_cast<unsigned>(divide_up(tiles, kRadix) * (kTile / kThreads));
  launch(context, hadamard_columns<T, Finish>, dim3(blocks, height), kThreads, rotations,
         static_cast<const T*>(values), finish);
}

/// 1, or -1 where the signs of the rotation that begins at `begin` say so (base/codec_random.h).
__device__ __forceinline__ bool is_flipped(std::uint64_t rotation, size_t k) {
  return (counter_word(rotation, k / 64) >> (k % 64) & 1) != 0;
}

}  // namespace muster::kernels::cuda
