// accumulate(): rows onto the grid of the round and into its sums. Integers, so that no order
// matters; each code is read once, and a sum once a cut of the rows (launch.cuh).
//
// Two kernels, both shape columns, 256 threads, up to 17 KB of shared memory in which sums are
// turned before they are written. Values: decode, a conversion to
// f64, a product and an addition in f64 whose low bits are the grid value, and a product with the
// weight. Beyond 2^50 units or with weights beyond 32 bits: with a second conversion, to i64. Codes
// of shared scales and equal factors: integer additions alone, 1 byte (I8S) or half (I4S) an
// element. On an H100 all are bound by HBM (3.35 TB/s): one conversion of f64 an element is 0.27 ms
// for 1e9 at 16 a clock, as the programming guide says, against 0.31 ms for reading them as int8.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/cell/grid.h"
#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/ops.h"

namespace muster::kernels::cuda {
namespace {

/// What a row's values are multiplied by before and after rounding.
struct alignas(16) RowWeight {
  double scaled_factor;  ///< factor * 2^grid_bits
  float limit;           ///< magnitude up to which the short way holds; -1: never, as the weight
                         ///< has more than 32 bits
  std::uint32_t weight;  ///< where there is a short way
};

/// The rows of a job. A value that is not beyond `limit` stays within cell::kNearGrid.
struct RowWeights {
  std::vector<RowWeight> rows;
  std::vector<std::uint64_t> weights;  ///< modulo 2^64
  std::vector<std::uint64_t>
      offsets;  ///< cell::kNearBits times the weights before each row, and all
};

__device__ __forceinline__ void add_to_sum(std::int64_t* target, std::int64_t sum, bool shared) {
  shared ? atomic_add(target, sum) : void(*target = cell::add_weighted(*target, 1, sum));
}

/// sum += value * weight modulo 2^64, in the two multiply-adds that nvcc does not find by itself.
__device__ __forceinline__ void add_product(std::int64_t& sum, std::uint64_t value,
                                            std::uint32_t weight) {
  const auto low = static_cast<std::uint32_t>(value);
  const auto high = static_cast<std::uint32_t>(value >> 32);
  auto wide = static_cast<std::uint64_t>(sum);
  asm("mad.wide.u32 %0, %1, %2, %0;" : "+l"(wide) : "r"(low), "r"(weight));
  auto upper = static_cast<std::uint32_t>(wide >> 32);
  asm("mad.lo.u32 %0, %1, %2, %0;" : "+r"(upper) : "r"(high), "r"(weight));
  sum = static_cast<std::int64_t>(std::uint64_t{upper} << 32 | static_cast<std::uint32_t>(wide));
}

/// Adds weight * (grid value + cell::kNearBits) a row, and takes the offsets off beforehand: the
/// short way needs no conversion but the one of a value to f64.
struct AddValues {
  using Sum = std::int64_t;
  const RowWeight* rows;
  const std::uint64_t* weights;
  const std::uint64_t* offsets;
  std::int64_t* target;

