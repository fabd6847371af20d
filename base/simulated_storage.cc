#include "base/simulated_storage.h"

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <random>
#include <set>

#include "base/simulated_inode.h"

namespace muster {
namespace {

Status io_error(const std::string& what) { return {Code::kUnavailable, "io_error", what}; }

Status not_found(const std::string& path) {
  return {Code::kNotFound, "not_found", path + " does not exist"};
}

}  // namespace

struct SimulatedStorage::Disk {
  explicit Disk(std::uint64_t seed) : random(seed) {}

  mutable std::mutex mutex;
  std::mt19937_64 random;
  FaultPlan plan;
  std::uint64_t calls = 0;
  bool crashed = false;
  std::uint64_t epoch = 0;  ///< power cycles: Files of an older epoch are dead
  std::map<std::string, std::shared_ptr<SimulatedInode>> entries;
  std::map<std::string, std::shared_ptr<SimulatedInode>> durable_entries;
  std::set<std::string> directories;
  std::set<std::string> locks;

  static Result<std::unique_ptr<File>> open(const std::shared_ptr<Disk>& disk,
                                            const std::string& path, OpenMode mode, bool lock);

  bool chance(std::uint64_t numerator, std::uint64_t denominator) {
    return random() % denominator < numerator;
  }

  enum class Fate : std::uint8_t { kGood, kFails, kPowerGoes };
  /// What happens to the counted call that starts now.
  Fate next_call() {
    ++calls;
    if (calls == plan.crash_call) {
      crashed = true;
      return Fate::kPowerGoes;
    }
    return calls == plan.fail_call ? Fate::kFails : Fate::kGood;
  }
  /// A directory operation: on a crash it may have happened or not; on a failure it did not.
  template <class Change>
  Status directory_call(const std::string& what, Change change) {
    if (crashed) return io_error(what + ": no power");
    switch (next_call()) {
      case Fate::kGood:
        change();
        return {};
      case Fate::kFails:
        return io_error(what + ": planned failure");
      case Fate::kPowerGoes:
        if (chance(1, 2)) change();
        return io_error(what + ": the power went");
    }
    MUSTER_CHECK(false);
  }

  std::uint64_t used() const {
    std::uint64_t sum = 0;
    for (const auto& [path, inode] : entries) sum += inode->size();
    return sum;
  }
  std::shared_ptr<SimulatedInode> find(const std::string& path) const {
    const auto it = entries.find(path);
    return it == entries.end() ? nullptr : it->second;
  }
};

class SimulatedStorage::OpenFile final : public File {
 public:
  /// The disk's mutex is held.
  OpenFile(std::shared_ptr<Disk> disk, std::shared_ptr<SimulatedInode> inode, std::string path,
           bool writable, bool locked)
      : disk_(std::move(disk)),
        inode_(std::move(inode)),
        path_(std::move(path)),
        writable_(writable),
        locked_(locked),
        epoch_(disk_->epoch) {}
  ~OpenFile() override {
    const std::lock_guard guard(disk_->mutex);
    if (locked_ && epoch_ == disk_->epoch) disk_->locks.erase(path_);
  }

  Result<std::size_t> read_at(std::uint64_t offset, MutableBytes target) override {
    const std::lock_guard guard(disk_->mutex);
    MUSTER_TRY(alive());
    const std::uint64_t size = inode_->size();
    if (offset >= size) return std::size_t{0};
    const std::size_t length = std::min<std::uint64_t>(target.size(), size - offset);
    std::copy_n(inode_->contents().data() + offset, length, target.data());
    return length;
  }

  Status write_at(std::uint64_t offset, std::span<const ConstBytes> pieces) override {
    const std::lock_guard guard(disk_->mutex);
    MUSTER_TRY(writable());
    std::uint64_t end = offset;
    for (const ConstBytes piece : pieces) end += piece.size();
    const auto fate = disk_->next_call();
    const bool full = fate == Disk::Fate::kGood && !fits(end);
    for (const ConstBytes piece : pieces) {
      if (fate != Disk::Fate::kGood)
        inode_->write_some(offset, piece, disk_->random);
      else if (full)
        inode_->write(offset, piece.first(inside(offset, piece.size())));
      else
        inode_->write(offset, piece);
      offset += piece.size();
    }
    if (full) return disk_full();
    return outcome(fate);
  }

