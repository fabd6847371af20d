#include "base/log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <chrono>
#include <map>
#include <memory>
#include <mutex>

namespace muster {
namespace {

constexpr int kLinesPerSecond = 20;

struct Budget {
  std::int64_t second = 0;
  int lines = 0;
  std::uint64_t suppressed = 0;
};

struct Logger {
  std::shared_ptr<spdlog::logger> sink;
  bool json = false;
  LogLevel lowest = LogLevel::kInfo;
  std::mutex mutex;  // guards budgets; taken once a line, never on the data path
  std::map<std::string, Budget, std::less<>> budgets;

  Logger() {
    sink = std::make_shared<spdlog::logger>("muster",
                                            std::make_shared<spdlog::sinks::stderr_sink_mt>());
    sink->set_pattern("%v");
    sink->set_level(spdlog::level::trace);
    sink->flush_on(spdlog::level::trace);
    json = ::isatty(STDERR_FILENO) == 0;
  }
};

Logger& logger() {
  static Logger instance;
  return instance;
}

void append_escaped(std::string& out, std::string_view text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20) {
      out += fmt::format("\\u{:04x}", byte);
    } else {
      out += c;
    }
  }
}

void append_value(std::string& out, const LogField& field, bool json) {
  std::visit(
      [&](const auto& value) {
        using T = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<T, std::string>) {
          if (json) out += '"';
          append_escaped(out, value);
          if (json) out += '"';
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
  if (format != LogFormat::kAuto) out.json = format == LogFormat::kJson;
  out.lowest = lowest;
}

void log(LogLevel level, std::string_view event, std::string_view sentence,
         std::initializer_list<LogField> fields) {
  Logger& out = logger();
  if (level < out.lowest) return;
  const auto now = std::chrono::system_clock::now();
  const auto since = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch());
  std::uint64_t suppressed = 0;
  {
    std::lock_guard lock(out.mutex);
    auto found = out.budgets.find(event);
    if (found == out.budgets.end()) found = out.budgets.emplace(std::string(event), Budget{}).first;
    Budget& budget = found->second;
    if (budget.second != since.count() / 1000) {
      budget.second = since.count() / 1000;
      budget.lines = 0;
    }
    if (budget.lines >= kLinesPerSecond) {
      ++budget.suppressed;
      return;
    }
    ++budget.lines;
    suppressed = std::exchange(budget.suppressed, 0);
  }
  const auto stamp =
      fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                  fmt::gmtime(std::chrono::system_clock::to_time_t(now)), since.count() % 1000);
  std::string line;
  if (out.json) {
    line = fmt::format(R"({{"time":"{}","level":"{}","event":"{}","message":")", stamp,
                       level_name(level), event);
    append_escaped(line, sentence);
    line += '"';
    for (const auto& field : fields) {
      line += fmt::format(R"(,"{}":)", field.name);
      append_value(line, field, true);
    }
    if (suppressed > 0) line += fmt::format(R"(,"suppressed":{})", suppressed);
    line += '}';
  } else {
    line = fmt::format("{} {:<7} {}", stamp, level_name(level), sentence);
    for (const auto& field : fields) {
      line += fmt::format(" {}=", field.name);
      append_value(line, field, false);
    }
    if (suppressed > 0) line += fmt::format(" suppressed={}", suppressed);
  }
  out.sink->log(spdlog::level::info, line);
}

}  // namespace muster
