#include "cli/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <ostream>
#include <utility>

#include "base/check.h"

namespace muster::cli {
namespace {

/// Code points of UTF-8 text, which is near enough to its width on a terminal.
std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string line(const std::vector<std::string>& cells, const std::vector<Table::Column>& columns,
                 const std::vector<std::size_t>& widths) {
  std::string text;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const std::string gap(widths[i] - width(cells[i]), ' ');
    if (i > 0) text += "  ";
    text += columns[i].right ? gap + cells[i] : cells[i] + gap;
  }
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

}  // namespace

void Table::add(std::vector<std::string> cells) {
  MUSTER_CHECK(cells.size() == columns_.size());
  for (std::string& cell : cells) cell = printable(cell);
  rows_.push_back(std::move(cells));
}

void Table::print(std::ostream& out, bool bold) const {
  std::vector<std::string> head;
  std::vector<std::size_t> widths;
  for (const Column& column : columns_) {
    head.push_back(column.name);
    widths.push_back(width(column.name));
  }
  for (const auto& row : rows_)
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  out << (bold ? "\x1b[1m" : "") << line(head, columns_, widths) << (bold ? "\x1b[0m" : "") << '\n';
  for (const auto& row : rows_) out << line(row, columns_, widths) << '\n';
}

void print_facts(std::ostream& out, const std::vector<std::pair<std::string, std::string>>& facts) {
  std::size_t widest = 0;
  for (const auto& [name, value] : facts) widest = std::max(widest, width(name));
  for (const auto& [name, value] : facts)
    if (!value.empty())
      out << name << std::string(widest - width(name) + 2, ' ') << printable(value) << '\n';
}

std::string printable(std::string_view text) {
  std::string safe(text);
  for (char& c : safe)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return safe;
}

std::string word(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return "-";
  if (found->is_string()) return found->get<std::string>();
  if (found->is_boolean()) return found->get<bool>() ? "yes" : "no";
  if (found->is_number_float()) return fmt::format("{:.4g}", found->get<double>());
  return found->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string utc_word(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_integer()) return "-";
  const auto milliseconds = found->get<std::int64_t>();
  if (milliseconds <= 0) return "-";
  const auto seconds = static_cast<std::time_t>(milliseconds / 1000);
  std::tm utc{};
  if (::gmtime_r(&seconds, &utc) == nullptr) return "-";
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02}Z", utc.tm_year + 1900, utc.tm_mon + 1,
                     utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec);
}

}  // namespace muster::cli
