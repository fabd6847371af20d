#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/storage.h"

namespace muster {
namespace {

// Large aligned writes go around the page cache, where filling new pages costs a processor several
// times what the disk transfer does, and nobody reads them back soon. Direct I/O wants memory,
// offset and length aligned, so the pieces are gathered in an aligned buffer first.
constexpr std::size_t kDirectAlignment = 4096;
constexpr std::size_t kDirectLeast = std::size_t{64} << 10;
constexpr std::size_t kStageBytes = std::size_t{4} << 20;

// Pieces per pwritev: half of Linux' IOV_MAX keeps the array on the stack small.
constexpr std::size_t kPiecesPerCall = 512;
static_assert(kPiecesPerCall <= IOV_MAX);

constexpr ::mode_t kFileMode = 0600;
constexpr ::mode_t kDirectoryMode = 0700;

Status failure(int error, std::string_view verb, std::string_view path) {
  std::string message(verb);
  message.append(" ").append(path).append(": ").append(std::generic_category().message(error));
  switch (error) {
    case ENOENT:
      return {Code::kNotFound, "not_found", std::move(message)};
    case EEXIST:
      return {Code::kDuplicate, "already_exists", std::move(message)};
    case ENOSPC:
    case EDQUOT:
      return {Code::kExhausted, "disk_full", std::move(message)};
    case EMFILE:
    case ENFILE:
      return {Code::kExhausted, "too_many_open_files", std::move(message)};
    case EACCES:
    case EPERM:
    case EROFS:
      return {Code::kForbidden, "permission_denied", std::move(message)};
    default:
      return {Code::kUnavailable, "io_error", std::move(message)};
  }
}

template <class Call>
auto retry_interrupted(Call call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result == -1 && errno == EINTR);
  return result;
}

/// Where a thread gathers the pieces of a direct write.
std::byte* stage() {
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  thread_local const std::unique_ptr<std::byte, Free> memory(
      static_cast<std::byte*>(std::aligned_alloc(kDirectAlignment, kStageBytes)));
  MUSTER_CHECK(memory != nullptr);
  return memory.get();
}

class PosixFile final : public File {
 public:
  PosixFile(int descriptor, std::string path) : descriptor_(descriptor), path_(std::move(path)) {}
  ~PosixFile() override {
    ::close(descriptor_);
    if (direct_ >= 0) ::close(direct_);
  }
  PosixFile(const PosixFile&) = delete;
  PosixFile& operator=(const PosixFile&) = delete;

  Result<std::size_t> read_at(std::uint64_t offset, MutableBytes target) override {
    std::size_t filled = 0;
    while (filled < target.size()) {
      const ::ssize_t got = retry_interrupted([&] {
        return ::pread(descriptor_, target.data() + filled, target.size() - filled,
                       static_cast<::off_t>(offset + filled));
      });
      if (got < 0) return failure(errno, "reading", path_);
      if (got == 0) break;
      filled += static_cast<std::size_t>(got);
    }
    return filled;
  }

  Status write_at(std::uint64_t offset, std::span<const ConstBytes> pieces) override {
    std::size_t bytes = 0;
    for (const ConstBytes piece : pieces) bytes += piece.size();
    if (bytes >= kDirectLeast && bytes % kDirectAlignment == 0 && offset % kDirectAlignment == 0 &&
        open_direct()) {
      const int error = write_direct(offset, pieces);
      if (error != EINVAL) return error == 0 ? Status() : failure(error, "writing", path_);
      // The device wants a coarser alignment than ours: never again on this file.
      ::close(std::exchange(direct_, -1));
    }
    std::array<::iovec, kPiecesPerCall> vectors;
    for (std::size_t first = 0; first < pieces.size(); first += kPiecesPerCall) {
      const std::size_t count = std::min(kPiecesPerCall, pieces.size() - first);
      for (std::size_t i = 0; i < count; ++i) {
        const ConstBytes piece = pieces[first + i];
        vectors[i] = {const_cast<std::byte*>(piece.data()), piece.size()};  // pwritev only reads
      }
      MUSTER_TRY(write_all(offset, std::span(vectors).first(count)));
    }
    return {};
  }

