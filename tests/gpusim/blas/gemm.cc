#include "tests/gpusim/blas/gemm.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

namespace gpusim::blas {
namespace {

double load(const void* p, std::size_t i, cudaDataType type) {
  switch (type) {
    case CUDA_R_8I:
      return static_cast<const std::int8_t*>(p)[i];
    case CUDA_R_32I:
      return static_cast<const std::int32_t*>(p)[i];
    case CUDA_R_16F:
      return __half2float(static_cast<const __half*>(p)[i]);
    case CUDA_R_16BF:
      return __bfloat162float(static_cast<const __nv_bfloat16*>(p)[i]);
    case CUDA_R_64F:
      return static_cast<const double*>(p)[i];
    default:
      return static_cast<const float*>(p)[i];
  }
}

void store(void* p, std::size_t i, cudaDataType type, double value) {
  switch (type) {
    case CUDA_R_32I:
      static_cast<std::int32_t*>(p)[i] = static_cast<std::int32_t>(value);
      break;
    case CUDA_R_16F:
      static_cast<__half*>(p)[i] = __float2half_rn(static_cast<float>(value));
      break;
    case CUDA_R_16BF:
      static_cast<__nv_bfloat16*>(p)[i] = __float2bfloat16_rn(static_cast<float>(value));
      break;
    case CUDA_R_64F:
      static_cast<double*>(p)[i] = value;
      break;
    default:
      static_cast<float*>(p)[i] = static_cast<float>(value);
  }
}

// Ten bits of mantissa, to nearest, ties away: what tensor cores keep of a float.
float tf32(float x) {
  return std::bit_cast<float>((std::bit_cast<std::uint32_t>(x) + 0x1000u) & ~0x1fffu);
}

// Rows and columns as stored.
struct Shape {
  int rows, columns;
};

Shape stored(const Matrix& matrix, int rows, int columns) {
  return matrix.op == CUBLAS_OP_N ? Shape{rows, columns} : Shape{columns, rows};
}

// From the first element to the end of the last.
std::size_t extent_bytes(const Matrix& matrix, Shape shape) {
  if (shape.rows == 0 || shape.columns == 0) return 0;
  return (static_cast<std::size_t>(matrix.ld) * static_cast<std::size_t>(shape.columns - 1) +
          static_cast<std::size_t>(shape.rows)) *
         element_bytes(matrix.type);
}

bool inside(Part part, int row, int column) {
  return part == Part::kAll || (part == Part::kLower ? row >= column : row <= column);
}

// The kind of products there are: types of A and B, of C, and how they are summed.
bool supported(const Gemm& g) {
  if (g.a.type != g.b.type) return false;
  const auto is = [&g](cudaDataType ab, cudaDataType c) { return g.a.type == ab && g.c.type == c; };
  switch (g.accumulate) {
    case Accumulate::kInt32:
      return is(CUDA_R_8I, CUDA_R_32I);
    case Accumulate::kDouble:
      return is(CUDA_R_64F, CUDA_R_64F);
    case Accumulate::kTf32:
      return is(CUDA_R_32F, CUDA_R_32F);
    case Accumulate::kFloat:
      return is(CUDA_R_32F, CUDA_R_32F) || is(CUDA_R_16F, CUDA_R_32F) ||
             is(CUDA_R_16F, CUDA_R_16F) || is(CUDA_R_16BF, CUDA_R_32F) ||
             is(CUDA_R_16BF, CUDA_R_16BF) || is(CUDA_R_8I, CUDA_R_32F);
  }
  return false;
}

std::optional<std::string> hole(const Matrix& matrix, Shape shape, char name, Part part) {
  for (int column = 0; column < shape.columns; ++column) {
    const int first = part == Part::kLower ? column : 0;
    const int end = part == Part::kUpper ? std::min(column + 1, shape.rows) : shape.rows;
    if (first >= end) continue;
    const std::size_t size = element_bytes(matrix.type);
    const auto* p = static_cast<const std::byte*>(matrix.data) +
                    (static_cast<std::size_t>(column) * static_cast<std::size_t>(matrix.ld) +
                     static_cast<std::size_t>(first)) *
                        size;
    if (hooks::first_uninitialised(p, static_cast<std::size_t>(end - first) * size) != nullptr)
      return fmt::format("column {} of {} holds bytes that were never written", column, name);
  }
  return std::nullopt;
}

// op(matrix) as `count` vectors along k, side by side: rows of op(A), columns of op(B).
template <class T>
std::vector<T> vectors(const Gemm& g, const Matrix& matrix, int count, bool along_rows) {
  std::vector<T> all;
  all.reserve(static_cast<std::size_t>(count) * static_cast<std::size_t>(g.k));
  const bool stored_along_k = along_rows == (matrix.op != CUBLAS_OP_N);
  const auto ld = static_cast<std::size_t>(matrix.ld);
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i)
    for (std::size_t p = 0; p < static_cast<std::size_t>(g.k); ++p) {
      auto value =
          static_cast<T>(load(matrix.data, stored_along_k ? i * ld + p : p * ld + i, matrix.type));
      if (g.accumulate == Accumulate::kTf32)
        value = static_cast<T>(tf32(static_cast<float>(value)));
      all.push_back(value);
    }
  return all;
}

// The products of all vectors of A and B, column-major m x n; each sum starts at p = `start` and
// goes round.
template <class T, class Sum>
std::vector<double> products(const Gemm& g, std::size_t start) {
  const std::vector<T> a = vectors<T>(g, g.a, g.m, true);
  const std::vector<T> b = vectors<T>(g, g.b, g.n, false);
  const auto k = static_cast<std::size_t>(g.k);
  std::vector<double> all;
  for (int j = 0; j < g.n; ++j)
    for (int i = 0; i < g.m; ++i) {
      const T* x = a.data() + static_cast<std::size_t>(i) * k;
      const T* y = b.data() + static_cast<std::size_t>(j) * k;
      Sum sum = 0;
      if (inside(g.part, i, j)) {
        for (std::size_t p = start; p < k; ++p) sum += static_cast<Sum>(x[p] * y[p]);
        for (std::size_t p = 0; p < start; ++p) sum += static_cast<Sum>(x[p] * y[p]);
      }
      all.push_back(static_cast<double>(sum));
    }
  return all;
}

std::vector<double> all_products(const Gemm& g, std::uint64_t order) {
  const std::size_t start = g.k > 0 ? order % static_cast<std::size_t>(g.k) : 0;
  switch (g.accumulate) {
    case Accumulate::kInt32:
      return products<std::int32_t, std::int64_t>(g, 0);
    case Accumulate::kDouble:
      return products<double, double>(g, start);
    default:
      return products<float, float>(g, start);
  }
}

}  // namespace