  __device__ __forceinline__ Sum start(std::uint32_t first, std::uint32_t last) const {
    return static_cast<Sum>(offsets[first] - offsets[last]);
  }
  template <unsigned kPieces, unsigned kCount>
  __device__ __forceinline__ void add(Sum (&sums)[kPieces][kCount],
                                      const float (&values)[kPieces][kCount], float most,
                                      std::uint32_t row) const {
    const RowWeight by = rows[row];
    if (most <= by.limit) {
#pragma unroll
      for (unsigned i = 0; i < kPieces * kCount; ++i)
        add_product(sums[i / kCount][i % kCount],
                    cell::to_near_grid_of_any(values[i / kCount][i % kCount], by.scaled_factor),
                    by.weight);
    } else {
      const std::uint64_t weight = weights[row];
#pragma unroll
      for (unsigned i = 0; i < kPieces * kCount; ++i) {
        const float value = cell::finite_or_zero(values[i / kCount][i % kCount]);
        const std::int64_t step = cell::to_grid(value, by.scaled_factor);
        Sum& sum = sums[i / kCount][i % kCount];
        sum = static_cast<Sum>(static_cast<std::uint64_t>(sum) +
                               (static_cast<std::uint64_t>(step) + cell::kNearBits) * weight);
      }
    }
  }
  __device__ __forceinline__ void finish(size_t k, Sum sum, bool shared) const {
    add_to_sum(target + k, sum, shared);
  }
};

/// Codes of rows with one factor and one weight: worth[b] is what code 1 of block b adds.
template <Coding kCoding>
__global__ void __launch_bounds__(kThreads, kLeastBlocks)
    add_codes(CodesView codes, const std::int64_t* worth, std::int64_t* target,
              std::uint32_t rows_each) {
  constexpr unsigned kCount = kGroup<kCoding>;
  __shared__ TurnShared<std::int32_t, kCount> shared;
  const std::uint32_t first_row = blockIdx.y * rows_each;
  const std::uint32_t last_row = min(codes.n, first_row + rows_each);
  for (size_t strip = thread_index() / kWarp * kStrip<kCoding>; strip < codes.d;
       strip += thread_count() / kWarp * kStrip<kCoding>) {
    std::int32_t sums[kPieces<kCoding>][kCount] = {};
    walk_rows<kCoding, 8>(codes, strip, first_row, last_row,
                          [&](std::uint32_t row, size_t k, auto whole) {
                            const std::byte* data = codes.rows[row];
#pragma unroll
                            for (unsigned p = 0; p < kPieces<kCoding>; ++p) {
                              const size_t at = k + p * kPiece<kCoding>;
                              if (!whole.value && at >= codes.d) continue;
                              std::int8_t q[kCount];
                              load_integers<kCoding, decltype(whole)::value>(codes, data, at, q);
#pragma unroll
                              for (unsigned j = 0; j < kCount; ++j) sums[p][j] += q[j];
                            }
                          });
#pragma unroll
    for (unsigned p = 0; p < kPieces<kCoding>; ++p)
      turned(shared, sums[p], [&](unsigned c, std::int32_t sum) {
        const size_t at = strip + p * kPiece<kCoding> + c;
        if (at < codes.d)
          add_to_sum(target + at, cell::add_weighted(0, worth[at >> codes.log2_block], sum),
                     gridDim.y > 1);
      });
  }
}

/// Rows whose codes, -8 to 7 or -128 to 127, fit an i32 sum.
constexpr std::size_t kCodeRows = std::size_t{1} << 24;

/// What code 1 of every block is worth on the grid, times the weight, where that is an integer for
/// all: scales are powers of two, so products with codes are then exact, and the sum of products is
/// the product of the sum. Empty where it is not, or where rows differ.
std::vector<std::int64_t> worth_of_blocks(const AccumulateJob& job) {
  const Codes& codes = job.codes;
  if (!has_shared_scales(codes.format.codec) || codes.n() >= kCodeRows) return {};
  for (std::size_t row = 1; row < codes.n(); ++row)
    if (job.factors[row] != job.factors[0] || job.weights[row] != job.weights[0]) return {};
  const std::size_t blocks = divide_up(codes.d, std::size_t{1} << codes.format.log2_block);
  std::vector<std::int64_t> worth(blocks);
  for (std::size_t b = 0; b < blocks; ++b) {
    const double exact = std::ldexp(job.factors[0], job.grid_bits + codes.scale_exponents[b]);
    if (!(std::fabs(exact) <= 0x1p45)) return {};
    const auto whole = static_cast<std::int64_t>(exact);
    if (static_cast<double>(whole) != exact) return {};
    worth[b] = cell::add_weighted(0, job.weights[0], whole);
  }
  return worth;
}

RowWeights weights_of(const AccumulateJob& job) {
  RowWeights weights;
  weights.offsets.push_back(0);
  for (std::size_t row = 0; row < job.factors.size(); ++row) {
    const double factor = std::ldexp(job.factors[row], job.grid_bits);
    MUSTER_CHECK(std::isfinite(factor));
    const auto weight = static_cast<std::uint64_t>(job.weights[row]);
    const bool is_short = weight <= UINT32_MAX;
    // Rounded towards zero: no product exceeds kNearGrid, rounded as it is.
    constexpr double kLargest = std::numeric_limits<float>::max();
    const double most = std::min(cell::kNearGrid / std::fabs(factor), kLargest);
    const auto nearest = static_cast<float>(most);
    const float limit =
        static_cast<double>(nearest) > most ? std::nextafter(nearest, 0.0f) : nearest;
    weights.rows.push_back(
        {factor, is_short ? limit : -1.0f, is_short ? static_cast<std::uint32_t>(weight) : 0});
    weights.weights.push_back(weight);
    weights.offsets.push_back(weights.offsets.back() + cell::kNearBits * weight);
  }
  return weights;
}

template <Coding kCoding>
void accumulate_codes(const CodesView& codes, const std::int64_t* worth, std::int64_t* target,
                      Context& context) {
  const Columns shape = columns_shape<kCoding>(context, codes);
  launch(context, add_codes<kCoding>, shape.grid, kThreads, codes, worth, target, shape.rows_each);
}

}  // namespace

void accumulate(const AccumulateJob& job, Context& context) {
  const std::size_t n = job.codes.n();
  MUSTER_CHECK_OP(job.factors.size(), ==, n);
  MUSTER_CHECK_OP(job.weights.size(), ==, n);
  const RowWeights weights = weights_of(job);
  if (n == 0 || job.codes.d == 0) return;
  const CodesView codes = context.codes(job.codes);
  if (const std::vector<std::int64_t> worth = worth_of_blocks(job); !worth.empty()) {
    const std::int64_t* table = context.table(std::span(worth));
    codes.coding == Coding::kI8S
        ? accumulate_codes<Coding::kI8S>(codes, table, job.target, context)
        : accumulate_codes<Coding::kI4S>(codes, table, job.target, context);
    return;
  }
  columns(
      context, codes,
      AddValues{context.table(std::span(weights.rows)), context.table(std::span(weights.weights)),
                context.table(std::span(weights.offsets)), job.target});
}

}  // namespace muster::kernels::cuda