  Status sync() override {
    if (retry_interrupted([&] { return ::fdatasync(descriptor_); }) != 0)
      return failure(errno, "syncing", path_);
    return {};
  }

  Status allocate(std::uint64_t bytes) override {
    int error;  // posix_fallocate returns it and leaves errno alone
    do {
      error = ::posix_fallocate(descriptor_, 0, static_cast<::off_t>(bytes));
    } while (error == EINTR);
    return error == 0 ? Status() : failure(error, "allocating", path_);
  }

  Status truncate(std::uint64_t bytes) override {
    if (retry_interrupted([&] { return ::ftruncate(descriptor_, static_cast<::off_t>(bytes)); }) !=
        0)
      return failure(errno, "truncating", path_);
    return {};
  }

  Result<std::uint64_t> size() override {
    struct ::stat info;
    if (::fstat(descriptor_, &info) != 0) return failure(errno, "reading the size of", path_);
    return static_cast<std::uint64_t>(info.st_size);
  }

 private:
  // Some file systems know no direct I/O; then everything goes through the page cache.
  bool open_direct() {
    if (direct_ == kNotTried) {
      // By way of /proc: the file may have been renamed since it was opened.
      const std::string self = "/proc/self/fd/" + std::to_string(descriptor_);
      direct_ =
          retry_interrupted([&] { return ::open(self.c_str(), O_WRONLY | O_DIRECT | O_CLOEXEC); });
    }
    return direct_ >= 0;
  }

  // 0, or the error that stopped it.
  int write_direct(std::uint64_t offset, std::span<const ConstBytes> pieces) {
    const auto write = [&](ConstBytes memory) -> int {
      while (!memory.empty()) {
        const ::ssize_t written = retry_interrupted([&] {
          return ::pwrite(direct_, memory.data(), memory.size(), static_cast<::off_t>(offset));
        });
        if (written < 0) return errno;
        if (written == 0) return EIO;
        memory = memory.subspan(static_cast<std::size_t>(written));
        offset += static_cast<std::uint64_t>(written);
      }
      return 0;
    };
    const bool gathered =
        pieces.size() == 1 &&
        reinterpret_cast<std::uintptr_t>(pieces.front().data()) % kDirectAlignment == 0;
    if (gathered) return write(pieces.front());
    std::byte* const memory = stage();
    std::size_t staged = 0;
    const auto flush = [&] { return write({memory, std::exchange(staged, 0)}); };
    for (ConstBytes piece : pieces) {
      while (!piece.empty()) {
        const std::size_t step = std::min(piece.size(), kStageBytes - staged);
        std::memcpy(memory + staged, piece.data(), step);
        staged += step;
        piece = piece.subspan(step);
        if (staged < kStageBytes) continue;
        if (const int error = flush(); error != 0) return error;
      }
    }
    return flush();
  }

  // Writes the vectors to their last byte and advances `offset`; consumes the vectors.
  Status write_all(std::uint64_t& offset, std::span<::iovec> vectors) {
    while (true) {
      while (!vectors.empty() && vectors.front().iov_len == 0) vectors = vectors.subspan(1);
      if (vectors.empty()) return {};
      const ::ssize_t written = retry_interrupted([&] {
        return ::pwritev(descriptor_, vectors.data(), static_cast<int>(vectors.size()),
                         static_cast<::off_t>(offset));
      });
      if (written < 0) return failure(errno, "writing", path_);
      if (written == 0) return failure(EIO, "writing", path_);
      offset += static_cast<std::uint64_t>(written);
      for (auto rest = static_cast<std::size_t>(written); rest > 0;) {
        ::iovec& front = vectors.front();
        const std::size_t step = std::min(rest, front.iov_len);
        front.iov_base = static_cast<std::byte*>(front.iov_base) + step;
        front.iov_len -= step;
        rest -= step;
        if (front.iov_len == 0) vectors = vectors.subspan(1);
      }
    }
  }

  static constexpr int kNotTried = -2;