std::size_t element_bytes(cudaDataType type) {
  switch (type) {
    case CUDA_R_8I:
      return 1;
    case CUDA_R_16F:
    case CUDA_R_16BF:
      return 2;
    case CUDA_R_32F:
    case CUDA_R_32I:
      return 4;
    case CUDA_R_64F:
      return 8;
    default:
      return 0;
  }
}

double scalar(const void* p, Accumulate type) {
  switch (type) {
    case Accumulate::kInt32:
      return *static_cast<const std::int32_t*>(p);
    case Accumulate::kDouble:
      return *static_cast<const double*>(p);
    default:
      return static_cast<double>(*static_cast<const float*>(p));
  }
}

std::optional<std::string> argument_fault(const Gemm& g) {
  if (!supported(g))
    return fmt::format("no product of types {} x {} -> {} with this compute type",
                       static_cast<int>(g.a.type), static_cast<int>(g.b.type),
                       static_cast<int>(g.c.type));
  if (g.m < 0 || g.n < 0 || g.k < 0) return fmt::format("m = {}, n = {}, k = {}", g.m, g.n, g.k);
  const auto check_ld = [](char name, const Matrix& matrix,
                           int rows) -> std::optional<std::string> {
    if (matrix.ld >= std::max(1, rows)) return std::nullopt;
    return fmt::format("leading dimension {} of {}, which has {} rows", matrix.ld, name, rows);
  };
  const std::pair<char, std::pair<const Matrix*, int>> all[] = {
      {'A', {&g.a, stored(g.a, g.m, g.k).rows}},
      {'B', {&g.b, stored(g.b, g.k, g.n).rows}},
      {'C', {&g.c, g.m}}};
  for (const auto& [name, matrix] : all)
    if (const auto fault = check_ld(name, *matrix.first, matrix.second)) return fault;
  const auto address = [](const Matrix& matrix) {
    return reinterpret_cast<std::uintptr_t>(matrix.data);
  };
  // Tensor cores take int8 in fours.
  if (g.a.type == CUDA_R_8I && ((g.m | g.n | g.k | g.a.ld | g.b.ld | g.c.ld) % 4 != 0 ||
                                (address(g.a) | address(g.b)) % 4 != 0))
    return fmt::format(
        "int8 wants sizes, leading dimensions and addresses that are multiples of 4: m = {}, n = "
        "{}, k = {}, lda = {}, ldb = {}, ldc = {}, A at {}, B at {}",
        g.m, g.n, g.k, g.a.ld, g.b.ld, g.c.ld, g.a.data, g.b.data);
  for (const Matrix* matrix : {&g.a, &g.b, &g.c})
    if (address(*matrix) % element_bytes(matrix->type) != 0)
      return fmt::format("{} is not aligned to its elements", matrix->data);
  return std::nullopt;
}

