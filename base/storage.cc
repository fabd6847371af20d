#include "base/storage.h"

namespace muster {

std::string parent_directory(const std::string& path) {
  const auto slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Result<std::vector<std::byte>> read_file(Storage& storage, const std::string& path,
                                         std::size_t max_bytes) {
  MUSTER_ASSIGN(const auto file, storage.open(path, OpenMode::kRead));
  MUSTER_ASSIGN(const std::uint64_t size, file->size());
  if (size > max_bytes)
    return Status(Code::kInvalid, "file_too_large",
                  path + " has " + std::to_string(size) + " bytes, at most " +
                      std::to_string(max_bytes) + " are read");
  std::vector<std::byte> contents(static_cast<std::size_t>(size));
  MUSTER_ASSIGN(const std::size_t filled, file->read_at(0, contents));
  contents.resize(filled);
  return contents;
}

Status write_file(Storage& storage, const std::string& path, ConstBytes contents) {
  const std::string temporary = path + ".tmp";
  // Whatever lies there is what an interrupted write left.
  if (storage.exists(temporary)) MUSTER_TRY(storage.remove(temporary));
  {
    MUSTER_ASSIGN(const auto file, storage.open(temporary, OpenMode::kCreate));
    MUSTER_TRY(file->write_at(0, {&contents, 1}));
    MUSTER_TRY(file->sync());
  }
  MUSTER_TRY(storage.rename(temporary, path));
  return storage.sync_directory(parent_directory(path));
}

}  // namespace muster
