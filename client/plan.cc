#include "client/plan.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/bytes.h"
#include "base/limits.h"

namespace muster::client {
namespace {

/// What is wrong with it; null: nothing.
const char* fault_of(const wire::Assignment& assignment) {
  if (assignment.dimension == 0 || assignment.dimension > limits::kMaxDimension) return "dimension";
  if (assignment.chunk_coordinates == 0 ||
      assignment.chunk_coordinates > limits::kMaxChunkCoordinates)
    return "chunk_coordinates";
  if (divide_up<std::uint64_t>(assignment.dimension, assignment.chunk_coordinates) >
      limits::kMaxChunks)
    return "number of chunks";
  if (!is_sound(assignment.format)) return "codec, block, bits or share";
  if (!std::isfinite(assignment.clip_norm) || assignment.clip_norm < 0) return "clip_norm";
  if (!std::isfinite(assignment.value_bound) || assignment.value_bound < 0) return "value_bound";
  if (has_shared_scales(assignment.format.codec)) {
    const std::uint64_t block = std::uint64_t{1} << assignment.format.log2_block;
    if (assignment.scale_exponents.size() != divide_up(assignment.dimension, block))
      return "scale_exponents";
    const bool one_chunk = assignment.dimension <= assignment.chunk_coordinates;
    if (!one_chunk && assignment.chunk_coordinates % block != 0) return "log2_block";
  }
  return nullptr;
}

}  // namespace

Status check_assignment(const wire::Assignment& assignment) {
  const char* const fault = fault_of(assignment);
  if (fault == nullptr) return {};
  return {Code::kInvalid, "protocol", std::string("the server's assignment has a bad ") + fault};
}

std::uint32_t chunk_count(const wire::Assignment& assignment) {
  return static_cast<std::uint32_t>(
      divide_up<std::uint64_t>(assignment.dimension, assignment.chunk_coordinates));
}

std::uint32_t coordinates_of(const wire::Assignment& assignment, std::uint32_t chunk) {
  const std::uint64_t first = std::uint64_t{chunk} * assignment.chunk_coordinates;
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(assignment.chunk_coordinates, assignment.dimension - first));
}

}  // namespace muster::client
