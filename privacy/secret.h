// Secrets in memory: locked against swapping, fenced by guard pages, wiped when they go.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/bytes.h"
#include "base/status.h"

namespace muster::privacy {

inline constexpr std::size_t kSecretBytes = 32;

/// 32 secret bytes. Moves, never copies; nothing prints it. "secret_not_locked" where the system
/// gives no locked memory (RLIMIT_MEMLOCK).
class Secret {
 public:
  /// From the system's generator.
  static Result<Secret> random();
  /// A copy; the caller wipes its own. `bytes`: exactly kSecretBytes, else "secret_length".
  static Result<Secret> copy_of(ConstBytes bytes);

  std::span<const std::byte, kSecretBytes> bytes() const {
    return std::span<const std::byte, kSecretBytes>(memory_.get(), kSecretBytes);
  }
  /// The same as the eight little-endian words of a ChaCha20 key; as long as this lives.
  std::span<const std::uint32_t, 8> words() const;

 private:
  friend Result<Secret> derive(const Secret&, ConstBytes, ConstBytes);
  friend Result<Secret> unwrap(const Secret&, ConstBytes, ConstBytes);
  struct Free {
    void operator()(std::byte* memory) const;
  };
  static Result<Secret> locked();
  explicit Secret(std::byte* memory) : memory_(memory) {}
  std::byte* data() { return memory_.get(); }

  std::unique_ptr<std::byte, Free> memory_;
};

/// HKDF-SHA256 (RFC 5869), extract and expand; at most 8,160 bytes out.
void hkdf_sha256(ConstBytes secret, ConstBytes salt, ConstBytes info, MutableBytes out);

/// HKDF of `secret` to a secret of its own.
Result<Secret> derive(const Secret& secret, ConstBytes salt, ConstBytes info);

/// `key` under `master` for the disk: XChaCha20-Poly1305 (libsodium), a fresh nonce before it.
/// `context` has to be the same when it is opened: what the key is for.
inline constexpr std::size_t kWrappedBytes = 24 + kSecretBytes + 16;
std::array<std::byte, kWrappedBytes> wrap(const Secret& master, const Secret& key,
                                          ConstBytes context);
/// kCorrupt / "key_not_opened": another master secret, another context, or damage.
Result<Secret> unwrap(const Secret& master, ConstBytes wrapped, ConstBytes context);

/// Block number `block` of a file under a key of its own, with what is not secret about the file;
/// `sealed`: kSealBytes more than `plain`. The same block under the same key is never another one.
inline constexpr std::size_t kSealBytes = 16;
void seal_block(const Secret& key, std::uint64_t block, ConstBytes context, ConstBytes plain,
                MutableBytes sealed);
/// False where it is not what was sealed as this block.
bool open_block(const Secret& key, std::uint64_t block, ConstBytes context, ConstBytes sealed,
                MutableBytes plain);

/// Zeros that no compiler leaves out.
void wipe(MutableBytes bytes);

}  // namespace muster::privacy
