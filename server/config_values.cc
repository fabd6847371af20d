#include "server/config_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/hex.h"
#include "ingest/keys.h"

namespace muster::server {
namespace {

constexpr std::array<std::string_view, 3> kReloadable = {"drain_grace", "log.format", "log.level"};

std::string duration(Nanoseconds time) { return fmt::format("{}ns", time); }
std::string bytes(std::uint64_t count) { return fmt::format("{}B", count); }

}  // namespace

std::map<std::string, std::string> config_values(const Config& config) {
  std::map<std::string, std::string> values = {
      {"data_dir", config.data_dir},
      {"drain_grace", duration(config.drain_grace)},
      {"crash_limit", fmt::format("{}", config.crash_limit)},
      {"ingest.listen", fmt::format("{}", fmt::join(config.ingest.listen, " "))},
      {"ingest.security", config.ingest.security},
      {"ingest.allow_plain_anywhere", fmt::format("{}", config.ingest.allow_plain_anywhere)},
      {"ingest.slab", bytes(config.ingest.slab_bytes)},
      {"ingest.slot", bytes(config.ingest.slot_bytes)},
      {"ingest.io_threads", fmt::format("{}", config.ingest.io_threads)},
      {"ingest.max_connections", fmt::format("{}", config.ingest.max_connections)},
      {"ingest.max_connections_per_address",
       fmt::format("{}", config.ingest.max_connections_per_address)},
      {"ingest.commit_window", duration(config.ingest.commit_window)},
      {"ingest.commit_bytes", bytes(config.ingest.commit_bytes)},
      {"spool.segment", bytes(config.spool.segment_bytes)},
      {"spool.low_water", bytes(config.spool.low_water_bytes)},
      {"spool.encrypt", config.spool.encrypt},
      {"secrets.master", fmt::format("{}", fmt::join(config.secrets.master, " "))},
      {"spool.accept_quarantine", fmt::format("{}", config.spool.accept_quarantine)},
      {"backend.kind", config.backend.kind},
      {"backend.devices", fmt::format("{}", config.backend.devices)},
      {"backend.gpu_fallback", config.backend.gpu_fallback},
      {"backend.gpu_deadline", duration(config.backend.gpu_deadline)},
      {"backend.threads", fmt::format("{}", config.backend.threads)},
      {"backend.cpu_level", config.backend.cpu_level},
      {"backend.memory", bytes(config.backend.memory_bytes)},
      {"monitoring.listen", config.monitoring.listen},
      {"admin.socket", config.admin.socket},
      {"log.level", config.log.level},
      {"log.format", config.log.format},
  };
  for (const TaskConfig& task : config.tasks)
    values["task." + task.name] = hex(ingest::sha256(as_bytes(task.text)));
  return values;
}

ConfigChanges config_changes(const Config& before, const Config& after) {
  const auto old_values = config_values(before), new_values = config_values(after);
  ConfigChanges changes;
  const auto note = [&](const std::string& key) {
    const bool reloadable = std::ranges::find(kReloadable, key) != kReloadable.end();
    (reloadable ? changes.reloadable : changes.needs_restart).push_back(key);
  };
  for (const auto& [key, value] : new_values)
    if (const auto found = old_values.find(key);
        found == old_values.end() || found->second != value)
      note(key);
  for (const auto& [key, value] : old_values)
    if (!new_values.contains(key)) note(key);
  return changes;
}

void take_reloadable(Config& target, const Config& source) {
  target.drain_grace = source.drain_grace;
  target.log = source.log;
}

}  // namespace muster::server
