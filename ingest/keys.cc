#include "ingest/keys.h"

#include <sodium.h>
#include <zmq.h>

#include <array>
#include <cstring>

#include "base/check.h"

namespace muster::ingest {
namespace {

constexpr std::size_t kKeyText = 40;
// ZeroMQ's longest routing id, which is the identity in plain mode.
constexpr std::size_t kMaxUserId = 255;

// Chooses libsodium's fast code paths and opens its generator; without it both are slow or unsafe.
void ensure_sodium() {
  static const bool ready = sodium_init() >= 0;
  MUSTER_CHECK(ready);
}

unsigned char* unsigned_bytes(std::byte* bytes) { return reinterpret_cast<unsigned char*>(bytes); }
const unsigned char* unsigned_bytes(const std::byte* bytes) {
  return reinterpret_cast<const unsigned char*>(bytes);
}

// What is hashed begins with a tag, so that a device hash is never an update id.
enum class Purpose : std::uint8_t { kDevice = 'd', kUpdate = 'u' };

}  // namespace

std::string key_text(const PublicKey& key) {
  std::array<char, kKeyText + 1> text;
  MUSTER_CHECK(zmq_z85_encode(text.data(), unsigned_bytes(key.data()), key.size()) != nullptr);
  return {text.data(), kKeyText};
}

std::optional<PublicKey> parse_key(std::string_view text) {
  if (text.size() != kKeyText) return std::nullopt;
  std::array<char, kKeyText + 1> copy{};
  std::memcpy(copy.data(), text.data(), kKeyText);
  if (std::strlen(copy.data()) != kKeyText) return std::nullopt;
  PublicKey key;
  if (zmq_z85_decode(unsigned_bytes(key.data()), copy.data()) == nullptr) return std::nullopt;
  return key;
}

KeyPair new_key_pair() {
  std::array<char, kKeyText + 1> public_text;
  std::array<char, kKeyText + 1> secret_text;
  MUSTER_CHECK(zmq_curve_keypair(public_text.data(), secret_text.data()) == 0);
  const auto public_key = parse_key({public_text.data(), kKeyText});
  const auto secret_key = parse_key({secret_text.data(), kKeyText});
  sodium_memzero(secret_text.data(), secret_text.size());
  MUSTER_CHECK(public_key && secret_key);
  return {*public_key, *secret_key};
}

void KeyRing::enroll(const PublicKey& key, KeyRole role) {
  std::unique_lock lock(mutex_);
  entries_[key] = {KeyState::kEnrolled, role};
}

void KeyRing::revoke(const PublicKey& key) {
  std::unique_lock lock(mutex_);
  entries_[key].state = KeyState::kRevoked;
}

KeyRing::Entry KeyRing::find(const PublicKey& key) const {
  std::shared_lock lock(mutex_);
  const auto found = entries_.find(key);
  return found == entries_.end() ? Entry{} : found->second;
}

std::size_t KeyRing::size() const {
  std::shared_lock lock(mutex_);
  return entries_.size();
}

// CURVE keys are uniform, and only an operator puts any in here.
std::size_t KeyRing::Hasher::operator()(const PublicKey& key) const {
  return load<std::size_t>(key);
}

NodeSecret random_secret() {
  ensure_sodium();
  NodeSecret secret;
  randombytes_buf(secret.data(), secret.size());
  return secret;
}

Hash128 keyed_hash(const NodeSecret& secret, ConstBytes bytes) {
  static_assert(sizeof secret == 2 * crypto_shorthash_siphashx24_KEYBYTES);
  std::array<unsigned char, crypto_shorthash_siphashx24_KEYBYTES> key;
  for (std::size_t i = 0; i < key.size(); ++i)
    key[i] = static_cast<unsigned char>(secret[i] ^ secret[i + key.size()]);
  Hash128 hash;
  static_assert(sizeof hash == crypto_shorthash_siphashx24_BYTES);
  crypto_shorthash_siphashx24(reinterpret_cast<unsigned char*>(&hash), unsigned_bytes(bytes.data()),
                              bytes.size(), key.data());
  return hash;
}

DeviceHash device_hash(const NodeSecret& secret, ConstBytes user_id, std::uint64_t behind) {
  MUSTER_CHECK_OP(user_id.size(), <=, kMaxUserId);
  std::array<std::byte, 1 + sizeof behind + kMaxUserId> bytes;
  store(bytes, 0, Purpose::kDevice);
  store(bytes, 1, behind);
  if (!user_id.empty())
    std::memcpy(bytes.data() + 1 + sizeof behind, user_id.data(), user_id.size());
  return keyed_hash(secret, ConstBytes(bytes).first(1 + sizeof behind + user_id.size()));
}

UpdateId update_id(const NodeSecret& secret, TaskId task, RoundNumber round, DeviceHash device,
                   std::uint64_t nonce) {
  std::array<std::byte, 1 + sizeof task + sizeof round + sizeof device + sizeof nonce> bytes;
  std::size_t at = 0;
  auto put = [&](const auto& value) {
    store(bytes, at, value);
    at += sizeof value;
  };
  put(Purpose::kUpdate);
  put(task);
  put(round);
  put(device);
  put(nonce);
  return keyed_hash(secret, bytes);
}

Sha256 sha256(ConstBytes bytes) {
  Sha256 digest;
  static_assert(sizeof digest == crypto_hash_sha256_BYTES);
  crypto_hash_sha256(unsigned_bytes(digest.data()), unsigned_bytes(bytes.data()), bytes.size());
  return digest;
}

}  // namespace muster::ingest
