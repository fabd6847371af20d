// Text for people: aligned tables, and values of JSON as short words.
#pragma once

#include <iosfwd>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace muster::cli {

/// Columns two spaces apart, as wide as their widest cell; numbers to the right.
class Table {
 public:
  struct Column {
    std::string name;
    bool right = false;
  };
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  /// One cell a column.
  void add(std::vector<std::string> cells);
  /// `bold`: the head line in bold, for a terminal.
  void print(std::ostream& out, bool bold) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

/// "name   value" lines with the values under one another. Empty values are left out.
void print_facts(std::ostream& out, const std::vector<std::pair<std::string, std::string>>& facts);

/// `text` without control characters: what a server or a file says cannot steer the terminal.
std::string printable(std::string_view text);

/// Field `key` of `object` as a word: strings as they are, "-" where it is absent or null.
std::string word(const nlohmann::json& object, const char* key);
/// As word() for milliseconds since 1970: "2026-01-31 12:00:00Z".
std::string utc_word(const nlohmann::json& object, const char* key);

}  // namespace muster::cli
