#include "server/noise_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

#include "base/check.h"

namespace muster::server {
namespace {

constexpr std::size_t kTag = privacy::kSealBytes;
constexpr std::string_view kEnding = ".noise";

/// Begins a file, and is authenticated with each block of it.
struct Header {
  std::array<char, 16> magic = {'m', 'u', 's', 't', 'e', 'r', ' ', 'n',
                                'o', 'i', 's', 'e', ' ', '1', '\n'};
  std::uint64_t task = 0;
  std::uint64_t release = 0;
  std::uint64_t buffers = 0;
  std::uint64_t dimension = 0;
};
static_assert(sizeof(Header) == 48);

/// Values that give noise away: zeros before the memory goes back.
class Wiped {
 public:
  explicit Wiped(std::size_t size) : values_(size) {}
  Wiped(const Wiped&) = delete;
  ~Wiped() { privacy::wipe(std::as_writable_bytes(std::span(values_))); }
  std::span<double> first(std::size_t size) { return std::span(values_).first(size); }

 private:
  std::vector<double> values_;
};

}  // namespace

std::string NoiseMemory::path(std::uint64_t release) const {
  return fmt::format("{}/{:08}{}", folder_, release, kEnding);
}

Status NoiseMemory::make_folder() const {
  const std::string parent = parent_directory(folder_);
  MUSTER_TRY(storage_.make_directory(folder_));
  MUSTER_TRY(storage_.sync_directory(parent));
  return storage_.sync_directory(parent_directory(parent));
}

Result<std::vector<std::uint64_t>> NoiseMemory::releases() const {
  std::vector<std::uint64_t> found;
  MUSTER_ASSIGN(const auto names, storage_.list(folder_));
  for (const std::string& name : names) {
    std::uint64_t release = 0;
    const char* const end = name.data() + name.size();
    const auto [rest, error] = std::from_chars(name.data(), end, release);
    if (error == std::errc() && std::string_view(rest, end) == kEnding) found.push_back(release);
  }
  std::ranges::sort(found);
  return found;
}

Result<std::uint64_t> NoiseMemory::newest(std::uint64_t release) const {
  MUSTER_ASSIGN(const auto known, releases());
  const auto after = std::ranges::upper_bound(known, release);
  return after == known.begin() ? 0 : *(after - 1);
}

Status NoiseMemory::advance(const NoiseMemoryAt& before, const NoiseMemoryAt& after,
                            const Step& step) const {
  MUSTER_CHECK_OP(before.release, <, after.release);
  const Header from{
      .task = task_, .release = before.release, .buffers = buffers_, .dimension = dimension_};
  const Header to{
      .task = task_, .release = after.release, .buffers = buffers_, .dimension = dimension_};
  const auto corrupt = [&] {
    return Status(Code::kCorrupt, "noise_memory_corrupt",
                  path(before.release) +
                      " is damaged, or of another task or key; restore it from "
                      "a backup that is as old as the control store's");
  };
  std::unique_ptr<File> source;
  if (before.release > 0) {
    MUSTER_ASSIGN(source, storage_.open(path(before.release), OpenMode::kRead));
    Header found;
    MUSTER_ASSIGN(const std::size_t read,
                  source->read_at(0, std::as_writable_bytes(std::span(&found, 1))));
    if (read != sizeof found || !std::ranges::equal(object_bytes(found), object_bytes(from)))
      return corrupt();
  }
  const std::string unfinished = path(after.release) + ".tmp";
  MUSTER_ASSIGN(const auto target, storage_.open(unfinished, OpenMode::kOpenOrCreate));
  MUSTER_TRY(target->truncate(0));
  const ConstBytes head = object_bytes(to);
  MUSTER_TRY(target->write_at(0, {&head, 1}));

  Wiped buffers(buffers_ * kBlock);
  std::vector<std::byte> sealed;
  std::uint64_t offset = sizeof(Header);
  for (std::uint64_t first = 0, block = 0; first < dimension_; first += kBlock, ++block) {
    const auto state =
        buffers.first(buffers_ * std::min<std::uint64_t>(kBlock, dimension_ - first));
    const MutableBytes plain = std::as_writable_bytes(state);
    if (source) {
      sealed.resize(plain.size() + kTag);
      MUSTER_ASSIGN(const std::size_t read, source->read_at(offset, sealed));
      if (read != sealed.size() ||
          !privacy::open_block(*before.key, block, object_bytes(from), sealed, plain))
        return corrupt();
    } else {
      std::ranges::fill(state, 0.0);
    }
    MUSTER_TRY(step(first, state));
    sealed.resize(plain.size() + kTag);
    privacy::seal_block(*after.key, block, object_bytes(to), plain, sealed);
    const ConstBytes piece = sealed;
    MUSTER_TRY(target->write_at(offset, {&piece, 1}));
    offset += sealed.size();
  }
  MUSTER_TRY(target->sync());
  MUSTER_TRY(storage_.rename(unfinished, path(after.release)));
  return storage_.sync_directory(folder_);
}

Status NoiseMemory::forget_before(std::uint64_t release) const {
  MUSTER_ASSIGN(const auto known, releases());
  bool any = false;
  for (const std::uint64_t each : known) {
    if (each >= release) break;
    MUSTER_TRY(storage_.remove(path(each)));
    any = true;
  }
  return any ? storage_.sync_directory(folder_) : Status();
}

}  // namespace muster::server
