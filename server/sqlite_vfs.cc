#include "server/sqlite_vfs.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <memory>
#include <new>

#include "base/hash.h"

namespace muster::server {

/// The C functions SQLite calls. They see our state through pAppData and the file.
struct VfsCalls {
  using State = SqliteVfs::State;

  struct Handle {
    sqlite3_file base;  // first: SQLite knows us by it
    State* state;
    File* file;              // owned
    std::string* directory;  // owned; to be synced with the first sync of the file
    bool pages;
  };

  static State& state_of(sqlite3_vfs* vfs) { return *static_cast<State*>(vfs->pAppData); }
  static Handle& handle_of(sqlite3_file* file) { return *reinterpret_cast<Handle*>(file); }

  static int fail(State& state, Status status, int code) {
    if (status.reason() == "disk_full") code = SQLITE_FULL;
    state.last_failure = std::move(status);
    return code;
  }

  static Hash128 page_checksum(const std::byte* page, std::int64_t offset) {
    return checksum({page, SqliteVfs::kPageBytes - SqliteVfs::kReservedBytes},
                    static_cast<std::uint64_t>(offset / SqliteVfs::kPageBytes) + 1);
  }

  // Files.

  static int close(sqlite3_file* file) {
    Handle& handle = handle_of(file);
    delete handle.file;
    delete handle.directory;
    return SQLITE_OK;
  }

  static int read(sqlite3_file* file, void* target, int amount, sqlite3_int64 offset) {
    Handle& handle = handle_of(file);
    const MutableBytes bytes(static_cast<std::byte*>(target), static_cast<std::size_t>(amount));
    auto filled = handle.file->read_at(static_cast<std::uint64_t>(offset), bytes);
    if (!filled.ok()) {
      return fail(*handle.state, filled.status(), SQLITE_IOERR_READ);
    }
    // Shorter reads are of the header, which SQLite reads again with its page.
    constexpr int kSmallestPage = 512;
    const bool page = handle.pages && amount >= kSmallestPage;
    if (*filled < bytes.size()) {
      if (page && *filled != 0) return SQLITE_IOERR_DATA;  // part of a page
      std::ranges::fill(bytes.subspan(*filled), std::byte{0});
      return SQLITE_IOERR_SHORT_READ;
    }
    if (!page) return SQLITE_OK;
    if (amount != SqliteVfs::kPageBytes || offset % SqliteVfs::kPageBytes != 0)
      return SQLITE_IOERR_DATA;  // a damaged header claims another page size
    const auto stored = load<Hash128>(bytes, SqliteVfs::kPageBytes - SqliteVfs::kReservedBytes);
    return stored == page_checksum(bytes.data(), offset) ? SQLITE_OK : SQLITE_IOERR_DATA;
  }

  static int write(sqlite3_file* file, const void* source, int amount, sqlite3_int64 offset) {
    Handle& handle = handle_of(file);
    if (handle.state->sync_failed) return SQLITE_IOERR_WRITE;
    const ConstBytes bytes(static_cast<const std::byte*>(source), static_cast<std::size_t>(amount));
    Status status;
    if (handle.pages) {
      if (amount != SqliteVfs::kPageBytes || offset % SqliteVfs::kPageBytes != 0)
        return SQLITE_IOERR_WRITE;
      const Hash128 sum = page_checksum(bytes.data(), offset);
      const std::array pieces = {bytes.first(bytes.size() - SqliteVfs::kReservedBytes),
                                 object_bytes(sum)};
      static_assert(sizeof sum == SqliteVfs::kReservedBytes);
      status = handle.file->write_at(static_cast<std::uint64_t>(offset), pieces);
    } else {
      status = handle.file->write_at(static_cast<std::uint64_t>(offset), {&bytes, 1});
    }
    if (!status.ok()) return fail(*handle.state, std::move(status), SQLITE_IOERR_WRITE);
    return SQLITE_OK;
  }

  static int truncate(sqlite3_file* file, sqlite3_int64 size) {
    Handle& handle = handle_of(file);
    if (handle.state->sync_failed) return SQLITE_IOERR_TRUNCATE;
    Status status = handle.file->truncate(static_cast<std::uint64_t>(size));
    if (!status.ok()) return fail(*handle.state, std::move(status), SQLITE_IOERR_TRUNCATE);
    return SQLITE_OK;
  }

  static int sync(sqlite3_file* file, int /*flags*/) {
    Handle& handle = handle_of(file);
    if (handle.state->sync_failed) return SQLITE_IOERR_FSYNC;
    Status status = handle.file->sync();
    if (status.ok() && handle.directory != nullptr) {
      status = handle.state->storage.sync_directory(*handle.directory);
      if (status.ok()) delete std::exchange(handle.directory, nullptr);
    }
    if (status.ok()) return SQLITE_OK;
    handle.state->sync_failed = true;
    return fail(*handle.state, std::move(status), SQLITE_IOERR_FSYNC);
  }

  static int file_size(sqlite3_file* file, sqlite3_int64* size) {
    Handle& handle = handle_of(file);
    auto result = handle.file->size();
    if (!result.ok()) return fail(*handle.state, result.status(), SQLITE_IOERR_FSTAT);
    *size = static_cast<sqlite3_int64>(*result);
    return SQLITE_OK;
  }

