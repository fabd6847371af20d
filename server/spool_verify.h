// `musterd --verify-spool`: every record of a stopped server's spool checked, and that nothing of a
// round that has ended can be read.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/storage.h"
#include "server/config.h"

namespace muster::server {

struct SpoolVerdict {
  std::uint64_t segments = 0, spares = 0;
  std::uint64_t opened = 0;  ///< encrypted, of rounds at work: authentic under their keys
  std::uint64_t plain = 0;   ///< not encrypted, of rounds at work
  std::uint64_t shut = 0;    ///< encrypted, of rounds that have ended: no key opens them
  /// Not encrypted, of rounds that have ended: readable until their place is used again.
  std::uint64_t readable = 0;
  std::uint64_t open_tail_bytes = 0;  ///< behind the last sound record: never acknowledged
  std::vector<std::string> problems;  ///< at most kMaxProblems
  std::uint64_t problem_count = 0;

  static constexpr std::size_t kMaxProblems = 20;
  std::string text() const;
};

/// Takes the data directory's lock ("already_locked": stop the server first) and changes nothing in
/// the spool. A problem is: damage; a record that does not open under its round's key; a key of a
/// round that has ended; a readable record of such a round where everything is to be encrypted.
Result<SpoolVerdict> verify_spool(Storage& storage, const Config& config);

}  // namespace muster::server
