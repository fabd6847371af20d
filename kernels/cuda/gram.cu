#include <algorithm>
#include <limits>
#include <optional>

#include "kernels/canonical.h"
#include "kernels/cuda/gram.h"
#include "kernels/cuda/ops.h"

namespace muster::kernels::cuda {
namespace {

/// From so many rows on the tensor cores win, by arithmetic.
constexpr std::size_t kGemmRows = 64;

/// The exponent that all coordinates of a canonical block share, if they do.
std::optional<int> one_exponent(const Codes& codes, std::size_t begin, std::size_t end) {
  const unsigned log2_block = codes.format.log2_block;
  const std::int8_t first = codes.scale_exponents[begin >> log2_block];
  for (std::size_t block = begin >> log2_block; block <= (end - 1) >> log2_block; ++block)
    if (codes.scale_exponents[block] != first) return std::nullopt;
  return first;
}

/// Canonical blocks in ascending order: consecutive ones that share one exponent, or none that do.
template <class Visit>
void for_each_stretch(const Codes& codes, const Visit& visit) {
  for (std::size_t begin = 0; begin < codes.d;) {
    const auto block_end = [&](std::size_t at) {
      return std::min(at + canonical::kBlock, codes.d);
    };
    std::size_t end = block_end(begin);
    const std::optional<int> exponent = one_exponent(codes, begin, end);
    while (end < codes.d && one_exponent(codes, end, block_end(end)) == exponent)
      end = block_end(end);
    visit(Stretch{static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end)}, exponent);
    begin = end;
  }
}

}  // namespace

void gram(const GramJob& job, Context& context) {
  MUSTER_CHECK_OP(job.rows, <=, job.codes.n());
  MUSTER_CHECK_OP(job.codes.d, <, std::size_t{1} << 31);
  if (job.codes.n() == 0 || job.codes.d == 0) return;
  const CodesView codes = context.codes(job.codes);
  const GramView matrix{job.centre, job.gram,
                        job.rows != 0 ? static_cast<std::uint32_t>(job.rows) : codes.n};
  if (job.centre != nullptr || !cell::is_integer(codes.coding)) {
    gram_of_values(codes, matrix, context);
  } else if (!cell::shares_scales(codes.coding) || codes.n < kGemmRows) {
    gram_of_codes(codes, matrix, {0, static_cast<std::uint32_t>(codes.d)}, context);
  } else {
    for_each_stretch(job.codes, [&](Stretch stretch, std::optional<int> exponent) {
      if (exponent)
        gram_by_gemm(codes, job.codes.rows, matrix, stretch, *exponent, context);
      else
        gram_of_codes(codes, matrix, stretch, context);
    });
  }
}

}  // namespace muster::kernels::cuda
