// safetensors files: 8 bytes header length, JSON header, tensor bytes. Hostile files are expected.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"

namespace muster::server {

/// One tensor of a layout; offsets count f32 coordinates of the flat vector.
struct Tensor {
  std::string name;
  std::vector<std::uint64_t> shape;
  std::uint64_t offset = 0;
  std::uint64_t count = 0;
};

/// How a flat f32 vector is cut into named tensors: the manifest of a model. Order is that of the
/// data in the file and never changes within a task.
struct Layout {
  std::vector<Tensor> tensors;
  std::uint64_t dimension = 0;
  bool operator==(const Layout&) const;
  /// One tensor "model" of `dimension` values.
  static Layout flat(std::uint64_t dimension);
};

struct SafetensorsFile {
  Layout layout;
  std::vector<float> values;                    ///< dimension values, in layout order
  std::map<std::string, std::string> metadata;  ///< "__metadata__"
};

/// F32 tensors as they are; F16 and BF16 are widened. Refused with "model_file": header too long or
/// not JSON, other dtypes, shapes whose product overflows or disagrees with the offsets, gaps,
/// overlaps, trailing bytes, repeated names, non-finite values.
Result<SafetensorsFile> parse_safetensors(ConstBytes file);
/// The same values give the same bytes (header keys in layout order, metadata ascending).
std::vector<std::byte> build_safetensors(const SafetensorsFile& file);
/// As above, of values that lie elsewhere: `pieces` one after the other are the flat vector.
std::vector<std::byte> build_safetensors(const Layout& layout,
                                         const std::map<std::string, std::string>& metadata,
                                         std::span<const std::span<const float>> pieces);

}  // namespace muster::server
