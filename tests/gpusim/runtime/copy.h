// Copies and fills, checked as a GPU would: when they read and write, from which side, how far.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <string_view>

#include "tests/gpusim/runtime/stream.h"

namespace gpusim {

// rows x row_bytes, the rows `pitch` bytes apart; a plain range is one row.
struct Region {
  std::byte* data = nullptr;
  std::size_t pitch = 0;
};

struct Copy {
  std::string_view who;
  Region target, source;
  std::size_t row_bytes = 0, rows = 1;
  cudaMemcpyKind kind = cudaMemcpyDefault;
};

// Queues the copy. Pageable sources are staged at the call, pinned ones read when it runs; it
// returns early exactly where CUDA's "API synchronization behavior" lets it. `async`: the
// cudaMemcpyAsync family.
cudaError_t enqueue_copy(Lock& lock, const Copy& copy, cudaStream_t stream, bool async);

}  // namespace gpusim
