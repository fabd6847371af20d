#include "kernels/cuda/noise_table.h"

namespace muster::kernels::cuda {

std::span<const cell::GaussTable> gauss_table() {
  static constexpr cell::GaussTable kTable = cell::make_gauss_table();
  return {&kTable, 1};
}

}  // namespace muster::kernels::cuda
