// Configuration text as a program writes it.
#pragma once

#include <concepts>
#include <span>
#include <string>
#include <string_view>

#include "server/config_text.h"

namespace muster::server {

/// "key = value" lines.
class Writer {
 public:
  void raw(std::string_view key, std::string_view value) {
    text_.append(key).append(" = ").append(value).append("\n");
  }
  void text(std::string_view key, std::string_view value) { raw(key, toml_string(value)); }
  template <std::integral T>
  void whole(std::string_view key, T value) {
    raw(key, std::to_string(value));
  }
  template <std::floating_point T>
  void number(std::string_view key, T value) {
    raw(key, number_text(value));
  }
  void texts(std::string_view key, std::span<const std::string> values) {
    std::string list;
    for (const std::string& value : values)
      list.append(list.empty() ? "" : ", ").append(toml_string(value));
    raw(key, std::string("[").append(list).append("]"));
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

}  // namespace muster::server
