// Sums of a window of each column's grid values: trimmed, or nearest a centre; and the mixing of
// rows that may come before.
//
// Shape: columns, 32 a block of 512 threads, any n. The i64 values of a tile, 256 bytes a row, lie
// in shared memory beside 70 KB of counters where they fit (n <= 633 with 227 KB; half of it with
// stages), else in a slice of scratch a block, whose number is bounded by kSlicesBytes.
// Codes are read once, 8 bytes written a coordinate; all else is the tile: a pass for each 8 bits
// that the values really span (at most 8), as many for distances, 3 more; a stage reads each row
// once a mention. Nothing is sorted: the boundary of the trimmed sum and the reach of the window
// are found by rank (select.cuh). All sums are integers: no order. Bound on an H100, Meamed of f32,
// n = 1000, 1e9 elements, values of 40 bits: 16 passes over 8 bytes from L2 at 5.5 TB/s, 23 ms; n
// <= 633: about 250 instructions an element, 8 ms (docs/gpu.md).
#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "kernels/cell/grid.h"
#include "kernels/cell/window.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/select.cuh"
#include "kernels/cuda/shared_launch.cuh"
#include "kernels/cuda/values.cuh"

namespace muster::kernels::cuda {
namespace {

using WindowShared = SelectShared<uint64_t>;

/// MixStage on the device.
struct MixView {
  const uint32_t* bounds;
  const uint32_t* members;
  size_t n;
  bool except;
};

struct WindowView {
  const double* scaled_factors;  ///< factor * 2^grid_bits, one a row of codes
  const MixView* stages;
  uint32_t stage_count;
  size_t capacity;  ///< rows a stage has at most, before or after
  uint32_t low, high, keep;
  int64_t* scratch;  ///< two tiles a block, or null: they lie in shared memory
  int64_t* target;
};

/// What the slices of all blocks may take together, unless one takes more.
constexpr std::size_t kSlicesBytes = std::size_t{256} << 20;

std::size_t tile_bytes(std::size_t rows) { return rows * kColumns * sizeof(std::int64_t); }
/// Blocks that may have two tiles of so many rows in scratch: at least one.
std::size_t most_slices(std::size_t rows) {
  return std::max<std::size_t>(kSlicesBytes / (2 * tile_bytes(rows)), 1);
}

/// target[row] = the mean, rounded to the grid, of the rows that the stage lists for it. Columns
/// are lanes; both tiles are those of this thread's column.
__device__ __forceinline__ void mix_rows(WindowShared& shared, const MixView& stage,
                                         const int64_t* rows, size_t n, int64_t* target) {
  uint64_t all = 0;
  if (stage.except) {
    for_rows_of_warp(
        n, [&](size_t row) { return rows[row * kColumns]; },
        [&](int64_t value) { all += static_cast<uint64_t>(value); });
    all = sum_of_warps(shared, all);
  }
  // Rows of other warps are there, and nobody reads any more what this stage writes over.
  __syncthreads();
  for (size_t row = threadIdx.x / 32; row < stage.n; row += kSelectWarps) {
    const uint32_t begin = stage.bounds[row], end = stage.bounds[row + 1];
    uint64_t listed = 0;
#pragma unroll 8
    for (uint32_t m = begin; m < end; ++m)
      listed += static_cast<uint64_t>(rows[size_t{stage.members[m]} * kColumns]);
    const auto divisor =
        static_cast<int64_t>(stage.except ? n - (end - begin) : size_t{end - begin});
    const auto sum = static_cast<int64_t>(stage.except ? all - listed : listed);
    target[row * kColumns] = cell::divide_even(sum, divisor, 1.0 / static_cast<double>(divisor));
  }
}

/// Bits that hold the magnitude of every value of the tile.
template <class Load>
__device__ __forceinline__ int magnitude_bits(WindowShared& shared, size_t n, const Load& load) {
  uint64_t bits = 0;
  for_rows_of_warp(n, load,
                   [&](int64_t value) { bits |= static_cast<uint64_t>(value ^ (value >> 63)); });
  bits = fold_warps(shared, bits, [](uint64_t a, uint64_t b) { return a | b; });
#pragma unroll
  for (int width = 16; width > 0; width /= 2) bits |= __shfl_xor_sync(kWholeWarp, bits, width);
  __syncthreads();  // the counters are free again
  return 64 - __clzll(static_cast<long long>(bits));
}

/// The sum of the ranks low .. n - high - 1.
template <class Load>
__device__ __forceinline__ int64_t trimmed_sum(WindowShared& shared, uint32_t low, uint32_t high,
                                               size_t n, int magnitude, const Load& load) {
  const int searches = (low > 0 ? 1 : 0) + (high > 0 ? 1 : 0);
  const int column = threadIdx.x % 32;
  const uint64_t offset = uint64_t{1} << magnitude;
  int64_t lowest = INT64_MIN, highest = INT64_MAX;
  if (searches > 0) {
    if (threadIdx.x < 32) {
      const uint32_t last = static_cast<uint32_t>(n) - high - 1;
      shared.ranks[0][column] = low > 0 ? low : last;
      shared.ranks[1][column] = last;
    }
    find_keys(shared, searches, magnitude + 1, n,
              [&](size_t row) { return static_cast<uint64_t>(load(row)) + offset; });
    if (low > 0) lowest = static_cast<int64_t>(shared.keys[0][column] - offset);
    if (high > 0) highest = static_cast<int64_t>(shared.keys[searches - 1][column] - offset);
  }
  uint64_t sum = 0;
  for_rows_of_warp(n, load, [&](int64_t value) {
    sum += static_cast<uint64_t>(cell::smaller(cell::larger(value, lowest), highest));
  });
  sum = sum_of_warps(shared, sum);
  if (low > 0) sum -= low * static_cast<uint64_t>(lowest);
  if (high > 0) sum -= high * static_cast<uint64_t>(highest);
  __syncthreads();
  return static_cast<int64_t>(sum);
}

/// The sum of the `keep` values nearest to centre / count, right in every thread.
template <class Load>
__device__ __forceinline__ int64_t nearest_sum(WindowShared& shared, uint32_t keep, int64_t centre,
                                               int64_t count, size_t n, int magnitude,
                                               const Load& load) {
  const int column = threadIdx.x % 32;
  const auto distance = [&](int64_t value) { return cell::scaled_distance(value, centre, count); };
  if (threadIdx.x < 32) shared.ranks[0][column] = keep - 1;
  // No two values are further apart than 2^(magnitude + 1).
  const int bits = magnitude + 1 + 64 - __clzll(count);
  find_keys(shared, 1, bits < 64 ? bits : 64, n,
            [&](size_t row) { return static_cast<uint64_t>(distance(load(row))); });
  const auto reach = static_cast<int64_t>(shared.keys[0][column]);
  uint64_t near_sum = 0, near = 0, tie_sum = 0, ties = 0;
  for_rows_of_warp(n, load, [&](int64_t value) {
    const int64_t far = distance(value);
    near_sum += far < reach ? static_cast<uint64_t>(value) : 0;
    near += far < reach ? 1 : 0;
    tie_sum += far == reach ? static_cast<uint64_t>(value) : 0;
    ties += far == reach ? 1 : 0;
  });
  near_sum = sum_of_warps(shared, near_sum);
  near = sum_of_warps(shared, near);
  tie_sum = sum_of_warps(shared, tie_sum);
  ties = sum_of_warps(shared, ties);
  const auto places = int64_t{keep} - static_cast<int64_t>(near);
  const auto tied = static_cast<int64_t>(tie_sum);
  return static_cast<int64_t>(near_sum) +
         (static_cast<uint64_t>(places) == ties
              ? tied
              : cell::split_ties(places, tied, static_cast<int64_t>(ties)));
}

__global__ __launch_bounds__(kSelectThreads, 1) void window_sum_of_columns(CodesView codes,
                                                                           WindowView job) {
  extern __shared__ uint4 memory[];
  auto& shared = *reinterpret_cast<WindowShared*>(memory);
  const size_t tile_values = job.capacity * kColumns;
  int64_t* const tiles = job.scratch != nullptr ? job.scratch + 2 * tile_values * blockIdx.x
                                                : reinterpret_cast<int64_t*>(&shared + 1);
  for (size_t first = static_cast<size_t>(blockIdx.x) * kColumns; first < codes.d;
       first += static_cast<size_t>(gridDim.x) * kColumns) {
    const size_t column = first + threadIdx.x % 32;
    const size_t k = column < codes.d ? column : codes.d - 1;
    int64_t* rows = tiles + threadIdx.x % 32;
    int64_t* spare = rows + tile_values;
    by_coding(codes.coding, [&](auto coding) {
#pragma unroll 4
      for (size_t row = threadIdx.x / 32; row < codes.n; row += kSelectWarps)
        rows[row * kColumns] = cell::to_grid(
            value_at<decltype(coding)::value>(codes, codes.rows[row], k), job.scaled_factors[row]);
    });
    size_t n = codes.n;
    for (uint32_t s = 0; s < job.stage_count; ++s) {
      mix_rows(shared, job.stages[s], rows, n, spare);
      n = job.stages[s].n;
      int64_t* mixed = spare;
      spare = rows;
      rows = mixed;
    }
    // From here on each warp reads the rows it wrote.
    const auto load = [&](size_t row) { return rows[row * kColumns]; };
    const int magnitude = magnitude_bits(shared, n, load);
    int64_t sum = trimmed_sum(shared, job.low, job.high, n, magnitude, load);
    if (job.keep > 0)
      sum = nearest_sum(shared, job.keep, sum, static_cast<int64_t>(n - job.low - job.high), n,
                        magnitude, load);
    if (threadIdx.x < 32 && column < codes.d) job.target[column] = sum;
  }
}

}  // namespace

void window_sum(const WindowSumJob& job, Context& context) {
  MUSTER_CHECK(job.factors.empty() || job.factors.size() == job.codes.n());
  const CodesView codes = context.codes(job.codes);
  std::vector<double> factors(codes.n, std::ldexp(1.0, job.grid_bits));
  for (std::size_t row = 0; row < job.factors.size(); ++row)
    factors[row] = std::ldexp(job.factors[row], job.grid_bits);

  std::vector<MixView> stages;
  std::size_t n = codes.n, capacity = codes.n;
  for (const MixStage& stage : job.stages) {
    for (const std::uint32_t member : stage.members) MUSTER_CHECK_OP(member, <, n);
    for (std::size_t row = 0; row < stage.n(); ++row) {
      const std::size_t listed = stage.bounds[row + 1] - stage.bounds[row];
      MUSTER_CHECK(stage.except ? listed < n : listed > 0);
    }
    stages.push_back(
        {context.table(stage.bounds), context.table(stage.members), stage.n(), stage.except});
    n = stage.n();
    capacity = std::max(capacity, n);
  }
  MUSTER_CHECK_OP(std::uint64_t{job.low} + job.high, <, n);
  MUSTER_CHECK_OP(std::size_t{job.keep}, <=, n);

  WindowView window{context.table(std::span<const double>(factors)),
                    context.table(std::span<const MixView>(stages)),
                    static_cast<std::uint32_t>(stages.size()),
                    capacity,
                    job.low,
                    job.high,
                    job.keep,
                    nullptr,
                    job.target};
  const std::size_t resident =
      sizeof(WindowShared) + (stages.empty() ? 1 : 2) * tile_bytes(capacity);
  const std::size_t tiles = divide_up(codes.d, std::size_t{kColumns});
  std::size_t blocks = std::min(tiles, static_cast<std::size_t>(context.multiprocessors()));
  if (resident > context.shared_bytes()) {
    blocks = std::min(blocks, most_slices(capacity));
    window.scratch = context.scratch<std::int64_t>(blocks * 2 * capacity * kColumns);
  }
  launch_shared(context, window_sum_of_columns, static_cast<unsigned>(blocks), kSelectThreads,
                window.scratch == nullptr ? resident : sizeof(WindowShared), codes, window);
}

std::size_t window_scratch_bytes(std::size_t n, const Device& device) {
  if (n == 0 || sizeof(WindowShared) + 2 * tile_bytes(n) <= device.shared_bytes) return 0;
  const auto multiprocessors = static_cast<std::size_t>(device.multiprocessors);
  return std::min(multiprocessors, most_slices(n)) * 2 * tile_bytes(n);
}

}  // namespace muster::kernels::cuda
