// The phones' model as a safetensors file, written and read back without a JSON library.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/storage.h"
#include "loadtest/trainer.h"

namespace muster::loadtest {

/// Durable replace of `path` by the tensors of layout(shape), with the shape as metadata.
Status write_model(Storage& storage, const std::string& path, const ModelShape& shape,
                   std::span<const float> model);

/// The values of a file whose tensors are those of layout(shape), in that order: what
/// write_model() wrote, or the server after it. "model_file" otherwise.
Result<std::vector<float>> read_model(Storage& storage, const std::string& path,
                                      const ModelShape& shape);

}  // namespace muster::loadtest
