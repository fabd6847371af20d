#include "server/control_store.h"

#include "base/limits.h"
#include "server/control_store_sqlite.h"

namespace muster::server {
namespace {

constexpr std::uint64_t kSchemaVersion = 3;

constexpr char kSchema[] = R"(
CREATE TABLE node (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  secret BLOB NOT NULL CHECK (length(secret) = 32),
  public_key BLOB NOT NULL CHECK (length(public_key) = 32),
  secret_key BLOB NOT NULL CHECK (length(secret_key) = 32)
) STRICT;
CREATE TABLE key (
  key BLOB PRIMARY KEY CHECK (length(key) = 32),
  role INTEGER NOT NULL CHECK (role IN (0, 1)),
  revoked INTEGER NOT NULL CHECK (revoked IN (0, 1)),
  label TEXT NOT NULL,
  enrolled_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE task (
  id INTEGER PRIMARY KEY CHECK (id > 0),
  name TEXT NOT NULL UNIQUE,
  text TEXT NOT NULL,
  created_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE round (
  task INTEGER NOT NULL REFERENCES task (id),
  number INTEGER NOT NULL CHECK (number > 0),
  state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 5),
  model_version INTEGER NOT NULL CHECK (model_version >= 0),
  secret BLOB NOT NULL CHECK (length(secret) = 32),
  sealed_hash BLOB NOT NULL CHECK (length(sealed_hash) = 32),
  model_hash BLOB NOT NULL CHECK (length(model_hash) = 32),
  record TEXT NOT NULL,
  opened_ms INTEGER NOT NULL,
  closed_ms INTEGER NOT NULL,
  PRIMARY KEY (task, number)
) STRICT, WITHOUT ROWID;
-- Apart from the round, which is rewritten at every step: a large cohort is hundreds of megabytes.
CREATE TABLE seal (
  task INTEGER NOT NULL,
  number INTEGER NOT NULL,
  ids BLOB NOT NULL CHECK (length(ids) % 16 = 0),
  UNIQUE (task, number),
  FOREIGN KEY (task, number) REFERENCES round (task, number)
) STRICT;
CREATE TABLE model (
  task INTEGER NOT NULL REFERENCES task (id),
  version INTEGER NOT NULL CHECK (version >= 0),
  file TEXT NOT NULL,
  hash BLOB NOT NULL CHECK (length(hash) = 32),
  created_ms INTEGER NOT NULL,
  PRIMARY KEY (task, version)
) STRICT, WITHOUT ROWID;
PRAGMA application_id = 0x4d555354;
)";

// Schema 2: keys of rounds.
constexpr char kKeySchema[] = R"(
CREATE TABLE wrapped_key (
  task INTEGER NOT NULL,
  number INTEGER NOT NULL,
  purpose INTEGER NOT NULL CHECK (purpose >= 0),
  wrapped BLOB NOT NULL CHECK (length(wrapped) = 72),
  PRIMARY KEY (task, number, purpose)
) STRICT, WITHOUT ROWID;
PRAGMA user_version = 2;
)";
static_assert(privacy::kWrappedBytes == 72);

Result<ModelRow> read_model(Statement& statement, TaskId task) {
  ModelRow row;
  row.task = task;
  row.version = statement.whole(0);
  row.file = statement.text(1);
  statement.fixed(2, row.hash);
  row.created_ms = statement.signed_whole(3);
  MUSTER_TRY(statement.sound());
  return row;
}

}  // namespace

Result<std::unique_ptr<ControlStore>> ControlStore::open(Storage& storage,
                                                         const std::string& path) {
  MUSTER_ASSIGN(auto database, Database::open(storage, path));
  auto store = std::make_unique<SqliteControlStore>(std::move(database));
  if (Status status = store->start(); !status.ok()) return std::move(status).with_context(path);
  return std::unique_ptr<ControlStore>(std::move(store));
}

Status SqliteControlStore::start() {
  MUSTER_ASSIGN(const std::uint64_t version, database_->query("PRAGMA user_version"));
  if (version > kSchemaVersion)
    return {Code::kInvalid, "store_newer",
            "written by a later version (schema " + std::to_string(version) + ", this one knows " +
                std::to_string(kSchemaVersion) + ")"};
  MUSTER_TRY(database_->check());
  if (version == 0) MUSTER_TRY(create_tables());
  if (version == 1)
    MUSTER_TRY(database_->transaction([&] { return database_->execute(kKeySchema); }));
  if (version < 3) MUSTER_TRY(create_private_tables());
  return load_node();
}

