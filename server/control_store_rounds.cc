#include <algorithm>
#include <cstring>

#include "server/control_store_sqlite.h"

namespace muster::server {
namespace {

constexpr std::string_view kColumns =
    "number, state, model_version, secret, sealed_hash, model_hash, record, opened_ms, closed_ms";

std::uint64_t number_of(RoundState state) { return static_cast<std::uint8_t>(state); }

Result<RoundRow> read_round(Statement& statement, TaskId task) {
  RoundRow row;
  row.task = task;
  row.round = statement.whole(0);
  const std::uint64_t state = statement.whole(1);
  row.model_version = statement.whole(2);
  statement.fixed(3, row.secret);
  statement.fixed(4, row.sealed_hash);
  statement.fixed(5, row.model_hash);
  row.record = statement.text(6);
  row.opened_ms = statement.signed_whole(7);
  row.closed_ms = statement.signed_whole(8);
  MUSTER_TRY(statement.sound());
  if (state > number_of(RoundState::kAbandoned))
    return Status(Code::kCorrupt, "store_corrupt", "a round has no such state");
  row.state = static_cast<RoundState>(state);
  return row;
}

std::string name_of(TaskId task, RoundNumber round) {
  return "round " + std::to_string(round) + " of task " + std::to_string(task);
}

ConstBytes bytes_of(const std::vector<UpdateId>& ids) { return std::as_bytes(std::span(ids)); }

}  // namespace

std::string_view round_state_name(RoundState state) {
  switch (state) {
    case RoundState::kOpen:
      return "open";
    case RoundState::kSealed:
      return "sealed";
    case RoundState::kAggregated:
      return "aggregated";
    case RoundState::kReleased:
      return "released";
    case RoundState::kShredded:
      return "shredded";
    case RoundState::kAbandoned:
      return "abandoned";
  }
  MUSTER_CHECK(false);
}

Result<std::optional<RoundRow>> SqliteControlStore::find_round(TaskId task, RoundNumber number) {
  std::optional<RoundRow> row;
  if (!std::in_range<std::int64_t>(number)) return row;
  Statement statement(
      *database_, "SELECT " + std::string(kColumns) + " FROM round WHERE task = ? AND number = ?");
  MUSTER_ASSIGN(const bool found, statement.bind(std::uint64_t{task}).bind(number).step());
  if (!found) return row;
  MUSTER_ASSIGN(row, read_round(statement, task));
  return row;
}

Result<std::vector<UpdateId>> SqliteControlStore::sealed_ids(TaskId task, RoundNumber number) {
  Statement statement(*database_, "SELECT ids FROM seal WHERE task = ? AND number = ?");
  MUSTER_ASSIGN(const bool found, statement.bind(std::uint64_t{task}).bind(number).step());
  std::vector<UpdateId> ids;
  if (!found) return ids;
  const ConstBytes stored = statement.bytes(0);
  ids.resize(stored.size() / sizeof(UpdateId));
  if (!ids.empty()) std::memcpy(ids.data(), stored.data(), ids.size() * sizeof(UpdateId));
  return ids;
}

Result<std::vector<RoundRow>> SqliteControlStore::rounds(TaskId task, std::size_t limit) {
  Statement statement(*database_, "SELECT " + std::string(kColumns) +
                                      " FROM round WHERE task = ? ORDER BY number DESC LIMIT ?");
  constexpr std::uint64_t kMax = std::numeric_limits<std::int64_t>::max();
  statement.bind(std::uint64_t{task}).bind(std::min<std::uint64_t>(limit, kMax));
  std::vector<RoundRow> rows;
  while (true) {
    MUSTER_ASSIGN(const bool found, statement.step());
    if (!found) return rows;
    MUSTER_ASSIGN(RoundRow row, read_round(statement, task));
    rows.push_back(std::move(row));
  }
}

Result<std::optional<RoundRow>> SqliteControlStore::round(TaskId task, RoundNumber number) {
  MUSTER_ASSIGN(auto row, find_round(task, number));
  if (row) {
    MUSTER_ASSIGN(row->sealed, sealed_ids(task, number));
  }
  return row;
}

Result<std::optional<RoundRow>> SqliteControlStore::latest_round(TaskId task) {
  MUSTER_ASSIGN(auto newest, rounds(task, 1));
  if (newest.empty()) return std::optional<RoundRow>();
  return round(task, newest.front().round);
}

Status SqliteControlStore::open_round(const RoundRow& row) {
  MUSTER_CHECK(row.state == RoundState::kOpen && row.sealed.empty());
  return database_->transaction([&]() -> Status {
    MUSTER_ASSIGN(const auto newest, rounds(row.task, 1));
    if (!newest.empty() && newest.front().round >= row.round) {
      MUSTER_ASSIGN(const auto known, find_round(row.task, row.round));
      if (known && known->state == RoundState::kOpen && known->secret == row.secret &&
          known->model_version == row.model_version)
        return {};
      return {Code::kInvalid, "round_state",
              name_of(row.task, row.round) + " cannot open: " +
                  (known ? "it is " + std::string(round_state_name(known->state))
                         : "a later one was there")};
    }
    Statement task(*database_, "SELECT 1 FROM task WHERE id = ?");
    MUSTER_ASSIGN(const bool exists, task.bind(std::uint64_t{row.task}).step());
    if (!exists)
      return {Code::kNotFound, "task_unknown", "there is no task " + std::to_string(row.task)};
    if (row.spool_key)
      MUSTER_TRY(put_wrapped_key({row.task, row.round, KeyPurpose::kSpool, *row.spool_key}));
    return Statement(*database_, "INSERT INTO round VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
        .bind(std::uint64_t{row.task})
        .bind(row.round)
        .bind(number_of(RoundState::kOpen))
        .bind(row.model_version)
        .bind(ConstBytes(row.secret))
        .bind(ConstBytes(row.sealed_hash))
        .bind(ConstBytes(row.model_hash))
        .bind(row.record)
        .bind_signed(row.opened_ms)
        .bind_signed(row.closed_ms)
        .run();
  });
}

Status SqliteControlStore::step(TaskId task, RoundNumber number,
                                std::initializer_list<RoundState> from, RoundState to,
                                const std::function<Result<bool>(const RoundRow&)>& same,
                                const std::function<Status(const RoundRow&)>& advance) {
  return database_->transaction([&]() -> Status {
    MUSTER_ASSIGN(const auto row, find_round(task, number));
    if (!row) return {Code::kInvalid, "round_state", name_of(task, number) + " was never opened"};
    bool differs = false;
    if (row->state == to) {
      MUSTER_ASSIGN(const bool done, same(*row));
      if (done) return {};
      differs = true;
    } else if (std::find(from.begin(), from.end(), row->state) != from.end()) {
      MUSTER_TRY(Statement(*database_, "UPDATE round SET state = ? WHERE task = ? AND number = ?")
                     .bind(number_of(to))
                     .bind(std::uint64_t{task})
                     .bind(number)
                     .run());
      return advance(*row);
    }
    std::string message =
        name_of(task, number) + " is " + std::string(round_state_name(row->state));
    message += differs ? ", with other content" : "; it cannot become ";
    if (!differs) message += round_state_name(to);
    return {Code::kInvalid, "round_state", std::move(message)};
  });
}

Status SqliteControlStore::seal_round(TaskId task, RoundNumber round,
                                      const std::vector<UpdateId>& ids, const Sha256& hash,
                                      std::int64_t now_ms, const SealedDevices& who) {
  MUSTER_CHECK(std::is_sorted(ids.begin(), ids.end()));
  return step(
      task, round, {RoundState::kOpen}, RoundState::kSealed,
      [&](const RoundRow& row) -> Result<bool> {
        MUSTER_ASSIGN(const auto stored, sealed_ids(task, round));
        return row.sealed_hash == hash && stored == ids;
      },
      [&](const RoundRow&) -> Status {
        MUSTER_TRY(Statement(*database_, "INSERT INTO seal VALUES (?, ?, ?)")
                       .bind(std::uint64_t{task})
                       .bind(round)
                       .bind(bytes_of(ids))
                       .run());
        MUSTER_TRY(count_participants(task, who));
        return Statement(*database_,
                         "UPDATE round SET sealed_hash = ?, closed_ms = ? "
                         "WHERE task = ? AND number = ?")
            .bind(ConstBytes(hash))
            .bind_signed(now_ms)
            .bind(std::uint64_t{task})
            .bind(round)
            .run();
      });
}

Status SqliteControlStore::aggregate_round(TaskId task, RoundNumber round, const Sha256& model_hash,
                                           const std::string& record) {
  return step(
      task, round, {RoundState::kSealed}, RoundState::kAggregated,
      [&](const RoundRow& row) -> Result<bool> {
        return row.model_hash == model_hash && row.record == record;
      },
      [&](const RoundRow&) {
        return Statement(*database_,
                         "UPDATE round SET model_hash = ?, record = ? "
                         "WHERE task = ? AND number = ?")
            .bind(ConstBytes(model_hash))
            .bind(record)
            .bind(std::uint64_t{task})
            .bind(round)
            .run();
      });
}

Status SqliteControlStore::release_round(TaskId task, RoundNumber round, const ModelRow& model) {
  MUSTER_CHECK(model.task == task);
  return step(
      task, round, {RoundState::kAggregated}, RoundState::kReleased,
      [&](const RoundRow&) -> Result<bool> {
        MUSTER_ASSIGN(const auto known, find_model(task, model.version));
        return known && known->file == model.file && known->hash == model.hash;
      },
      [&](const RoundRow& row) -> Status {
        if (row.model_hash != model.hash)
          return {Code::kInvalid, "round_state",
                  name_of(task, round) + " was aggregated to another model"};
        return insert_model(model);
      });
}

Status SqliteControlStore::wipe_secrets(TaskId task, RoundNumber number) {
  MUSTER_TRY(
      Statement(*database_, "DELETE FROM wrapped_key WHERE task = ? AND number = ? AND purpose = ?")
          .bind(std::uint64_t{task})
          .bind(number)
          .bind(std::uint64_t{static_cast<std::uint8_t>(KeyPurpose::kSpool)})
          .run());
  return Statement(*database_,
                   "UPDATE round SET secret = zeroblob(32) WHERE task = ? AND number = ?")
      .bind(std::uint64_t{task})
      .bind(number)
      .run();
}

Status SqliteControlStore::shred_round(TaskId task, RoundNumber round) {
  return step(
      task, round, {RoundState::kReleased}, RoundState::kShredded,
      [](const RoundRow&) -> Result<bool> { return true; },
      [&](const RoundRow&) { return wipe_secrets(task, round); });
}

Status SqliteControlStore::abandon_round(TaskId task, RoundNumber round,
                                         const std::string& record) {
  return step(
      task, round, {RoundState::kOpen, RoundState::kSealed}, RoundState::kAbandoned,
      [&](const RoundRow& row) -> Result<bool> { return row.record == record; },
      [&](const RoundRow&) -> Status {
        MUSTER_TRY(wipe_secrets(task, round));
        return Statement(*database_, "UPDATE round SET record = ? WHERE task = ? AND number = ?")
            .bind(record)
            .bind(std::uint64_t{task})
            .bind(round)
            .run();
      });
}

}  // namespace muster::server
