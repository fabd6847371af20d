#include "ingest/group_stage.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "ingest/segment.h"

namespace muster::ingest {

void GroupStage::begin(File& file, std::uint64_t offset) {
  file_ = &file;
  offset_ = offset;
  used_ = 0;
}

Result<MutableBytes> GroupStage::next(std::size_t bytes) {
  if (used_ + bytes > capacity_) {
    if (const std::size_t blocks = used_ / kBlockBytes * kBlockBytes; blocks > 0)
      MUSTER_TRY(write(blocks));
    reserve(used_ + bytes);
  }
  const MutableBytes piece(memory_.get() + used_, bytes);
  used_ += bytes;
  return piece;
}

Status GroupStage::finish() {
  MUSTER_CHECK_OP(used_ % kBlockBytes, ==, 0u);
  return used_ == 0 ? Status() : write(used_);
}

Status GroupStage::write(std::size_t bytes) {
  const ConstBytes piece(memory_.get(), bytes);
  MUSTER_TRY(file_->write_at(offset_, {&piece, 1}));
  offset_ += bytes;
  used_ -= bytes;
  if (used_ > 0) std::memmove(memory_.get(), memory_.get() + bytes, used_);
  return {};
}

void GroupStage::reserve(std::size_t bytes) {
  if (bytes <= capacity_) return;
  const std::size_t wanted = std::max(kBytes, align_up(bytes, kBlockBytes));
  std::unique_ptr<std::byte, Free> memory(
      static_cast<std::byte*>(std::aligned_alloc(kBlockBytes, wanted)));
  MUSTER_CHECK(memory != nullptr);
  if (used_ > 0) std::memcpy(memory.get(), memory_.get(), used_);
  memory_ = std::move(memory);
  capacity_ = wanted;
}

}  // namespace muster::ingest
