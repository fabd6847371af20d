#include "ingest/inflate.h"

#include <zstd.h>

#include "base/check.h"

namespace muster::ingest {
namespace {

constexpr std::uint32_t kMagic = 0xfd2fb528;  ///< of a frame that is neither skippable nor legacy
constexpr std::uint64_t kMaxWindowBytes = std::uint64_t{8} << 20;

/// The window a frame with a sound header asks for (RFC 8878, 3.1.1.1.2).
std::uint64_t window_bytes(ConstBytes frame, std::uint64_t content_bytes) {
  constexpr std::size_t kDescriptor = 4;  // behind the magic number
  const auto descriptor = std::to_integer<unsigned>(frame[kDescriptor]);
  if ((descriptor & 0x20) != 0) return content_bytes;  // single segment
  const auto window = std::to_integer<unsigned>(frame[kDescriptor + 1]);
  const std::uint64_t base = std::uint64_t{1} << (10 + (window >> 3));
  return base + base / 8 * (window & 7);
}

}  // namespace

struct Inflater::State {
  State() : context(ZSTD_createDCtx()) { MUSTER_CHECK(context != nullptr); }
  ~State() { ZSTD_freeDCtx(context); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ZSTD_DCtx* context;
};

Inflater::Inflater() : state_(std::make_unique<State>()) {}
Inflater::~Inflater() = default;

wire::Reason Inflater::inflate(ConstBytes frame, MutableBytes raw) {
  // Header first: the size is known before a byte is written, and to be exactly what we hold.
  const unsigned long long content = ZSTD_getFrameContentSize(frame.data(), frame.size());
  if (frame.size() < sizeof kMagic || load<std::uint32_t>(frame) != kMagic ||
      content == ZSTD_CONTENTSIZE_UNKNOWN || content == ZSTD_CONTENTSIZE_ERROR ||
      content != raw.size() || raw.empty() ||
      ZSTD_getDictID_fromFrame(frame.data(), frame.size()) != 0 ||
      window_bytes(frame, content) > kMaxWindowBytes ||
      ZSTD_findFrameCompressedSize(frame.data(), frame.size()) != frame.size())
    return wire::Reason::kZstdInvalid;
  const std::size_t written =
      ZSTD_decompressDCtx(state_->context, raw.data(), raw.size(), frame.data(), frame.size());
  return written == raw.size() ? wire::Reason::kOk : wire::Reason::kZstdInvalid;
}

bool is_deflated(ChunkFormat format, std::size_t d, std::size_t payload_length) {
  return format.zstd && payload_length < payload_bytes(format, d);
}

}  // namespace muster::ingest
