// Codes (kernels/backend.h) as kernels take them. All pointers are device addresses.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cell/decode.h"

namespace muster::kernels::cuda {

struct CodesView {
  cell::Coding coding;
  std::uint32_t log2_block;
  std::uint32_t bits;  ///< HSQ, EDEN: of a code; TOPK: of a value
  std::uint32_t n;
  std::size_t d;
  std::size_t blocks;            ///< of scales: ceil(d / 2^log2_block)
  const std::byte* const* rows;  ///< n addresses, each a multiple of 4
  const std::int8_t* exponents;  ///< I8S, I4S: one a block; else null
};

}  // namespace muster::kernels::cuda