Status SqliteControlStore::create_tables() {
  MUSTER_ASSIGN(const std::uint64_t tables, database_->query("SELECT count(*) FROM sqlite_schema"));
  if (tables != 0) return {Code::kCorrupt, "store_corrupt", "a database, but not one of Muster's"};
  const ingest::NodeSecret secret = ingest::random_secret();
  const ingest::KeyPair pair = ingest::new_key_pair();
  return database_->transaction([&]() -> Status {
    MUSTER_TRY(database_->execute(kSchema));
    MUSTER_TRY(database_->execute(kKeySchema));
    return Statement(*database_, "INSERT INTO node VALUES (1, ?, ?, ?)")
        .bind(ConstBytes(secret))
        .bind(ConstBytes(pair.public_key))
        .bind(ConstBytes(pair.secret_key))
        .run();
  });
}

Status SqliteControlStore::load_node() {
  Statement statement(*database_, "SELECT secret, public_key, secret_key FROM node");
  MUSTER_ASSIGN(const bool row, statement.step());
  if (!row) return {Code::kCorrupt, "store_corrupt", "the node has no secret"};
  statement.fixed(0, node_secret_);
  statement.fixed(1, server_key_.public_key);
  statement.fixed(2, server_key_.secret_key);
  return statement.sound();
}

Status SqliteControlStore::insert_key(Statement& find, Statement& insert, const KeyRow& key) {
  MUSTER_ASSIGN(const bool known, find.bind(ConstBytes(key.key)).step());
  const bool revoked = known && find.whole(0) != 0;
  find.reset();
  // Or a list enrolled twice would let a stolen device back in.
  if (revoked)
    return {Code::kForbidden, "key_revoked",
            "key " + ingest::key_text(key.key) + " was revoked; give the device a new one"};
  MUSTER_TRY(insert.bind(ConstBytes(key.key))
                 .bind(std::uint64_t{static_cast<std::uint8_t>(key.role)})
                 .bind(std::uint64_t{key.revoked})
                 .bind(key.label)
                 .bind_signed(key.enrolled_ms)
                 .run());
  insert.reset();
  return {};
}

Status SqliteControlStore::enroll(const std::vector<KeyRow>& keys) {
  return database_->transaction([&]() -> Status {
    Statement find(*database_, "SELECT revoked FROM key WHERE key = ?");
    Statement insert(*database_,
                     "INSERT INTO key VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (key) DO UPDATE "
                     "SET role = ?2, revoked = ?3, label = ?4, enrolled_ms = ?5");
    for (const KeyRow& key : keys) MUSTER_TRY(insert_key(find, insert, key));
    MUSTER_ASSIGN(const std::uint64_t count, database_->query("SELECT count(*) FROM key"));
    if (count <= limits::kMaxKeys) return {};
    return {Code::kExhausted, "too_many_keys",
            "a node knows at most " + std::to_string(limits::kMaxKeys) + " keys"};
  });
}

Status SqliteControlStore::revoke(const ingest::PublicKey& key) {
  return database_->transaction([&]() -> Status {
    MUSTER_TRY(Statement(*database_, "UPDATE key SET revoked = 1 WHERE key = ?")
                   .bind(ConstBytes(key))
                   .run());
    if (database_->changed() != 0) return {};
    return {Code::kNotFound, "key_unknown", "key " + ingest::key_text(key) + " is not enrolled"};
  });
}

Result<std::vector<KeyRow>> SqliteControlStore::keys() {
  Statement statement(*database_, "SELECT key, role, revoked, label, enrolled_ms FROM key");
  std::vector<KeyRow> rows;
  while (true) {
    MUSTER_ASSIGN(const bool found, statement.step());
    if (!found) return rows;
    KeyRow& row = rows.emplace_back();
    statement.fixed(0, row.key);
    row.role = statement.whole(1) == 0 ? ingest::KeyRole::kDevice : ingest::KeyRole::kGateway;
    row.revoked = statement.whole(2) != 0;
    row.label = statement.text(3);
    row.enrolled_ms = statement.signed_whole(4);
    MUSTER_TRY(statement.sound());
  }
}

Result<TaskId> SqliteControlStore::create_task(const std::string& name, const std::string& text,
                                               std::int64_t now_ms) {
  TaskId id = 0;
  MUSTER_TRY(database_->transaction([&]() -> Status {
    Statement find(*database_, "SELECT id FROM task WHERE name = ?");
    MUSTER_ASSIGN(const bool exists, find.bind(name).step());
    if (exists) return {Code::kDuplicate, "task_exists", "there is a task named " + name};
    MUSTER_ASSIGN(const std::uint64_t count, database_->query("SELECT count(*) FROM task"));
    if (count >= limits::kMaxTasks)
      return {Code::kExhausted, "too_many_tasks",
              "a node runs at most " + std::to_string(limits::kMaxTasks) + " tasks"};
    id = static_cast<TaskId>(count) + 1;  // tasks are never removed
    return Statement(*database_, "INSERT INTO task VALUES (?, ?, ?, ?)")
        .bind(std::uint64_t{id})
        .bind(name)
        .bind(text)
        .bind_signed(now_ms)
        .run();
  }));
  return id;
}

