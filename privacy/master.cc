#include "privacy/master.h"

#include "base/check.h"

namespace muster::privacy {
namespace {

constexpr std::string_view kSpoolPurpose = "muster spool key v1";

}  // namespace

Result<MasterKeys> MasterKeys::read(Storage& storage, const std::vector<std::string>& paths) {
  MUSTER_CHECK(!paths.empty());
  MasterKeys keys;
  for (const std::string& path : paths) {
    if (!storage.exists(path))
      return Status(Code::kInvalid, "master_secret_missing",
                    std::string("there is no master secret at ")
                        .append(path)
                        .append(": put it back, for nothing else opens what was encrypted under "
                                "it; for a new node, `muster keys master FILE` makes one"));
    MUSTER_ASSIGN(Secret secret, read_master_secret(storage, path));
    keys.secrets_.push_back(std::move(secret));
  }
  return keys;
}

MasterKeys::MasterKeys(Secret only) { secrets_.push_back(std::move(only)); }

WrappedBytes MasterKeys::wrap(const Secret& key, ConstBytes context) const {
  return privacy::wrap(first(), key, context);
}

Result<MasterKeys::Opened> MasterKeys::open(ConstBytes wrapped, ConstBytes context) const {
  Status refused;
  for (const Secret& master : secrets_) {
    auto key = unwrap(master, wrapped, context);
    if (key.ok()) return Opened{std::move(key).value(), &master == &secrets_.front()};
    refused = key.status();
    if (refused.reason() != "key_not_opened") break;
  }
  return refused;
}

std::vector<std::byte> spool_key_context(std::uint32_t task, std::uint64_t round) {
  std::vector<std::byte> context(kSpoolPurpose.size() + sizeof task + sizeof round);
  std::memcpy(context.data(), kSpoolPurpose.data(), kSpoolPurpose.size());
  store(context, kSpoolPurpose.size(), task);
  store(context, kSpoolPurpose.size() + sizeof task, round);
  return context;
}

}  // namespace muster::privacy
