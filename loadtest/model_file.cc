#include "loadtest/model_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstring>
#include <string_view>

#include "base/bytes.h"

namespace muster::loadtest {
namespace {

constexpr std::size_t kHeaderBytes = 64 * 1024;

std::string header_of(const ModelShape& shape) {
  std::string header = fmt::format(
      R"({{"__metadata__":{{"context":"{}","model":"next-character","vocabulary":"{}"}})",
      shape.context, shape.vocabulary);
  for (const NamedTensor& tensor : layout(shape))
    header += fmt::format(R"(,"{}":{{"dtype":"F32","shape":[{}],"data_offsets":[{},{}]}})",
                          tensor.name, fmt::join(tensor.shape, ","), tensor.offset * sizeof(float),
                          (tensor.offset + tensor.count) * sizeof(float));
  header += "}";
  header.resize(align_up(header.size(), 8), ' ');
  return header;
}

}  // namespace

Status write_model(Storage& storage, const std::string& path, const ModelShape& shape,
                   std::span<const float> model) {
  MUSTER_CHECK_OP(model.size(), ==, shape.dimension());
  const std::string header = header_of(shape);
  std::vector<std::byte> file(sizeof(std::uint64_t) + header.size() + model.size_bytes());
  store(MutableBytes(file), 0, std::uint64_t{header.size()});
  std::memcpy(file.data() + sizeof(std::uint64_t), header.data(), header.size());
  std::memcpy(file.data() + sizeof(std::uint64_t) + header.size(), model.data(),
              model.size_bytes());
  return write_file(storage, path, file);
}

Result<std::vector<float>> read_model(Storage& storage, const std::string& path,
                                      const ModelShape& shape) {
  const std::size_t data_bytes = shape.dimension() * sizeof(float);
  MUSTER_ASSIGN(const auto file, read_file(storage, path, 8 + kHeaderBytes + data_bytes));
  const Status wrong(Code::kCorrupt, "model_file", path + " is not the model of these phones");
  if (file.size() < sizeof(std::uint64_t) + data_bytes) return wrong;
  const std::size_t header_bytes = file.size() - sizeof(std::uint64_t) - data_bytes;
  if (load<std::uint64_t>(file) != header_bytes) return wrong;
  const std::string_view header =
      as_text(ConstBytes(file).subspan(sizeof(std::uint64_t), header_bytes));
  // The names must come in the vector's order: then the data has no other.
  std::size_t at = 0;
  for (const NamedTensor& tensor : layout(shape)) {
    at = header.find("\"" + tensor.name + "\"", at);
    if (at == std::string_view::npos) return wrong;
  }
  std::vector<float> model(shape.dimension());
  std::memcpy(model.data(), file.data() + sizeof(std::uint64_t) + header_bytes, data_bytes);
  return model;
}

}  // namespace muster::loadtest
