#include "server/secrets.h"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>

#include "base/log.h"

namespace muster::server {
namespace {

constexpr std::string_view kCredential = "credential:";
constexpr std::string_view kCheckContext = "muster master check v1";
constexpr std::string_view kNoiseContext = "muster wrapped noise key v1";
constexpr std::string_view kMemoryContext = "muster wrapped noise memory key v1";

struct SecretFile {
  std::string path;
  bool credential = false;
};

Result<SecretFile> locate(const std::string& wish) {
  if (!wish.starts_with(kCredential)) return SecretFile{wish};
  const std::string name = wish.substr(kCredential.size());
  const char* const folder = std::getenv("CREDENTIALS_DIRECTORY");
  if (folder == nullptr || name.empty() || name.find('/') != std::string::npos)
    return Status(Code::kInvalid, "credential_unknown",
                  fmt::format("secrets.master names the credential '{}', and the service manager "
                              "hands in none: LoadCredential={}:FILE in the unit",
                              name, name));
  return SecretFile{std::string(folder) + "/" + name, true};
}

/// Simulated disks have no modes, and what is not there is found out by reading.
Status check_mode(const SecretFile& file) {
  using std::filesystem::perms;
  std::error_code unknown;
  const perms mode = std::filesystem::status(file.path, unknown).permissions();
  if (unknown || mode == perms::unknown) return {};
  // systemd lets the service in by an access list, which shows in the bits of the group.
  const perms open = file.credential ? perms::others_all : perms::group_all | perms::others_all;
  if ((mode & open) == perms::none) return {};
  return {Code::kInvalid, "master_secret_exposed",
          fmt::format("{} has mode {:04o}: others may read the master secret. chmod 600 {}, and "
                      "make a new one if anybody could have",
                      file.path, static_cast<unsigned>(mode & perms::mask), file.path)};
}

Status wrong(const privacy::MasterKeys& masters) {
  return {
      Code::kInvalid, "master_secret_wrong",
      fmt::format("{} not open what this node wrapped before. If the secret was changed, list "
                  "the former one behind the new one in secrets.master and start once; then it "
                  "may go",
                  masters.count() == 1 ? std::string("the master secret does")
                                       : fmt::format("the {} master secrets do", masters.count()))};
}

void put(std::vector<std::byte>& context, ConstBytes piece) {
  const std::uint64_t size = piece.size();
  const ConstBytes length = object_bytes(size);
  context.insert(context.end(), length.begin(), length.end());
  context.insert(context.end(), piece.begin(), piece.end());
}

}  // namespace

std::vector<std::byte> key_context(const WrappedKey& key) {
  std::vector<std::byte> context;
  switch (key.purpose) {
    case KeyPurpose::kMasterCheck: {
      const ConstBytes check = as_bytes(kCheckContext);
      return {check.begin(), check.end()};
    }
    case KeyPurpose::kSpool:
      return privacy::spool_key_context(key.task, key.round);
    case KeyPurpose::kNoise:
    case KeyPurpose::kNoiseMemory:
      put(context, as_bytes(key.purpose == KeyPurpose::kNoise ? kNoiseContext : kMemoryContext));
      put(context, object_bytes(key.task));
      put(context, object_bytes(key.round));
  }
  return context;
}

Result<privacy::MasterKeys> open_master_keys(Storage& storage, const Config& config,
                                             ControlStore& control) {
  MUSTER_ASSIGN(std::vector<WrappedKey> wrapped, control.wrapped_keys());
  std::vector<std::string> paths;
  if (config.secrets.master.empty()) {
    const std::string beside = config.data_dir + "/master.key";
    if (wrapped.empty() && !storage.exists(beside)) {
      MUSTER_TRY(privacy::create_master_secret(storage, beside));
      log_warning("master_secret_beside_data",
                  "a master secret was made beside the data: whoever takes the disk has both. Move "
                  "it to another place and name that in secrets.master",
                  {{"file", beside}});
    }
    MUSTER_TRY(check_mode({beside}));
    paths.push_back(beside);
  }
  for (const std::string& wish : config.secrets.master) {
    MUSTER_ASSIGN(const SecretFile file, locate(wish));
    MUSTER_TRY(check_mode(file));
    paths.push_back(file.path);
  }
  MUSTER_ASSIGN(auto masters, privacy::MasterKeys::read(storage, paths));

  std::vector<WrappedKey> anew;
  bool checked = false;
  for (const WrappedKey& key : wrapped) {
    checked |= key.purpose == KeyPurpose::kMasterCheck;
    const auto context = key_context(key);
    auto opened = masters.open(key.wrapped, context);
    if (opened.status().reason() == "key_not_opened") return wrong(masters);
    MUSTER_TRY(opened.status());
    if (opened->by_first) continue;
    anew.push_back(key);
    anew.back().wrapped = masters.wrap(opened->key, context);
  }
  if (!checked) {
    MUSTER_ASSIGN(const privacy::Secret any, privacy::Secret::random());
    anew.push_back({0, 0, KeyPurpose::kMasterCheck, masters.wrap(any, as_bytes(kCheckContext))});
  } else if (!anew.empty()) {
    log_info("master_secret_changed", "keys were wrapped anew under the first master secret",
             {{"keys", anew.size()}});
  }
  if (!anew.empty()) MUSTER_TRY(control.put_wrapped_keys(anew));
  return masters;
}

Status load_round_keys(const privacy::MasterKeys& masters, ControlStore& control,
                       ingest::RoundKeys& keys) {
  MUSTER_ASSIGN(const std::vector<WrappedKey> wrapped, control.wrapped_keys());
  for (const WrappedKey& key : wrapped) {
    if (key.purpose != KeyPurpose::kSpool) continue;
    MUSTER_ASSIGN(const auto opened, masters.open(key.wrapped, key_context(key)));
    MUSTER_TRY(keys.put(key.task, key.round, opened.key.bytes()));
  }
  return {};
}

Result<privacy::WrappedBytes> new_round_key(const privacy::MasterKeys& masters, TaskId task,
                                            RoundNumber round, ingest::RoundKeys& keys) {
  MUSTER_ASSIGN(const privacy::Secret key, privacy::Secret::random());
  MUSTER_TRY(keys.put(task, round, key.bytes()));
  return masters.wrap(key, privacy::spool_key_context(task, round));
}

}  // namespace muster::server
