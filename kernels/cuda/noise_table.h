// The tables of the discrete Gaussian (kernels/cell/gauss.h), made by the host's compiler: too much
// for nvcc to work out at compile time.
#pragma once

#include <span>

#include "kernels/cell/gauss.h"

namespace muster::kernels::cuda {

/// One table.
std::span<const cell::GaussTable> gauss_table();

}  // namespace muster::kernels::cuda
