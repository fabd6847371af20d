#include "server/config_nesting.h"

namespace muster::server {
namespace {

// No document of ours nests more than three deep or has more than a list of addresses in a line.
constexpr int kMaxBrackets = 16;
constexpr int kMaxDotsInLine = 128;

/// The position after the string that starts at `at`, or the end of the line where a one-line
/// string is not closed.
std::size_t skip_string(std::string_view text, std::size_t at) {
  const char quote = text[at];
  const bool escapes = quote == '"';
  const bool multiline = text.substr(at, 3) == std::string_view(escapes ? R"(""")" : "'''");
  const std::string_view closing = multiline ? text.substr(at, 3) : text.substr(at, 1);
  at += closing.size();
  while (at < text.size()) {
    if (escapes && text[at] == '\\') {
      at += 2;
    } else if (text.substr(at, closing.size()) == closing) {
      at += closing.size();
      // Up to two more quotes before the closing three belong to the string.
      for (int extra = 0; multiline && extra < 2 && at < text.size() && text[at] == quote; ++extra)
        ++at;
      return at;
    } else if (!multiline && text[at] == '\n') {
      return at;
    } else {
      ++at;
    }
  }
  return text.size();
}

}  // namespace

std::optional<std::size_t> line_nested_too_deep(std::string_view text) {
  std::size_t line = 1;
  int brackets = 0, dots = 0;
  for (std::size_t at = 0; at < text.size();) {
    switch (text[at]) {
      case '\n':
        ++line;
        dots = 0;
        break;
      case '#':
        at = text.find('\n', at);
        if (at == std::string_view::npos) return std::nullopt;
        continue;
      case '"':
      case '\'': {
        const std::size_t end = skip_string(text, at);
        for (; at < end && at < text.size(); ++at)
          if (text[at] == '\n') ++line;
        continue;
      }
      case '[':
      case '{':
        ++brackets;
        break;
      case ']':
      case '}':
        --brackets;
        break;
      case '.':
        ++dots;
        break;
      default:
        break;
    }
    if (brackets > kMaxBrackets || dots > kMaxDotsInLine) return line;
    ++at;
  }
  return std::nullopt;
}

}  // namespace muster::server
