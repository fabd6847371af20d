// Gram matrices of codes that share one scale for a stretch of canonical blocks: the integers from
// the tensor cores, through cuBLAS.
//
// Shape: panels of 256 rows of the matrix against all rows from there on (0.62 of the square for
// four panels). int8 x int8 -> int32 is exact for 65,536 coordinates, at any grouping. A panel of
// 1000 columns is 16 tiles of 128 x 128 where an H100 has 132 multiprocessors, so the depth is cut
// into slices, products of their own in one call: as many as fill the device. Rows that lie one
// pitch apart are read where they are; others, and packed codes, are gathered first (one read and
// one write of the codes). Then one pass adds the slices and joins a panel to the matrix, 24 bytes
// a pair and 4 a slice:
// wherever the entry is a multiple of the unit and stays below 2^53 of them nothing can round, and
// the order of blocks does not matter; an entry for which that is not so is added up again block by
// block. So the bits are the CPU's in every case.
// Bound on an H100 at 60 % of the int8 peak, n = 1000, 1e6 coordinates: 1.1 ms, joining 0.15 ms,
// gathering 0.6 ms where it is needed.
#include <algorithm>
#include <cmath>

#include "kernels/canonical.h"
#include "kernels/cuda/blas.h"
#include "kernels/cuda/gram.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/shared_launch.cuh"
#include "kernels/cuda/words.cuh"

