// Every disk access of Muster goes through here, so that tests can tear, drop, reorder and fail it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"

namespace muster {

/// An open file. Calls on one File come from one thread at a time, except read_at(), which any
/// thread may call beside one writer. Closed by its destructor (errors at close mean nothing: what
/// matters was synced).
class File {
 public:
  virtual ~File() = default;
  /// Fills `target` from `offset`; fewer bytes only at the end of the file. Retries EINTR.
  virtual Result<std::size_t> read_at(std::uint64_t offset, MutableBytes target) = 0;
  /// Writes all `pieces` one after the other from `offset`, or fails; on failure any part of them
  /// may be there. Short writes are finished, EINTR is retried, nothing else is.
  virtual Status write_at(std::uint64_t offset, std::span<const ConstBytes> pieces) = 0;
  /// fdatasync. After a failure nothing written since the last success may be trusted, and a second
  /// call proves nothing (reliability finding 11): stop acknowledging.
  virtual Status sync() = 0;
  /// Reserves space so that writes below `bytes` cannot run out of it; extends the file with zeros.
  virtual Status allocate(std::uint64_t bytes) = 0;
  virtual Status truncate(std::uint64_t bytes) = 0;
  virtual Result<std::uint64_t> size() = 0;
};

enum class OpenMode : std::uint8_t {
  kRead,    ///< must exist
  kWrite,   ///< read and write, must exist
  kCreate,  ///< read and write, must not exist
  kOpenOrCreate,
};

/// A file system. Thread-safe. Paths are plain strings with '/'.
class Storage {
 public:
  virtual ~Storage() = default;
  virtual Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) = 0;
  /// Atomic replace. Durable after sync_directory of both parents.
  virtual Status rename(const std::string& from, const std::string& to) = 0;
  virtual Status remove(const std::string& path) = 0;
  /// Makes creations, renames and removals in `directory` durable.
  virtual Status sync_directory(const std::string& directory) = 0;
  /// With parents; fine if it exists. Mode 0700.
  virtual Status make_directory(const std::string& directory) = 0;
  /// Names (not paths) of the plain files in `directory`, ascending.
  virtual Result<std::vector<std::string>> list(const std::string& directory) = 0;
  virtual bool exists(const std::string& path) = 0;
  /// Bytes an unprivileged process may still write under `directory`.
  virtual Result<std::uint64_t> free_bytes(const std::string& directory) = 0;
  /// Takes an exclusive advisory lock on `path` (created if absent), held until the File goes.
  /// kUnavailable / "already_locked" where another process holds it.
  virtual Result<std::unique_ptr<File>> lock(const std::string& path) = 0;
};

/// The real thing.
class PosixStorage final : public Storage {
 public:
  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status remove(const std::string& path) override;
  Status sync_directory(const std::string& directory) override;
  Status make_directory(const std::string& directory) override;
  Result<std::vector<std::string>> list(const std::string& directory) override;
  bool exists(const std::string& path) override;
  Result<std::uint64_t> free_bytes(const std::string& directory) override;
  Result<std::unique_ptr<File>> lock(const std::string& path) override;
};

/// Whole contents of a small file, at most `max_bytes` (more is kInvalid / "file_too_large").
Result<std::vector<std::byte>> read_file(Storage& storage, const std::string& path,
                                         std::size_t max_bytes);
/// Durable replace: writes `path + ".tmp"`, syncs it, renames it over `path`, syncs the directory.
Status write_file(Storage& storage, const std::string& path, ConstBytes contents);

/// "a/b/c" -> "a/b"; "c" -> ".".
std::string parent_directory(const std::string& path);

}  // namespace muster
