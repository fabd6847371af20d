#include "wire/message.h"

#include <array>
#include <cstring>

#include "base/check.h"
#include "wire/convert.h"
#include "wire/verify.h"

namespace muster::wire {
namespace {

Parsed refuse(Reason reason) { return {reason, {}}; }

Parsed parse_aligned(ConstBytes frame) {
  const Verified verified = verify(frame);
  if (verified.reason != Reason::kOk) return refuse(verified.reason);
  Parsed parsed;
  parsed.reason = convert(*verified.root, parsed.message);
  return parsed.ok() ? parsed : refuse(parsed.reason);
}

/// Whether the payload frame belongs to `body`.
Reason check_payload_frame(const Body& body, ConstBytes payload) {
  if (payload.size() > limits::kPayloadBytes) return Reason::kPayloadTooLarge;
  if (const auto* submit = std::get_if<Submit>(&body))
    return payload.size() == submit->payload_bytes ? Reason::kOk : Reason::kPayloadLength;
  const bool whole = !payload.empty() && payload.size() % sizeof(float) == 0;
  return whole ? Reason::kOk : Reason::kPayloadLength;
}

}  // namespace

bool has_payload(const Body& body) {
  return std::holds_alternative<Submit>(body) || std::holds_alternative<ModelChunk>(body);
}

Parsed parse_header(ConstBytes frame, std::size_t max_bytes) {
  MUSTER_CHECK_OP(max_bytes, <, std::size_t{1} << 31);
  if (frame.size() > max_bytes) return refuse(Reason::kHeaderTooLarge);
  if (frame.empty()) return refuse(Reason::kHeaderMalformed);
  if (reinterpret_cast<std::uintptr_t>(frame.data()) % kFrameAlignment == 0)
    return parse_aligned(frame);
  // A ZeroMQ frame may lie anywhere. The usual one fits the stack: no allocation on the hot path.
  if (frame.size() <= limits::kHeaderBytes) {
    alignas(kFrameAlignment) std::array<std::byte, limits::kHeaderBytes> copy;
    std::memcpy(copy.data(), frame.data(), frame.size());
    return parse_aligned(ConstBytes(copy).first(frame.size()));
  }
  const std::vector<std::byte> copy(frame.begin(), frame.end());
  return parse_aligned(copy);
}

Parsed parse_frames(std::span<const ConstBytes> frames, std::size_t max_header_bytes) {
  if (frames.empty()) return refuse(Reason::kFrameMissing);
  if (frames.size() > 2) return refuse(Reason::kFrameExtra);
  Parsed parsed = parse_header(frames[0], max_header_bytes);
  if (!parsed.ok()) return parsed;
  const bool wanted = has_payload(parsed.message.body);
  if (wanted && frames.size() == 1) return refuse(Reason::kFrameMissing);
  if (!wanted && frames.size() == 2) return refuse(Reason::kFrameExtra);
  if (!wanted) return parsed;
  const Reason reason = check_payload_frame(parsed.message.body, frames[1]);
  return reason == Reason::kOk ? parsed : refuse(reason);
}

}  // namespace muster::wire