  Status sync() override {
    const std::lock_guard guard(disk_->mutex);
    MUSTER_TRY(writable());
    const auto fate = disk_->next_call();
    if (fate == Disk::Fate::kGood) inode_->sync();
    if (fate == Disk::Fate::kFails) inode_->sync_badly(disk_->random);
    return outcome(fate);
  }

  Status allocate(std::uint64_t bytes) override {
    const std::lock_guard guard(disk_->mutex);
    MUSTER_TRY(writable());
    const auto fate = disk_->next_call();
    if (fate == Disk::Fate::kGood && !fits(bytes)) return disk_full();
    const bool done = fate == Disk::Fate::kGood || disk_->chance(1, 2);
    if (done && bytes > inode_->size()) inode_->resize(bytes);
    return outcome(fate);
  }

  Status truncate(std::uint64_t bytes) override {
    const std::lock_guard guard(disk_->mutex);
    MUSTER_TRY(writable());
    const auto fate = disk_->next_call();
    if (fate == Disk::Fate::kGood && !fits(bytes)) return disk_full();
    if (fate == Disk::Fate::kGood || disk_->chance(1, 2)) inode_->resize(bytes);
    return outcome(fate);
  }

  Result<std::uint64_t> size() override {
    const std::lock_guard guard(disk_->mutex);
    MUSTER_TRY(alive());
    return std::uint64_t{inode_->size()};
  }

 private:
  Status alive() const {
    if (disk_->crashed || epoch_ != disk_->epoch) return io_error(path_ + ": no power");
    return {};
  }
  Status writable() const {
    MUSTER_TRY(alive());
    return writable_ ? Status() : io_error(path_ + ": opened for reading");
  }
  Status outcome(Disk::Fate fate) const {
    if (fate == Disk::Fate::kGood) return {};
    return io_error(path_ +
                    (fate == Disk::Fate::kFails ? ": planned failure" : ": the power went"));
  }
  Status disk_full() const { return {Code::kExhausted, "disk_full", path_ + ": the disk is full"}; }
  bool fits(std::uint64_t end) const {
    const std::uint64_t size = inode_->size();
    return end <= size || disk_->used() + (end - size) <= disk_->plan.capacity_bytes;
  }
  /// How much of a piece lies inside the file as it is.
  std::size_t inside(std::uint64_t offset, std::size_t length) const {
    const std::uint64_t size = inode_->size();
    return offset >= size ? 0 : std::min<std::uint64_t>(length, size - offset);
  }

