#include "privacy/secret.h"

#include <sodium.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "base/check.h"

namespace muster::privacy {
namespace {

constexpr std::size_t kHash = crypto_auth_hmacsha256_BYTES;
constexpr std::size_t kNonce = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
static_assert(kWrappedBytes == kNonce + kSecretBytes + crypto_aead_xchacha20poly1305_ietf_ABYTES);
static_assert(kSecretBytes == crypto_aead_xchacha20poly1305_ietf_KEYBYTES);
static_assert(kSealBytes == crypto_aead_xchacha20poly1305_ietf_ABYTES);

void ensure_sodium() {
  static const bool ready = sodium_init() >= 0;
  MUSTER_CHECK(ready);
}

unsigned char* raw(std::byte* bytes) { return reinterpret_cast<unsigned char*>(bytes); }
const unsigned char* raw(const std::byte* bytes) {
  return reinterpret_cast<const unsigned char*>(bytes);
}

using Hash = std::array<unsigned char, kHash>;

/// HMAC-SHA256 under a key of any length, of up to three pieces.
Hash hmac(ConstBytes key, ConstBytes first, ConstBytes second = {}, ConstBytes third = {}) {
  crypto_auth_hmacsha256_state state;
  constexpr unsigned char kNothing[1] = {};  // an empty key has no address
  crypto_auth_hmacsha256_init(&state, key.empty() ? kNothing : raw(key.data()), key.size());
  for (const ConstBytes piece : {first, second, third})
    if (!piece.empty()) crypto_auth_hmacsha256_update(&state, raw(piece.data()), piece.size());
  Hash hash;
  crypto_auth_hmacsha256_final(&state, hash.data());
  sodium_memzero(&state, sizeof state);
  return hash;
}

std::array<std::byte, kNonce> nonce_of(std::uint64_t block) {
  std::array<std::byte, kNonce> nonce{};
  store(nonce, 0, block);
  return nonce;
}

}  // namespace

void Secret::Free::operator()(std::byte* memory) const { sodium_free(memory); }

Result<Secret> Secret::locked() {
  ensure_sodium();
  auto* memory = static_cast<std::byte*>(sodium_malloc(kSecretBytes));
  // sodium_malloc locks, but does not say when it could not.
  if (memory == nullptr || sodium_mlock(memory, kSecretBytes) != 0) {
    sodium_free(memory);
    return Status(Code::kUnavailable, "secret_not_locked",
                  "the system locks no memory for secrets: raise RLIMIT_MEMLOCK (ulimit -l)");
  }
  return Secret(memory);
}

Result<Secret> Secret::random() {
  MUSTER_ASSIGN(Secret secret, locked());
  randombytes_buf(secret.data(), kSecretBytes);
  return secret;
}

Result<Secret> Secret::copy_of(ConstBytes bytes) {
  if (bytes.size() != kSecretBytes)
    return Status(Code::kInvalid, "secret_length",
                  std::string("a secret is 32 bytes, not ").append(std::to_string(bytes.size())));
  MUSTER_ASSIGN(Secret secret, locked());
  std::memcpy(secret.data(), bytes.data(), kSecretBytes);
  return secret;
}

std::span<const std::uint32_t, 8> Secret::words() const {
  // sodium_malloc puts 32 bytes at the end of a page: aligned.
  return std::span<const std::uint32_t, 8>(reinterpret_cast<const std::uint32_t*>(memory_.get()),
                                           8);
}

void hkdf_sha256(ConstBytes secret, ConstBytes salt, ConstBytes info, MutableBytes out) {
  ensure_sodium();
  MUSTER_CHECK_OP(out.size(), <=, 255 * kHash);
  Hash extracted = hmac(salt, secret), block{};
  std::size_t known = 0;
  for (std::uint8_t count = 1; !out.empty(); ++count) {
    block = hmac(std::as_bytes(std::span(extracted)), std::as_bytes(std::span(block)).first(known),
                 info, object_bytes(count));
    known = block.size();
    const std::size_t taken = std::min(out.size(), block.size());
    std::memcpy(out.data(), block.data(), taken);
    out = out.subspan(taken);
  }
  sodium_memzero(extracted.data(), extracted.size());
  sodium_memzero(block.data(), block.size());
}

Result<Secret> derive(const Secret& secret, ConstBytes salt, ConstBytes info) {
  MUSTER_ASSIGN(Secret derived, Secret::locked());
  hkdf_sha256(secret.bytes(), salt, info, {derived.data(), kSecretBytes});
  return derived;
}

std::array<std::byte, kWrappedBytes> wrap(const Secret& master, const Secret& key,
                                          ConstBytes context) {
  std::array<std::byte, kWrappedBytes> wrapped;
  randombytes_buf(wrapped.data(), kNonce);
  crypto_aead_xchacha20poly1305_ietf_encrypt(raw(wrapped.data() + kNonce), nullptr,
                                             raw(key.bytes().data()), kSecretBytes,
                                             raw(context.data()), context.size(), nullptr,
                                             raw(wrapped.data()), raw(master.bytes().data()));
  return wrapped;
}

Result<Secret> unwrap(const Secret& master, ConstBytes wrapped, ConstBytes context) {
  MUSTER_ASSIGN(Secret key, Secret::locked());
  if (wrapped.size() != kWrappedBytes ||
      crypto_aead_xchacha20poly1305_ietf_decrypt(
          raw(key.data()), nullptr, nullptr, raw(wrapped.data() + kNonce), wrapped.size() - kNonce,
          raw(context.data()), context.size(), raw(wrapped.data()),
          raw(master.bytes().data())) != 0)
    return Status(Code::kCorrupt, "key_not_opened",
                  "a wrapped key does not open: it is damaged, of another purpose, or the master "
                  "secret is not the one it was wrapped under");
  return key;
}

void seal_block(const Secret& key, std::uint64_t block, ConstBytes context, ConstBytes plain,
                MutableBytes sealed) {
  MUSTER_CHECK_OP(sealed.size(), ==, plain.size() + kSealBytes);
  crypto_aead_xchacha20poly1305_ietf_encrypt(
      raw(sealed.data()), nullptr, raw(plain.data()), plain.size(), raw(context.data()),
      context.size(), nullptr, raw(nonce_of(block).data()), raw(key.bytes().data()));
}

bool open_block(const Secret& key, std::uint64_t block, ConstBytes context, ConstBytes sealed,
                MutableBytes plain) {
  return sealed.size() == plain.size() + kSealBytes &&
         crypto_aead_xchacha20poly1305_ietf_decrypt(
             raw(plain.data()), nullptr, nullptr, raw(sealed.data()), sealed.size(),
             raw(context.data()), context.size(), raw(nonce_of(block).data()),
             raw(key.bytes().data())) == 0;
}

void wipe(MutableBytes bytes) { sodium_memzero(bytes.data(), bytes.size()); }

}  // namespace muster::privacy
