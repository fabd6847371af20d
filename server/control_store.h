// Tasks, keys, rounds and the model index: SQLite with full sync over base/storage.h. Small, rare
// writes; every call is one synced transaction. One thread (the engine) uses it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/storage.h"
#include "ingest/keys.h"
#include "privacy/master.h"
#include "wire/ids.h"

namespace muster::server {

/// design: open -> sealed -> aggregated -> released -> shredded; or open, sealed -> abandoned.
enum class RoundState : std::uint8_t {
  kOpen,
  kSealed,
  kAggregated,
  kReleased,
  kShredded,
  kAbandoned
};
std::string_view round_state_name(RoundState state);

struct TaskRow {
  TaskId id = 0;
  std::string name;
  std::string text;  ///< TOML
  std::int64_t created_ms = 0;
};

struct RoundRow {
  TaskId task = 0;
  RoundNumber round = 0;
  RoundState state = RoundState::kOpen;
  ModelVersion model_version = 0;  ///< trained from
  ingest::NodeSecret secret{};     ///< round secret; wiped once shredded or abandoned
  std::vector<UpdateId> sealed;    ///< ascending; from kSealed on
  Sha256 sealed_hash{};            ///< of the sorted ids
  Sha256 model_hash{};             ///< SHA-256 of the released file; from kAggregated on
  std::string record;              ///< JSON: cohort, n, f, divisor, chosen, times
  std::int64_t opened_ms = 0, closed_ms = 0;
  /// Wrapped key of the round's updates on disk. Given to open_round(), which stores it in the same
  /// step; read back by wrapped_keys() only. Gone with the round secret.
  std::optional<privacy::WrappedBytes> spool_key;
};

enum class KeyPurpose : std::uint8_t {
  kMasterCheck = 0,  ///< opens under the right master secret; task and round are 0
  kSpool = 1,        ///< of a round's records in the spool
  kNoise = 2,        ///< of a private round's noise
  kNoiseMemory = 3,  ///< of what its noise leaves for later rounds (server/noise_memory.h)
};
/// A key under the node's master secret.
struct WrappedKey {
  TaskId task = 0;
  RoundNumber round = 0;
  KeyPurpose purpose = KeyPurpose::kMasterCheck;
  privacy::WrappedBytes wrapped{};
};

struct ModelRow {
  TaskId task = 0;
  ModelVersion version = 0;
  std::string file;  ///< relative to the data directory
  Sha256 hash{};
  std::int64_t created_ms = 0;
};

struct KeyRow {
  ingest::PublicKey key{};
  ingest::KeyRole role = ingest::KeyRole::kDevice;
  bool revoked = false;
  std::string label;
  std::int64_t enrolled_ms = 0;
};

/// The newest anchor of a population's privacy ledger, and what was spent up to there: a ledger
/// that does not hold the one was rolled back, forked or damaged, and recovery assumes the other.
struct LedgerRow {
  std::string population;
  std::uint64_t bytes = 0;
  Sha256 head{};
  std::vector<std::byte> spent;  ///< privacy::Amounts
};

/// What a private round goes by, beside its RoundRow.
struct PrivateRoundRow {
  TaskId task = 0;
  RoundNumber round = 0;
  std::uint64_t release = 0;  ///< which release of the task it is, from 1; 0: not charged
  double clip_norm = 0;
  double next_clip_norm = 0;  ///< once released; 0 before
  Sha256 ledger_head{};       ///< when it opened: part of its terms
  std::string json, text;     ///< the release record
  bool operator==(const PrivateRoundRow&) const = default;
};

/// How often a device was in a sealed round of a private task, and when last.
struct ParticipantRow {
  DeviceHash device;
  std::uint32_t rounds = 0;
  std::uint32_t last = 0;  ///< release number
};

/// Who takes part in the round that is sealed; counted in the same step.
struct SealedDevices {
  std::span<const DeviceHash> devices;
  std::uint32_t release = 0;
};

class ControlStore {
 public:
  /// Creates the database on first use (fresh node secret and server key). "store_newer" for a
  /// schema version we do not know, "store_corrupt" where SQLite's check fails.
  static Result<std::unique_ptr<ControlStore>> open(Storage& storage, const std::string& path);
  virtual ~ControlStore() = default;

  virtual const ingest::NodeSecret& node_secret() const = 0;
  virtual const ingest::KeyPair& server_key() const = 0;

  virtual Status enroll(const std::vector<KeyRow>& keys) = 0;
  virtual Status revoke(const ingest::PublicKey& key) = 0;  ///< "key_unknown"
  virtual Result<std::vector<KeyRow>> keys() = 0;

  /// "task_exists", "too_many_tasks".
  virtual Result<TaskId> create_task(const std::string& name, const std::string& text,
                                     std::int64_t now_ms) = 0;
  virtual Result<std::vector<TaskRow>> tasks() = 0;

  /// Newest first, at most `limit`; without sealed ids.
  virtual Result<std::vector<RoundRow>> rounds(TaskId task, std::size_t limit) = 0;
  virtual Result<std::optional<RoundRow>> round(TaskId task, RoundNumber number) = 0;
  virtual Result<std::optional<RoundRow>> latest_round(TaskId task) = 0;

  // Each is one synced step, refused ("round_state") unless the round is in the state before, and
  // fine if it already is in the state after with the same content (idempotent).
  virtual Status open_round(const RoundRow& row) = 0;
  virtual Status seal_round(TaskId task, RoundNumber round, const std::vector<UpdateId>& ids,
                            const Sha256& hash, std::int64_t now_ms,
                            const SealedDevices& who = {}) = 0;
  virtual Status aggregate_round(TaskId task, RoundNumber round, const Sha256& model_hash,
                                 const std::string& record) = 0;
  /// Round released and model version indexed, in one transaction.
  virtual Status release_round(TaskId task, RoundNumber round, const ModelRow& model) = 0;
  /// Secret and spool key wiped, ids kept.
  virtual Status shred_round(TaskId task, RoundNumber round) = 0;
  virtual Status abandon_round(TaskId task, RoundNumber round, const std::string& record) = 0;

  virtual Result<std::optional<LedgerRow>> ledger(const std::string& population) = 0;
  virtual Status set_ledger(const LedgerRow& row) = 0;
  /// Newest first, at most `limit`.
  virtual Result<std::vector<PrivateRoundRow>> private_rounds(TaskId task, std::size_t limit) = 0;
  virtual Result<std::optional<PrivateRoundRow>> private_round(TaskId task, RoundNumber round) = 0;
  /// Adds or replaces.
  virtual Status set_private_round(const PrivateRoundRow& row) = 0;
  virtual Result<std::vector<ParticipantRow>> participants(TaskId task) = 0;
  /// Destroys a task's wrapped keys of one purpose, but for those of the rounds `keep`.
  virtual Status drop_keys(TaskId task, KeyPurpose purpose, std::span<const RoundNumber> keep) = 0;

  virtual Status add_model(const ModelRow& model) = 0;
  virtual Status remove_model(TaskId task, ModelVersion version) = 0;
  virtual Result<std::vector<ModelRow>> models(TaskId task) = 0;  ///< ascending version

  virtual Result<std::vector<WrappedKey>> wrapped_keys() = 0;
  /// Adds or replaces all of them, in one step.
  virtual Status put_wrapped_keys(const std::vector<WrappedKey>& keys) = 0;
};

}  // namespace muster::server
