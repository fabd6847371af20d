// What the server tells ingest about a round: everything a verdict needs.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
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

/// An earlier round of a buffered task: an update trained there may still count here.
struct EarlierRound {
  RoundNumber round = 0;
  ModelVersion version = 0;  ///< what its devices trained from
  Sha256 terms{};            ///< what they agreed to
};

/// Devices that a private task keeps out of a round, each list ascending.
struct KeptOut {
  std::vector<DeviceHash> spent;     ///< for good,
  std::vector<DeviceHash> too_soon;  ///< and for now
  /// Where no more may be remembered: only these may take part. Ascending.
  std::vector<DeviceHash> known;
  bool only_known = false;
};

/// A round whose updates are known by id only, for devices that never saw their receipt.
struct SealedRound {
  RoundNumber round = 0;
  std::vector<UpdateId> ids;         ///< ascending
  std::optional<LedgerHead> ledger;  ///< as in its RoundSpec
  bool contains(const UpdateId& id) const;
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
  bool sealed = false;  ///< its updates lie encrypted on disk; RoundKeys has the key
  /// Buffered tasks (asynchronous rounds, FedBuff): a round is the filling of a buffer, and an
  /// update trained in one of `earlier` counts in it, at a weight the server lowers with its
  /// staleness.
  bool buffered = false;
  std::vector<EarlierRound> earlier;
  /// Private tasks: who may not take part; null: everybody may. A device that is in the round
  /// already stays.
  std::shared_ptr<const KeptOut> kept_out;
  /// Private tasks: the ledger when the round opened, for receipts; nothing where it is not known.
  std::optional<LedgerHead> ledger;
  /// Private tasks: whether the values of an update are in order is not said, counted or logged
  /// here. It is admitted, and the rule takes it as zero; only what cannot be decoded is refused.
  bool discreet = false;

  /// What the devices of `trained_in`, which counts here, agreed to.
  const Sha256& terms_of(RoundNumber trained_in) const {
    for (const EarlierRound& known : earlier)
      if (known.round == trained_in) return known.terms;
    return terms;
  }
  /// How many versions behind the model an update is that was trained in `round` from `version`;
  /// nothing where it may not count in this round.
  std::optional<std::uint8_t> staleness_of(RoundNumber trained_in, ModelVersion version) const {
    if (trained_in == round && version == model->version) return 0;
    for (const EarlierRound& known : earlier)
      if (known.round == trained_in && known.version == version)
        return static_cast<std::uint8_t>(model->version - version);
    return std::nullopt;
  }
  bool takes(RoundNumber trained_in) const {
    if (trained_in == round) return true;
    for (const EarlierRound& known : earlier)
      if (known.round == trained_in) return true;
    return false;
  }

  /// Coordinates of chunk `index` (the last one may be shorter).
  std::uint32_t coordinates_of(std::uint32_t index) const {
    const std::uint64_t first = std::uint64_t{index} * chunk_coordinates;
    const std::uint64_t left = dimension - first;
    return left < chunk_coordinates ? static_cast<std::uint32_t>(left) : chunk_coordinates;
  }
};

}  // namespace muster::ingest
