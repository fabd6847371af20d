#include "server/config_text.h"

#include <charconv>
#include <cmath>

#include "base/check.h"

namespace muster::server {
namespace {

template <class T>
std::string shortest(T value) {
  char text[40];
  const auto [end, error] = std::to_chars(text, text + sizeof text, value);
  MUSTER_CHECK(error == std::errc());
  std::string result(text, end);
  // "1" would be a TOML integer.
  if (result.find_first_of(".e") == std::string::npos) result += ".0";
  return result;
}

constexpr char kHex[] = "0123456789abcdef";

}  // namespace

std::string number_text(double value) {
  MUSTER_CHECK(std::isfinite(value));
  return shortest(value);
}

std::string number_text(float value) {
  MUSTER_CHECK(std::isfinite(value));
  // TOML readers go through binary64, and two roundings are not always one.
  std::string text = shortest(value);
  double back = 0;
  std::from_chars(text.data(), text.data() + text.size(), back);
  return static_cast<float>(back) == value ? text : shortest(static_cast<double>(value));
}

std::string toml_string(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      quoted.append({'\\', c});
    } else if (code < 0x20 || code == 0x7f) {
      quoted.append("\\u00").append({kHex[code >> 4], kHex[code & 15]});
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

std::string quote_for_people(std::string_view text, std::size_t most) {
  std::string quoted = "\"";
  for (const char c : text.substr(0, most)) {
    const auto code = static_cast<unsigned char>(c);
    if (code < 0x20 || code >= 0x7f)
      quoted.append("\\x").append({kHex[code >> 4], kHex[code & 15]});
    else
      quoted += c;
  }
  if (text.size() > most) quoted += "...";
  return quoted + '"';
}

}  // namespace muster::server
