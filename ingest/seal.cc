#include "ingest/seal.h"

#include <sodium.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "ingest/segment.h"

namespace muster::ingest {
namespace {

constexpr std::size_t kNonceBytes = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
static_assert(kRoundKeyBytes == crypto_aead_xchacha20poly1305_ietf_KEYBYTES);
static_assert(kRoundKeyBytes == crypto_stream_xchacha20_KEYBYTES);
static_assert(kNonceBytes == crypto_stream_xchacha20_NONCEBYTES);
static_assert(crypto_aead_xchacha20poly1305_ietf_ABYTES == 16);
/// Of the header, what is authenticated with the payload: all but its own checksum.
constexpr std::size_t kIdentityBytes = offsetof(RecordHeader, header_checksum);

enum class Stream : std::uint32_t { kPayload = 0, kMask = 1 };

unsigned char* raw(std::byte* bytes) { return reinterpret_cast<unsigned char*>(bytes); }
const unsigned char* raw(const std::byte* bytes) {
  return reinterpret_cast<const unsigned char*>(bytes);
}

using Nonce = std::array<std::byte, kNonceBytes>;

// A fresh salt a segment keeps this unique even where a generation number comes back, as after a
// crash that left no segment.
Nonce nonce_of(std::uint64_t salt, const RecordHeader& header, Stream stream) {
  Nonce nonce{};
  store(nonce, 0, salt);
  store(nonce, 8, header.segment);
  store(nonce, 16, header.sequence);
  store(nonce, 20, stream);
  return nonce;
}

Hash128 mask(RoundKey key, std::uint64_t salt, const RecordHeader& header) {
  const Nonce nonce = nonce_of(salt, header, Stream::kMask);
  std::array<std::byte, sizeof(Hash128)> bytes;
  crypto_stream_xchacha20(raw(bytes.data()), bytes.size(), raw(nonce.data()), raw(key.data()));
  return load<Hash128>(bytes);
}

Hash128 exclusive_or(const Hash128& a, const Hash128& b) {
  return {a.low ^ b.low, a.high ^ b.high};
}

}  // namespace

Hash128 seal_checksum(const RecordHeader& header, ConstBytes encrypted,
                      const std::array<std::byte, 16>& tag) {
  const std::uint64_t seed = header.header_checksum.low;
  const std::array<Hash128, 2> both = {checksum(encrypted, seed), load<Hash128>(tag)};
  return checksum(object_bytes(both), seed);
}

void seal_record(RoundKey key, std::uint64_t salt, RecordHeader& header, ConstBytes payload,
                 MutableBytes target) {
  RecordHeader on_disk = header;
  on_disk.payload_checksum = exclusive_or(header.payload_checksum, mask(key, salt, header));
  on_disk.header_checksum = header.header_checksum = header_checksum(on_disk, salt);
  store(target, 0, on_disk);
  const MutableBytes encrypted = target.subspan(kRecordHeaderBytes, payload.size());
  const Nonce nonce = nonce_of(salt, header, Stream::kPayload);
  SealTrailer trailer;
  crypto_aead_xchacha20poly1305_ietf_encrypt_detached(
      raw(encrypted.data()), raw(trailer.tag.data()), nullptr, raw(payload.data()), payload.size(),
      raw(object_bytes(on_disk).data()), kIdentityBytes, nullptr, raw(nonce.data()),
      raw(key.data()));
  trailer.checksum = seal_checksum(on_disk, encrypted, trailer.tag);
  const std::size_t trailer_begin = kRecordHeaderBytes + payload.size();
  store(target, trailer_begin, trailer);
  std::ranges::fill(target.subspan(trailer_begin + sizeof trailer), std::byte{0});
}

bool open_payload(RoundKey key, std::uint64_t salt, const RecordHeader& header,
                  const std::array<std::byte, 16>& tag, MutableBytes payload) {
  const Nonce nonce = nonce_of(salt, header, Stream::kPayload);
  return crypto_aead_xchacha20poly1305_ietf_decrypt_detached(
             raw(payload.data()), nullptr, raw(payload.data()), payload.size(), raw(tag.data()),
             raw(object_bytes(header).data()), kIdentityBytes, raw(nonce.data()),
             raw(key.data())) == 0;
}

Hash128 unmask_checksum(RoundKey key, std::uint64_t salt, const RecordHeader& header) {
  return exclusive_or(header.payload_checksum, mask(key, salt, header));
}

}  // namespace muster::ingest
