// Model versions on disk: immutable safetensors files with the optimiser's state beside them.
#pragma once

#include <memory>
#include <string>

#include "base/storage.h"
#include "ingest/keys.h"
#include "robust_agg/step.h"
#include "server/safetensors.h"
#include "wire/ids.h"

namespace muster::server {

struct StoredModel {
  Layout layout;
  robust::ModelState state;
  Sha256 hash{};  ///< SHA-256 of the model file
};

/// One thread (the engine).
class ModelStore {
 public:
  ModelStore(Storage& storage, std::string data_dir);
  /// "models/TASK/v00000012.safetensors", relative to the data directory.
  static std::string file_name(const std::string& task, ModelVersion version);
  /// SHA-256 that save() will give, without writing.
  Sha256 hash_of(const Layout& layout, const robust::ModelState& state, ModelVersion version) const;
  /// Writes model and state files durably; writing the same version again is fine if the bytes are
  /// the same ("model_differs" otherwise). Returns the hash of the model file.
  Result<Sha256> save(const std::string& task, ModelVersion version, const Layout& layout,
                      const robust::ModelState& state);
  /// What is said beside a private release: NAME.privacy.json and NAME.privacy.txt beside the
  /// model, durably. They stay when the model goes.
  Status save_record(const std::string& task, ModelVersion version, std::string_view json,
                     std::string_view text);
  /// The JSON of one; empty where there is none.
  std::string record(const std::string& task, ModelVersion version);
  /// "model_corrupt" where the file does not have `expected` as its hash.
  Result<StoredModel> load(const std::string& task, ModelVersion version, const Sha256& expected);
  Status remove(const std::string& task, ModelVersion version);

 private:
  Storage& storage_;
  std::string data_dir_;
};

}  // namespace muster::server
