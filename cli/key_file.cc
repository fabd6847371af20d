#include "cli/key_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

namespace muster::cli {
namespace {

constexpr std::size_t kKeyCharacters = 40;
constexpr std::size_t kKeyFileBytes = 4096;
constexpr std::string_view kGuard = "key:";
constexpr std::string_view kZ85 =
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

Status create(const std::string& path, mode_t mode, std::string_view contents) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (fd < 0 && errno == EEXIST)
    return Status(Code::kDuplicate, "file_exists",
                  path + " exists already\nChoose another name; keys are never overwritten.");
  if (fd < 0)
    return Status(Code::kUnavailable, "file_create",
                  "cannot create " + path + ": " + std::strerror(errno));
  const ssize_t written = ::write(fd, contents.data(), contents.size());
  const bool synced = ::fsync(fd) == 0;
  const bool closed = ::close(fd) == 0;
  if (written == static_cast<ssize_t>(contents.size()) && synced && closed) return Status();
  ::unlink(path.c_str());
  return Status(Code::kUnavailable, "file_io", "cannot write " + path);
}

/// The value of a line `name = "value"` of `text`; empty where there is none.
std::string field(std::string_view text, std::string_view name) {
  const std::string head = std::string(name) + " = \"";
  const std::size_t at = text.find(head);
  if (at == text.npos || (at > 0 && text[at - 1] != '\n')) return {};
  const std::string_view rest = text.substr(at + head.size());
  return std::string(rest.substr(0, rest.find('"')));
}

}  // namespace

bool is_key(std::string_view text) {
  return text.size() == kKeyCharacters && text.find_first_not_of(kZ85) == text.npos;
}

Result<std::string> parse_key(std::string_view text) {
  if (text.starts_with(kGuard)) text.remove_prefix(kGuard.size());
  if (is_key(text)) return std::string(text);
  return Status(Code::kInvalid, "key_malformed",
                "a key has 40 characters of Z85; this one has " + std::to_string(text.size()) +
                    (text.size() == kKeyCharacters ? ", not all of Z85" : "") +
                    "\nQuote it for the shell: 'KEY'. muster keys new makes one.");
}

std::vector<std::string> guard_keys(std::vector<std::string> arguments) {
  for (std::string& argument : arguments) {
    const bool misread =
        argument.starts_with('[') || (argument.starts_with('-') && !argument.starts_with("--"));
    if (misread && is_key(argument)) argument.insert(0, kGuard);
  }
  return arguments;
}

std::string key_file_text(const client::Identity& identity) {
  return "public = \"" + identity.public_key + "\"\nsecret = \"" + identity.secret_key + "\"\n";
}

Status write_key_files(const std::string& prefix, const client::Identity& identity) {
  MUSTER_TRY(create(prefix + ".key", 0600, key_file_text(identity)));
  Status status = create(prefix + ".pub", 0644, identity.public_key + "\n");
  if (!status.ok()) ::unlink((prefix + ".key").c_str());
  return status;
}

Result<client::Identity> read_key_file(const std::string& path) {
  MUSTER_ASSIGN(const std::string text, read_text(path, kKeyFileBytes));
  client::Identity identity{field(text, "public"), field(text, "secret")};
  if (is_key(identity.public_key) && is_key(identity.secret_key)) return identity;
  return Status(Code::kInvalid, "key_file",
                path + " does not hold a key pair\nMake one with: muster keys new --out PREFIX");
}

Result<std::string> read_text(const std::string& path, std::size_t max_bytes) {
  std::ifstream file(path, std::ios::binary);
  std::string text;
  if (file) {
    text.resize(max_bytes + 1);
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(file.gcount()));
  }
  if (!file.is_open() || file.bad() || (text.empty() && !file.eof()))
    return Status(Code::kNotFound, "file_missing",
                  "cannot read " + path + ": " + std::strerror(errno));
  if (text.size() > max_bytes)
    return Status(Code::kInvalid, "file_too_large",
                  path + " is longer than " + std::to_string(max_bytes) + " bytes");
  return text;
}

}  // namespace muster::cli
