#include "privacy/keys.h"

#include <algorithm>
#include <memory>
#include <ostream>
#include <sstream>

#include "cli/commands.h"
#include "cli/key_file.h"
#include "cli/table.h"

namespace muster::cli {
namespace {

using nlohmann::json;

/// Keys in one request: well inside the server's body limit with the longest labels.
constexpr std::size_t kBatch = 4'000;
/// A file of this size holds over a million keys; more come in several files.
constexpr std::size_t kKeyListBytes = 64 * 1024 * 1024;

struct EnrollOptions {
  std::vector<std::string> keys;
  std::string file, role = "device", label;
};

/// "KEY [LABEL]" a line; blank lines and lines that begin with "# " are skipped.
Result<json> read_key_list(const EnrollOptions& options) {
  MUSTER_ASSIGN(const std::string text, read_text(options.file, kKeyListBytes));
  json keys = json::array();
  std::istringstream lines(text);
  std::size_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.find_first_not_of(" \t") == line.npos || line.starts_with("# ")) continue;
    std::istringstream fields(line);
    std::string key, label;
    fields >> key >> std::ws;
    std::getline(fields, label);
    auto parsed = parse_key(key);
    if (!parsed.ok())
      return std::move(parsed).status().with_context(options.file + ":" + std::to_string(number));
    keys.push_back({{"key", *parsed},
                    {"role", options.role},
                    {"label", label.empty() ? options.label : label}});
  }
  return keys;
}

Result<json> keys_to_enroll(const EnrollOptions& options) {
  json keys = json::array();
  if (!options.file.empty()) {
    MUSTER_ASSIGN(keys, read_key_list(options));
  }
  for (const std::string& text : options.keys) {
    MUSTER_ASSIGN(std::string key, parse_key(text));
    keys.push_back({{"key", std::move(key)}, {"role", options.role}, {"label", options.label}});
  }
  if (keys.empty())
    return Status(Code::kInvalid, "usage", "no key given\nName keys, or a list with --file FILE.");
  return keys;
}

Status enroll(Session& session, const EnrollOptions& options) {
  MUSTER_ASSIGN(const json keys, keys_to_enroll(options));
  const AdminClient admin = session.admin();
  std::uint64_t enrolled = 0;
  for (std::size_t first = 0; first < keys.size(); first += kBatch) {
    json batch = json::array();
    for (std::size_t i = first; i < std::min(first + kBatch, keys.size()); ++i)
      batch.push_back(keys[i]);
    MUSTER_ASSIGN(const json answer, admin.post("/v1/keys", {{"keys", std::move(batch)}}));
    enrolled += answer.value("enrolled", std::uint64_t{0});
    if (keys.size() > kBatch)
      session.say(std::to_string(std::min(first + kBatch, keys.size())) + " of " +
                  std::to_string(keys.size()) + " keys sent");
  }
  session.show({{"enrolled", enrolled}}, [enrolled](std::ostream& out) {
    out << "enrolled " << enrolled << (enrolled == 1 ? " key" : " keys") << '\n';
  });
  return Status();
}

Status make_key(Session& session, const std::string& prefix) {
  const client::Identity identity = client::new_identity();
  if (prefix.empty()) {
    session.say("this output holds the secret key: keep it where only the device can read it");
    session.show({{"public", identity.public_key}, {"secret", identity.secret_key}},
                 [&identity](std::ostream& out) { out << key_file_text(identity); });
    return Status();
  }
  MUSTER_TRY(write_key_files(prefix, identity));
  session.say("wrote " + prefix + ".key (secret, mode 0600) and " + prefix + ".pub");
  session.show({{"public", identity.public_key}, {"file", prefix + ".key"}},
               [&identity](std::ostream& out) { out << identity.public_key << '\n'; });
  return Status();
}

Status make_master_secret(Session& session, const std::string& file) {
  PosixStorage storage;
  MUSTER_TRY(privacy::create_master_secret(storage, file));
  session.say("keep a copy apart from the data: nothing else opens what is encrypted under it");
  session.show({{"file", file}}, [&file](std::ostream& out) {
    out << "wrote " << file << " (mode 0600); name it in secrets.master\n";
  });
  return Status();
}

Status revoke(Session& session, const std::string& text) {
  MUSTER_ASSIGN(const std::string key, parse_key(text));
  MUSTER_ASSIGN(json answer, session.admin().post("/v1/keys/revoke", {{"key", key}}));
  session.show(std::move(answer), [&key](std::ostream& out) { out << "revoked " << key << '\n'; });
  return Status();
}

Status list_keys(Session& session) {
  MUSTER_ASSIGN(json answer, session.admin().get("/v1/keys"));
  MUSTER_ASSIGN(const json keys, objects_of(answer, "keys"));
  session.show(std::move(answer), [&](std::ostream& out) {
    Table table({{"KEY"}, {"ROLE"}, {"STATE"}, {"ENROLLED"}, {"LABEL"}});
    for (const json& key : keys)
      table.add({word(key, "key"), word(key, "role"),
                 key.value("revoked", false) ? "revoked" : "enrolled", utc_word(key, "enrolled_ms"),
                 key.value("label", "")});
    table.print(out, session.bold());
  });
  return Status();
}

}  // namespace

void add_keys(CLI::App& app, Session& session) {
  CLI::App& keys = add_group(app, "keys", "Make, enroll, revoke and list device keys",
                             "muster keys new --out phone7\n"
                             "  muster keys enroll \"$(cat phone7.pub)\" --label phone7");

  CLI::App& fresh =
      add_verb(keys, "new", "Make a key pair (needs no server)", "muster keys new --out phone7");
  auto prefix = std::make_shared<std::string>();
  fresh.add_option("--out", *prefix, "Write PREFIX.key and PREFIX.pub")->option_text("PREFIX");
  on_run(fresh, session, [&session, prefix] { return make_key(session, *prefix); });

  CLI::App& enroll_verb = add_verb(keys, "enroll", "Let devices in by their public keys",
                                   "muster keys enroll --file fleet.txt --role device");
  auto options = std::make_shared<EnrollOptions>();
  enroll_verb.add_option("KEY", options->keys, "Public keys (Z85)")->option_text("...");
  enroll_verb.add_option("--file", options->file, "A list: 'KEY [LABEL]' a line")
      ->option_text("FILE");
  enroll_verb.add_option("--role", options->role, "device (default) or gateway")
      ->check(CLI::IsMember({"device", "gateway"}))
      ->option_text("ROLE");
  enroll_verb.add_option("--label", options->label, "A note beside the key")->option_text("TEXT");
  on_run(enroll_verb, session, [&session, options] { return enroll(session, *options); });

  CLI::App& revoke_verb = add_verb(keys, "revoke", "Shut a device out, for good",
                                   "muster keys revoke \"$(cat phone7.pub)\"");
  auto key = std::make_shared<std::string>();
  revoke_verb.add_option("KEY", *key, "Public key (Z85)")->required()->option_text(" ");
  on_run(revoke_verb, session, [&session, key] { return revoke(session, *key); });

  CLI::App& master = add_verb(keys, "master", "Make a master secret for a node (needs no server)",
                              "muster keys master /etc/muster/master.key");
  auto master_file = std::make_shared<std::string>();
  master.add_option("FILE", *master_file, "Where to put it; never overwritten")
      ->required()
      ->option_text(" ");
  on_run(master, session,
         [&session, master_file] { return make_master_secret(session, *master_file); });

  CLI::App& list = add_verb(keys, "ls", "List enrolled and revoked keys", "muster keys ls");
  on_run(list, session, [&session] { return list_keys(session); });
}

}  // namespace muster::cli
