// The privacy ledgers of a node: one file for each population that its tasks learn from, each with
// its newest anchor in the control store.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "privacy/ledger.h"
#include "server/control_store.h"

namespace muster::server {

/// One thread (the engine).
class PrivateLedgers {
 public:
  PrivateLedgers(Storage& storage, ControlStore& control, std::string folder)
      : storage_(storage), control_(control), folder_(std::move(folder)) {}

  /// Opens the ledger of the budget's population, or begins it. Refuses one that is missing, rolled
  /// back, forked or damaged (privacy::Ledger::open), one the control store knows nothing of
  /// ("ledger_exists"), and a budget other than the one it was begun with ("budget_differs").
  /// Stays where it is as long as this lives.
  Result<const privacy::Ledger*> open(const privacy::Budget& budget);

  /// Charges and keeps the anchor: when this returns OK both are on disk.
  Result<privacy::Receipt> charge(const std::string& population, const privacy::Charge& charge);

  /// Puts a new ledger in the place of a broken one, whose file is kept beside it. Its first charge
  /// is all that had been spent when the newest anchor was kept: every release is in it. For an
  /// operator who knows that the file cannot be restored. "ledger_sound" where there is nothing to
  /// recover, "ledger_unknown" where the control store has no anchor of the population.
  Status recover(const std::string& population, std::int64_t now_ms);

  std::string path_of(const std::string& population) const {
    return folder_ + "/" + population + ".ledger";
  }

 private:
  Status keep_anchor(const privacy::Ledger& ledger);

  Storage& storage_;
  ControlStore& control_;
  std::string folder_;
  std::map<std::string, std::unique_ptr<privacy::Ledger>, std::less<>> open_;
};

}  // namespace muster::server
