// The optional zstd stage of a payload.
#pragma once

#include <cstddef>
#include <vector>

namespace muster::client {

/// The payload as one zstd frame with its content size, where that is shorter; else as it was.
std::vector<std::byte> deflated(std::vector<std::byte> payload);

}  // namespace muster::client