namespace muster::kernels::cuda {
namespace {

/// Coordinates of one product: 2^16 terms of at most 2^14 stay within int32.
constexpr std::size_t kMostDepth = 65'536;
/// Rows of the matrix that one product fills.
constexpr std::size_t kPanel = 256;
/// Codes gathered at a time, unless one canonical block of all rows is more.
constexpr std::size_t kGatherBytes = std::size_t{128} << 20;
/// Cohorts beyond have no Gram matrix: 32 GiB of it.
constexpr std::size_t kMostRows = 65'536;
constexpr unsigned kGatherThreads = 256;
/// Tiles that cuBLAS takes a product in, about, and how many are to be there at once: those of an
/// H100, whatever the device, so that memory needed is a function of the job.
constexpr std::size_t kGemmTile = 128, kTilesWanted = 132;
constexpr std::size_t kMostSlices = 8;
/// Slices are multiples of this: what the tensor cores take at a time.
constexpr std::size_t kSliceStep = 64;

/// How many slices a product of `height` rows with `columns` is cut into, at most.
std::size_t slices_of(std::size_t columns, std::size_t height, std::size_t depth) {
  const std::size_t tiles = divide_up(columns, kGemmTile) * divide_up(height, kGemmTile);
  return std::min(std::clamp(kTilesWanted / tiles, std::size_t{1}, kMostSlices),
                  divide_up(depth, kSliceStep));
}
/// Their depth; the last one has what is left.
std::size_t slice_depth(std::size_t columns, std::size_t height, std::size_t depth) {
  const std::size_t slices = slices_of(columns, height, depth);
  return std::min(depth, align_up(divide_up(depth, slices), kSliceStep));
}
/// Products there are at a time, of all slices of any panel of n rows, whatever its height: a tile
/// or two of it.
std::size_t most_products(std::size_t n, std::size_t depth) {
  std::size_t most = 0;
  for (std::size_t first = 0; first < n; first += kPanel)
    for (const std::size_t height : {kGemmTile, kPanel}) {
      const std::size_t tall = align_up(std::min(height, n - first), std::size_t{4});
      const std::size_t columns = align_up(n - first, std::size_t{4});
      most = std::max(most, slices_of(columns, tall, depth) * columns * tall);
    }
  return most;
}

/// A panel of products on its way to the matrix.
struct JoinView {
  const int8_t* codes;  ///< of the stretch, `pitch` bytes from row to row
  size_t pitch, depth;
  double unit, inverse_unit;  ///< 4^exponent, 4^-exponent
  const int32_t* products;    ///< of rows first .. first + height - 1 with rows first .. n - 1
  size_t product_pitch, product_stride;  ///< from row to row, from slice to slice
  size_t slices;
  size_t first, height;
  size_t n, rows;
  double* gram;
};

/// target[row * pitch + k] = code begin + k, zeros from `end` on and past the last row.
template <Coding kCoding>
__global__ __launch_bounds__(kGatherThreads) void gather_codes(CodesView codes, size_t begin,
                                                               size_t end, size_t pitch,
                                                               int8_t* target) {
  const size_t row = blockIdx.y;
  const size_t k = 4 * (static_cast<size_t>(blockIdx.x) * kGatherThreads + threadIdx.x);
  if (k < pitch)
    *reinterpret_cast<uint32_t*>(target + row * pitch + k) =
        row < codes.n ? codes_word<kCoding>(codes, codes.rows[row], begin + k, end) : 0;
}

/// The sum of products of two rows of codes over `count` coordinates.
__device__ __forceinline__ int32_t multiply_rows(const int8_t* a, const int8_t* b, size_t count) {
  int32_t sum = 0;
  size_t k = 0;
  for (; k + 4 <= count; k += 4)
    sum = __dp4a(*reinterpret_cast<const int*>(a + k), *reinterpret_cast<const int*>(b + k), sum);
  for (; k < count; ++k) sum += int32_t{a[k]} * b[k];
  return sum;
}

/// entry + unit * product, as adding the products of the canonical blocks one by one gives it.
__device__ __forceinline__ double joined(double entry, int32_t product, const JoinView& job,
                                         size_t i, size_t j) {
  const double units = entry * job.inverse_unit;
  // 2^14 bounds a product of two codes.
  const double most = fabs(units) + 0x1p14 * static_cast<double>(job.depth);
  if (rint(units) == units && most <= 0x1p53)
    return entry + static_cast<double>(product) * job.unit;
  const int8_t* a = job.codes + i * job.pitch;
  const int8_t* b = job.codes + j * job.pitch;
  for (size_t k = 0; k < job.depth; k += canonical::kBlock) {
    const size_t left = job.depth - k;
    const size_t count = left < canonical::kBlock ? left : canonical::kBlock;
    entry += static_cast<double>(multiply_rows(a + k, b + k, count)) * job.unit;
  }
  return entry;
}

constexpr int kSquare = 32;
constexpr int kRowsAtOnce = 8;

/// Joins the upper part of rows [first, first + height) to the matrix, and its mirror image.
__global__ __launch_bounds__(kSquare* kRowsAtOnce) void join_products(JoinView job) {
  __shared__ double square[kSquare][kSquare + 1];
  const int x = threadIdx.x % kSquare, y = threadIdx.x / kSquare;
  const size_t first_row = job.first + static_cast<size_t>(blockIdx.y) * kSquare;
  const size_t first_column = job.first + static_cast<size_t>(blockIdx.x) * kSquare;
  if (first_column >= first_row) {  // else all of it is below the diagonal
    const size_t end = job.first + job.height;
    const size_t j = first_column + x;
#pragma unroll
    for (int r = y; r < kSquare; r += kRowsAtOnce) {
      const size_t i = first_row + r;
      double entry = 0;
      if (i < end && j < job.n && i <= j) {
        const int32_t* slice = job.products + (i - job.first) * job.product_pitch + j - job.first;
        int32_t product = 0;
#pragma unroll 4
        for (size_t s = 0; s < job.slices; ++s) product += slice[s * job.product_stride];
        entry = joined(job.gram[i * job.n + j], product, job, i, j);
        job.gram[i * job.n + j] = entry;
      }
      square[r][x] = entry;
    }
    __syncthreads();
#pragma unroll
    for (int c = y; c < kSquare; c += kRowsAtOnce) {
      const size_t i = first_row + x, row = first_column + c;
      if (i < end && row < job.rows && i < row) job.gram[row * job.n + i] = square[x][c];
    }
  }
}

/// The codes of a stretch as one matrix.
struct CodeMatrix {
  const std::int8_t* codes;
  std::size_t pitch, depth, rows;  ///< depth and rows: multiples of 4, zeros where there is nothing
};

/// int8 rows where they lie, if they lie as a matrix.
bool lies_as_matrix(const CodesView& codes, std::span<const std::byte* const> rows,
                    std::size_t depth) {
  if (codes.coding != Coding::kI8S || codes.n % 4 != 0 || depth % 4 != 0) return false;
  const std::ptrdiff_t pitch = rows[1] - rows[0];
  if (pitch < static_cast<std::ptrdiff_t>(codes.d) || pitch % 4 != 0 || pitch > INT32_MAX)
    return false;
  for (std::size_t row = 2; row < rows.size(); ++row)
    if (rows[row] - rows[row - 1] != pitch) return false;
  return true;
}

CodeMatrix gather(const CodesView& codes, Stretch stretch, std::int8_t* target, Context& context) {
  const std::size_t depth = align_up(std::size_t{stretch.end - stretch.begin}, std::size_t{16});
  const std::size_t rows = align_up(std::size_t{codes.n}, std::size_t{4});
  const dim3 grid(blocks_for(depth, 4 * kGatherThreads), static_cast<unsigned>(rows));
  const auto kernel =
      codes.coding == Coding::kI8S ? gather_codes<Coding::kI8S> : gather_codes<Coding::kI4S>;
  launch(context, kernel, grid, kGatherThreads, codes, std::size_t{stretch.begin},
         std::size_t{stretch.end}, depth, target);
  return {target, depth, depth, rows};
}

/// Coordinates that are gathered at a time: whole canonical blocks.
std::size_t gathered_depth(std::size_t n) {
  const std::size_t fits = kGatherBytes / n / canonical::kBlock * canonical::kBlock;
  return std::clamp(fits, canonical::kBlock, kMostDepth);
}

}  // namespace

void gram_by_gemm(const CodesView& codes, std::span<const std::byte* const> rows,
                  const GramView& job, Stretch stretch, int exponent, Context& context) {
  const bool in_place = lies_as_matrix(codes, rows, stretch.end - stretch.begin);
  const std::size_t length = align_up(std::size_t{stretch.end - stretch.begin}, std::size_t{16});
  const auto most =
      static_cast<std::uint32_t>(in_place ? kMostDepth : std::min(gathered_depth(codes.n), length));
  const std::size_t width = align_up(std::size_t{codes.n}, std::size_t{4});
  auto* products = context.scratch<std::int32_t>(most_products(codes.n, most));
  auto* gathered = in_place ? nullptr : context.scratch<std::int8_t>(width * most);
  const double unit = std::ldexp(1.0, 2 * exponent);
  for (std::uint32_t begin = stretch.begin; begin < stretch.end; begin += most) {
    const Stretch part{begin, std::min(stretch.end, begin + most)};
    const std::size_t depth = part.end - part.begin;
    const CodeMatrix matrix =
        in_place ? CodeMatrix{reinterpret_cast<const std::int8_t*>(rows[0] + begin),
                              static_cast<std::size_t>(rows[1] - rows[0]), depth, codes.n}
                 : gather(codes, part, gathered, context);
    for (std::size_t first = 0; first < job.rows; first += kPanel) {
      const std::size_t height = std::min<std::size_t>(kPanel, job.rows - first);
      const std::int8_t* from = matrix.codes + first * matrix.pitch;
      const std::size_t columns = matrix.rows - first, tall = align_up(height, std::size_t{4});
      const std::size_t slice = slice_depth(columns, height, matrix.depth);
      const std::size_t whole = matrix.depth / slice, left = matrix.depth % slice;
      Blas::CodeProducts product{from,
                                 from,
                                 static_cast<int>(columns),
                                 static_cast<int>(tall),
                                 static_cast<int>(slice),
                                 static_cast<int>(matrix.pitch),
                                 products,
                                 static_cast<int>(columns),
                                 static_cast<int>(whole),
                                 static_cast<long long>(columns * tall)};
      context.blas().multiply_codes(product, context.stream());
      if (left != 0) {
        product.a = product.b = from + whole * slice;
        product.depth = static_cast<int>(left);
        product.products += whole * columns * tall;
        product.slices = 1;
        context.blas().multiply_codes(product, context.stream());
      }
      const JoinView join{matrix.codes, matrix.pitch,   depth,
                          unit,         1 / unit,       products,
                          columns,      columns * tall, whole + (left != 0 ? 1 : 0),
                          first,        height,         codes.n,
                          job.rows,     job.gram};
      launch(context, join_products,
             dim3(blocks_for(codes.n - first, kSquare), blocks_for(height, kSquare)),
             kSquare * kRowsAtOnce, join);
    }
  }
}

std::size_t gram_scratch_bytes(std::size_t n, std::size_t d) {
  if (n > kMostRows || n == 0) return 0;
  const std::size_t width = align_up(n, std::size_t{4});
  const std::size_t depth = std::min(align_up(d, canonical::kBlock), gathered_depth(n));
  return most_products(n, depth) * sizeof(std::int32_t) + width * depth;
}

}  // namespace muster::kernels::cuda