Result<std::vector<TaskRow>> SqliteControlStore::tasks() {
  Statement statement(*database_, "SELECT id, name, text, created_ms FROM task ORDER BY id");
  std::vector<TaskRow> rows;
  while (true) {
    MUSTER_ASSIGN(const bool found, statement.step());
    if (!found) return rows;
    TaskRow& row = rows.emplace_back();
    row.id = static_cast<TaskId>(statement.whole(0));
    row.name = statement.text(1);
    row.text = statement.text(2);
    row.created_ms = statement.signed_whole(3);
    MUSTER_TRY(statement.sound());
  }
}

Result<std::optional<ModelRow>> SqliteControlStore::find_model(TaskId task, ModelVersion version) {
  Statement statement(*database_,
                      "SELECT version, file, hash, created_ms FROM model "
                      "WHERE task = ? AND version = ?");
  MUSTER_ASSIGN(const bool found, statement.bind(std::uint64_t{task}).bind(version).step());
  if (!found) return std::optional<ModelRow>();
  MUSTER_ASSIGN(ModelRow row, read_model(statement, task));
  return std::optional<ModelRow>(std::move(row));
}

Status SqliteControlStore::insert_model(const ModelRow& model) {
  MUSTER_ASSIGN(const auto known, find_model(model.task, model.version));
  if (known) {
    if (known->file == model.file && known->hash == model.hash) return {};
    return {Code::kDuplicate, "model_differs",
            "version " + std::to_string(model.version) + " of task " + std::to_string(model.task) +
                " is indexed with other content"};
  }
  return Statement(*database_, "INSERT INTO model VALUES (?, ?, ?, ?, ?)")
      .bind(std::uint64_t{model.task})
      .bind(model.version)
      .bind(model.file)
      .bind(ConstBytes(model.hash))
      .bind_signed(model.created_ms)
      .run();
}

Status SqliteControlStore::add_model(const ModelRow& model) {
  return database_->transaction([&] { return insert_model(model); });
}

Status SqliteControlStore::remove_model(TaskId task, ModelVersion version) {
  return database_->transaction([&] {
    return Statement(*database_, "DELETE FROM model WHERE task = ? AND version = ?")
        .bind(std::uint64_t{task})
        .bind(version)
        .run();
  });
}

Result<std::vector<ModelRow>> SqliteControlStore::models(TaskId task) {
  Statement statement(*database_,
                      "SELECT version, file, hash, created_ms FROM model "
                      "WHERE task = ? ORDER BY version");
  statement.bind(std::uint64_t{task});
  std::vector<ModelRow> rows;
  while (true) {
    MUSTER_ASSIGN(const bool found, statement.step());
    if (!found) return rows;
    MUSTER_ASSIGN(ModelRow row, read_model(statement, task));
    rows.push_back(std::move(row));
  }
}

Result<std::vector<WrappedKey>> SqliteControlStore::wrapped_keys() {
  Statement statement(*database_, "SELECT task, number, purpose, wrapped FROM wrapped_key");
  std::vector<WrappedKey> keys;
  while (true) {
    MUSTER_ASSIGN(const bool found, statement.step());
    if (!found) return keys;
    WrappedKey& key = keys.emplace_back();
    key.task = static_cast<TaskId>(statement.whole(0));
    key.round = statement.whole(1);
    key.purpose = static_cast<KeyPurpose>(statement.whole(2));
    statement.fixed(3, key.wrapped);
    MUSTER_TRY(statement.sound());
  }
}

Status SqliteControlStore::put_wrapped_key(const WrappedKey& key) {
  return Statement(*database_, "INSERT OR REPLACE INTO wrapped_key VALUES (?, ?, ?, ?)")
      .bind(std::uint64_t{key.task})
      .bind(key.round)
      .bind(std::uint64_t{static_cast<std::uint8_t>(key.purpose)})
      .bind(ConstBytes(key.wrapped))
      .run();
}

Status SqliteControlStore::put_wrapped_keys(const std::vector<WrappedKey>& keys) {
  return database_->transaction([&]() -> Status {
    for (const WrappedKey& key : keys) MUSTER_TRY(put_wrapped_key(key));
    return {};
  });
}

}  // namespace muster::server