  static int lock(sqlite3_file*, int) { return SQLITE_OK; }
  static int check_reserved_lock(sqlite3_file*, int* held) {
    *held = 0;
    return SQLITE_OK;
  }
  static int file_control(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
  // Disks tear at 512 or 4096 bytes; what is safe for the larger is safe for the smaller.
  static int sector_size(sqlite3_file*) { return 4096; }
  // Nothing is promised: no atomic writes, no ordering, and a write may damage its sector.
  static int device_characteristics(sqlite3_file*) { return 0; }

  static constexpr sqlite3_io_methods kMethods = {1,
                                                  close,
                                                  read,
                                                  write,
                                                  truncate,
                                                  sync,
                                                  file_size,
                                                  lock,
                                                  lock,
                                                  check_reserved_lock,
                                                  file_control,
                                                  sector_size,
                                                  device_characteristics,
                                                  nullptr,
                                                  nullptr,
                                                  nullptr,
                                                  nullptr,
                                                  nullptr,
                                                  nullptr};

  // The file system.

  static int open(sqlite3_vfs* vfs, const char* path, sqlite3_file* file, int flags,
                  int* out_flags) {
    State& state = state_of(vfs);
    Handle& handle = *new (file) Handle{};        // no pMethods yet: SQLite then does not close it
    if (path == nullptr) return SQLITE_CANTOPEN;  // temporary files are kept in memory
    const OpenMode mode = (flags & SQLITE_OPEN_EXCLUSIVE) != 0  ? OpenMode::kCreate
                          : (flags & SQLITE_OPEN_CREATE) != 0   ? OpenMode::kOpenOrCreate
                          : (flags & SQLITE_OPEN_READONLY) != 0 ? OpenMode::kRead
                                                                : OpenMode::kWrite;
    if (state.sync_failed && mode != OpenMode::kRead) return SQLITE_CANTOPEN;
    auto opened = state.storage.open(path, mode);
    if (!opened.ok()) return fail(state, opened.status(), SQLITE_CANTOPEN);
    handle.state = &state;
    handle.file = opened->release();
    handle.pages = (flags & SQLITE_OPEN_MAIN_DB) != 0;
    // Even where the file was there: whoever created it may have died before its directory's sync.
    if ((flags & SQLITE_OPEN_CREATE) != 0)
      handle.directory = new std::string(parent_directory(path));
    handle.base.pMethods = &kMethods;
    if (out_flags != nullptr) *out_flags = flags;
    return SQLITE_OK;
  }

  static int remove(sqlite3_vfs* vfs, const char* path, int sync_directory) {
    State& state = state_of(vfs);
    if (state.sync_failed) return SQLITE_IOERR_DELETE;
    Status status = state.storage.remove(path);
    if (status.code() == Code::kNotFound) return SQLITE_IOERR_DELETE_NOENT;
    if (!status.ok()) return fail(state, std::move(status), SQLITE_IOERR_DELETE);
    if (sync_directory == 0) return SQLITE_OK;
    status = state.storage.sync_directory(parent_directory(path));
    if (status.ok()) return SQLITE_OK;
    state.sync_failed = true;
    return fail(state, std::move(status), SQLITE_IOERR_DIR_FSYNC);
  }

  static int access(sqlite3_vfs* vfs, const char* path, int /*flags*/, int* result) {
    *result = state_of(vfs).storage.exists(path) ? 1 : 0;
    return SQLITE_OK;
  }

  static int full_pathname(sqlite3_vfs*, const char* path, int room, char* target) {
    const std::size_t length = std::strlen(path) + 1;
    if (length > static_cast<std::size_t>(room)) return SQLITE_CANTOPEN_FULLPATH;
    std::memcpy(target, path, length);
    return SQLITE_OK;
  }

  static int randomness(sqlite3_vfs* vfs, int count, char* target) {
    sqlite3_vfs* system = state_of(vfs).system;
    return system->xRandomness(system, count, target);
  }
  static int sleep(sqlite3_vfs*, int) { return 0; }
  static int current_time(sqlite3_vfs* vfs, double* time) {
    sqlite3_vfs* system = state_of(vfs).system;
    return system->xCurrentTime(system, time);
  }
  static int last_error(sqlite3_vfs*, int, char*) { return 0; }
};

SqliteVfs::SqliteVfs(Storage& storage) : state_{storage, sqlite3_vfs_find(nullptr), {}} {
  static std::atomic<unsigned> count{0};
  name_ = "muster-" + std::to_string(++count);
  vfs_.iVersion = 1;
  vfs_.szOsFile = sizeof(VfsCalls::Handle);
  vfs_.mxPathname = 1024;
  vfs_.zName = name_.c_str();
  vfs_.pAppData = &state_;
  vfs_.xOpen = VfsCalls::open;
  vfs_.xDelete = VfsCalls::remove;
  vfs_.xAccess = VfsCalls::access;
  vfs_.xFullPathname = VfsCalls::full_pathname;
  vfs_.xRandomness = VfsCalls::randomness;
  vfs_.xSleep = VfsCalls::sleep;
  vfs_.xCurrentTime = VfsCalls::current_time;
  vfs_.xGetLastError = VfsCalls::last_error;
  MUSTER_CHECK(state_.system != nullptr);
  MUSTER_CHECK(sqlite3_vfs_register(&vfs_, 0) == SQLITE_OK);
}

SqliteVfs::~SqliteVfs() { sqlite3_vfs_unregister(&vfs_); }

}  // namespace muster::server