  int descriptor_;
  int direct_ =
      kNotTried;  ///< the same file, opened for direct writes; -1 where that is impossible
  std::string path_;
};

Result<std::unique_ptr<File>> open_file(const std::string& path, int flags) {
  const int descriptor =
      retry_interrupted([&] { return ::open(path.c_str(), flags | O_CLOEXEC, kFileMode); });
  if (descriptor < 0) return failure(errno, "opening", path);
  return std::unique_ptr<File>(std::make_unique<PosixFile>(descriptor, path));
}

bool is_plain_file(const std::string& path) {
  struct ::stat info;
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

}  // namespace

Result<std::unique_ptr<File>> PosixStorage::open(const std::string& path, OpenMode mode) {
  switch (mode) {
    case OpenMode::kRead:
      return open_file(path, O_RDONLY);
    case OpenMode::kWrite:
      return open_file(path, O_RDWR);
    case OpenMode::kCreate:
      return open_file(path, O_RDWR | O_CREAT | O_EXCL);
    case OpenMode::kOpenOrCreate:
      return open_file(path, O_RDWR | O_CREAT);
  }
  MUSTER_CHECK(false);
}

Status PosixStorage::rename(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) return failure(errno, "renaming", from);
  return {};
}

Status PosixStorage::remove(const std::string& path) {
  if (::unlink(path.c_str()) != 0) return failure(errno, "removing", path);
  return {};
}

Status PosixStorage::sync_directory(const std::string& directory) {
  const int descriptor = retry_interrupted(
      [&] { return ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
  if (descriptor < 0) return failure(errno, "opening", directory);
  const int synced = retry_interrupted([&] { return ::fsync(descriptor); });
  const int error = errno;
  ::close(descriptor);
  return synced == 0 ? Status() : failure(error, "syncing", directory);
}

Status PosixStorage::make_directory(const std::string& directory) {
  if (::mkdir(directory.c_str(), kDirectoryMode) == 0)
    return sync_directory(parent_directory(directory));
  if (errno == EEXIST) {
    struct ::stat info;
    if (::stat(directory.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return {};
    return failure(EEXIST, "creating directory", directory);
  }
  const std::string parent = parent_directory(directory);
  if (errno != ENOENT || parent == directory)
    return failure(errno, "creating directory", directory);
  MUSTER_TRY(make_directory(parent));
  if (::mkdir(directory.c_str(), kDirectoryMode) != 0 && errno != EEXIST)
    return failure(errno, "creating directory", directory);
  return sync_directory(parent);
}

Result<std::vector<std::string>> PosixStorage::list(const std::string& directory) {
  const std::unique_ptr<::DIR, int (*)(::DIR*)> stream(::opendir(directory.c_str()), ::closedir);
  if (stream == nullptr) return failure(errno, "listing", directory);
  std::vector<std::string> names;
  while (true) {
    errno = 0;
    const ::dirent* entry = ::readdir(stream.get());
    if (entry == nullptr) break;
    const std::string name = entry->d_name;
    const bool plain = entry->d_type == DT_UNKNOWN ? is_plain_file(directory + "/" + name)
                                                   : entry->d_type == DT_REG;
    if (plain) names.push_back(name);
  }
  if (errno != 0) return failure(errno, "listing", directory);
  std::ranges::sort(names);
  return names;
}

bool PosixStorage::exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

Result<std::uint64_t> PosixStorage::free_bytes(const std::string& directory) {
  struct ::statvfs info;
  if (retry_interrupted([&] { return ::statvfs(directory.c_str(), &info); }) != 0)
    return failure(errno, "reading the free space of", directory);
  return static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
}

Result<std::unique_ptr<File>> PosixStorage::lock(const std::string& path) {
  const int descriptor = retry_interrupted(
      [&] { return ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, kFileMode); });
  if (descriptor < 0) return failure(errno, "opening", path);
  auto file = std::make_unique<PosixFile>(descriptor, path);
  // flock, not fcntl: the latter is dropped when any descriptor of the file closes.
  if (retry_interrupted([&] { return ::flock(descriptor, LOCK_EX | LOCK_NB); }) != 0) {
    if (errno == EWOULDBLOCK)
      return Status(Code::kUnavailable, "already_locked", path + " is locked by another process");
    return failure(errno, "locking", path);
  }
  return std::unique_ptr<File>(std::move(file));
}

}  // namespace muster
