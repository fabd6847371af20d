#include "server/config.h"

#include <set>

#include "base/limits.h"
#include "server/config_endpoint.h"
#include "server/config_reader.h"
#include "server/config_task.h"
#include "server/config_text.h"

namespace muster::server {
namespace {

constexpr std::uint64_t kKiB = std::uint64_t{1} << 10, kMiB = kKiB << 10, kGiB = kMiB << 10,
                        kTiB = kGiB << 10;
/// sockaddr_un holds 108 bytes with the final zero.
constexpr std::size_t kMaxSocketPath = 107;

void read_ingest(Document& document, const toml::table& table, decltype(Config::ingest)& ingest) {
  Section section(document, table, "ingest");
  section.texts("listen", ingest.listen);
  section.choice("security", ingest.security, {"curve", "plain"});
  section.flag("allow_plain_anywhere", ingest.allow_plain_anywhere);
  for (const std::string& endpoint : ingest.listen) {
    if (const Status status = check_endpoint(endpoint); !status.ok())
      section.problem("listen", std::string(status.message()));
    else if (ingest.security == "plain" && !ingest.allow_plain_anywhere && !is_loopback(endpoint))
      section.problem("security", "plain on " + quote_for_people(endpoint) +
                                      " would let anyone claim any identity; use curve, listen on "
                                      "loopback, or set allow_plain_anywhere = true");
  }
  section.bytes("slab", ingest.slab_bytes, kMiB, kTiB);
  section.bytes("slot", ingest.slot_bytes, 0, 2 * limits::kPayloadBytes);
  section.integer("io_threads", ingest.io_threads, 1, 64);
  section.integer("max_connections", ingest.max_connections, 1, 1'000'000);
  section.integer("max_connections_per_address", ingest.max_connections_per_address, 1, 1'000'000);
  section.duration("commit_window", ingest.commit_window, 0, kSecond);
  section.bytes("commit_bytes", ingest.commit_bytes, 4 * kKiB, kGiB);
  section.finish();
}

void read_spool(Document& document, const toml::table& table, decltype(Config::spool)& spool) {
  Section section(document, table, "spool");
  section.bytes("segment", spool.segment_bytes, 4 * kMiB, 16 * kGiB);
  section.bytes("low_water", spool.low_water_bytes, 0, kTiB);
  section.flag("accept_quarantine", spool.accept_quarantine);
  section.choice("encrypt", spool.encrypt, {"all", "private"});
  section.finish();
}

void read_secrets(Document& document, const toml::table& table,
                  decltype(Config::secrets)& secrets) {
  Section section(document, table, "secrets");
  section.texts("master", secrets.master);
  for (const std::string& path : secrets.master)
    if (path.empty()) section.problem("master", "an empty path names no file");
  section.finish();
}

void read_backend(Document& document, const toml::table& table,
                  decltype(Config::backend)& backend) {
  Section section(document, table, "backend");
  section.choice("kind", backend.kind, {"auto", "cpu", "cuda"});
  section.integer("threads", backend.threads, 0, 1024);
  section.choice("cpu_level", backend.cpu_level, {"auto", "baseline", "avx2", "avx512"});
  section.bytes("memory", backend.memory_bytes, kMiB, 16 * kTiB);
  section.integer("devices", backend.devices, 0, 16);
  section.choice("gpu_fallback", backend.gpu_fallback, {"allow", "forbid"});
  section.duration("gpu_deadline", backend.gpu_deadline, kSecond, 3600 * kSecond);
  section.finish();
}

void read_edges(Document& document, Section& top, Config& config) {
  Section monitoring(document, top.table("monitoring"), "monitoring");
  if (monitoring.text("listen", config.monitoring.listen))
    if (const Status status = check_host_port(config.monitoring.listen); !status.ok())
      monitoring.problem("listen", std::string(status.message()));
  monitoring.finish();

  Section admin(document, top.table("admin"), "admin");
  if (admin.text("socket", config.admin.socket) && config.admin.socket.size() > kMaxSocketPath)
    admin.problem("socket", "is longer than " + std::to_string(kMaxSocketPath) + " bytes");
  admin.finish();

  Section log(document, top.table("log"), "log");
  log.choice("level", config.log.level, {"debug", "info", "warning", "error"});
  log.choice("format", config.log.format, {"auto", "json", "text"});
  log.finish();
}

void read_tasks(Document& document, Section& top, Config& config) {
  const auto tables = top.tables("task");
  if (tables.size() > limits::kMaxTasks)
    return top.problem("task", std::to_string(tables.size()) + " tasks, a node runs at most " +
                                   std::to_string(limits::kMaxTasks));
  std::set<std::string, std::less<>> names;
  for (const toml::table* table : tables) {
    Section section(document, *table, "task");
    config.tasks.push_back(read_task(section));
    if (section.sound({"name"}) && !names.insert(config.tasks.back().name).second)
      section.problem("name", "another task has this name");
  }
}

Config read_config(Document& document) {
  Config config;
  Section top(document, document.root(), "");
  if (top.text("data_dir", config.data_dir) && config.data_dir.empty())
    top.problem("data_dir", "is empty");
  top.duration("drain_grace", config.drain_grace, 0, 3600 * kSecond);
  top.integer("crash_limit", config.crash_limit, 0, 100);
  read_ingest(document, top.table("ingest"), config.ingest);
  read_spool(document, top.table("spool"), config.spool);
  read_secrets(document, top.table("secrets"), config.secrets);
  read_backend(document, top.table("backend"), config.backend);
  read_edges(document, top, config);
  read_tasks(document, top, config);
  top.finish();
  return config;
}

}  // namespace

Result<Config> parse_config(std::string_view text, std::string_view file) {
  Document document(text, file);
  Config config = read_config(document);
  MUSTER_TRY(document.finish());
  return config;
}

std::vector<std::string> config_keys() {
  Document document("[[task]]", "");
  read_config(document);
  const std::set<std::string_view> tables = {"ingest",  "spool",      "secrets",
                                             "backend", "monitoring", "admin",
                                             "log",     "task",       "task.privacy"};
  std::vector<std::string> keys = document.known();
  std::erase_if(keys, [&](const std::string& key) { return tables.contains(key); });
  return keys;
}

}  // namespace muster::server
