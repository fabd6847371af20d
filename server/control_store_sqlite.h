// The control store's tables. One class in three files: the small tables and opening are in
// control_store.cc, rounds in control_store_rounds.cc, what private tasks need in
// control_store_private.cc.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "server/control_store.h"
#include "server/control_store_db.h"

namespace muster::server {

class SqliteControlStore final : public ControlStore {
 public:
  explicit SqliteControlStore(std::unique_ptr<Database> database)
      : database_(std::move(database)) {}
  /// Creates the tables or checks them, and loads the node's secrets.
  Status start();

  const ingest::NodeSecret& node_secret() const override { return node_secret_; }
  const ingest::KeyPair& server_key() const override { return server_key_; }

  Status enroll(const std::vector<KeyRow>& keys) override;
  Status revoke(const ingest::PublicKey& key) override;
  Result<std::vector<KeyRow>> keys() override;

  Result<TaskId> create_task(const std::string& name, const std::string& text,
                             std::int64_t now_ms) override;
  Result<std::vector<TaskRow>> tasks() override;

  Result<std::vector<RoundRow>> rounds(TaskId task, std::size_t limit) override;
  Result<std::optional<RoundRow>> round(TaskId task, RoundNumber number) override;
  Result<std::optional<RoundRow>> latest_round(TaskId task) override;

  Status open_round(const RoundRow& row) override;
  Status seal_round(TaskId task, RoundNumber round, const std::vector<UpdateId>& ids,
                    const Sha256& hash, std::int64_t now_ms, const SealedDevices& who) override;
  Status aggregate_round(TaskId task, RoundNumber round, const Sha256& model_hash,
                         const std::string& record) override;
  Status release_round(TaskId task, RoundNumber round, const ModelRow& model) override;
  Status shred_round(TaskId task, RoundNumber round) override;
  Status abandon_round(TaskId task, RoundNumber round, const std::string& record) override;

  Result<std::optional<LedgerRow>> ledger(const std::string& population) override;
  Status set_ledger(const LedgerRow& row) override;
  Result<std::vector<PrivateRoundRow>> private_rounds(TaskId task, std::size_t limit) override;
  Result<std::optional<PrivateRoundRow>> private_round(TaskId task, RoundNumber round) override;
  Status set_private_round(const PrivateRoundRow& row) override;
  Result<std::vector<ParticipantRow>> participants(TaskId task) override;
  Status drop_keys(TaskId task, KeyPurpose purpose, std::span<const RoundNumber> keep) override;

  Status add_model(const ModelRow& model) override;
  Status remove_model(TaskId task, ModelVersion version) override;
  Result<std::vector<ModelRow>> models(TaskId task) override;

  Result<std::vector<WrappedKey>> wrapped_keys() override;
  Status put_wrapped_keys(const std::vector<WrappedKey>& keys) override;

 private:
  Status create_tables();
  Status create_private_tables();
  Status load_node();

  // The following run inside a transaction of the caller.
  Status insert_key(Statement& find, Statement& insert, const KeyRow& key);
  Status insert_model(const ModelRow& model);
  Status put_wrapped_key(const WrappedKey& key);
  /// Of the spool and the secret: what a round's updates need to be read.
  Status wipe_secrets(TaskId task, RoundNumber number);
  Status count_participants(TaskId task, const SealedDevices& who);
  Result<std::optional<ModelRow>> find_model(TaskId task, ModelVersion version);
  /// Without sealed ids.
  Result<std::optional<RoundRow>> find_round(TaskId task, RoundNumber number);
  Result<std::vector<UpdateId>> sealed_ids(TaskId task, RoundNumber number);
  /// One step of a round: `advance` runs if it is in one of the states `from`; it is done already
  /// if it is in `to` and `same`; anything else is "round_state".
  Status step(TaskId task, RoundNumber number, std::initializer_list<RoundState> from,
              RoundState to, const std::function<Result<bool>(const RoundRow&)>& same,
              const std::function<Status(const RoundRow&)>& advance);

  std::unique_ptr<Database> database_;
  ingest::NodeSecret node_secret_{};
  ingest::KeyPair server_key_{};
};

}  // namespace muster::server
