// Small numbers, packed from the low end of each byte.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"

namespace muster::client {

/// Adds codes to zeroed bytes, one behind the other.
class Packer {
 public:
  Packer(MutableBytes target, unsigned bits) : target_(target), bits_(bits) {}
  /// `code` < 2^bits.
  void add(unsigned code) {
    const std::size_t byte = at_ / 8;
    const unsigned shifted = code << (at_ % 8);
    target_[byte] |= static_cast<std::byte>(shifted);
    if (shifted > 0xff) target_[byte + 1] |= static_cast<std::byte>(shifted >> 8);
    at_ += bits_;
  }

 private:
  MutableBytes target_;
  unsigned bits_;
  std::size_t at_ = 0;  ///< bits written
};

}  // namespace muster::client
