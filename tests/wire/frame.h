// Header frames made byte by byte, for what no FlatBuffers library would write.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace muster::wire {

/// A frame with a sound root table. All positions count from the frame's start; writing behind the
/// end makes it longer.
class Frame {
 public:
  static constexpr std::size_t kRootVtable = 8;
  static constexpr std::size_t kRoot = 20;
  static constexpr std::size_t kRequest = kRoot + 4;
  static constexpr std::size_t kBodyOffset = kRoot + 8;
  static constexpr std::size_t kProtocol = kRoot + 12;
  static constexpr std::size_t kBodyType = kRoot + 14;
  static constexpr std::size_t kRootEnd = 40;  // padded to 8

  /// `kind` is the number in the union; its table shall lie at `body`.
  Frame(std::uint8_t kind, std::size_t body) {
    refer(0, kRoot);
    text(4, "MST1");
    vtable(kRootVtable, 16, {12, 4, 14, 8});
    table(kRoot, kRootVtable);
    refer(kBodyOffset, body);
    u16(kProtocol, 1);
    u8(kBodyType, kind);
    reserve(kRootEnd);
  }

  void u8(std::size_t at, std::size_t value) { put(at, static_cast<std::uint8_t>(value)); }
  void u16(std::size_t at, std::size_t value) { put(at, static_cast<std::uint16_t>(value)); }
  void u32(std::size_t at, std::size_t value) { put(at, static_cast<std::uint32_t>(value)); }
  void u64(std::size_t at, std::uint64_t value) { put(at, value); }
  void text(std::size_t at, std::string_view characters) {
    reserve(at + characters.size());
    std::memcpy(bytes_.data() + at, characters.data(), characters.size());
  }

  /// An offset field to `target`.
  void refer(std::size_t at, std::size_t target) { u32(at, target - at); }
  /// A vtable for tables of `table_bytes`; `fields` are positions inside the table, 0 for absent.
  void vtable(std::size_t at, std::size_t table_bytes, std::initializer_list<std::size_t> fields) {
    u16(at, 4 + 2 * fields.size());
    u16(at + 2, table_bytes);
    std::size_t entry = at + 4;
    for (const std::size_t field : fields) {
      u16(entry, field);
      entry += 2;
    }
  }
  /// The first word of a table.
  void table(std::size_t at, std::size_t its_vtable) { u32(at, at - its_vtable); }
  void string(std::size_t at, std::string_view characters) {
    u32(at, characters.size());
    text(at + 4, characters);
    u8(at + 4 + characters.size(), 0);
  }
  void reserve(std::size_t bytes) { bytes_.resize(std::max(bytes_.size(), bytes)); }

  ConstBytes bytes() const { return bytes_; }

 private:
  template <class T>
  void put(std::size_t at, T value) {
    reserve(at + sizeof value);
    store(MutableBytes(bytes_), at, value);
  }

  std::vector<std::byte> bytes_;
};

}  // namespace muster::wire
