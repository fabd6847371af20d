// The shape of operations that walk down the rows: [n, d] -> d.
//
// A warp takes a strip of neighbouring coordinates, a lane a group of them (decode.cuh) in each of
// the strip's pieces: what a row costs beside its codes (its pointer, its weight) is shared by all
// pieces. Sums end in lanes as groups lie; they are turned in shared memory so that whole sectors
// are written.
#pragma once

#include "kernels/cuda/launch.cuh"

namespace muster::kernels::cuda {

/// Rows a thread walks at least: below, adding to the sums would cost more than codes.
inline constexpr std::uint32_t kColumnRows = 64;

/// Pieces of a strip: a lane has four coordinates at least, eight where they are bytes.
template <Coding kCoding>
inline constexpr unsigned kPieces = kGroup<kCoding> == 8   ? 1
                                    : kGroup<kCoding> == 1 ? 4
                                                           : 2;
/// Coordinates of a piece, and of a strip.
template <Coding kCoding>
inline constexpr unsigned kPiece = kWarp* kGroup<kCoding>;
template <Coding kCoding>
inline constexpr unsigned kStrip = kPiece<kCoding>* kPieces<kCoding>;

/// Shared memory in which the warps of a block turn `kCount` values of a lane. A line of 128 bytes
/// is followed by one element of padding: neither way two lanes meet in a bank.
template <class T, unsigned kCount>
struct TurnShared {
  static constexpr unsigned kSpan = 128 / sizeof(T);
  static constexpr unsigned kValues = kWarp * kCount;
  T values[kThreads / kWarp][kValues + kValues / kSpan];
};

/// Calls use(c, value) for the coordinates c of a piece whose lane l holds those of c = l * kCount
/// + j: neighbouring lanes take neighbouring c. All lanes of the warp call it.
template <class T, unsigned kCount, class Use>
__device__ __forceinline__ void turned(TurnShared<T, kCount>& shared, const T (&values)[kCount],
                                       const Use& use) {
  const unsigned lane = threadIdx.x % kWarp;
  if constexpr (kCount == 1) return use(lane, values[0]);
  T* mine = shared.values[threadIdx.x / kWarp];
  const auto at = [](unsigned c) { return c + c / TurnShared<T, kCount>::kSpan; };
  __syncwarp();  // what was here before has been read
#pragma unroll
  for (unsigned j = 0; j < kCount; ++j) mine[at(lane * kCount + j)] = values[j];
  __syncwarp();
#pragma unroll
  for (unsigned j = 0; j < kCount; ++j) use(j * kWarp + lane, mine[at(j * kWarp + lane)]);
}

/// add(row, k, whole) for the rows of a cut, where k is the lane's group in the first piece of its
/// strip; `whole`, a constant, says that all of the strip lies before the end.
template <Coding kCoding, unsigned kUnroll, class Add>
__device__ __forceinline__ void walk_rows(const CodesView& codes, size_t strip,
                                          std::uint32_t first_row, std::uint32_t last_row,
                                          const Add& add) {
  const size_t k = strip + threadIdx.x % kWarp * kGroup<kCoding>;
  if (strip + kStrip<kCoding> <= codes.d) {
#pragma unroll kUnroll
    for (std::uint32_t row = first_row; row < last_row; ++row) add(row, k, Whole<true>{});
  } else {
#pragma unroll 1
    for (std::uint32_t row = first_row; row < last_row; ++row) add(row, k, Whole<false>{});
  }
}

/// Rows are cut over blockIdx.y, `rows_each` a cut.
template <Coding kCoding, class Cell>
__global__ void __launch_bounds__(kThreads, kLeastBlocks)
    columns_kernel(CodesView codes, Cell cell, std::uint32_t rows_each) {
  constexpr unsigned kCount = kGroup<kCoding>;
  using Sum = typename Cell::Sum;
  __shared__ TurnShared<Sum, kCount> shared;
  const std::uint32_t first_row = blockIdx.y * rows_each;
  const std::uint32_t last_row = min(codes.n, first_row + rows_each);
  for (size_t strip = thread_index() / kWarp * kStrip<kCoding>; strip < codes.d;
       strip += thread_count() / kWarp * kStrip<kCoding>) {
    Sum sums[kPieces<kCoding>][kCount];
#pragma unroll
    for (unsigned p = 0; p < kPieces<kCoding>; ++p)
#pragma unroll
      for (unsigned j = 0; j < kCount; ++j) sums[p][j] = cell.start(first_row, last_row);
    walk_rows<kCoding, 4>(codes, strip, first_row, last_row,
                          [&](std::uint32_t row, size_t k, auto whole) {
                            const std::byte* data = codes.rows[row];
                            float values[kPieces<kCoding>][kCount] = {};
                            float most = 0;  // a sum: a maximum would lose a NaN
#pragma unroll
                            for (unsigned p = 0; p < kPieces<kCoding>; ++p) {
                              const size_t at = k + p * kPiece<kCoding>;
                              if (whole.value || at < codes.d)
                                most += load_group<kCoding>(codes, data, at, values[p], whole);
                            }
                            cell.add(sums, values, most, row);
                          });
#pragma unroll
    for (unsigned p = 0; p < kPieces<kCoding>; ++p)
      turned(shared, sums[p], [&](unsigned c, Sum sum) {
        const size_t at = strip + p * kPiece<kCoding> + c;
        if (at < codes.d) cell.finish(at, sum, gridDim.y > 1);
      });
  }
}

/// How columns() cuts its work.
struct Columns {
  dim3 grid;
  std::uint32_t rows_each;
};

/// Warps for strips; where those would not fill the device, rows are cut as well, to no fewer than
/// kColumnRows each.
template <Coding kCoding>
Columns columns_shape(const Context& context, const CodesView& codes) {
  const unsigned blocks =
      grid_for(context, divide_up(codes.d, std::size_t{kStrip<kCoding>}), kThreads / kWarp);
  const unsigned resident = static_cast<unsigned>(context.multiprocessors()) * kResidentBlocks;
  const std::uint32_t cuts = std::clamp(resident / blocks, 1u, divide_up(codes.n, kColumnRows));
  const std::uint32_t rows_each = divide_up(codes.n, cuts);
  return {dim3(blocks, divide_up(codes.n, rows_each)), rows_each};
}

/// For the groups of a lane: cell.add(sums, values, most, row) over the rows [first, last) of a
/// cut, from cell.start(first, last), where no value exceeds `most`, which is NaN where one may be;
/// then, for each coordinate, cell.finish(k, sum, shared). Where there are several cuts
/// each finishes; then `shared` is true, and finish() adds atomically.
template <class Cell>
void columns(Context& context, const CodesView& codes, const Cell& cell) {
  if (codes.n == 0 || codes.d == 0) return;
  with_coding(codes.coding, [&](auto tag) {
    constexpr Coding kCoding = decltype(tag)::value;
    const Columns shape = columns_shape<kCoding>(context, codes);
    launch(context, columns_kernel<kCoding, Cell>, shape.grid, kThreads, codes, cell,
           shape.rows_each);
  });
}

}  // namespace muster::kernels::cuda
