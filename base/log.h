// The process log: JSON lines where nobody is watching, text on a terminal. Never payload, keys or
// device names.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>

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

/// Sets format and lowest level. Call once at start, before threads. Logs go to standard error.
void log_setup(LogFormat format, LogLevel lowest);

/// Writes one line. `event` is a stable snake_case code; lines of one event beyond 20 a second are
/// counted and reported as "suppressed" with the next one that passes. Thread-safe.
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

}  // namespace muster
