// What must hold of every answer of the parser, whatever it was fed. Shared with the fuzz target.
#pragma once

#include <cstddef>

#include "wire/message.h"

namespace muster::wire {

/// A refusal carries a reason of the table and an empty message. What was accepted builds
/// into a header that parses to the same message, and that builds the same bytes again.
/// `frame_bytes` is the length of the header frame.
inline bool consistent(const Parsed& parsed, std::size_t frame_bytes) {
  if (!parsed.ok())
    return describe(parsed.reason).reason == parsed.reason && parsed.message == Message{};
  const auto built = build_header(parsed.message);
  // Built tables may be padded where the sender's were not.
  constexpr std::size_t kPadding = 256;
  if (built.size() > frame_bytes + kPadding) return false;
  const Parsed again = parse_header(built, frame_bytes + kPadding);
  return again.ok() && again.message == parsed.message && build_header(again.message) == built;
}

}  // namespace muster::wire
