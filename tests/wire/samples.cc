#include "tests/wire/samples.h"

#include <cstring>

namespace muster::wire {
namespace {

std::vector<std::byte> payload_of(const std::vector<float>& coordinates) {
  std::vector<std::byte> bytes(coordinates.size() * sizeof(float));
  std::memcpy(bytes.data(), coordinates.data(), bytes.size());
  return bytes;
}

/// 00 01 02 ... 1f, easy to find in a dump.
Sha256 counting_terms() {
  Sha256 terms;
  for (std::size_t i = 0; i < terms.size(); ++i) terms[i] = static_cast<std::byte>(i);
  return terms;
}

Message message(std::uint32_t request, Body body) {
  return {.protocol = 1, .request = request, .body = std::move(body)};
}

}  // namespace

std::vector<ConstBytes> Sample::frames(ConstBytes header) const {
  if (payload.empty()) return {header};
  return {header, payload};
}

std::vector<Sample> samples() {
  const auto update = payload_of({1.0f, -0.5f, 0.25f, 0.0f});
  const auto model = payload_of({3.0f, 4.0f});
  const Assignment assignment{.task = 3,
                              .round = 17,
                              .model_version = 16,
                              .dimension = 1000,
                              .chunk_coordinates = 256,
                              .format = {Codec::kI8S, 8},
                              .scale_exponents = {-12, -11, -13, -12},
                              .clip_norm = 1.5f,
                              .value_bound = 16.0f,
                              .max_weight = 100,
                              .deadline_ms = 30'000,
                              .terms = counting_terms()};
  const Submit submit{.task = 3,
                      .round = 17,
                      .model_version = 16,
                      .device = 42,
                      .nonce = 0x1122334455667788,
                      .weight = 10,
                      .dimension = 260,
                      .chunk = 1,
                      .chunk_count = 2,
                      .coordinates = 4,
                      .codec = static_cast<std::uint8_t>(Codec::kF32),
                      .log2_block = 0,
                      .payload_bytes = 16,
                      .checksum = checksum(update),
                      .terms = counting_terms()};
  const Receipt receipt{.task = 3,
                        .round = 17,
                        .entries = {{{0x0123456789abcdef, 0xfedcba9876543210}, 7, 42},
                                    {{1, 2}, 0x1122334455667788, 43}},
                        .ledger = {}};
  Receipt private_receipt = receipt;
  private_receipt.ledger = LedgerHead{.bytes = 462, .chain = counting_terms()};
  return {
      {"hello", message(1, Hello{.protocol = 1}), {}},
      {"welcome", message(1, Welcome{.protocol = 1, .server = "musterd 0.1.0"}), {}},
      {"check_in", message(2, CheckIn{.task = "keyboard-dé", .device = 42}), {}},
      {"assignment", message(2, assignment), {}},
      {"retry_after", message(2, RetryAfter{.retry_ms = 500, .reason = Reason::kNoOpenRound}), {}},
      {"fetch_model", message(3, FetchModel{.task = 3, .version = 16, .chunk = 1}), {}},
      {"model_chunk",
       message(3, ModelChunk{.task = 3,
                             .version = 16,
                             .chunk = 1,
                             .chunk_count = 4,
                             .checksum = checksum(model)}),
       model},
      {"submit", message(4, submit), update},
      {"receipt", message(0, receipt), {}},
      {"query_missing",
       message(5, QueryMissing{.task = 3, .round = 17, .device = 42, .nonce = 7}),
       {}},
      {"missing_chunks",
       message(5,
               MissingChunks{
                   .task = 3, .round = 17, .nonce = 7, .chunk_count = 12, .bitmap = {0x81, 0x0f}}),
       {}},
      {"refusal",
       message(4, Refusal{.reason = Reason::kSlabFull,
                          .retry_ms = 250,
                          .task = 3,
                          .round = 17,
                          .nonce = 7,
                          .chunk = 1,
                          .device = 42}),
       {}},
      {"receipt_private", message(0, private_receipt), {}},
  };
}

}  // namespace muster::wire