std::optional<std::string> memory_fault(const Gemm& g, int device) {
  const Shape shapes[] = {stored(g.a, g.m, g.k), stored(g.b, g.k, g.n), {g.m, g.n}};
  const Matrix* matrices[] = {&g.a, &g.b, &g.c};
  for (int i = 0; i < 3; ++i) {
    const std::size_t bytes = extent_bytes(*matrices[i], shapes[i]);
    if (bytes == 0) continue;
    if (auto fault = hooks::device_range_fault(matrices[i]->data, bytes, device))
      return fmt::format("{}: {}", "ABC"[i], *fault);
  }
  return std::nullopt;
}

void compute(const Gemm& g, double alpha, double beta, std::uint64_t order) {
  if (g.m == 0 || g.n == 0) return;
  if (g.k > 0 && alpha != 0) {
    if (const auto fault = hole(g.a, stored(g.a, g.m, g.k), 'A', Part::kAll))
      hooks::report(g.who, *fault);
    if (const auto fault = hole(g.b, stored(g.b, g.k, g.n), 'B', Part::kAll))
      hooks::report(g.who, *fault);
  }
  if (beta != 0)
    if (const auto fault = hole(g.c, {g.m, g.n}, 'C', g.part)) hooks::report(g.who, *fault);
  // Times 0 the operands are not looked at: they may hold NaN.
  const std::vector<double> sums =
      alpha == 0
          ? std::vector<double>(static_cast<std::size_t>(g.m) * static_cast<std::size_t>(g.n))
          : all_products(g, order);
  auto* target = static_cast<std::byte*>(const_cast<void*>(g.c.data));
  const std::size_t size = element_bytes(g.c.type);
  bool overflow = false;
  for (int j = 0; j < g.n; ++j)
    for (int i = 0; i < g.m; ++i) {
      if (!inside(g.part, i, j)) continue;
      const std::size_t at = static_cast<std::size_t>(j) * static_cast<std::size_t>(g.c.ld) +
                             static_cast<std::size_t>(i);
      double value = alpha * sums[static_cast<std::size_t>(j) * static_cast<std::size_t>(g.m) +
                                  static_cast<std::size_t>(i)];
      if (beta != 0) value += beta * load(target, at, g.c.type);
      if (g.accumulate == Accumulate::kInt32 &&
          std::abs(value) > double{std::numeric_limits<std::int32_t>::max()}) {
        overflow = true;
        value = 0;
      }
      store(target, at, g.c.type, value);
      hooks::mark_initialised(target + at * size, size);
    }
  if (overflow) hooks::report(g.who, "a sum of int8 products leaves int32");
}

}  // namespace gpusim::blas
