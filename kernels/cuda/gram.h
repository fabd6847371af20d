// The ways of a Gram matrix. All give the CPU's bits; gram() chooses.
#pragma once

#include "kernels/cuda/context.h"

namespace muster::kernels::cuda {

/// GramJob without its codes.
struct GramView {
  const float* centre;
  double* gram;
  std::uint32_t rows;  ///< of the matrix; it is codes.n wide
};

/// Coordinates, from a canonical block's first to a canonical block's end or the chunk's.
struct Stretch {
  std::uint32_t begin, end;
};

/// f64 products, of any codec, around a centre or not.
void gram_of_values(const CodesView& codes, const GramView& job, Context& context);

/// An integer codec without a centre, any scales.
void gram_of_codes(const CodesView& codes, const GramView& job, Stretch stretch, Context& context);

/// I8S or I4S whose scale is 2^exponent throughout the stretch. `rows`: where codes.rows point to.
void gram_by_gemm(const CodesView& codes, std::span<const std::byte* const> rows,
                  const GramView& job, Stretch stretch, int exponent, Context& context);

}  // namespace muster::kernels::cuda
