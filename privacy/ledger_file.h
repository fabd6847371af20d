// The privacy ledger as bytes: records chained by SHA-256, in a form that a short script in any
// language can check (docs/privacy.md). One file holds the budget of one population.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "privacy/amounts.h"

namespace muster::privacy {

using Digest = std::array<std::byte, 32>;
/// 64 hexadecimal digits; "digest_invalid".
Result<Digest> parse_digest(std::string_view text);

/// What may be spent on one population, by all tasks that learn from it.
struct Budget {
  std::string population;  ///< 1 to 64 printable ASCII characters
  double epsilon = 0;      ///< kept in units of 2^-40, rounded down
  double delta = 0;
  Adjacency adjacency = Adjacency::kZeroOut;
};

/// One round's spend.
struct Charge {
  std::string task;  ///< 1 to 64 printable ASCII characters
  std::uint64_t round = 0;
  /// Digest of what is released for it (sealed set and commitment to the noise key): a repeat must
  /// bring the same.
  Digest binding = {};
  Amounts amounts;
  std::string statement;  ///< mechanism and sampling for a reader, at most 256 printable characters
  std::uint64_t time_ms = 0;  ///< wall clock, for a reader only
};

/// Where a record ended and what the chain was there. The caller keeps the newest one in a store of
/// its own: a file that does not contain it was rolled back, forked or damaged.
struct Anchor {
  std::uint64_t bytes = 0;
  Digest head = {};
  bool operator==(const Anchor&) const = default;
};

struct LedgerEntry {
  Charge charge;
  Anchor after;
};

/// What a file says up to its first flaw.
struct LedgerContents {
  Budget budget;
  Anchor opened;  ///< after the record of the budget
  std::vector<LedgerEntry> entries;
  Status flaw;  ///< OK: the file ends with a whole record

  const Anchor& end() const { return entries.empty() ? opened : entries.back().after; }
  Amounts spent() const;
};

/// "ledger_field_invalid" where a text is too long, empty or not printable, or a number no budget.
Status check(const Budget& budget);
Status check(const Charge& charge);

/// The first record of a ledger, and record `sequence`, which follows `before`. The input passes
/// check().
std::vector<std::byte> encode_budget(const Budget& budget);
std::vector<std::byte> encode_charge(const Charge& charge, std::uint32_t sequence,
                                     const Anchor& before);
/// The anchor after `record`, which follows `before`.
Anchor anchor_after(const Anchor& before, ConstBytes record);

/// Reads whole records until the bytes end or do not fit; fails ("ledger_corrupt") where not even
/// the budget is whole.
Result<LedgerContents> parse_ledger(ConstBytes bytes);

}  // namespace muster::privacy
