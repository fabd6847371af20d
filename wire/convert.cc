#include "wire/convert.h"

#include <bit>
#include <cmath>
#include <utility>

#include "wire/text.h"

namespace muster::wire {
namespace {

Hash128 to_hash(const fb::Hash& hash) { return {hash.low(), hash.high()}; }
Sha256 to_sha256(const fb::Digest& digest) { return std::bit_cast<Sha256>(digest); }

/// Absent text is empty text.
Reason read_text(const flatbuffers::String* from, std::string& text) {
  if (from == nullptr) return Reason::kOk;
  const std::string_view view(from->c_str(), from->size());
  if (view.size() > limits::kNameBytes || !is_printable_utf8(view)) return Reason::kHeaderMalformed;
  text = view;
  return Reason::kOk;
}

template <class Integer>
std::vector<Integer> to_vector(const flatbuffers::Vector<Integer>* from) {
  if (from == nullptr) return {};
  return {from->begin(), from->end()};
}

Reason read(const fb::Hello& from, Hello& to) {
  to.protocol = from.protocol();
  return to.protocol < kProtocolVersion ? Reason::kProtocolVersion : Reason::kOk;
}

Reason read(const fb::Welcome& from, Welcome& to) {
  to.protocol = from.protocol();
  if (to.protocol != kProtocolVersion) return Reason::kProtocolVersion;
  return read_text(from.server(), to.server);
}

Reason read(const fb::CheckIn& from, CheckIn& to) {
  to.device = from.device();
  return read_text(from.task(), to.task);
}

/// What a device divides, shifts, indexes and allocates by.
Reason check_plan(const Assignment& plan, std::size_t exponents) {
  if (plan.dimension == 0 || plan.chunk_coordinates == 0) return Reason::kFieldMissing;
  if (plan.dimension > limits::kMaxDimension) return Reason::kWrongDimension;
  if (plan.chunk_coordinates > limits::kMaxChunkCoordinates) return Reason::kChunkLength;
  if (divide_up<std::uint64_t>(plan.dimension, plan.chunk_coordinates) > limits::kMaxChunks)
    return Reason::kChunkCount;
  if (!is_sound(plan.format)) return Reason::kWrongCodec;
  const std::uint64_t blocks =
      has_shared_scales(plan.format.codec)
          ? divide_up(plan.dimension, std::uint64_t{1} << plan.format.log2_block)
          : 0;
  if (exponents != blocks) return Reason::kHeaderMalformed;
  if (!(plan.clip_norm >= 0 && plan.value_bound >= 0 && std::isfinite(plan.clip_norm) &&
        std::isfinite(plan.value_bound)))
    return Reason::kValueNotFinite;
  return Reason::kOk;
}

Reason read(const fb::Assignment& from, Assignment& to) {
  if (from.terms() == nullptr) return Reason::kFieldMissing;
  to = {.task = from.task(),
        .round = from.round(),
        .model_version = from.model_version(),
        .dimension = from.dimension(),
        .chunk_coordinates = from.chunk_coordinates(),
        .format = {static_cast<Codec>(from.codec()), from.log2_block(), from.code_bits(),
                   from.zstd(), from.kept_share()},
        .scale_exponents = {},
        .clip_norm = from.clip_norm(),
        .value_bound = from.value_bound(),
        .max_weight = from.max_weight(),
        .deadline_ms = from.deadline_ms(),
        .terms = to_sha256(*from.terms()),
        .codec_seed = from.codec_seed()};
  const std::size_t exponents = flatbuffers::VectorLength(from.scale_exponents());
  if (const Reason reason = check_plan(to, exponents); reason != Reason::kOk) return reason;
  to.scale_exponents = to_vector(from.scale_exponents());
  return Reason::kOk;
}

Reason read(const fb::RetryAfter& from, RetryAfter& to) {
  to = {.retry_ms = from.retry_ms(), .reason = static_cast<Reason>(from.reason())};
  return Reason::kOk;
}

Reason read(const fb::FetchModel& from, FetchModel& to) {
  to = {.task = from.task(), .version = from.version(), .chunk = from.chunk()};
  return Reason::kOk;
}

Reason read(const fb::ModelChunk& from, ModelChunk& to) {
  if (from.checksum() == nullptr) return Reason::kFieldMissing;
  to = {.task = from.task(),
        .version = from.version(),
        .chunk = from.chunk(),
        .chunk_count = from.chunk_count(),
        .checksum = to_hash(*from.checksum())};
  return Reason::kOk;
}

Reason read(const fb::Submit& from, Submit& to) {
  if (from.checksum() == nullptr || from.terms() == nullptr) return Reason::kFieldMissing;
  if (from.payload_bytes() > limits::kPayloadBytes) return Reason::kPayloadTooLarge;
  to = {.task = from.task(),
        .round = from.round(),
        .model_version = from.model_version(),
        .device = from.device(),
        .nonce = from.nonce(),
        .weight = from.weight(),
        .dimension = from.dimension(),
        .chunk = from.chunk(),
        .chunk_count = from.chunk_count(),
        .coordinates = from.coordinates(),
        .codec = from.codec(),
        .log2_block = from.log2_block(),
        .payload_bytes = from.payload_bytes(),
        .checksum = to_hash(*from.checksum()),
        .terms = to_sha256(*from.terms())};
  return Reason::kOk;
}

Reason read(const fb::Receipt& from, Receipt& to) {
  const std::size_t count = flatbuffers::VectorLength(from.entries());
  if (count > limits::kReceiptsPerMessage) return Reason::kHeaderMalformed;
  to = {.task = from.task(), .round = from.round(), .entries = {}, .ledger = {}};
  if (from.ledger_head() != nullptr)
    to.ledger = LedgerHead{from.ledger_bytes(), to_sha256(*from.ledger_head())};
  to.entries.reserve(count);
  for (flatbuffers::uoffset_t i = 0; i < count; ++i) {
    const fb::ReceiptEntry& entry = *from.entries()->Get(i);
    to.entries.push_back({to_hash(entry.update()), entry.nonce(), entry.device()});
  }
  return Reason::kOk;
}

Reason read(const fb::QueryMissing& from, QueryMissing& to) {
  to = {.task = from.task(), .round = from.round(), .device = from.device(), .nonce = from.nonce()};
  return Reason::kOk;
}

Reason read(const fb::MissingChunks& from, MissingChunks& to) {
  const std::uint32_t chunk_count = from.chunk_count();
  if (chunk_count > limits::kMaxChunks ||
      flatbuffers::VectorLength(from.bitmap()) != divide_up(chunk_count, 8u))
    return Reason::kHeaderMalformed;
  to = {.task = from.task(),
        .round = from.round(),
        .nonce = from.nonce(),
        .chunk_count = chunk_count,
        .bitmap = to_vector(from.bitmap())};
  return Reason::kOk;
}

Reason read(const fb::Refusal& from, Refusal& to) {
  to = {.reason = static_cast<Reason>(from.reason()),
        .retry_ms = from.retry_ms(),
        .task = from.task(),
        .round = from.round(),
        .nonce = from.nonce(),
        .chunk = from.chunk(),
        .device = from.device()};
  return Reason::kOk;
}

template <class To, class From>
Reason read_body(const From* from, Body& body) {
  return read(*from, body.emplace<To>());
}

}  // namespace

Reason convert(const fb::Message& root, Message& message) {
  message.protocol = root.protocol();
  message.request = root.request();
  Body& body = message.body;
  switch (root.body_type()) {
    case fb::Body::NONE:
      break;
    case fb::Body::Hello:
      return read_body<Hello>(root.body_as_Hello(), body);
    case fb::Body::Welcome:
      return read_body<Welcome>(root.body_as_Welcome(), body);
    case fb::Body::CheckIn:
      return read_body<CheckIn>(root.body_as_CheckIn(), body);
    case fb::Body::Assignment:
      return read_body<Assignment>(root.body_as_Assignment(), body);
    case fb::Body::RetryAfter:
      return read_body<RetryAfter>(root.body_as_RetryAfter(), body);
    case fb::Body::FetchModel:
      return read_body<FetchModel>(root.body_as_FetchModel(), body);
    case fb::Body::ModelChunk:
      return read_body<ModelChunk>(root.body_as_ModelChunk(), body);
    case fb::Body::Submit:
      return read_body<Submit>(root.body_as_Submit(), body);
    case fb::Body::Receipt:
      return read_body<Receipt>(root.body_as_Receipt(), body);
    case fb::Body::QueryMissing:
      return read_body<QueryMissing>(root.body_as_QueryMissing(), body);
    case fb::Body::MissingChunks:
      return read_body<MissingChunks>(root.body_as_MissingChunks(), body);
    case fb::Body::Refusal:
      return read_body<Refusal>(root.body_as_Refusal(), body);
  }
  return Reason::kHeaderMalformed;
}

}  // namespace muster::wire
