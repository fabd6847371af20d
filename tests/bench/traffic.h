// The messages of the ingest pairs: one-chunk int8 updates, the same for every variant.
#pragma once

#include <cstddef>
#include <vector>

#include "base/hash.h"
#include "ingest/round_spec.h"
#include "wire/message.h"

namespace muster::bench {

inline constexpr std::size_t kConnections = 8;

inline std::vector<std::byte> traffic_payload(std::size_t bytes) {
  std::vector<std::byte> payload(bytes);
  for (std::size_t k = 0; k < bytes; ++k)
    payload[k] = static_cast<std::byte>(static_cast<int>(k * 2654435761u >> 16 & 0xff) % 255 - 127);
  return payload;
}

/// The round these messages belong to: `count` updates of `bytes` int8 coordinates.
inline ingest::RoundSpec traffic_round(std::size_t bytes, std::size_t count) {
  ingest::RoundSpec spec;
  spec.task = 1;
  spec.task_name = "bench";
  spec.round = 1;
  auto model = std::make_shared<ingest::PublishedModel>();
  model->values.assign(bytes, 0.0f);
  spec.model = model;
  spec.dimension = bytes;
  spec.chunk_coordinates = static_cast<std::uint32_t>(bytes);
  spec.chunk_count = 1;
  spec.format = {Codec::kI8S, 8};
  spec.scale_exponents.assign((bytes + 255) / 256, -10);
  spec.value_bound = 16;
  spec.max_weight = 1;
  spec.max_assigned = spec.max_updates = static_cast<std::uint32_t>(count + 16);
  return spec;
}

inline std::vector<std::byte> traffic_header(const std::vector<std::byte>& payload,
                                             std::uint64_t device) {
  static const Hash128 hash = checksum(payload);  // one payload per process
  wire::Submit submit;
  submit.task = 1;
  submit.round = 1;
  submit.device = device;
  submit.nonce = device;
  submit.dimension = payload.size();
  submit.chunk_count = 1;
  submit.coordinates = static_cast<std::uint32_t>(payload.size());
  submit.codec = static_cast<std::uint8_t>(Codec::kI8S);
  submit.log2_block = 8;
  submit.payload_bytes = static_cast<std::uint32_t>(payload.size());
  submit.checksum = hash;
  wire::Message message;
  message.request = static_cast<std::uint32_t>(device);
  message.body = submit;
  return wire::build_header(message);
}

}  // namespace muster::bench