  std::shared_ptr<Disk> disk_;
  std::shared_ptr<SimulatedInode> inode_;
  std::string path_;
  bool writable_;
  bool locked_;
  std::uint64_t epoch_;
};

Result<std::unique_ptr<File>> SimulatedStorage::Disk::open(const std::shared_ptr<Disk>& disk,
                                                           const std::string& path, OpenMode mode,
                                                           bool lock) {
  const std::lock_guard guard(disk->mutex);
  if (disk->crashed) return io_error(path + ": no power");
  if (lock && disk->locks.contains(path))
    return Status(Code::kUnavailable, "already_locked", path + " is locked");
  if (disk->entries.contains(path)) {
    if (mode == OpenMode::kCreate)
      return Status(Code::kDuplicate, "already_exists", path + " exists");
  } else {
    if (mode == OpenMode::kRead || mode == OpenMode::kWrite) return not_found(path);
    MUSTER_TRY(disk->directory_call(
        "creating " + path, [&] { disk->entries[path] = std::make_shared<SimulatedInode>(); }));
  }
  if (lock) disk->locks.insert(path);
  return std::unique_ptr<File>(
      std::make_unique<OpenFile>(disk, disk->entries[path], path, mode != OpenMode::kRead, lock));
}

SimulatedStorage::SimulatedStorage(std::uint64_t seed) : disk_(std::make_shared<Disk>(seed)) {}
SimulatedStorage::~SimulatedStorage() = default;

void SimulatedStorage::set_plan(const FaultPlan& plan) {
  const std::lock_guard guard(disk_->mutex);
  disk_->plan = plan;
  disk_->calls = 0;
}

std::uint64_t SimulatedStorage::calls() const {
  const std::lock_guard guard(disk_->mutex);
  return disk_->calls;
}

bool SimulatedStorage::crashed() const {
  const std::lock_guard guard(disk_->mutex);
  return disk_->crashed;
}

void SimulatedStorage::power_cycle() {
  const std::lock_guard guard(disk_->mutex);
  Disk& disk = *disk_;
  ++disk.epoch;
  disk.crashed = false;
  disk.calls = 0;
  disk.plan = {};
  disk.locks.clear();

  std::set<std::string> names;
  for (const auto& [path, inode] : disk.entries) names.insert(path);
  for (const auto& [path, inode] : disk.durable_entries) names.insert(path);
  for (const std::string& path : names) {
    const auto now = disk.entries.find(path);
    const auto durable = disk.durable_entries.find(path);
    const bool here = now != disk.entries.end();
    if (here && durable != disk.durable_entries.end() && now->second == durable->second) continue;
    if (!disk.chance(1, 2)) continue;
    if (here)
      disk.durable_entries[path] = now->second;
    else
      disk.durable_entries.erase(durable);
  }
  disk.entries = disk.durable_entries;

  // One probability for all files of this cycle, from nothing survives to everything does.
  const std::uint64_t eighths = std::array<std::uint64_t, 5>{0, 1, 4, 7, 8}[disk.random() % 5];
  std::set<const SimulatedInode*> done;  // an inode may have two names now
  for (const auto& [path, inode] : disk.entries)
    if (done.insert(inode.get()).second) inode->power_cycle(eighths, disk.random);
}

void SimulatedStorage::flip_bit(const std::string& path, std::uint64_t bit) {
  const std::lock_guard guard(disk_->mutex);
  const auto inode = disk_->find(path);
  MUSTER_CHECK(inode != nullptr);
  inode->flip_bit(bit);
}

Result<std::unique_ptr<File>> SimulatedStorage::open(const std::string& path, OpenMode mode) {
  return disk_->open(disk_, path, mode, false);
}

Status SimulatedStorage::rename(const std::string& from, const std::string& to) {
  const std::lock_guard guard(disk_->mutex);
  const auto inode = disk_->find(from);
  if (inode == nullptr && !disk_->crashed) return not_found(from);
  return disk_->directory_call("renaming " + from, [&] {
    disk_->entries.erase(from);
    disk_->entries[to] = inode;
  });
}

Status SimulatedStorage::remove(const std::string& path) {
  const std::lock_guard guard(disk_->mutex);
  if (disk_->find(path) == nullptr && !disk_->crashed) return not_found(path);
  return disk_->directory_call("removing " + path, [&] { disk_->entries.erase(path); });
}

Status SimulatedStorage::sync_directory(const std::string& directory) {
  const std::lock_guard guard(disk_->mutex);
  return disk_->directory_call("syncing " + directory, [&] {
    std::erase_if(disk_->durable_entries, [&](const auto& entry) {
      return parent_directory(entry.first) == directory && !disk_->entries.contains(entry.first);
    });
    for (const auto& [path, inode] : disk_->entries)
      if (parent_directory(path) == directory) disk_->durable_entries[path] = inode;
  });
}

Status SimulatedStorage::make_directory(const std::string& directory) {
  const std::lock_guard guard(disk_->mutex);
  if (disk_->crashed) return io_error(directory + ": no power");
  disk_->directories.insert(directory);
  return {};
}

Result<std::vector<std::string>> SimulatedStorage::list(const std::string& directory) {
  const std::lock_guard guard(disk_->mutex);
  if (disk_->crashed) return io_error(directory + ": no power");
  if (!disk_->directories.contains(directory)) return not_found(directory);
  std::vector<std::string> names;
  for (const auto& [path, inode] : disk_->entries)
    if (parent_directory(path) == directory) names.push_back(path.substr(directory.size() + 1));
  return names;
}

bool SimulatedStorage::exists(const std::string& path) {
  const std::lock_guard guard(disk_->mutex);
  return !disk_->crashed && (disk_->entries.contains(path) || disk_->directories.contains(path));
}

Result<std::uint64_t> SimulatedStorage::free_bytes(const std::string& directory) {
  const std::lock_guard guard(disk_->mutex);
  if (disk_->crashed) return io_error(directory + ": no power");
  const std::uint64_t used = disk_->used();
  return disk_->plan.capacity_bytes > used ? disk_->plan.capacity_bytes - used : 0;
}

Result<std::unique_ptr<File>> SimulatedStorage::lock(const std::string& path) {
  return disk_->open(disk_, path, OpenMode::kOpenOrCreate, true);
}

}  // namespace muster
