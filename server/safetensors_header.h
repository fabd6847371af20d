// The JSON header of a safetensors file.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "server/safetensors.h"

namespace muster::server {

enum class Dtype : std::uint8_t { kF32, kF16, kBF16 };
constexpr std::size_t dtype_bytes(Dtype dtype) { return dtype == Dtype::kF32 ? 4 : 2; }

/// One tensor as the header states it; offsets are bytes of the data.
struct TensorEntry {
  std::string name;
  Dtype dtype = Dtype::kF32;
  std::vector<std::uint64_t> shape;
  std::uint64_t begin = 0, end = 0;
};

struct TensorHeader {
  std::vector<TensorEntry> entries;  ///< in the order of the text
  std::map<std::string, std::string> metadata;
};

/// Exactly the grammar of the format, nothing deeper and nothing beside it; "model_file" otherwise.
Result<TensorHeader> parse_tensor_header(std::string_view json);
std::string build_tensor_header(const Layout& layout,
                                const std::map<std::string, std::string>& metadata);

}  // namespace muster::server
