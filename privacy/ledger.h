// The privacy ledger: charge, sync, then release (design.md law 3; reliability.md section 8).
//
// The order of a round: draw and keep the noise key; charge(); keep the receipt's anchor in the
// control store; release. A crash anywhere repeats from the charge, which is found and not made
// twice. What is in the file but not yet in the caller's anchor counts as spent: a crash may
// over-count by the round it interrupted, and never under-count.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "base/storage.h"
#include "privacy/ledger_file.h"

namespace muster::privacy {

struct Receipt {
  Anchor anchor;             ///< to keep before the release
  bool repeated = false;     ///< the charge was there already
  double epsilon_spent = 0;  ///< at the budget's delta, all charges of the file together
};

/// One open ledger. One thread at a time; other processes are kept out by a lock beside the file.
class Ledger {
 public:
  /// A new file, durable. Again with the same budget while nothing was charged: fine. Otherwise
  /// "ledger_exists".
  static Result<std::unique_ptr<Ledger>> create(Storage& storage, const std::string& path,
                                                const Budget& budget);
  /// Refuses what `anchor` does not vouch for: "ledger_missing", "ledger_rolled_back" (shorter than
  /// the anchor), "ledger_forked" (another history), "ledger_corrupt". Whole records past the
  /// anchor are taken over; a torn one is cut off: its charge was never acknowledged.
  static Result<std::unique_ptr<Ledger>> open(Storage& storage, const std::string& path,
                                              const Anchor& anchor);

  /// Charges a round; when this returns OK the charge is on disk. The same task and round again
  /// with the same binding and amounts gives the same anchor or a later one, whatever happened in
  /// between; with others it is "charge_conflict". "privacy_budget_exceeded" charges nothing. After
  /// a failed write or sync all calls say "ledger_fault" until the file is opened anew.
  Result<Receipt> charge(const Charge& charge);

  const Budget& budget() const { return contents_.budget; }
  const Anchor& anchor() const { return contents_.end(); }
  const LedgerContents& contents() const { return contents_; }
  const Amounts& spent() const { return spent_; }
  /// At the budget's delta.
  double epsilon_spent() const { return epsilon(spent_, budget().delta); }

 private:
  Ledger(std::string path, std::unique_ptr<File> lock, std::unique_ptr<File> file,
         LedgerContents contents);

  std::string path_;  ///< for messages
  std::unique_ptr<File> lock_;
  std::unique_ptr<File> file_;
  LedgerContents contents_;
  Amounts spent_;
  std::map<std::pair<std::string, std::uint64_t>, std::size_t> rounds_;  ///< -> index of entries
  bool faulted_ = false;
};

/// What a file says, for verify, show and export; takes no lock. "ledger_missing",
/// "ledger_corrupt"; a flaw behind the first record is in the contents.
Result<LedgerContents> read_ledger(Storage& storage, const std::string& path);
/// Whether `contents` holds `anchor`: OK, or a refusal as by Ledger::open(), without the file's
/// name.
Status verify(const LedgerContents& contents, std::uint64_t file_bytes, const Anchor& anchor);

/// The ledger as one JSON document: budget, charges with the epsilon after each, chain. `flaw` is
/// null where the file is whole.
std::string ledger_json(const LedgerContents& contents);

}  // namespace muster::privacy
