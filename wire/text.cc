#include "wire/text.h"

#include <cstdint>
#include <optional>

namespace muster::wire {
namespace {

/// Takes one code point off the front of `text`; nothing where the bytes are not UTF-8 (also:
/// overlong forms, surrogates, beyond U+10FFFF).
std::optional<std::uint32_t> take_code_point(std::string_view& text) {
  const auto first = static_cast<unsigned char>(text[0]);
  const int length = first < 0x80       ? 1
                     : first >> 5 == 6  ? 2
                     : first >> 4 == 14 ? 3
                     : first >> 3 == 30 ? 4
                                        : 0;
  if (length == 0 || text.size() < static_cast<std::size_t>(length)) return std::nullopt;
  std::uint32_t point = length == 1 ? first : first & (0x7fu >> length);
  for (int i = 1; i < length; ++i) {
    const auto next = static_cast<unsigned char>(text[static_cast<std::size_t>(i)]);
    if (next >> 6 != 2) return std::nullopt;
    point = point << 6 | (next & 0x3fu);
  }
  constexpr std::uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (point < kSmallest[length] || point > 0x10ffff || point >> 11 == 0x1b) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(length));
  return point;
}

bool between(std::uint32_t point, std::uint32_t first, std::uint32_t last) {
  return point >= first && point <= last;
}

bool printable(std::uint32_t point) {
  return !(point < 0x20 || between(point, 0x7f, 0x9f) ||  // controls
           between(point, 0x200b, 0x200f) ||              // invisible, and direction marks
           between(point, 0x2028, 0x202e) ||              // separators and direction overrides
           between(point, 0x2060, 0x206f) ||              // invisible, and direction isolates
           point == 0xfeff || (point & 0xfffe) == 0xfffe || between(point, 0xfdd0, 0xfdef));
}

}  // namespace

bool is_printable_utf8(std::string_view text) {
  while (!text.empty()) {
    const auto point = take_code_point(text);
    if (!point || !printable(*point)) return false;
  }
  return true;
}

}  // namespace muster::wire
