#include "tests/ingest/fixture.h"

#include <cstring>
#include <random>

namespace muster::ingest {

RoundSpec plain_round(Codec codec, std::uint32_t chunk_coordinates, std::uint32_t chunk_count) {
  RoundSpec spec;
  spec.task = kTask;
  spec.task_name = kTaskName;
  spec.round = kRound;
  spec.dimension = std::uint64_t{chunk_coordinates} * chunk_count;
  spec.chunk_coordinates = chunk_coordinates;
  spec.chunk_count = chunk_count;
  spec.format = {codec, static_cast<std::uint8_t>(has_blocks(codec) || is_rotated(codec) ? 6 : 0)};
  if (is_rotated(codec)) spec.format.bits = 3;
  if (is_sparse(codec)) {
    spec.format.bits = 32;
    spec.format.share = kWholeShare / 10;
  }
  if (has_shared_scales(codec))
    spec.scale_exponents.assign(divide_up<std::uint64_t>(spec.dimension, 64), -7);
  auto model = std::make_shared<PublishedModel>();
  model->version = 5;
  model->values.resize(spec.dimension);
  for (std::size_t k = 0; k < model->values.size(); ++k)
    model->values[k] = static_cast<float>(k % 997);
  spec.model = std::move(model);
  spec.value_bound = 16;
  spec.max_weight = 100;
  spec.max_assigned = 4;
  spec.max_updates = 4;
  spec.terms.fill(std::byte{0x5a});
  return spec;
}

RoundSpec small_round(Codec codec) {
  RoundSpec spec = plain_round(codec, 128, 3);
  spec.dimension = 300;
  auto model = std::make_shared<PublishedModel>(*spec.model);
  model->values.resize(spec.dimension);
  spec.model = std::move(model);
  if (has_shared_scales(codec)) spec.scale_exponents.resize(5);
  return spec;
}

std::vector<std::byte> random_payload(const RoundSpec& spec, std::uint32_t chunk,
                                      std::uint64_t seed) {
  std::mt19937_64 random(seed * 1000 + chunk);
  const std::size_t d = spec.coordinates_of(chunk);
  std::vector<std::byte> payload(payload_bytes(spec.format, d));
  auto value = [&] { return static_cast<float>(static_cast<int>(random() % 2001) - 1000) * 0.01f; };
  switch (spec.format.codec) {
    case Codec::kF32:
      for (std::size_t k = 0; k < d; ++k) store(payload, 4 * k, value());
      break;
    case Codec::kF16:  // exponents below 2^3
      for (std::size_t k = 0; k < d; ++k)
        store(payload, 2 * k, static_cast<std::uint16_t>((random() & 0x8000) | random() % 0x4800));
      break;
    case Codec::kBF16:
      for (std::size_t k = 0; k < d; ++k)
        store(payload, 2 * k, static_cast<std::uint16_t>((random() & 0x8000) | random() % 0x4100));
      break;
    case Codec::kI8B:
    case Codec::kI8S: {
      const std::size_t scales = scale_count(spec.format, d);
      for (std::size_t b = 0; b < scales; ++b)
        store(payload, 4 * b, static_cast<float>(1 + random() % 100) * 1e-3f);
      for (std::size_t k = 4 * scales; k < payload.size(); ++k)
        payload[k] = static_cast<std::byte>(static_cast<int>(random() % 255) - 127);
      break;
    }
    case Codec::kI4B:
    case Codec::kI4S:
    case Codec::kSign1: {
      const std::size_t scales = scale_count(spec.format, d);
      for (std::size_t b = 0; b < scales; ++b)
        store(payload, 4 * b, static_cast<float>(1 + random() % 100) * 1e-3f);
      const bool nibbles = spec.format.codec != Codec::kSign1;
      for (std::size_t k = 4 * scales; k < payload.size(); ++k)
        payload[k] = static_cast<std::byte>(nibbles ? random() % 8 << 4 | random() % 8 : random());
      // Whole bytes only: the chunks of the fixtures have an even number of coordinates.
      if (!nibbles && d % 8 != 0) payload.back() &= static_cast<std::byte>((1u << d % 8) - 1);
      break;
    }
    case Codec::kTopK: {
      const auto k = static_cast<std::uint32_t>(kept_count(spec.format, d) - random() % 2);
      payload.assign(kTopKHeadBytes + 5 * k, std::byte{1});  // every other coordinate
      store(payload, 0, k);
      store(payload, 4, std::uint32_t{0});
      for (std::size_t j = 0; j < k; ++j) store(payload, 8 + 4 * j, value());
      break;
    }
    case Codec::kRandK:
      for (std::size_t k = 0; k < payload.size() / 4; ++k) store(payload, 4 * k, value());
      break;
    case Codec::kEden:
    case Codec::kHsq: {
      const bool eden = spec.format.codec == Codec::kEden;
      for (std::byte& byte : payload) byte = static_cast<std::byte>(random());
      for (std::size_t r = 0; r < rotation_count(spec.format, d); ++r) {
        if (!eden) store(payload, 8 * r, value() / 2);
        store(payload, eden ? 8 + 4 * r : 8 * r + 4, static_cast<float>(random() % 100) * 1e-3f);
      }
      const std::size_t bits = rotated_length(spec.format, d) * spec.format.bits;
      if (bits % 8 != 0) payload.back() &= static_cast<std::byte>((1u << bits % 8) - 1);
      break;
    }
  }
  return payload;
}

wire::Submit submit_for(const RoundSpec& spec, std::uint32_t chunk, std::uint64_t nonce,
                        ConstBytes payload) {
  wire::Submit submit;
  submit.task = spec.task;
  submit.round = spec.round;
  submit.model_version = spec.model->version;
  submit.nonce = nonce;
  submit.weight = 10;
  submit.dimension = spec.dimension;
  submit.chunk = chunk;
  submit.chunk_count = spec.chunk_count;
  submit.coordinates = spec.coordinates_of(chunk);
  submit.codec = static_cast<std::uint8_t>(spec.format.codec);
  submit.log2_block = spec.format.log2_block;
  submit.payload_bytes = static_cast<std::uint32_t>(payload.size());
  submit.checksum = checksum(payload);
  submit.terms = spec.terms;
  return submit;
}

std::vector<ConstBytes> Frames::views() const { return {frames.begin(), frames.end()}; }

Frames frames_of(wire::Body body, ConstBytes payload, std::uint32_t request) {
  wire::Message message;
  message.request = request;
  message.body = std::move(body);
  Frames result;
  result.frames.push_back(wire::build_header(message));
  if (wire::has_payload(message.body)) result.frames.emplace_back(payload.begin(), payload.end());
  return result;
}

Frames honest_chunk(const RoundSpec& spec, std::uint32_t chunk, std::uint64_t nonce,
                    std::uint64_t seed) {
  const auto payload = random_payload(spec, chunk, seed);
  return frames_of(submit_for(spec, chunk, nonce, payload), payload);
}

Peer device_peer(std::uint8_t number, KeyRole role) {
  Peer peer;
  peer.routing_id = "route-" + std::to_string(number);
  peer.user_id.assign(32, static_cast<char>(number));
  peer.key = {KeyState::kEnrolled, role};
  return peer;
}

Slab::Slab(std::size_t slots, std::size_t slot_bytes)
    : memory(slots * slot_bytes), pool(memory, slot_bytes) {}

Status FakeSpool::commit(std::span<PendingRecord> records) {
  if (broken) return Status(Code::kUnavailable, "io_error", "told to fail");
  if (full_times > 0) {
    --full_times;
    return Status(Code::kExhausted, "disk_full", "told to be full");
  }
  std::lock_guard lock(mutex_);
  for (PendingRecord& record : records) {
    record.location = {1, committed_.size()};
    committed_.push_back(load<RecordHeader>(record.slot));
  }
  groups_.push_back(records.size());
  return {};
}

Status FakeSpool::read(RecordLocation, MutableBytes) const {
  return Status(Code::kNotFound, "not_kept", "the fake keeps no payloads");
}

Status FakeSpool::release_round(TaskId, RoundNumber) {
  full_times = release_empties.load();
  return {};
}

std::vector<RecordHeader> FakeSpool::committed() const {
  std::lock_guard lock(mutex_);
  return committed_;
}

std::vector<std::size_t> FakeSpool::groups() const {
  std::lock_guard lock(mutex_);
  return groups_;
}

}  // namespace muster::ingest
