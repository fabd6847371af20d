// What is said beside every released model (algorithms 7.12). Epsilon is printed only where every
// field that it rests on is known; otherwise the record says "no DP statement" and why.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "privacy/accountant.h"
#include "privacy/mechanism.h"

namespace muster::privacy {

struct ReleaseRecord {
  std::string task;
  std::uint64_t round = 0;
  std::uint64_t model_version = 0;

  std::string unit = "one device's whole update";
  /// The mechanism with its formula, adjacency, z, step and m; none: the release is not noised.
  std::optional<Mechanism> mechanism;
  double clip_norm = 0;         ///< of this round
  std::uint64_t dimension = 0;  ///< coordinates noise was added to
  std::uint32_t n = 0;          ///< the public constant, not who came

  std::optional<Sampling> sampling;   ///< the statement of 7.5 that holds, with its k and b
  std::uint64_t rounds = 0;           ///< releases so far, this one included
  std::uint64_t ledger_position = 0;  ///< record of the charge; from 1

  std::string ledger_head;  ///< chain after that record, hexadecimal: devices compare it

  double delta = 0;            ///< of the task, all in
  std::optional<Spend> spent;  ///< epsilon after this round, and who says so
  double sampler_delta = 0;    ///< part of delta that stands for the sampler (discrete.h)

  /// What else this round gave away: "clip norm (noised count)", "participant list". Empty:
  /// nothing.
  std::vector<std::string> other_releases;
};

/// Names of the fields that are missing for a statement; empty: there is one.
std::vector<std::string> missing_fields(const ReleaseRecord& record);

/// "(epsilon 2.12, delta 1e-06) for one device's whole update, zero-out, after 1000 rounds", or "no
/// DP statement: mechanism, delta unknown".
std::string statement(const ReleaseRecord& record);

/// One object with every field; null where unknown. Epsilon only with a statement. Numbers are
/// those that were used: shortest decimals that read back the same.
std::string to_json(const ReleaseRecord& record);

/// The same for a person, a line a field.
std::string to_text(const ReleaseRecord& record);

}  // namespace muster::privacy
