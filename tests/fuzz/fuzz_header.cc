// Frames off the network. Input: number of frames (mod 4), length of the header (little-endian
// u16, cut to what is there), header, payload; further frames repeat the payload.
#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "base/check.h"
#include "tests/wire/consistent.h"
#include "wire/message.h"

namespace muster::wire {
namespace {

void check_frames(ConstBytes input) {
  if (input.size() < 3) return;
  const std::size_t count = static_cast<std::size_t>(input[0]) % 4;
  const ConstBytes rest = input.subspan(3);
  const auto named = std::size_t{load<std::uint16_t>(input, 1)};
  const ConstBytes header = rest.first(std::min(named, rest.size()));
  const ConstBytes payload = rest.subspan(header.size());
  const std::array frames{header, payload, payload};

  const Parsed parsed = parse_frames(std::span(frames).first(count));
  MUSTER_CHECK(consistent(parsed, header.size()));

  // The verdict does not depend on where the frame lies: here at an address that is a multiple
  // of 8.
  const std::vector<std::byte> aligned(header.begin(), header.end());
  const Parsed alone = parse_header(aligned);
  MUSTER_CHECK(consistent(alone, aligned.size()));
  if (parsed.ok()) MUSTER_CHECK(alone.ok() && alone.message == parsed.message);
}

}  // namespace
}  // namespace muster::wire

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  muster::wire::check_frames({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
