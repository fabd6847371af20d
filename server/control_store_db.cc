#include "server/control_store_db.h"

#include <cstring>

namespace muster::server {

Statement::Statement(Database& database, std::string_view sql) : database_(database) {
  failure_ = sqlite3_prepare_v2(database.connection_, sql.data(), static_cast<int>(sql.size()),
                                &statement_, nullptr);
}

Statement::~Statement() { sqlite3_finalize(statement_); }

Statement& Statement::bind_signed(std::int64_t value) {
  if (failure_ == SQLITE_OK) failure_ = sqlite3_bind_int64(statement_, ++parameter_, value);
  return *this;
}

Statement& Statement::bind(std::uint64_t value) {
  MUSTER_CHECK(std::in_range<std::int64_t>(value));
  return bind_signed(static_cast<std::int64_t>(value));
}

Statement& Statement::bind(std::string_view value) {
  if (failure_ == SQLITE_OK)
    failure_ = sqlite3_bind_text64(statement_, ++parameter_, value.data(), value.size(),
                                   SQLITE_STATIC, SQLITE_UTF8);
  return *this;
}

Statement& Statement::bind(ConstBytes value) {
  // A null pointer would bind NULL.
  const void* data = value.empty() ? "" : static_cast<const void*>(value.data());
  if (failure_ == SQLITE_OK)
    failure_ = sqlite3_bind_blob64(statement_, ++parameter_, data, value.size(), SQLITE_STATIC);
  return *this;
}

Result<bool> Statement::step() {
  if (failure_ != SQLITE_OK) return database_.failure(failure_);
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return database_.failure(code);
}

Status Statement::run() {
  while (true) {
    MUSTER_ASSIGN(const bool row, step());
    if (!row) return {};
  }
}

void Statement::reset() {
  sqlite3_reset(statement_);
  parameter_ = 0;
}

std::int64_t Statement::signed_whole(int column) const {
  return sqlite3_column_int64(statement_, column);
}

std::uint64_t Statement::whole(int column) {
  const std::int64_t value = signed_whole(column);
  if (value < 0) malformed_ = true;
  return value < 0 ? 0 : static_cast<std::uint64_t>(value);
}

std::string Statement::text(int column) const {
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  if (data == nullptr) return {};
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

ConstBytes Statement::bytes(int column) const {
  const auto* data = static_cast<const std::byte*>(sqlite3_column_blob(statement_, column));
  return {data,
          data == nullptr ? 0 : static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

void Statement::fixed(int column, MutableBytes target) {
  const ConstBytes stored = bytes(column);
  if (stored.size() != target.size()) {
    malformed_ = true;
    return;
  }
  std::memcpy(target.data(), stored.data(), target.size());
}

Status Statement::sound() const {
  if (!malformed_) return {};
  return {Code::kCorrupt, "store_corrupt", "the control store holds a row of the wrong shape"};
}

Result<std::unique_ptr<Database>> Database::open(Storage& storage, const std::string& path) {
  std::unique_ptr<Database> database(new Database(storage));
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
                    SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE;
  const int code =
      sqlite3_open_v2(path.c_str(), &database->connection_, flags, database->vfs_.name());
  if (code != SQLITE_OK) return database->failure(code).with_context(path);
  if (Status status = database->configure(); !status.ok())
    return std::move(status).with_context(path);
  return database;
}

Database::~Database() { sqlite3_close(connection_); }

Status Database::configure() {
  int reserved = SqliteVfs::kReservedBytes;
  sqlite3_file_control(connection_, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserved);
  sqlite3_db_config(connection_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(connection_, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  static_assert(SqliteVfs::kPageBytes == 4096);
  // EXTRA: the journal's directory is synced, too. secure_delete: a wiped secret leaves no copy in
  // a free page. The journal is cut, not kept, for the same reason.
  return execute(
      "PRAGMA locking_mode = EXCLUSIVE; PRAGMA page_size = 4096;"
      "PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0; PRAGMA cell_size_check = ON;"
      "PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = EXTRA;"
      "PRAGMA secure_delete = ON; PRAGMA foreign_keys = ON");
}

Status Database::check() {
  // The checksums of the pages find damage; what the full check adds would be faults of SQLite.
  Statement statement(*this, "PRAGMA quick_check(1)");
  MUSTER_ASSIGN(const bool row, statement.step());
  const std::string found = row ? statement.text(0) : "no answer";
  if (found == "ok") return {};
  return {Code::kCorrupt, "store_corrupt", "the control store fails its check: " + found};
}

Status Database::execute(const char* sql) {
  const int code = sqlite3_exec(connection_, sql, nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? Status() : failure(code);
}

Result<std::uint64_t> Database::query(std::string_view sql) {
  Statement statement(*this, sql);
  MUSTER_ASSIGN(const bool row, statement.step());
  const std::uint64_t value = row ? statement.whole(0) : 0;
  MUSTER_TRY(statement.sound());
  return value;
}

void Database::roll_back() {
  // Where this fails, too, SQLite rolls back from the journal before it touches the file again.
  sqlite3_exec(connection_, "ROLLBACK", nullptr, nullptr, nullptr);
}

Status Database::failure(int code) const {
  if (code == SQLITE_IOERR_DATA)
    return {Code::kCorrupt, "store_corrupt", "a page does not match its checksum"};
  const int kind = code & 0xff;
  std::string message = connection_ == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(connection_);
  if ((kind == SQLITE_FULL || kind == SQLITE_IOERR || kind == SQLITE_CANTOPEN) &&
      !vfs_.last_failure().ok())
    message.append(" (").append(vfs_.last_failure().message()).append(")");
  switch (kind) {
    case SQLITE_FULL:
      return {Code::kExhausted, "disk_full", std::move(message)};
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
      return {Code::kUnavailable, "io_error", std::move(message)};
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return {Code::kCorrupt, "store_corrupt", std::move(message)};
    case SQLITE_NOMEM:
      return {Code::kExhausted, "out_of_memory", std::move(message)};
    default:
      return {Code::kInternal, "store_internal", std::move(message)};
  }
}

}  // namespace muster::server
