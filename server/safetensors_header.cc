#include "server/safetensors_header.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_set>

#include "base/limits.h"

namespace muster::server {
namespace {

using Json = nlohmann::json;

/// A SAX handler that accepts one shape of document only: whatever else comes ends the parse, so
/// neither depth nor size of anything unexpected is ever built.
class Handler final : public nlohmann::json_sax<Json> {
 public:
  TensorHeader take() { return std::move(header_); }
  const std::string& problem() const { return problem_; }

  bool key(string_t& name) override {
    switch (place_) {
      case Place::kTop:
        return top_key(name);
      case Place::kMetadata:
        metadata_key_ = name;
        return header_.metadata.try_emplace(name).second || refuse("repeats a metadata key");
      case Place::kTensor:
        return tensor_key(name);
      default:
        return refuse("has a key where none belongs");
    }
  }

  bool start_object(std::size_t) override {
    switch (place_) {
      case Place::kOutside:
        place_ = Place::kTop;
        return true;
      case Place::kMetadataValue:
        place_ = Place::kMetadata;
        return true;
      case Place::kTensorValue:
        place_ = Place::kTensor;
        return true;
      default:
        return refuse("has an object where none belongs");
    }
  }

  bool end_object() override {
    if (place_ == Place::kTensor) {
      if (!has_dtype_ || !has_shape_ || !has_offsets_)
        return refuse("has a tensor without dtype, shape or data_offsets");
      header_.entries.push_back(std::move(entry_));
    }
    place_ = place_ == Place::kTop ? Place::kDone : Place::kTop;
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ == Place::kShape || place_ == Place::kOffsets) {
      if (std::exchange(in_array_, true)) return refuse("has an array inside an array");
      return true;
    }
    return refuse("has an array where none belongs");
  }

  bool end_array() override {
    in_array_ = false;
    if (place_ == Place::kOffsets && offsets_seen_ != 2)
      return refuse("has data_offsets that are not two numbers");
    place_ = Place::kTensor;
    return true;
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (!in_array_) return refuse("has a number where none belongs");
    if (place_ == Place::kShape) {
      entry_.shape.push_back(value);
      return true;
    }
    if (offsets_seen_ == 2) return refuse("has data_offsets that are not two numbers");
    (offsets_seen_++ == 0 ? entry_.begin : entry_.end) = value;
    return true;
  }

  bool string(string_t& value) override {
    if (place_ == Place::kMetadata) {
      header_.metadata[metadata_key_] = value;
      return true;
    }
    if (place_ != Place::kDtype) return refuse("has a string where none belongs");
    place_ = Place::kTensor;
    if (value == "F32") return entry_.dtype = Dtype::kF32, true;
    if (value == "F16") return entry_.dtype = Dtype::kF16, true;
    if (value == "BF16") return entry_.dtype = Dtype::kBF16, true;
    return refuse("has a dtype other than F32, F16 and BF16");
  }

  bool null() override { return refuse("has a null"); }
  bool boolean(bool) override { return refuse("has a boolean"); }
  bool number_integer(number_integer_t) override { return refuse("has a negative number"); }
  bool number_float(number_float_t, const string_t&) override {
    return refuse("has a number that is not whole");
  }
  bool binary(binary_t&) override { return refuse("has binary data"); }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    return refuse("is not JSON at byte " + std::to_string(position));
  }

 private:
  enum class Place : std::uint8_t {
    kOutside,
    kTop,
    kMetadataValue,  ///< the key was read, its object must follow
    kMetadata,
    kTensorValue,
    kTensor,
    kDtype,
    kShape,
    kOffsets,
    kDone,
  };

  bool refuse(std::string what) {
    if (problem_.empty()) problem_ = "the header " + std::move(what);
    return false;
  }

  bool top_key(const std::string& name) {
    if (!names_.insert(name).second) return refuse("repeats a name");
    if (name == "__metadata__") {
      place_ = Place::kMetadataValue;
      return true;
    }
    entry_ = {};
    entry_.name = name;
    has_dtype_ = has_shape_ = has_offsets_ = false;
    offsets_seen_ = 0;
    place_ = Place::kTensorValue;
    return true;
  }

  bool tensor_key(const std::string& name) {
    auto once = [&](bool& seen, Place next) {
      if (std::exchange(seen, true)) return refuse("repeats a field of a tensor");
      place_ = next;
      return true;
    };
    if (name == "dtype") return once(has_dtype_, Place::kDtype);
    if (name == "shape") return once(has_shape_, Place::kShape);
    if (name == "data_offsets") return once(has_offsets_, Place::kOffsets);
    return refuse("has a tensor with a field that is not of the format");
  }

  TensorHeader header_;
  TensorEntry entry_;
  std::unordered_set<std::string> names_;
  std::string metadata_key_, problem_;
  Place place_ = Place::kOutside;
  bool in_array_ = false, has_dtype_ = false, has_shape_ = false, has_offsets_ = false;
  int offsets_seen_ = 0;
};

/// Names that came out of a file are UTF-8; others are made so.
std::string quoted(const std::string& text) {
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

Result<TensorHeader> parse_tensor_header(std::string_view json) {
  Handler handler;
  try {
    if (json.starts_with('{') && Json::sax_parse(json, &handler)) return handler.take();
  } catch (const std::exception&) {
    return Status(Code::kInvalid, "model_file", "the header is not JSON");
  }
  return Status(Code::kInvalid, "model_file",
                handler.problem().empty() ? "the header is not a JSON object" : handler.problem());
}

std::string build_tensor_header(const Layout& layout,
                                const std::map<std::string, std::string>& metadata) {
  std::string json = "{";
  auto separate = [&] {
    if (json.size() > 1) json += ',';
  };
  if (!metadata.empty()) {
    json += R"("__metadata__":{)";
    for (const auto& [key, value] : metadata) {
      if (json.back() != '{') json += ',';
      json.append(quoted(key)).append(":").append(quoted(value));
    }
    json += '}';
  }
  for (const Tensor& tensor : layout.tensors) {
    separate();
    json.append(quoted(tensor.name)).append(R"(:{"dtype":"F32","shape":[)");
    for (const std::uint64_t extent : tensor.shape) {
      if (json.back() != '[') json += ',';
      json += std::to_string(extent);
    }
    json.append("],\"data_offsets\":[")
        .append(std::to_string(tensor.offset * sizeof(float)))
        .append(",")
        .append(std::to_string((tensor.offset + tensor.count) * sizeof(float)))
        .append("]}");
  }
  return json + '}';
}

}  // namespace muster::server
