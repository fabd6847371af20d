#include "cli/top_frame.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <sstream>
#include <vector>

#include "cli/table.h"

namespace muster::cli {
namespace {

using nlohmann::json;

constexpr std::size_t kColumns = 80, kBar = 16, kName = 14, kRefusals = 8;

double number(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : 0;
}

const json& object_at(const json& object, const char* key) {
  static const json kNothing = json::object();
  const auto found = object.find(key);
  return found != object.end() && found->is_object() ? *found : kNothing;
}

std::string bytes_text(double bytes) {
  constexpr std::array<const char*, 6> kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  std::size_t unit = 0;
  while (bytes >= 1024 && unit + 1 < kUnits.size()) {
    bytes /= 1024;
    ++unit;
  }
  return fmt::format("{:.{}f} {}", bytes, unit > 0 && bytes < 100 ? 1 : 0, kUnits[unit]);
}

std::string seconds_text(double seconds) {
  const auto s = static_cast<long>(std::max(0.0, seconds));
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{} min {} s", s / 60, s % 60);
  return fmt::format("{} h {} min", s / 3600, s % 3600 / 60);
}

std::string bar(double share) {
  const auto full = static_cast<std::size_t>(std::clamp(share, 0.0, 1.0) * kBar);
  return fmt::format("[{:#<{}}{:.<{}}]", "", full, "", kBar - full);
}

/// No line is longer than the terminal of an operator, whatever names a server sends.
std::string cut(const std::string& text) {
  std::istringstream lines(text);
  std::string out;
  for (std::string line; std::getline(lines, line);)
    out += fmt::format("{}\n", std::string_view(line).substr(0, kColumns));
  return out;
}

std::string privacy_text(const json& task) {
  const json& privacy = object_at(task, "privacy");
  if (privacy.empty()) return "-";
  return fmt::format("{:.2f}/{:.2f}", number(privacy, "epsilon_spent"),
                     number(privacy, "epsilon_limit"));
}

std::string tasks_text(const json& tasks) {
  Table table({{"TASK"},
               {"RULE"},
               {"ROUND", true},
               {"STATE"},
               {"COHORT", true},
               {"CLOSES IN", true},
               {"MODEL", true},
               {"EPSILON", true}});
  for (const json& task : tasks) {
    const std::string rule = printable(word(task, "rule"));
    const double left = number(task, "deadline_s");
    table.add(
        {printable(word(task, "name")).substr(0, kName),
         rule.substr(0, std::min(kName, rule.find('('))), word(task, "round"), word(task, "state"),
         fmt::format("{}/{}", number(task, "cohort"), number(task, "target")),
         left > 0 ? seconds_text(left) : "-", word(task, "model_version"), privacy_text(task)});
  }
  std::ostringstream out;
  table.print(out, false);
  return out.str();
}

std::string refusals_text(const json& refused) {
  std::vector<std::pair<double, std::string>> rows;
  for (const auto& [reason, count] : refused.items())
    if (count.is_number()) rows.emplace_back(-count.get<double>(), reason);
  std::sort(rows.begin(), rows.end());
  if (rows.empty()) return "nothing was refused\n";
  std::string out;
  for (std::size_t i = 0; i < std::min(rows.size(), kRefusals); ++i)
    out += fmt::format("{:>12}  {}\n", -rows[i].first, printable(rows[i].second));
  return out;
}

}  // namespace

TopRates top_rates(const json& before, const json& now) {
  const double seconds = (number(now, "wall_ms") - number(before, "wall_ms")) / 1000;
  if (before.empty() || seconds <= 0) return {};
  const auto rate = [&](const char* key) {
    return std::max(0.0, number(now, key) - number(before, key)) / seconds;
  };
  return {rate("updates_accepted"), rate("bytes_received")};
}

std::string top_frame(const json& status, const TopRates& rates, bool bold) {
  const json &memory = object_at(status, "memory"), &slab = object_at(status, "slab");
  std::string state = status.value("ready", false) ? "ready" : "NOT READY";
  if (const auto causes = status.find("causes"); causes != status.end() && causes->is_array())
    for (const json& cause : *causes)
      if (cause.is_string()) state += fmt::format(" {}", cause.get<std::string>());
  const double budget = number(memory, "budget"), resident = number(memory, "resident");
  std::string out = fmt::format("muster {}  {}  {}  {}\n", word(status, "version"), state,
                                printable(word(status, "backend")), utc_word(status, "wall_ms"));
  out += fmt::format("updates {}  {:.1f}/s  {}/s  connections {}\n",
                     number(status, "updates_accepted"), rates.updates_per_second,
                     bytes_text(rates.bytes_per_second), number(status, "connections"));
  out += fmt::format("memory {} {} of {}\n", bar(budget > 0 ? resident / budget : 0),
                     bytes_text(resident), bytes_text(budget));
  const double slots = number(slab, "bytes");
  out += fmt::format("slots  {} {} of {}\n", bar(slots > 0 ? number(slab, "used") / slots : 0),
                     bytes_text(number(slab, "used")), bytes_text(slots));
  out += fmt::format("spool  {}, {} free\n\n", bytes_text(number(status, "spool_bytes")),
                     bytes_text(number(status, "spool_free_bytes")));
  const auto tasks = status.find("tasks");
  if (tasks != status.end() && tasks->is_array() && !tasks->empty())
    out += tasks_text(*tasks);
  else
    out += "no tasks\n";
  out += "\nrefused\n" + refusals_text(object_at(status, "refused"));
  out = cut(out);
  if (bold) {
    const std::size_t end = out.find('\n');
    out = fmt::format("\x1b[1m{}\x1b[0m{}", out.substr(0, end), out.substr(end));
  }
  return out;
}

}  // namespace muster::cli
