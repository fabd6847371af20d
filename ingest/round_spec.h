// What the server tells ingest about a round: everything a verdict needs.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/codec.h"
#include "wire/ids.h"

namespace muster::ingest {

/// A published model version: immutable, shared with messages that are still leaving.
struct PublishedModel {
  ModelVersion version = 0;
  std::vector<float> values;
};

struct RoundSpec {
  TaskId task = 0;
  std::string task_name;
  RoundNumber round = 0;
  std::shared_ptr<const PublishedModel> model;  ///< what devices train from; its version is checked
  std::uint64_t dimension = 0;
  std::uint32_t chunk_coordinates = 0;
  std::uint32_t chunk_count = 0;
  ChunkFormat format;
  std::vector<std::int8_t> scale_exponents;  ///< I8S, I4S: one a block of the whole vector
  std::uint64_t codec_seed = 0;              ///< RANDK, HSQ: public
  float clip_norm = 0;
  float value_bound = 0;
  std::uint32_t max_weight = 1;
  std::uint32_t max_assigned = 0;  ///< devices that may be told to train (over-selection)
  std::uint32_t max_updates = 0;   ///< updates that may be admitted; the size of all tables
  Nanoseconds deadline = 0;        ///< monotonic; 0: none
  Sha256 terms{};

  /// Coordinates of chunk `index` (the last one may be shorter).
  std::uint32_t coordinates_of(std::uint32_t index) const {
    const std::uint64_t first = std::uint64_t{index} * chunk_coordinates;
    const std::uint64_t left = dimension - first;
    return left < chunk_coordinates ? static_cast<std::uint32_t>(left) : chunk_coordinates;
  }
};

}  // namespace muster::ingest
