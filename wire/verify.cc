#include "wire/verify.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "base/check.h"

namespace muster::wire {
namespace {

// The schema nests two tables and has no vector of tables; the rest is room for nothing.
constexpr flatbuffers::uoffset_t kMaxDepth = 8;
constexpr flatbuffers::uoffset_t kMaxTables = 32;

/// Bytes of each field inside its table, in the order of message.fbs. The FlatBuffers verifier
/// holds fields to the buffer only; we hold them to their table.
std::span<const std::uint8_t> field_bytes(fb::Body kind) {
  static constexpr std::uint8_t kHello[] = {2};
  static constexpr std::uint8_t kWelcome[] = {2, 4};
  static constexpr std::uint8_t kCheckIn[] = {4, 8};
  static constexpr std::uint8_t kAssignment[] = {4, 8, 8, 8,  4, 1, 1, 4, 4,
                                                 4, 4, 4, 32, 1, 4, 1, 8};
  static constexpr std::uint8_t kRetryAfter[] = {4, 2};
  static constexpr std::uint8_t kFetchModel[] = {4, 8, 4};
  static constexpr std::uint8_t kModelChunk[] = {4, 8, 4, 4, 16};
  static constexpr std::uint8_t kSubmit[] = {4, 8, 8, 8, 8, 4, 8, 4, 4, 4, 1, 1, 4, 16, 32};
  static constexpr std::uint8_t kReceipt[] = {4, 8, 4, 8, 32};
  static constexpr std::uint8_t kQueryMissing[] = {4, 8, 8, 8};
  static constexpr std::uint8_t kMissingChunks[] = {4, 8, 8, 4, 4};
  static constexpr std::uint8_t kRefusal[] = {2, 4, 4, 8, 8, 4, 8};
  switch (kind) {
    case fb::Body::NONE:
      break;
    case fb::Body::Hello:
      return kHello;
    case fb::Body::Welcome:
      return kWelcome;
    case fb::Body::CheckIn:
      return kCheckIn;
    case fb::Body::Assignment:
      return kAssignment;
    case fb::Body::RetryAfter:
      return kRetryAfter;
    case fb::Body::FetchModel:
      return kFetchModel;
    case fb::Body::ModelChunk:
      return kModelChunk;
    case fb::Body::Submit:
      return kSubmit;
    case fb::Body::Receipt:
      return kReceipt;
    case fb::Body::QueryMissing:
      return kQueryMissing;
    case fb::Body::MissingChunks:
      return kMissingChunks;
    case fb::Body::Refusal:
      return kRefusal;
  }
  return {};
}
constexpr std::uint8_t kMessageFieldBytes[] = {2, 4, 1, 4};

/// The byte ranges of a frame that objects claim. Call after the FlatBuffers verifier.
class Claims {
 public:
  explicit Claims(ConstBytes frame) : frame_(frame) { claim(0, 2 * sizeof(std::uint32_t)); }

  /// A table and its vtable. False where a known field leaves the table or the table the frame.
  bool add_table(const void* table, std::span<const std::uint8_t> fields) {
    const std::size_t start = offset(table);
    const std::size_t vtable = start - static_cast<std::size_t>(load<std::int32_t>(frame_, start));
    const std::size_t vtable_bytes = load<std::uint16_t>(frame_, vtable);
    if (vtable_bytes < 2 * sizeof(std::uint16_t)) return false;
    const std::size_t table_bytes = load<std::uint16_t>(frame_, vtable + sizeof(std::uint16_t));
    if (table_bytes < sizeof(std::int32_t) || table_bytes > frame_.size() - start) return false;
    const std::size_t known = std::min(fields.size(), vtable_bytes / sizeof(std::uint16_t) - 2);
    for (std::size_t i = 0; i < known; ++i) {
      const std::size_t field =
          load<std::uint16_t>(frame_, vtable + (i + 2) * sizeof(std::uint16_t));
      if (field == 0) continue;
      if (field < sizeof(std::int32_t) || field + fields[i] > table_bytes) return false;
    }
    claim(start, table_bytes);
    if (vtable != shared_vtable_) claim(vtable, vtable_bytes);
    shared_vtable_ = vtable;
    return true;
  }

