#include "client/deflate.h"

#include <zstd.h>

#include <utility>

namespace muster::client {

std::vector<std::byte> deflated(std::vector<std::byte> payload) {
  // Fast levels find what there is: skewed codes, not repeated text.
  constexpr int kLevel = 1;
  std::vector<std::byte> frame(ZSTD_compressBound(payload.size()));
  const std::size_t bytes =
      ZSTD_compress(frame.data(), frame.size(), payload.data(), payload.size(), kLevel);
  if (ZSTD_isError(bytes) != 0 || bytes >= payload.size()) return payload;
  frame.resize(bytes);
  return frame;
}

}  // namespace muster::client
