// Where a group that is encrypted is gathered for the disk: one pass from the slots to aligned
// memory, which is written as it is.
#pragma once

#include <cstdlib>
#include <memory>

#include "base/storage.h"

namespace muster::ingest {

class GroupStage {
 public:
  /// What is gathered before it is written; more only for a longer record.
  static constexpr std::size_t kBytes = std::size_t{4} << 20;

  /// A group begins at this block of the file.
  void begin(File& file, std::uint64_t offset);
  /// The next `bytes` of the group, to be filled before the next call. Writes what is there when
  /// there is no room.
  Result<MutableBytes> next(std::size_t bytes);
  /// Writes the rest. Together the pieces are whole blocks.
  Status finish();

 private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  /// Writes the first `bytes`, whole blocks, and moves the rest to the front.
  Status write(std::size_t bytes);
  void reserve(std::size_t bytes);

  std::unique_ptr<std::byte, Free> memory_;
  std::size_t capacity_ = 0;
  std::size_t used_ = 0;
  File* file_ = nullptr;
  std::uint64_t offset_ = 0;
};

}  // namespace muster::ingest
