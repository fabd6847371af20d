// The ways of a kept sum. All give the same bits; kept_sum() chooses.
#pragma once

#include "kernels/cuda/context.h"

namespace muster::kernels::cuda {

/// KeptSumJob without its codes.
struct KeptView {
  std::uint32_t low, high;
  int grid_bits;
  double grid;  ///< 2^grid_bits
  std::int64_t* target;
};

/// Rows that a sorting network takes.
inline constexpr std::size_t kNetworkRows = 64;

/// At most kNetworkRows rows, any codec.
void sum_by_network(const CodesView& codes, const KeptView& job, Context& context);
/// I8S, any number of rows.
void sum_by_histogram(const CodesView& codes, const KeptView& job, Context& context);
/// Any codec, any number of rows.
void sum_by_digits(const CodesView& codes, const KeptView& job, Context& context);

}  // namespace muster::kernels::cuda
