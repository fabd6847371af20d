// Who may talk to us: enrolled CURVE public keys, their roles, and keyed hashes of identities.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/hash.h"
#include "base/status.h"
#include "wire/ids.h"

namespace muster::ingest {

using PublicKey = std::array<std::byte, 32>;
using SecretKey = std::array<std::byte, 32>;

enum class KeyRole : std::uint8_t { kDevice = 0, kGateway = 1 };
enum class KeyState : std::uint8_t { kUnknown, kEnrolled, kRevoked };

/// Z85 text (40 characters) of a key, as ZeroMQ writes it, and back.
std::string key_text(const PublicKey& key);
std::optional<PublicKey> parse_key(std::string_view text);

struct KeyPair {
  PublicKey public_key;
  SecretKey secret_key;
};
/// A fresh CURVE pair.
KeyPair new_key_pair();

/// The enrolled keys in memory; the control store is their home. Thread-safe: the ZAP handler and
/// the receivers read, the engine writes.
class KeyRing {
 public:
  struct Entry {
    KeyState state = KeyState::kUnknown;
    KeyRole role = KeyRole::kDevice;
  };
  void enroll(const PublicKey& key, KeyRole role);
  void revoke(const PublicKey& key);
  Entry find(const PublicKey& key) const;
  std::size_t size() const;

 private:
  struct Hasher {
    std::size_t operator()(const PublicKey& key) const;
  };
  // Readers hold it for one look-up a message.
  mutable std::shared_mutex mutex_;
  std::unordered_map<PublicKey, Entry, Hasher> entries_;
};

/// Secret of this node, 32 bytes from the system's generator, kept in the control store.
using NodeSecret = std::array<std::byte, 32>;
NodeSecret random_secret();

/// SipHash-2-4 with 128 bits out (Aumasson and Bernstein 2012) under `secret` over `bytes`: device
/// hashes, update ids, canonical ranks. Keyed, so that nobody outside can aim at a value.
Hash128 keyed_hash(const NodeSecret& secret, ConstBytes bytes);
/// Device hash of an authenticated User-Id, and of device number `behind` a gateway (0: itself).
DeviceHash device_hash(const NodeSecret& secret, ConstBytes user_id, std::uint64_t behind);
UpdateId update_id(const NodeSecret& secret, TaskId task, RoundNumber round, DeviceHash device,
                   std::uint64_t nonce);
Sha256 sha256(ConstBytes bytes);

}  // namespace muster::ingest
