// A disk in memory that loses what was not synced, tears writes at 512 bytes, fails or shortens the
// k-th call, and fills up. Every choice comes from a seed, so a failing run can be repeated.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/storage.h"

namespace muster {

/// What goes wrong, and when. Calls are counted over all files: write_at, sync, allocate, truncate,
/// create, rename, remove and sync_directory count; reads do not.
struct FaultPlan {
  /// The call (from 1) that fails with an I/O error; 0 never. A failed write may have left any
  /// 512-byte sectors of itself; a failed sync drops a random part of the unsynced pages, as Linux
  /// does (some stay readable until the power goes), and later syncs succeed without them.
  std::uint64_t fail_call = 0;
  /// The call (from 1) after whose start the power goes: it may be half done; all later calls fail.
  std::uint64_t crash_call = 0;
  /// Total bytes the disk holds; writes beyond fail with "disk_full".
  std::uint64_t capacity_bytes = std::uint64_t{1} << 40;
};

/// Thread-safe.
class SimulatedStorage final : public Storage {
 public:
  explicit SimulatedStorage(std::uint64_t seed);
  ~SimulatedStorage() override;

  /// Counting starts again.
  void set_plan(const FaultPlan& plan);
  /// Counted calls so far.
  std::uint64_t calls() const;
  /// True once the crash of the plan has happened.
  bool crashed() const;
  /// Power comes back: of everything not synced, each 512-byte sector survives, is lost, or (where
  /// the file grew) reads as zeros, independently; unsynced directory entries appear or not. Open
  /// Files of before are dead. Counting starts again; the plan is cleared.
  void power_cycle();
  /// Flips one bit of a file in place, synced or not. For corruption tests.
  void flip_bit(const std::string& path, std::uint64_t bit);

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status remove(const std::string& path) override;
  Status sync_directory(const std::string& directory) override;
  Status make_directory(const std::string& directory) override;
  Result<std::vector<std::string>> list(const std::string& directory) override;
  bool exists(const std::string& path) override;
  Result<std::uint64_t> free_bytes(const std::string& directory) override;
  Result<std::unique_ptr<File>> lock(const std::string& path) override;

 private:
  struct Disk;
  class OpenFile;
  std::shared_ptr<Disk> disk_;
};

}  // namespace muster
