#include <bit>

#include "base/check.h"
#include "wire/message.h"
#include "wire/message_generated.h"

namespace muster::wire {
namespace {

using flatbuffers::FlatBufferBuilder;
using flatbuffers::Offset;

fb::Hash to_hash(const Hash128& hash) { return {hash.low, hash.high}; }
fb::Digest to_digest(const Sha256& digest) { return std::bit_cast<fb::Digest>(digest); }

// Empty text and empty vectors are left out, so that equal structs give equal bytes.
Offset<flatbuffers::String> text(FlatBufferBuilder& builder, const std::string& from) {
  return from.empty() ? 0 : builder.CreateString(from);
}
template <class Integer>
Offset<flatbuffers::Vector<Integer>> vector(FlatBufferBuilder& builder,
                                            const std::vector<Integer>& from) {
  return from.empty() ? 0 : builder.CreateVector(from);
}

/// Writes the table of each kind.
struct Writer {
  FlatBufferBuilder& builder;

  Offset<void> operator()(const Hello& body) const {
    return fb::CreateHello(builder, body.protocol).Union();
  }
  Offset<void> operator()(const Welcome& body) const {
    return fb::CreateWelcome(builder, body.protocol, text(builder, body.server)).Union();
  }
  Offset<void> operator()(const CheckIn& body) const {
    return fb::CreateCheckIn(builder, text(builder, body.task), body.device).Union();
  }
  Offset<void> operator()(const Assignment& body) const {
    const auto exponents = vector(builder, body.scale_exponents);
    const fb::Digest terms = to_digest(body.terms);
    return fb::CreateAssignment(builder, body.task, body.round, body.model_version, body.dimension,
                                body.chunk_coordinates,
                                static_cast<std::uint8_t>(body.format.codec),
                                body.format.log2_block, exponents, body.clip_norm, body.value_bound,
                                body.max_weight, body.deadline_ms, &terms, body.format.bits,
                                body.format.share, body.format.zstd, body.codec_seed)
        .Union();
  }
  Offset<void> operator()(const RetryAfter& body) const {
    return fb::CreateRetryAfter(builder, body.retry_ms, static_cast<std::uint16_t>(body.reason))
        .Union();
  }
  Offset<void> operator()(const FetchModel& body) const {
    return fb::CreateFetchModel(builder, body.task, body.version, body.chunk).Union();
  }
  Offset<void> operator()(const ModelChunk& body) const {
    const fb::Hash checksum = to_hash(body.checksum);
    return fb::CreateModelChunk(builder, body.task, body.version, body.chunk, body.chunk_count,
                                &checksum)
        .Union();
  }
  Offset<void> operator()(const Submit& body) const {
    const fb::Hash checksum = to_hash(body.checksum);
    const fb::Digest terms = to_digest(body.terms);
    return fb::CreateSubmit(builder, body.task, body.round, body.model_version, body.device,
                            body.nonce, body.weight, body.dimension, body.chunk, body.chunk_count,
                            body.coordinates, body.codec, body.log2_block, body.payload_bytes,
                            &checksum, &terms)
        .Union();
  }
  Offset<void> operator()(const Receipt& body) const {
    MUSTER_CHECK_OP(body.entries.size(), <=, limits::kReceiptsPerMessage);
    std::vector<fb::ReceiptEntry> entries;
    entries.reserve(body.entries.size());
    for (const ReceiptEntry& entry : body.entries)
      entries.emplace_back(to_hash(entry.update), entry.nonce, entry.device);
    Offset<flatbuffers::Vector<const fb::ReceiptEntry*>> offset = 0;
    if (!entries.empty()) offset = builder.CreateVectorOfStructs(entries);
    const fb::Digest chain = to_digest(body.ledger ? body.ledger->chain : Sha256{});
    return fb::CreateReceipt(builder, body.task, body.round, offset,
                             body.ledger ? body.ledger->bytes : 0, body.ledger ? &chain : nullptr)
        .Union();
  }
  Offset<void> operator()(const QueryMissing& body) const {
    return fb::CreateQueryMissing(builder, body.task, body.round, body.device, body.nonce).Union();
  }
  Offset<void> operator()(const MissingChunks& body) const {
    const auto bitmap = vector(builder, body.bitmap);
    return fb::CreateMissingChunks(builder, body.task, body.round, body.nonce, body.chunk_count,
                                   bitmap)
        .Union();
  }
  Offset<void> operator()(const Refusal& body) const {
    return fb::CreateRefusal(builder, static_cast<std::uint16_t>(body.reason), body.retry_ms,
                             body.task, body.round, body.nonce, body.chunk, body.device)
        .Union();
  }
};

// The variant lists the kinds in the order of the union, so that its index is the union's type.
fb::Body body_type(const Body& body) { return static_cast<fb::Body>(body.index() + 1); }
static_assert(std::variant_size_v<Body> == static_cast<std::size_t>(fb::Body::MAX));
template <fb::Body kind>
using Alternative = std::variant_alternative_t<static_cast<std::size_t>(kind) - 1, Body>;
static_assert(std::is_same_v<Alternative<fb::Body::Hello>, Hello>);
static_assert(std::is_same_v<Alternative<fb::Body::Assignment>, Assignment>);
static_assert(std::is_same_v<Alternative<fb::Body::ModelChunk>, ModelChunk>);
static_assert(std::is_same_v<Alternative<fb::Body::Submit>, Submit>);
static_assert(std::is_same_v<Alternative<fb::Body::Receipt>, Receipt>);
static_assert(std::is_same_v<Alternative<fb::Body::Refusal>, Refusal>);

}  // namespace

std::vector<std::byte> build_header(const Message& message) {
  FlatBufferBuilder builder(512);  // every kind without a vector fits
  const Offset<void> body = std::visit(Writer{builder}, message.body);
  fb::FinishMessageBuffer(builder, fb::CreateMessage(builder, message.protocol, message.request,
                                                     body_type(message.body), body));
  const auto* bytes = reinterpret_cast<const std::byte*>(builder.GetBufferPointer());
  if (!std::holds_alternative<Assignment>(message.body))
    MUSTER_CHECK_OP(builder.GetSize(), <=, limits::kHeaderBytes);
  return {bytes, bytes + builder.GetSize()};
}

}  // namespace muster::wire
