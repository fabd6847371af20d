#include "base/log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <deque>
#include <map>
#include <memory>
#include <mutex>

namespace muster {
namespace {

constexpr int kLinesPerSecond = 20;
constexpr std::size_t kRecentBytes = 64 * 1024;

struct Budget {
  std::int64_t second = 0;
  int lines = 0;
  std::uint64_t suppressed = 0;
};

struct Logger {
  std::shared_ptr<spdlog::logger> sink;
  std::atomic<bool> json{false};
  std::atomic<LogLevel> lowest{LogLevel::kInfo};
  std::mutex mutex;  // guards the rest; taken twice a line, never on the data path
  std::map<std::string, Budget, std::less<>> budgets;
  LogCounts counts;
  std::deque<std::string> recent;
  std::size_t recent_bytes = 0;

  Logger() {
    sink = std::make_shared<spdlog::logger>("muster",
                                            std::make_shared<spdlog::sinks::stderr_sink_mt>());
    sink->set_pattern("%v");
    sink->set_level(spdlog::level::trace);
    sink->flush_on(spdlog::level::trace);
    json = ::isatty(STDERR_FILENO) == 0;
  }

  void keep(const std::string& line) {
    recent.push_back(line);
    recent_bytes += line.size();
    while (recent_bytes > kRecentBytes) {
      recent_bytes -= recent.front().size();
      recent.pop_front();
    }
  }
};

Logger& logger() {
  static Logger instance;
  return instance;
}

thread_local const char* component_of_thread = "server";

/// Bytes of the UTF-8 sequence `text` begins with; 0 where it begins with none. Overlong forms,
/// surrogates and what is past U+10FFFF are none.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xc2 && first <= 0xdf   ? 2
                             : first >= 0xe0 && first <= 0xef ? 3
                             : first >= 0xf0 && first <= 0xf4 ? 4
                                                              : 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  if ((first == 0xe0 && byte(1) < 0xa0) || (first == 0xed && byte(1) > 0x9f) ||
      (first == 0xf0 && byte(1) < 0x90) || (first == 0xf4 && byte(1) > 0x8f))
    return 0;
  return length;
}

void append_escaped(std::string& out, std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const auto byte = static_cast<unsigned char>(text[0]);
    if (length == 0) {
      out += "\xef\xbf\xbd";
    } else if (byte == '"' || byte == '\\') {
      out += '\\';
      out += text[0];
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\u{:04x}", byte);
    } else if (length == 2 && byte == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0) {
      // The C1 controls: terminals obey some of them.
      out += fmt::format("\\u{:04x}", static_cast<unsigned char>(text[1]));
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
}

void append_value(std::string& out, const LogField& field, bool json) {
  std::visit(
      [&](const auto& value) {
        using T = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<T, std::string>) {
          // Text is quoted where it would not read as one word.
          const bool quoted = json || value.find_first_of(" =\"\\") != std::string::npos;
          if (quoted) out += '"';
          append_escaped(out, value);
          if (quoted) out += '"';
        } else if constexpr (std::is_same_v<T, double>) {
          // JSON has no infinities.
          out += std::isfinite(value) || !json ? fmt::format("{}", value) : "null";
        } else {
          out += fmt::format("{}", value);
        }
      },
      field.value);
}

const char* level_name(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "error";
}

}  // namespace

void log_setup(LogFormat format, LogLevel lowest) {
  Logger& out = logger();
  out.json = format == LogFormat::kAuto ? ::isatty(STDERR_FILENO) == 0 : format == LogFormat::kJson;
  out.lowest = lowest;
}

void set_log_component(const char* component) { component_of_thread = component; }

std::string utc_text(std::int64_t wall_ms) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                     fmt::gmtime(static_cast<std::time_t>(wall_ms / 1000)), wall_ms % 1000);
}

std::string json_string(std::string_view text) {
  std::string out = "\"";
  append_escaped(out, text);
  return out += '"';
}

std::string log_line(bool json, std::int64_t wall_ms, LogLevel level, std::string_view component,
                     std::string_view event, std::string_view sentence,
                     std::span<const LogField> fields, std::uint64_t suppressed) {
  std::string line;
  if (json) {
    line = fmt::format(R"({{"time":"{}","level":"{}","component":"{}","event":"{}","message":)",
                       utc_text(wall_ms), level_name(level), component, event);
    line += json_string(sentence);
    for (const auto& field : fields) {
      line += fmt::format(R"(,"{}":)", field.name);
      append_value(line, field, true);
    }
    if (suppressed > 0) line += fmt::format(R"(,"suppressed":{})", suppressed);
    return line += '}';
  }
  line = fmt::format("{} {:<7} ", utc_text(wall_ms), level_name(level));
  append_escaped(line, sentence);
  line += fmt::format(" event={} component={}", event, component);
  for (const auto& field : fields) {
    line += fmt::format(" {}=", field.name);
    append_value(line, field, false);
  }
  if (suppressed > 0) line += fmt::format(" suppressed={}", suppressed);
  return line;
}

void log(LogLevel level, std::string_view event, std::string_view sentence,
         std::initializer_list<LogField> fields) {
  Logger& out = logger();
  if (level < out.lowest) return;
  const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(
                       std::chrono::system_clock::now().time_since_epoch())
                       .count();
  std::uint64_t suppressed = 0;
  {
    std::lock_guard lock(out.mutex);
    auto found = out.budgets.find(event);
    if (found == out.budgets.end()) found = out.budgets.emplace(std::string(event), Budget{}).first;
    Budget& budget = found->second;
    if (budget.second != now / 1000) {
      budget.second = now / 1000;
      budget.lines = 0;
    }
    if (budget.lines >= kLinesPerSecond) {
      ++budget.suppressed;
      ++out.counts.suppressed;
      return;
    }
    ++budget.lines;
    ++out.counts.lines[static_cast<std::size_t>(level)];
    suppressed = std::exchange(budget.suppressed, 0);
  }
  const std::string line = log_line(out.json, now, level, component_of_thread, event, sentence,
                                    std::span(fields.begin(), fields.size()), suppressed);
  {
    std::lock_guard lock(out.mutex);
    out.keep(line);
  }
  out.sink->log(spdlog::level::info, line);
}

LogCounts log_counts() {
  Logger& out = logger();
  std::lock_guard lock(out.mutex);
  return out.counts;
}

std::vector<std::string> recent_log_lines() {
  Logger& out = logger();
  std::lock_guard lock(out.mutex);
  return {out.recent.begin(), out.recent.end()};
}

}  // namespace muster
