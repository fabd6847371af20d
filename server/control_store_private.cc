#include <algorithm>

#include "server/control_store_sqlite.h"

namespace muster::server {
namespace {

// Schema 3: private tasks.
constexpr char kPrivateSchema[] = R"(
CREATE TABLE ledger (
  population TEXT PRIMARY KEY,
  bytes INTEGER NOT NULL CHECK (bytes > 0),
  head BLOB NOT NULL CHECK (length(head) = 32),
  spent BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE private_round (
  task INTEGER NOT NULL REFERENCES task (id),
  number INTEGER NOT NULL CHECK (number > 0),
  release INTEGER NOT NULL CHECK (release >= 0),
  clip_norm BLOB NOT NULL CHECK (length(clip_norm) = 8),
  next_clip_norm BLOB NOT NULL CHECK (length(next_clip_norm) = 8),
  ledger_head BLOB NOT NULL CHECK (length(ledger_head) = 32),
  json TEXT NOT NULL,
  text TEXT NOT NULL,
  PRIMARY KEY (task, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE participant (
  task INTEGER NOT NULL REFERENCES task (id),
  device BLOB NOT NULL CHECK (length(device) = 16),
  rounds INTEGER NOT NULL CHECK (rounds > 0),
  last INTEGER NOT NULL CHECK (last > 0),
  PRIMARY KEY (task, device)
) STRICT, WITHOUT ROWID;
PRAGMA user_version = 3;
)";

constexpr std::string_view kColumns =
    "number, release, clip_norm, next_clip_norm, ledger_head, json, text";

template <class T>
MutableBytes writable(T& object) {
  return std::as_writable_bytes(std::span(&object, 1));
}

Result<PrivateRoundRow> read_private_round(Statement& statement, TaskId task) {
  PrivateRoundRow row;
  row.task = task;
  row.round = statement.whole(0);
  row.release = statement.whole(1);
  statement.fixed(2, writable(row.clip_norm));
  statement.fixed(3, writable(row.next_clip_norm));
  statement.fixed(4, row.ledger_head);
  row.json = statement.text(5);
  row.text = statement.text(6);
  MUSTER_TRY(statement.sound());
  return row;
}

}  // namespace

Status SqliteControlStore::create_private_tables() {
  return database_->transaction([&] { return database_->execute(kPrivateSchema); });
}

Result<std::optional<LedgerRow>> SqliteControlStore::ledger(const std::string& population) {
  Statement statement(*database_, "SELECT bytes, head, spent FROM ledger WHERE population = ?");
  MUSTER_ASSIGN(const bool found, statement.bind(population).step());
  if (!found) return std::optional<LedgerRow>();
  LedgerRow row;
  row.population = population;
  row.bytes = statement.whole(0);
  statement.fixed(1, row.head);
  const ConstBytes spent = statement.bytes(2);
  row.spent.assign(spent.begin(), spent.end());
  MUSTER_TRY(statement.sound());
  return std::optional<LedgerRow>(std::move(row));
}

Status SqliteControlStore::set_ledger(const LedgerRow& row) {
  return database_->transaction([&] {
    return Statement(*database_, "INSERT OR REPLACE INTO ledger VALUES (?, ?, ?, ?)")
        .bind(row.population)
        .bind(row.bytes)
        .bind(ConstBytes(row.head))
        .bind(ConstBytes(row.spent))
        .run();
  });
}

Result<std::vector<PrivateRoundRow>> SqliteControlStore::private_rounds(TaskId task,
                                                                        std::size_t limit) {
  Statement statement(*database_,
                      "SELECT " + std::string(kColumns) +
                          " FROM private_round WHERE task = ? ORDER BY number DESC LIMIT ?");
  statement.bind(std::uint64_t{task}).bind(std::uint64_t{limit});
  std::vector<PrivateRoundRow> rows;
  while (true) {
    MUSTER_ASSIGN(const bool found, statement.step());
    if (!found) return rows;
    MUSTER_ASSIGN(PrivateRoundRow row, read_private_round(statement, task));
    rows.push_back(std::move(row));
  }
}

Result<std::optional<PrivateRoundRow>> SqliteControlStore::private_round(TaskId task,
                                                                         RoundNumber round) {
  Statement statement(*database_, "SELECT " + std::string(kColumns) +
                                      " FROM private_round WHERE task = ? AND number = ?");
  MUSTER_ASSIGN(const bool found, statement.bind(std::uint64_t{task}).bind(round).step());
  if (!found) return std::optional<PrivateRoundRow>();
  MUSTER_ASSIGN(PrivateRoundRow row, read_private_round(statement, task));
  return std::optional<PrivateRoundRow>(std::move(row));
}

Status SqliteControlStore::set_private_round(const PrivateRoundRow& row) {
  return database_->transaction([&] {
    return Statement(*database_,
                     "INSERT OR REPLACE INTO private_round VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
        .bind(std::uint64_t{row.task})
        .bind(row.round)
        .bind(row.release)
        .bind(object_bytes(row.clip_norm))
        .bind(object_bytes(row.next_clip_norm))
        .bind(ConstBytes(row.ledger_head))
        .bind(row.json)
        .bind(row.text)
        .run();
  });
}

Result<std::vector<ParticipantRow>> SqliteControlStore::participants(TaskId task) {
  Statement statement(*database_, "SELECT device, rounds, last FROM participant WHERE task = ?");
  statement.bind(std::uint64_t{task});
  std::vector<ParticipantRow> rows;
  while (true) {
    MUSTER_ASSIGN(const bool found, statement.step());
    if (!found) return rows;
    ParticipantRow& row = rows.emplace_back();
    statement.fixed(0, writable(row.device));
    row.rounds = static_cast<std::uint32_t>(statement.whole(1));
    row.last = static_cast<std::uint32_t>(statement.whole(2));
    MUSTER_TRY(statement.sound());
  }
}

Status SqliteControlStore::drop_keys(TaskId task, KeyPurpose purpose,
                                     std::span<const RoundNumber> keep) {
  return database_->transaction([&]() -> Status {
    MUSTER_ASSIGN(const auto keys, wrapped_keys());
    for (const WrappedKey& key : keys) {
      if (key.task != task || key.purpose != purpose) continue;
      if (std::ranges::find(keep, key.round) != keep.end()) continue;
      MUSTER_TRY(Statement(*database_,
                           "DELETE FROM wrapped_key WHERE task = ? AND number = ? AND purpose = ?")
                     .bind(std::uint64_t{task})
                     .bind(key.round)
                     .bind(std::uint64_t{static_cast<std::uint8_t>(purpose)})
                     .run());
    }
    return {};
  });
}

Status SqliteControlStore::count_participants(TaskId task, const SealedDevices& who) {
  if (who.devices.empty()) return {};
  Statement insert(*database_,
                   "INSERT INTO participant VALUES (?1, ?2, 1, ?3) ON CONFLICT (task, device) "
                   "DO UPDATE SET rounds = rounds + 1, last = ?3");
  for (const DeviceHash& device : who.devices) {
    MUSTER_TRY(insert.bind(std::uint64_t{task})
                   .bind(object_bytes(device))
                   .bind(std::uint64_t{who.release})
                   .run());
    insert.reset();
  }
  return {};
}

}  // namespace muster::server
