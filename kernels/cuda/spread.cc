#include "kernels/cuda/spread.h"

#include <sys/mman.h>

#include <algorithm>

#include "base/bytes.h"
#include "base/check.h"

namespace muster::kernels::cuda {

std::size_t Spread::device_of(const std::byte* address) const {
  MUSTER_CHECK(cut());
  return static_cast<std::size_t>(address - base) / piece_bytes % locals.size();
}

std::byte* Spread::at(const std::byte* address, std::size_t where) const {
  const auto offset = static_cast<std::size_t>(address - base);
  if (!cut()) return locals[where] + offset;
  MUSTER_CHECK_OP(device_of(address), ==, where);
  const std::size_t piece = offset / piece_bytes / locals.size();
  return locals[where] + piece * piece_bytes + offset % piece_bytes;
}

std::size_t Spread::left(const std::byte* address) const {
  const auto offset = static_cast<std::size_t>(address - base);
  if (!cut()) return bytes - offset;
  return std::min(bytes - offset, piece_bytes - offset % piece_bytes);
}

std::size_t Spread::share(std::size_t bytes, std::size_t piece_bytes, std::size_t device,
                          std::size_t devices) {
  if (piece_bytes == 0) return bytes;
  const std::size_t pieces = divide_up(bytes, piece_bytes);
  // The last piece counts as a whole one: a few bytes for a simpler sum.
  return pieces > device ? divide_up(pieces - device, devices) * piece_bytes : 0;
}

Result<std::unique_ptr<AddressRange>> AddressRange::reserve(std::size_t bytes) {
  const std::size_t length = align_up(bytes, std::size_t{4096});
  void* const base =
      mmap(nullptr, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED)
    return Status(Code::kExhausted, "backend_memory",
                  "no range of " + std::to_string(length) + " addresses for a group of GPUs");
  return std::unique_ptr<AddressRange>(new AddressRange(static_cast<std::byte*>(base), length));
}

AddressRange::~AddressRange() { munmap(base_, bytes_); }

Spread* AddressRange::add(std::size_t bytes, std::size_t piece_bytes,
                          std::vector<std::byte*> locals) {
  std::byte* const base = free_.take(bytes);
  if (base == nullptr) return nullptr;
  Spread spread;
  spread.base = base;
  spread.bytes = bytes;
  spread.piece_bytes = piece_bytes;
  spread.locals = std::move(locals);
  return &(spreads_[base] = std::move(spread));
}

void AddressRange::remove(const Spread& spread) {
  last_ = nullptr;
  std::byte* const base = spread.base;
  spreads_.erase(base);
  free_.give(base);
}

Spread* AddressRange::find(const std::byte* address) {
  if (last_ != nullptr && last_->holds(address)) return last_;
  auto after = spreads_.upper_bound(address);
  if (after == spreads_.begin()) return nullptr;
  Spread& before = std::prev(after)->second;
  if (!before.holds(address)) return nullptr;
  return last_ = &before;
}

}  // namespace muster::kernels::cuda