  /// A vector or string of `count` elements of `element_bytes`, `tail` bytes behind them.
  template <class Vector>
  bool add_vector(const Vector* vector, std::size_t element_bytes, std::size_t tail = 0) {
    if (vector == nullptr) return true;
    const std::size_t start = offset(vector);
    // The FlatBuffers verifier aligns the count, not the elements.
    const bool wide = element_bytes >= kFrameAlignment;
    if (wide && (start + sizeof(std::uint32_t)) % kFrameAlignment != 0) return false;
    claim(start, sizeof(std::uint32_t) + element_bytes * vector->size() + tail);
    return true;
  }

  /// Each range lies in the frame already; where they are disjoint, the sum of all lengths does
  /// too, and nothing describes more than was sent.
  bool disjoint() const {
    const auto used = std::span(ranges_).first(count_);
    for (std::size_t i = 1; i < used.size(); ++i)
      for (std::size_t k = 0; k < i; ++k)
        if (used[i].begin < used[k].end && used[k].begin < used[i].end) return false;
    return true;
  }

 private:
  struct Range {
    std::size_t begin;
    std::size_t end;
  };

  std::size_t offset(const void* object) const {
    return static_cast<std::size_t>(static_cast<const std::byte*>(object) - frame_.data());
  }
  void claim(std::size_t begin, std::size_t bytes) {
    MUSTER_CHECK_OP(count_, <, ranges_.size());
    ranges_[count_++] = {begin, begin + bytes};
  }

  ConstBytes frame_;
  std::array<Range, 6> ranges_{};  // head, two tables with their vtables, one vector or string
  std::size_t count_ = 0;
  std::size_t shared_vtable_ = SIZE_MAX;
};

bool add_vectors(Claims& claims, const fb::Message& root) {
  if (const auto* welcome = root.body_as_Welcome())
    return claims.add_vector(welcome->server(), 1, 1);
  if (const auto* check_in = root.body_as_CheckIn())
    return claims.add_vector(check_in->task(), 1, 1);
  if (const auto* assignment = root.body_as_Assignment())
    return claims.add_vector(assignment->scale_exponents(), 1);
  if (const auto* receipt = root.body_as_Receipt())
    return claims.add_vector(receipt->entries(), sizeof(fb::ReceiptEntry));
  if (const auto* missing = root.body_as_MissingChunks())
    return claims.add_vector(missing->bitmap(), 1);
  return true;
}

/// The protocol version of a frame whose body may be of a version we cannot read; kHeaderMalformed
/// where not even that much is sound.
Reason check_protocol(ConstBytes frame) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(frame.data());
  flatbuffers::Verifier verifier(bytes, frame.size(), kMaxDepth, kMaxTables);
  if (frame.size() < 2 * sizeof(std::uint32_t) || !fb::MessageBufferHasIdentifier(bytes))
    return Reason::kHeaderMalformed;
  const auto start = verifier.VerifyOffset(0);
  if (start == 0) return Reason::kHeaderMalformed;
  const auto* table = reinterpret_cast<const flatbuffers::Table*>(bytes + start);
  if (!table->VerifyTableStart(verifier) ||
      !table->VerifyField<std::uint16_t>(verifier, fb::Message::VT_PROTOCOL, sizeof(std::uint16_t)))
    return Reason::kHeaderMalformed;
  const auto protocol = table->GetField<std::uint16_t>(fb::Message::VT_PROTOCOL, 0);
  return protocol == kProtocolVersion ? Reason::kOk : Reason::kProtocolVersion;
}

}  // namespace

Verified verify(ConstBytes frame) {
  MUSTER_CHECK(reinterpret_cast<std::uintptr_t>(frame.data()) % kFrameAlignment == 0);
  if (const Reason reason = check_protocol(frame); reason != Reason::kOk) return {reason};

  const auto* bytes = reinterpret_cast<const std::uint8_t*>(frame.data());
  flatbuffers::Verifier verifier(bytes, frame.size(), kMaxDepth, kMaxTables);
  if (!fb::VerifyMessageBuffer(verifier)) return {Reason::kHeaderMalformed};
  const fb::Message* root = fb::GetMessage(bytes);

  // The generated verifier lets unknown kinds and absent bodies pass.
  if (root->body_type() > fb::Body::MAX) return {Reason::kHeaderMalformed};
  if (root->body_type() == fb::Body::NONE || root->body() == nullptr)
    return {Reason::kFieldMissing};

  Claims claims(frame);
  if (!claims.add_table(root, kMessageFieldBytes) ||
      !claims.add_table(root->body(), field_bytes(root->body_type())) ||
      !add_vectors(claims, *root) || !claims.disjoint())
    return {Reason::kHeaderMalformed};
  return {Reason::kOk, root};
}

}  // namespace muster::wire
