#include "server/safetensors.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/limits.h"
#include "server/safetensors_header.h"

namespace muster::server {
namespace {

Status refuse(std::string why) { return {Code::kInvalid, "model_file", std::move(why)}; }

constexpr std::size_t kLengthBytes = 8;

float widen_bf16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

float widen_f16(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
  const std::uint32_t exponent = (bits >> 10) & 0x1fu;
  const std::uint32_t fraction = bits & 0x3ffu;
  if (exponent == 0) {  // zero and subnormals: fraction * 2^-24, exact in f32
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(magnitude) | sign);
  }
  const std::uint32_t widened = exponent == 31 ? 255 : exponent + (127 - 15);
  return std::bit_cast<float>(sign | widened << 23 | fraction << 13);
}

/// Appends a tensor's values; false where one is not finite.
bool append(std::vector<float>& values, Dtype dtype, ConstBytes data) {
  const std::size_t start = values.size();
  values.resize(start + data.size() / dtype_bytes(dtype));
  const std::span<float> target = std::span(values).subspan(start);
  if (dtype == Dtype::kF32) {
    if (!data.empty()) std::memcpy(target.data(), data.data(), data.size());
  } else {
    for (std::size_t i = 0; i < target.size(); ++i) {
      const auto bits = load<std::uint16_t>(data, 2 * i);
      target[i] = dtype == Dtype::kF16 ? widen_f16(bits) : widen_bf16(bits);
    }
  }
  return std::all_of(target.begin(), target.end(), [](float v) { return std::isfinite(v); });
}

/// Values the shape asks for, or nothing where that is beyond any model.
std::optional<std::uint64_t> count_of(const std::vector<std::uint64_t>& shape) {
  std::uint64_t count = 1;
  for (const std::uint64_t extent : shape) {
    const auto product = checked_multiply(count, extent);
    if (!product || *product > limits::kMaxDimension) return std::nullopt;
    count = *product;
  }
  return count;
}

}  // namespace

bool Layout::operator==(const Layout& other) const {
  auto same = [](const Tensor& a, const Tensor& b) {
    return a.name == b.name && a.shape == b.shape && a.offset == b.offset && a.count == b.count;
  };
  return dimension == other.dimension &&
         std::equal(tensors.begin(), tensors.end(), other.tensors.begin(), other.tensors.end(),
                    same);
}

Layout Layout::flat(std::uint64_t dimension) {
  return {{{"model", {dimension}, 0, dimension}}, dimension};
}

Result<SafetensorsFile> parse_safetensors(ConstBytes file) {
  if (file.size() < kLengthBytes) return refuse("shorter than its header's length field");
  const auto length = load<std::uint64_t>(file);
  if (length > limits::kSafetensorsHeaderBytes)
    return refuse("the header claims " + std::to_string(length) + " bytes, at most " +
                  std::to_string(limits::kSafetensorsHeaderBytes) + " are read");
  const ConstBytes body = file.subspan(kLengthBytes);
  if (length > body.size()) return refuse("ends within its header");
  MUSTER_ASSIGN(TensorHeader header,
                parse_tensor_header(as_text(body.first(static_cast<std::size_t>(length)))));
  const ConstBytes data = body.subspan(static_cast<std::size_t>(length));

  std::stable_sort(header.entries.begin(), header.entries.end(),
                   [](const TensorEntry& a, const TensorEntry& b) {
                     return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
                   });
  SafetensorsFile result;
  result.metadata = std::move(header.metadata);
  std::uint64_t position = 0;
  for (TensorEntry& entry : header.entries) {
    auto refuse_tensor = [&](std::string_view why) {
      return refuse("tensor \"" + entry.name.substr(0, limits::kNameBytes) + "\" " +
                    std::string(why));
    };
    if (entry.begin != position)
      return refuse_tensor(entry.begin < position ? "overlaps the one before it"
                                                  : "leaves a gap before it");
    if (entry.end < entry.begin || entry.end > data.size())
      return refuse_tensor("ends outside the file");
    const auto count = count_of(entry.shape);
    if (!count) return refuse_tensor("has a shape beyond any model");
    if (*count * dtype_bytes(entry.dtype) != entry.end - entry.begin)
      return refuse_tensor("has a shape that disagrees with its offsets");
    position = entry.end;
    const ConstBytes bytes = data.subspan(static_cast<std::size_t>(entry.begin),
                                          static_cast<std::size_t>(entry.end - entry.begin));
    if (!append(result.values, entry.dtype, bytes)) return refuse_tensor("has a non-finite value");
    result.layout.tensors.push_back(
        {std::move(entry.name), std::move(entry.shape), result.layout.dimension, *count});
    result.layout.dimension += *count;
  }
  if (position != data.size()) return refuse("has bytes after its last tensor");
  if (result.layout.dimension == 0) return refuse("holds no values");
  if (result.layout.dimension > limits::kMaxDimension) return refuse("is beyond any model");
  return result;
}

std::vector<std::byte> build_safetensors(const SafetensorsFile& file) {
  const std::span<const float> values = file.values;
  return build_safetensors(file.layout, file.metadata, {&values, 1});
}

std::vector<std::byte> build_safetensors(const Layout& layout,
                                         const std::map<std::string, std::string>& metadata,
                                         std::span<const std::span<const float>> pieces) {
  std::string header = build_tensor_header(layout, metadata);
  // Spaces keep the data aligned, as the format's own writer does.
  header.resize(align_up(header.size(), 8), ' ');
  std::vector<std::byte> bytes(kLengthBytes + header.size() + layout.dimension * sizeof(float));
  store(bytes, 0, std::uint64_t{header.size()});
  std::memcpy(bytes.data() + kLengthBytes, header.data(), header.size());
  std::size_t position = kLengthBytes + header.size();
  for (const std::span<const float> piece : pieces) {
    MUSTER_CHECK_OP(piece.size_bytes(), <=, bytes.size() - position);
    if (!piece.empty()) std::memcpy(bytes.data() + position, piece.data(), piece.size_bytes());
    position += piece.size_bytes();
  }
  MUSTER_CHECK_OP(position, ==, bytes.size());
  return bytes;
}

}  // namespace muster::server
