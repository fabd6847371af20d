#include "server/model_store.h"

#include <cstdio>

#include "base/hex.h"
#include "base/limits.h"

namespace muster::server {
namespace {

constexpr char kVersionKey[] = "muster.version";
/// SHA-256 of the state file; absent where there is none. Ties the state to the model's hash.
constexpr char kStateKey[] = "muster.state_sha256";
constexpr char kFirst[] = "first", kSecond[] = "second", kAggregate[] = "aggregate";
/// Integers, kept as floats like everything in a state file.
constexpr char kScales[] = "scale_exponents";

constexpr std::size_t kMaxFileBytes =
    8 + limits::kSafetensorsHeaderBytes + 2 * sizeof(float) * std::size_t{limits::kMaxDimension};

std::string path_stem(const std::string& task, ModelVersion version) {
  char number[32];
  std::snprintf(number, sizeof number, "v%08llu", static_cast<unsigned long long>(version));
  return "models/" + task + "/" + number;
}

std::string state_name(const std::string& task, ModelVersion version) {
  return path_stem(task, version) + ".state.safetensors";
}

struct Files {
  std::vector<std::byte> model;
  std::vector<std::byte> state;  ///< empty: the moments are zero
};

std::vector<std::byte> build_state(const robust::ModelState& state) {
  Layout layout;
  std::vector<std::span<const float>> pieces;
  auto add = [&](const char* name, const std::vector<float>& values) {
    if (values.empty()) return;
    layout.tensors.push_back({name, {values.size()}, layout.dimension, values.size()});
    layout.dimension += values.size();
    pieces.push_back(values);
  };
  add(kFirst, state.first);
  add(kSecond, state.second);
  add(kAggregate, state.aggregate);
  const std::vector<float> scales(state.scale_exponents.begin(), state.scale_exponents.end());
  add(kScales, scales);
  if (pieces.empty()) return {};
  return build_safetensors(layout, {}, pieces);
}

Files build(const Layout& layout, const robust::ModelState& state, ModelVersion version) {
  Files files;
  files.state = build_state(state);
  std::map<std::string, std::string> metadata = {{kVersionKey, std::to_string(version)}};
  if (!files.state.empty()) metadata[kStateKey] = hex(ingest::sha256(files.state));
  const std::span<const float> values = state.values;
  files.model = build_safetensors(layout, metadata, {&values, 1});
  return files;
}

Status corrupt(const std::string& path, std::string_view why) {
  return {Code::kCorrupt, "model_corrupt", path + " " + std::string(why)};
}

/// Writes `bytes` unless they are there; other content is overwritten only if `replace`.
Status put(Storage& storage, const std::string& path, ConstBytes bytes, bool replace) {
  if (storage.exists(path)) {
    const auto present = read_file(storage, path, kMaxFileBytes);
    MUSTER_TRY(present.status());
    if (std::equal(present->begin(), present->end(), bytes.begin(), bytes.end()))
      // Seen is not durable: whoever renamed it may have died before the directory's sync.
      return storage.sync_directory(parent_directory(path));
    if (!replace) return {Code::kDuplicate, "model_differs", path + " is there with other content"};
  }
  return write_file(storage, path, bytes);
}

Status remove_if_there(Storage& storage, const std::string& path) {
  const Status status = storage.remove(path);
  return status.code() == Code::kNotFound ? Status() : status;
}

}  // namespace

ModelStore::ModelStore(Storage& storage, std::string data_dir)
    : storage_(storage), data_dir_(std::move(data_dir)) {}

std::string ModelStore::file_name(const std::string& task, ModelVersion version) {
  return path_stem(task, version) + ".safetensors";
}

Sha256 ModelStore::hash_of(const Layout& layout, const robust::ModelState& state,
                           ModelVersion version) const {
  return ingest::sha256(build(layout, state, version).model);
}

Result<Sha256> ModelStore::save(const std::string& task, ModelVersion version, const Layout& layout,
                                const robust::ModelState& state) {
  const Files files = build(layout, state, version);
  const std::string directory = data_dir_ + "/models/" + task;
  MUSTER_TRY(storage_.make_directory(directory));
  MUSTER_TRY(storage_.sync_directory(data_dir_ + "/models"));
  MUSTER_TRY(storage_.sync_directory(data_dir_));
  // The model names the state by its hash, so the state comes first; one without its model is what
  // a crash left, and may be replaced.
  const std::string path = data_dir_ + "/" + file_name(task, version);
  if (!files.state.empty())
    MUSTER_TRY(put(storage_, data_dir_ + "/" + state_name(task, version), files.state,
                   !storage_.exists(path)));
  MUSTER_TRY(put(storage_, path, files.model, false));
  return ingest::sha256(files.model);
}

Status ModelStore::save_record(const std::string& task, ModelVersion version, std::string_view json,
                               std::string_view text) {
  const std::string stem = data_dir_ + "/" + path_stem(task, version) + ".privacy";
  MUSTER_TRY(put(storage_, stem + ".json", as_bytes(json), true));
  return put(storage_, stem + ".txt", as_bytes(text), true);
}

std::string ModelStore::record(const std::string& task, ModelVersion version) {
  const std::string path = data_dir_ + "/" + path_stem(task, version) + ".privacy.json";
  const auto bytes = read_file(storage_, path, limits::kDocumentBytes);
  return bytes.ok() ? std::string(as_text(*bytes)) : std::string();
}

Result<StoredModel> ModelStore::load(const std::string& task, ModelVersion version,
                                     const Sha256& expected) {
  const std::string path = data_dir_ + "/" + file_name(task, version);
  MUSTER_ASSIGN(const auto bytes, read_file(storage_, path, kMaxFileBytes));
  if (ingest::sha256(bytes) != expected)
    return corrupt(path, "does not have the hash of its release");
  MUSTER_ASSIGN(SafetensorsFile model, parse_safetensors(bytes));

  StoredModel result;
  result.hash = expected;
  result.layout = std::move(model.layout);
  result.state.values = std::move(model.values);
  const auto state_hash = model.metadata.find(kStateKey);
  if (state_hash == model.metadata.end()) return result;

  const std::string state_path = data_dir_ + "/" + state_name(task, version);
  MUSTER_ASSIGN(const auto state_bytes, read_file(storage_, state_path, kMaxFileBytes));
  if (hex(ingest::sha256(state_bytes)) != state_hash->second)
    return corrupt(state_path, "does not have the hash its model names");
  MUSTER_ASSIGN(const SafetensorsFile state, parse_safetensors(state_bytes));
  for (const Tensor& tensor : state.layout.tensors) {
    const auto begin = state.values.begin() + static_cast<std::ptrdiff_t>(tensor.offset);
    std::vector<float> values(begin, begin + static_cast<std::ptrdiff_t>(tensor.count));
    if (tensor.name == kScales) {
      for (const float value : values)
        result.state.scale_exponents.push_back(static_cast<std::int8_t>(value));
      continue;
    }
    if (tensor.count != result.layout.dimension)
      return corrupt(state_path, "has another dimension than its model");
    if (tensor.name == kFirst) result.state.first = std::move(values);
    if (tensor.name == kSecond) result.state.second = std::move(values);
    if (tensor.name == kAggregate) result.state.aggregate = std::move(values);
  }
  return result;
}

Status ModelStore::remove(const std::string& task, ModelVersion version) {
  const std::string path = data_dir_ + "/" + file_name(task, version);
  MUSTER_TRY(remove_if_there(storage_, path));
  MUSTER_TRY(remove_if_there(storage_, data_dir_ + "/" + state_name(task, version)));
  if (!storage_.exists(parent_directory(path))) return {};
  return storage_.sync_directory(parent_directory(path));
}

}  // namespace muster::server
