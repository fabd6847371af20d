// Kept sums of many rows of any codec: the keys of the two boundaries by their digits (select.cuh),
// then one pass that clamps.
//
// Shape: columns, 32 a block of 512 threads. Keys of 32 bits (16 for F16 and BF16) stay in shared
// memory where all rows fit (n <= 1268 and 2538 with 227 KB): one pass over the codes in HBM, 8
// bytes written a coordinate. Beyond, each pass reads the codes again: 5 passes (3), any n. Shared
// memory: 69 KB of counters, 128 (64) bytes a row. At most 64 registers a thread, two blocks an SM
// where the rows leave room. With lo and hi the boundaries, the sum is that of clamped values less
// low * lo and high * hi, in integers: no order.
// Bound on an H100, f32, n = 1000, 1e9 elements: about 80 instructions an element, 2.7 ms; shared
// memory 1.5 ms, 2.3 where all keys tie; HBM 1.2 ms (docs/gpu.md).
#include "kernels/cell/grid.h"
#include "kernels/cell/key.h"
#include "kernels/cuda/kept_sum.h"
#include "kernels/cuda/select.cuh"
#include "kernels/cuda/shared_launch.cuh"
#include "kernels/cuda/values.cuh"

namespace muster::kernels::cuda {
namespace {

/// Unsigned keys that order as the coordinates of a codec do, and the way back.
template <Coding kCoding>
struct Keys {
  using Key = uint32_t;
  __device__ __forceinline__ static Key load(const CodesView& codes, const std::byte* row,
                                             size_t k) {
    return static_cast<uint32_t>(cell::key_of(value_at<kCoding>(codes, row, k))) ^ 0x80000000u;
  }
  __device__ __forceinline__ static float value(Key key) {
    return cell::value_of(static_cast<int32_t>(key ^ 0x80000000u));
  }
};
struct HalfKeys {
  using Key = uint16_t;
  __device__ __forceinline__ static Key load(const CodesView&, const std::byte* row, size_t k) {
    return cell::ordered_half(reinterpret_cast<const uint16_t*>(row)[k]);
  }
};
template <>
struct Keys<Coding::kF16> : HalfKeys {
  __device__ __forceinline__ static float value(Key key) {
    return cell::decode_f16(cell::half_of(key));
  }
};
template <>
struct Keys<Coding::kBF16> : HalfKeys {
  __device__ __forceinline__ static float value(Key key) {
    return cell::decode_bf16(cell::half_of(key));
  }
};

/// The clamped values of this warp's rows on the grid. kNear: all are within cell::kNearGrid.
template <class Of, bool kNear, class Load>
__device__ __forceinline__ uint64_t sum_clamped(size_t n, typename Of::Key lowest,
                                                typename Of::Key highest, double grid,
                                                const Load& load) {
  uint64_t sum = 0;
  for_rows_of_warp(n, load, [&](typename Of::Key key) {
    const auto within = key < lowest ? lowest : key > highest ? highest : key;
    const float x = Of::value(within);
    sum += kNear ? cell::to_near_grid(x, grid) - cell::kNearBits
                 : static_cast<uint64_t>(cell::to_grid(x, grid));
  });
  return sum;
}

template <class Of, class Load>
__device__ __forceinline__ void kept_columns(SelectShared<typename Of::Key>& shared,
                                             const CodesView& codes, const KeptView& job,
                                             const Load& load) {
  using Key = typename Of::Key;
  const int warp = threadIdx.x / 32, column = threadIdx.x % 32;
  const size_t k = static_cast<size_t>(blockIdx.x) * kColumns + threadIdx.x % 32;
  const int searches = (job.low > 0 ? 1 : 0) + (job.high > 0 ? 1 : 0);
  if (warp == 0) {
    const uint32_t last = static_cast<uint32_t>(codes.n) - job.high - 1;
    shared.ranks[0][column] = job.low > 0 ? job.low : last;
    shared.ranks[1][column] = last;
  }
  if (searches > 0) find_keys(shared, searches, 8 * sizeof(Key), codes.n, load);
  const Key lowest = job.low > 0 ? shared.keys[0][column] : Key{0};
  const Key highest = job.high > 0 ? shared.keys[searches - 1][column] : static_cast<Key>(~Key{0});
  const auto near = [&](Key key) {
    return fabs(static_cast<double>(Of::value(key)) * job.grid) <= cell::kNearGrid;
  };
  const bool all_near = searches == 2 && near(lowest) && near(highest);
  const uint64_t part = __all_sync(kWholeWarp, all_near)
                            ? sum_clamped<Of, true>(codes.n, lowest, highest, job.grid, load)
                            : sum_clamped<Of, false>(codes.n, lowest, highest, job.grid, load);
  uint64_t sum = sum_of_warps(shared, part);
  const auto units = [&](Key key) {
    return static_cast<uint64_t>(cell::to_grid(Of::value(key), job.grid));
  };
  if (job.low > 0) sum -= job.low * units(lowest);
  if (job.high > 0) sum -= job.high * units(highest);
  if (warp == 0 && k < codes.d) job.target[k] = static_cast<int64_t>(sum);
}

/// Blocks that share an SM: packed codes straight from memory take more than 64 registers.
template <Coding kCoding, bool kResident>
constexpr int kBlocksOfSm = kCoding == Coding::kHsq && !kResident ? 1 : 2;

template <Coding kCoding, bool kResident>
__global__ __launch_bounds__(
    kSelectThreads, kBlocksOfSm<kCoding, kResident>) void kept_sum_by_digits(CodesView codes,
                                                                             KeptView job) {
  using Of = Keys<kCoding>;
  using Key = typename Of::Key;
  extern __shared__ uint4 memory[];
  auto& shared = *reinterpret_cast<SelectShared<Key>*>(memory);
  const size_t column = static_cast<size_t>(blockIdx.x) * kColumns + threadIdx.x % 32;
  const size_t k = column < codes.d ? column : codes.d - 1;
  const auto from_codes = [&](size_t row) { return Of::load(codes, codes.rows[row], k); };
  if constexpr (kResident) {
    // Each warp reads what it wrote: no barrier.
    Key* keys = reinterpret_cast<Key*>(&shared + 1) + threadIdx.x % 32;
    size_t at = threadIdx.x / 32;
    for_rows_of_warp(codes.n, from_codes, [&](Key key) {
      keys[at * kColumns] = key;
      at += kSelectWarps;
    });
    kept_columns<Of>(shared, codes, job, [&](size_t row) { return keys[row * kColumns]; });
  } else {
    kept_columns<Of>(shared, codes, job, from_codes);
  }
}

}  // namespace

void sum_by_digits(const CodesView& codes, const KeptView& job, Context& context) {
  const unsigned blocks = blocks_for(codes.d, kColumns);
  with_coding(codes.coding, [&](auto coding) {
    constexpr Coding kCoding = decltype(coding)::value;
    using Key = typename Keys<kCoding>::Key;
    constexpr std::size_t kSearch = sizeof(SelectShared<Key>);
    const std::size_t resident = kSearch + codes.n * kColumns * sizeof(Key);
    if (resident <= context.shared_bytes())
      launch_shared(context, kept_sum_by_digits<kCoding, true>, blocks, kSelectThreads, resident,
                    codes, job);
    else
      launch_shared(context, kept_sum_by_digits<kCoding, false>, blocks, kSelectThreads, kSearch,
                    codes, job);
  });
}

}  // namespace muster::kernels::cuda
