// accumulate(): rows onto the grid of the round and into its sums. Integers, so that no order
// matters; each code is read once, and a sum once a cut of the rows (launch.cuh).
//
// Two kernels, both shape columns, 256 threads, no shared memory. Values: decode, one f64 product
// and one conversion each way an element. Codes of shared scales and equal factors: integer
// additions alone, 1 byte (I8S) or half (I4S) an element. On an H100 the second is bound by HBM
// (3.35 TB/s); so are F32, F16 and BF16 in the first, while int8 with scales of its own stays near
// twice one read where a multiprocessor does 16 conversions of f64 a clock, as the programming
// guide says.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cell/grid.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ops.h"

namespace muster::kernels::cuda {
namespace {

/// What a row's values are multiplied by before and after rounding.
struct RowWeight {
  double scaled_factor;  ///< factor * 2^grid_bits
  std::int64_t weight;
};

__device__ __forceinline__ void add_to_sum(std::int64_t* target, std::int64_t sum, bool shared) {
  shared ? atomic_add(target, sum) : void(*target = cell::add_weighted(*target, 1, sum));
}

struct AddValues {
  using Sum = std::int64_t;
  const RowWeight* weights;
  std::int64_t* target;

  __device__ __forceinline__ RowWeight of_row(std::uint32_t row) const { return weights[row]; }
  __device__ __forceinline__ Sum add(Sum sum, float value, const RowWeight& row) const {
    const std::int64_t step = cell::to_grid(cell::finite_or_zero(value), row.scaled_factor);
    return cell::add_weighted(sum, row.weight, step);
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
  const std::uint32_t first = blockIdx.y * rows_each;
  const std::uint32_t last = min(codes.n, first + rows_each);
  for (size_t k = thread_index() * kCount; k < codes.d; k += thread_count() * kCount) {
    std::int32_t sums[kCount] = {};
#pragma unroll 8
    for (std::uint32_t row = first; row < last; ++row) {
      std::int8_t q[kCount];
      load_integers<kCoding>(codes, codes.rows[row], k, q);
#pragma unroll
      for (unsigned j = 0; j < kCount; ++j) sums[j] += q[j];
    }
#pragma unroll
    for (unsigned j = 0; j < kCount; ++j)
      if (k + j < codes.d)
        add_to_sum(target + k + j,
                   cell::add_weighted(0, worth[(k + j) >> codes.log2_block], sums[j]),
                   gridDim.y > 1);
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

template <Coding kCoding>
void accumulate_codes(const CodesView& codes, const std::int64_t* worth, std::int64_t* target,
                      Context& context) {
  const Columns shape = columns_shape(context, codes, kGroup<kCoding>);
  launch(context, add_codes<kCoding>, shape.grid, kThreads, codes, worth, target, shape.rows_each);
}

}  // namespace

void accumulate(const AccumulateJob& job, Context& context) {
  const std::size_t n = job.codes.n();
  MUSTER_CHECK_OP(job.factors.size(), ==, n);
  MUSTER_CHECK_OP(job.weights.size(), ==, n);
  std::vector<RowWeight> weights(n);
  for (std::size_t row = 0; row < n; ++row) {
    weights[row] = {std::ldexp(job.factors[row], job.grid_bits), job.weights[row]};
    MUSTER_CHECK(std::isfinite(weights[row].scaled_factor));
  }
  if (n == 0 || job.codes.d == 0) return;
  const CodesView codes = context.codes(job.codes);
  if (const std::vector<std::int64_t> worth = worth_of_blocks(job); !worth.empty()) {
    const std::int64_t* table = context.table(std::span(worth));
    codes.coding == Coding::kI8S
        ? accumulate_codes<Coding::kI8S>(codes, table, job.target, context)
        : accumulate_codes<Coding::kI4S>(codes, table, job.target, context);
    return;
  }
  columns(context, codes,
          AddValues{context.table(std::span<const RowWeight>(weights)), job.target});
}

}  // namespace muster::kernels::cuda
