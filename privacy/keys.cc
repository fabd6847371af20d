#include "privacy/keys.h"

#include <sodium.h>

#include <array>

namespace muster::privacy {
namespace {

constexpr std::size_t kDigits = 2 * kSecretBytes;
constexpr std::size_t kMaxFile = 256;
constexpr std::string_view kPurpose = "muster noise key v1";
constexpr std::string_view kMemoryPurpose = "muster noise memory v1";

}  // namespace

Result<Secret> read_master_secret(Storage& storage, const std::string& path) {
  MUSTER_ASSIGN(std::vector<std::byte> text, read_file(storage, path, kMaxFile));
  std::array<unsigned char, kSecretBytes> bytes{};
  std::size_t length = 0;
  const int failed =
      sodium_hex2bin(bytes.data(), bytes.size(), reinterpret_cast<const char*>(text.data()),
                     text.size(), " \t\r\n", &length, nullptr);
  sodium_memzero(text.data(), text.size());
  Result<Secret> secret =
      failed == 0 && length == bytes.size()
          ? Secret::copy_of(std::as_bytes(std::span(bytes)))
          : Status(Code::kInvalid, "master_secret_invalid",
                   std::string(path).append(" does not hold 64 hexadecimal digits"));
  sodium_memzero(bytes.data(), bytes.size());
  return secret;
}

Status create_master_secret(Storage& storage, const std::string& path) {
  if (read_file(storage, path, kMaxFile).ok())
    return Status(Code::kDuplicate, "master_secret_exists",
                  std::string(path).append(
                      " is there already: a new one would make every wrapped key useless"));
  MUSTER_ASSIGN(const Secret secret, Secret::random());
  std::array<char, kDigits + 1> text;
  sodium_bin2hex(text.data(), text.size(),
                 reinterpret_cast<const unsigned char*>(secret.bytes().data()), kSecretBytes);
  text[kDigits] = '\n';
  const Status written = write_file(storage, path, std::as_bytes(std::span(text)));
  sodium_memzero(text.data(), text.size());
  return written;
}

Result<Secret> noise_key(const Secret& master, const NoiseContext& context) {
  std::array<std::byte, kPurpose.size() + sizeof context.task + sizeof context.round + 32> info;
  std::size_t at = 0;
  const auto put = [&](ConstBytes bytes) {
    std::memcpy(info.data() + at, bytes.data(), bytes.size());
    at += bytes.size();
  };
  put(as_bytes(kPurpose));
  put(object_bytes(context.task));
  put(object_bytes(context.round));
  put(context.sealed_digest);
  return derive(master, context.round_secret, info);
}

Result<Secret> memory_key(const Secret& noise_key) {
  return derive(noise_key, {}, as_bytes(kMemoryPurpose));
}

}  // namespace muster::privacy
