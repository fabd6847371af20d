// SQLite on base/storage.h, with a checksum in every page of the database.
#pragma once

#include <sqlite3.h>

#include <string>

#include "base/storage.h"

namespace muster::server {

/// Registers a VFS of its own with SQLite for as long as it lives; databases opened through it must
/// be closed before. For one process and one connection a file: locks are no-ops, there is no
/// shared memory, so the connection must be in exclusive locking mode and must not use a WAL.
///
/// SQLite trusts what it reads. Here the last kReservedBytes of every page of a main database are
/// the XXH3-128 of the rest, seeded with the page number: damage and misplaced pages become
/// SQLITE_IOERR_DATA on reading. (The database must be created with that many reserved bytes and
/// kPageBytes pages.)
///
/// After a failed sync nothing more is written (reliability finding 11): every later call that
/// would change a file fails, and the journal left behind decides at the next start.
class SqliteVfs {
 public:
  static constexpr int kPageBytes = 4096;
  static constexpr int kReservedBytes = 16;

  explicit SqliteVfs(Storage& storage);
  ~SqliteVfs();
  SqliteVfs(const SqliteVfs&) = delete;
  SqliteVfs& operator=(const SqliteVfs&) = delete;

  const char* name() const { return name_.c_str(); }
  /// The last failure of the storage, for messages; OK if there was none.
  const Status& last_failure() const { return state_.last_failure; }

 private:
  friend struct VfsCalls;
  struct State {
    Storage& storage;
    sqlite3_vfs* system;  ///< for randomness and time
    Status last_failure;
    bool sync_failed = false;
  };

  State state_;
  std::string name_;
  sqlite3_vfs vfs_{};
};

}  // namespace muster::server
