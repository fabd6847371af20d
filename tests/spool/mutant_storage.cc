#include "tests/spool/mutant_storage.h"

namespace muster::ingest::test {
namespace {

constexpr int kNowAndThen = 16;

class MutantFile final : public File {
 public:
  MutantFile(std::unique_ptr<File> under, Mutation mutation, int& calls)
      : under_(std::move(under)), mutation_(mutation), calls_(calls) {}

  Result<std::size_t> read_at(std::uint64_t offset, MutableBytes target) override {
    auto filled = under_->read_at(offset, target);
    if (mutation_ == Mutation::kReadStale && filled.ok() && *filled > 0 && now_and_then())
      target[*filled / 2] ^= std::byte{1};
    return filled;
  }
  Status write_at(std::uint64_t offset, std::span<const ConstBytes> pieces) override {
    if (mutation_ == Mutation::kLoseLastPiece && now_and_then())
      pieces = pieces.first(pieces.size() - 1);
    Status status = under_->write_at(offset, pieces);
    return mutation_ == Mutation::kHideWriteError ? Status() : std::move(status);
  }
  Status sync() override {
    if (mutation_ == Mutation::kDropSync) return {};
    Status status = under_->sync();
    return mutation_ == Mutation::kHideSyncError ? Status() : std::move(status);
  }
  Status allocate(std::uint64_t bytes) override { return under_->allocate(bytes); }
  Status truncate(std::uint64_t bytes) override { return under_->truncate(bytes); }
  Result<std::uint64_t> size() override { return under_->size(); }

 private:
  bool now_and_then() { return ++calls_ % kNowAndThen == 0; }

  std::unique_ptr<File> under_;
  Mutation mutation_;
  int& calls_;
};

class MutantStorage final : public Storage {
 public:
  MutantStorage(Storage& under, Mutation mutation) : under_(under), mutation_(mutation) {}

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override {
    MUSTER_ASSIGN(auto file, under_.open(path, mode));
    return std::unique_ptr<File>(std::make_unique<MutantFile>(std::move(file), mutation_, calls_));
  }
  Status sync_directory(const std::string& directory) override {
    return mutation_ == Mutation::kDropDirectorySync ? Status() : under_.sync_directory(directory);
  }
  Status rename(const std::string& from, const std::string& to) override {
    return under_.rename(from, to);
  }
  Status remove(const std::string& path) override { return under_.remove(path); }
  Status make_directory(const std::string& directory) override {
    return under_.make_directory(directory);
  }
  Result<std::vector<std::string>> list(const std::string& directory) override {
    return under_.list(directory);
  }
  bool exists(const std::string& path) override { return under_.exists(path); }
  Result<std::uint64_t> free_bytes(const std::string& directory) override {
    return under_.free_bytes(directory);
  }
  Result<std::unique_ptr<File>> lock(const std::string& path) override { return under_.lock(path); }

 private:
  Storage& under_;
  Mutation mutation_;
  int calls_ = 0;
};

}  // namespace

std::unique_ptr<Storage> mutate(Storage& under, Mutation mutation) {
  return std::make_unique<MutantStorage>(under, mutation);
}

}  // namespace muster::ingest::test
