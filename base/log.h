// The process log: JSON lines where nobody is watching, text on a terminal. Never payload, keys or
// device names.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

namespace muster {

enum class LogLevel : std::uint8_t { kDebug, kInfo, kWarning, kError };

/// One named value of a log line.
struct LogField {
  std::string_view name;
  std::variant<std::int64_t, std::uint64_t, double, bool, std::string> value;
  LogField(std::string_view field, std::string_view text) : name(field), value(std::string(text)) {}
  LogField(std::string_view field, const char* text) : name(field), value(std::string(text)) {}
  LogField(std::string_view field, const std::string& text) : name(field), value(text) {}
  LogField(std::string_view field, bool flag) : name(field), value(flag) {}
  LogField(std::string_view field, double number) : name(field), value(number) {}
  template <class Integer>
  requires std::is_integral_v<Integer> LogField(std::string_view field, Integer number)
      : name(field) {
    if constexpr (std::is_signed_v<Integer>)
      value = static_cast<std::int64_t>(number);
    else
      value = static_cast<std::uint64_t>(number);
  }
};

enum class LogFormat : std::uint8_t { kAuto, kJson, kText };

/// Sets format and lowest level; may be called again while threads log. Logs go to standard error.
/// kAuto: JSON lines unless standard error is a terminal.
void log_setup(LogFormat format, LogLevel lowest);
/// Names the part of the server that this thread is: the "component" of its lines. A literal.
void set_log_component(const char* component);

/// Writes one line. `event` is a stable snake_case code; lines of one event beyond 20 a second are
/// counted and reported as "suppressed" with the next one that passes. Thread-safe. A device may
/// appear as its DeviceHash only, a round with its trace id (server/task.h).
void log(LogLevel level, std::string_view event, std::string_view sentence,
         std::initializer_list<LogField> fields = {});

inline void log_info(std::string_view event, std::string_view sentence,
                     std::initializer_list<LogField> fields = {}) {
  log(LogLevel::kInfo, event, sentence, fields);
}
inline void log_warning(std::string_view event, std::string_view sentence,
                        std::initializer_list<LogField> fields = {}) {
  log(LogLevel::kWarning, event, sentence, fields);
}
inline void log_error(std::string_view event, std::string_view sentence,
                      std::initializer_list<LogField> fields = {}) {
  log(LogLevel::kError, event, sentence, fields);
}

/// One line as log() writes it, without the end of line. Everything in it is valid UTF-8 and free
/// of control characters, whatever came in: bytes that are not UTF-8 become U+FFFD.
std::string log_line(bool json, std::int64_t wall_ms, LogLevel level, std::string_view component,
                     std::string_view event, std::string_view sentence,
                     std::span<const LogField> fields, std::uint64_t suppressed);
/// `text` as a JSON string, quotes included; the same promise.
std::string json_string(std::string_view text);
/// "2026-01-31T12:00:00.123Z"
std::string utc_text(std::int64_t wall_ms);

struct LogCounts {
  std::array<std::uint64_t, 4> lines{};  ///< by LogLevel
  std::uint64_t suppressed = 0;
};
LogCounts log_counts();
/// The last lines, oldest first, at most 64 KiB of them.
std::vector<std::string> recent_log_lines();

}  // namespace muster
