// The little of SQLite that the control store needs: a connection, statements, transactions.
#pragma once

#include <sqlite3.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "server/sqlite_vfs.h"

namespace muster::server {

class Database;

/// One prepared statement. Parameters are bound in order; a failure on the way (the SQL, a bind)
/// comes out of step(). Bound memory must stay until then.
class Statement {
 public:
  Statement(Database& database, std::string_view sql);
  ~Statement();
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& bind(std::uint64_t value);  ///< at most INT64_MAX
  Statement& bind_signed(std::int64_t value);
  Statement& bind(std::string_view value);
  Statement& bind(ConstBytes value);
  /// True: a row is there.
  Result<bool> step();
  /// Runs to the end, ignoring rows.
  Status run();
  /// To bind and run again.
  void reset();

  std::uint64_t whole(int column);
  std::int64_t signed_whole(int column) const;
  std::string text(int column) const;
  ConstBytes bytes(int column) const;  ///< until the next step
  /// Copies a blob of exactly this size.
  void fixed(int column, MutableBytes target);
  /// "store_corrupt" if a column of a row read so far had not the size or sign it must have.
  Status sound() const;

 private:
  Database& database_;
  sqlite3_stmt* statement_ = nullptr;
  int parameter_ = 0;
  int failure_ = SQLITE_OK;
  bool malformed_ = false;
};

class Database {
 public:
  /// Opened with full sync and exclusive access; nothing is checked yet.
  static Result<std::unique_ptr<Database>> open(Storage& storage, const std::string& path);
  ~Database();

  /// Reads every page in use; "store_corrupt" where one is damaged or out of place.
  Status check();

  Status execute(const char* sql);
  /// One whole number, of the first row.
  Result<std::uint64_t> query(std::string_view sql);
  /// Rows changed by the last statement.
  int changed() const { return sqlite3_changes(connection_); }
  /// An SQLite result as one of "disk_full", "io_error", "store_corrupt", "store_internal".
  Status failure(int code) const;

  /// Runs `work` and makes it durable as a whole, or not at all.
  template <class Work>
  Status transaction(Work work) {
    MUSTER_TRY(execute("BEGIN IMMEDIATE"));
    Status status = work();
    if (status.ok()) status = execute("COMMIT");
    if (!status.ok() && sqlite3_get_autocommit(connection_) == 0) roll_back();
    return status;
  }

 private:
  friend class Statement;
  explicit Database(Storage& storage) : vfs_(storage) {}
  Status configure();
  void roll_back();

  SqliteVfs vfs_;
  sqlite3* connection_ = nullptr;
};

}  // namespace muster::server
