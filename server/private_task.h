// A private task's dealings: with its ledger (charge before release), its noise keys, who may take
// part, and what is said beside each release. docs/privacy.md gives the order of a round.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/stats.h"
#include "ingest/round_spec.h"
#include "privacy/master.h"
#include "server/noise_keys.h"
#include "server/participants.h"
#include "server/private_ledgers.h"
#include "server/private_sums.h"

namespace muster::server {

/// What it works with; all outlive it.
struct PrivateParts {
  Storage& storage;
  ControlStore& control;
  PrivateLedgers& ledgers;
  const privacy::MasterKeys& master;
  const Clock& clock;
  Stats& stats;
  std::string data_dir;
};

/// For people; all of it is public.
struct PrivacyStatus {
  std::string population, mechanism;
  double epsilon_spent = 0, epsilon_limit = 0, delta = 0;
  double noise_multiplier = 0;
  std::uint64_t releases = 0;
  std::string anchor;  ///< "BYTES:CHAIN" of the ledger
};

/// One thread (the engine). A Status is fatal for the node unless its code is kExhausted: then the
/// task may not go on ("privacy_budget_exceeded").
class PrivateTask {
 public:
  /// Opens the ledger of the population and reads who took part.
  static Result<std::unique_ptr<PrivateTask>> create(PrivateParts parts, TaskId id,
                                                     std::string name, PrivatePlan plan);
  const PrivatePlan& plan() const { return plan_; }
  /// The round that was opened or taken up last.
  const PrivateRound& round() const { return *round_; }
  float clip_norm() const { return static_cast<float>(row_.clip_norm); }

  /// Whether the budget bears one more round.
  Status may_open() const;
  /// A new round, durable before it is opened itself; and one found at start.
  Status open(RoundNumber round);
  Status resume(RoundNumber round);

  /// What devices of a round agree to beside the task's terms: they see a ledger that was put back.
  std::string round_terms() const { return terms_of(row_); }
  Result<std::string> terms_of_round(RoundNumber round);
  /// Where the ledger stood when the round opened, for receipts; nothing where it was begun anew
  /// since.
  std::optional<LedgerHead> ledger_at_opening() const { return find_head(row_.ledger_head); }
  Result<std::optional<LedgerHead>> ledger_of_round(RoundNumber round) const;
  std::shared_ptr<const ingest::KeptOut> kept_out() const;

  /// Number of the release the round will be, from 1. The same before and after its charge.
  std::uint64_t release_number() const { return release_; }
  /// The round is sealed with these devices, on disk.
  void sealed(std::span<const DeviceHash> devices);

  /// Key and spend of the sealed round are on disk when this returns OK. Again after a crash: the
  /// same noise, and no second charge.
  Result<RoundNoise> charge(const RoundRow& round);
  /// What is said beside the release, from public numbers; kept in the control store. `clip_count`:
  /// as it was noised.
  Status describe(ModelVersion version, std::optional<std::int64_t> clip_count);
  const PrivateRoundRow& row() const { return row_; }
  /// The release is safe: keys that no later release needs are destroyed.
  Status forget_keys();

  PrivacyStatus status() const;

 private:
  PrivateTask(PrivateParts parts, TaskId id, std::string name, PrivatePlan plan);
  Status set_round(PrivateRoundRow row);
  std::string terms_of(const PrivateRoundRow& row) const;
  std::optional<LedgerHead> find_head(const privacy::Digest& chain) const;
  Status open_memory();
  /// The rounds that these releases were charged in.
  Result<std::vector<RoundNumber>> rounds_of(std::span<const std::uint64_t> releases) const;
  Result<privacy::Secret> kept_key(std::uint64_t release, KeyPurpose purpose) const;
  /// What release `release` of BLT noise goes on from.
  Result<BltRound> after_earlier(std::uint64_t release) const;
  privacy::Digest binding(const RoundRow& round, const privacy::Secret& key) const;
  void show();

  PrivateParts parts_;
  TaskId id_;
  std::string name_;
  PrivatePlan plan_;
  const privacy::Ledger* ledger_ = nullptr;
  Participants participants_;
  /// Counted apart from the ledger, whose records a recovery replaces by one.
  std::uint64_t newest_release_ = 0, release_ = 1;
  PrivateRoundRow row_;
  std::optional<PrivateRound> round_;
  NoiseKeys keys_;
  std::optional<NoiseMemory> memory_;  ///< BLT
  Gauge& spent_;
  Counter& writes_;
  Counter& refusals_;
};

}  // namespace muster::server
