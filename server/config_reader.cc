#include "server/config_reader.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "base/limits.h"
#include "server/config.h"
#include "server/config_nesting.h"
#include "server/config_text.h"

namespace muster::server {
namespace {

/// More than anyone reads; the rest is counted.
constexpr std::size_t kMaxProblems = 100;
constexpr std::size_t kDescriptionBytes = 400;

bool before(const toml::source_position& a, const toml::source_position& b) {
  return a.line != b.line ? a.line < b.line : a.column < b.column;
}

std::string_view type_name(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "an array";
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "an integer";
    case toml::node_type::floating_point:
      return "a float";
    case toml::node_type::boolean:
      return "a boolean";
    case toml::node_type::date:
      return "a date";
    case toml::node_type::time:
      return "a time";
    case toml::node_type::date_time:
      return "a date and time";
    case toml::node_type::none:
      break;
  }
  return "nothing";
}

/// Edits, with a swap of neighbours as one, between two short words.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> older, old(b.size() + 1), row(b.size() + 1);
  std::iota(old.begin(), old.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({old[j] + 1, row[j - 1] + 1, old[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], older[j - 2] + 1);
    }
    older = std::exchange(old, row);
  }
  return old[b.size()];
}

/// Where `word` is near enough to a wrong spelling of it to be worth a question, how near.
std::optional<std::size_t> nearness(std::string_view wrong, std::string_view word) {
  const std::size_t distance = edit_distance(wrong, word);
  // Half the word wrong is another word.
  if (distance <= wrong.size() / 2 || (!wrong.empty() && word.starts_with(wrong))) return distance;
  return std::nullopt;
}

std::pair<std::string_view, std::string_view> split(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return {"", name};
  return {name.substr(0, dot), name.substr(dot + 1)};
}

std::string table_header(std::string_view section) {
  if (section == "task") return "[[task]]";
  return std::string("[").append(section).append("]");
}

}  // namespace

Document::Document(std::string_view text, std::string_view file) : file_(file) {
  toml::source_position start;
  start.line = start.column = 1;
  if (text.size() > limits::kDocumentBytes) {
    problem(start, "", "the document is longer than " + bytes_text(limits::kDocumentBytes));
  } else if (const auto line = line_nested_too_deep(text)) {
    start.line = static_cast<toml::source_index>(*line);
    problem(start, "", "nested too deep");
  } else {
    parse(text);
  }
}

void Document::parse(std::string_view text) {
  try {
    root_ = toml::parse(text);
  } catch (const toml::parse_error& error) {
    const std::string what = quote_for_people(error.description(), kDescriptionBytes);
    problem(error.source().begin, "", "not TOML: " + what.substr(1, what.size() - 2));
  }
}

void Document::problem(toml::source_position where, std::string_view key, std::string what) {
  if (problems_.size() >= kMaxProblems) {
    ++dropped_;
    return;
  }
  std::string text;
  if (!key.empty()) text.append("key '").append(key).append("': ");
  text.append(what);
  if (!text.ends_with('.') && !text.ends_with("?)") && !text.ends_with(".)")) text += '.';
  problems_.push_back({where, std::move(text)});
}

void Document::resolve(const Unknown& unknown) {
  std::string quoted = quote_for_people(unknown.key);
  quoted = quoted.substr(1, quoted.size() - 2);
  const std::string_view shown = std::string_view(unknown.key).substr(0, limits::kNameBytes);
  std::optional<std::size_t> best;
  std::string hint;
  for (const std::string& known : known_) {
    const auto [section, key] = split(known);
    if (section == unknown.section) {
      const auto near = nearness(shown, key);
      if (!near || (best && *best <= *near)) continue;
      best = near;
      hint = " (Did you mean '" + std::string(key) + "'?)";
    } else if (key == shown && hint.empty()) {
      hint = section.empty() ? " (It belongs above the first table.)"
                             : " (It belongs to " + table_header(section) + ".)";
    }
  }
  const std::string full = unknown.section.empty() ? quoted : unknown.section + "." + quoted;
  problem(unknown.where, full, "there is no such key." + hint);
}

Status Document::finish() {
  for (const Unknown& unknown : unknown_) {
    if (problems_.size() < kMaxProblems)
      resolve(unknown);
    else
      ++dropped_;
  }
  unknown_.clear();
  if (problems_.empty()) return {};
  std::stable_sort(problems_.begin(), problems_.end(),
                   [](const Problem& a, const Problem& b) { return before(a.where, b.where); });
  std::string message;
  for (const auto& [where, text] : problems_) {
    if (!message.empty()) message += '\n';
    message.append(file_).append(":").append(std::to_string(where.line)).append(":");
    message.append(std::to_string(where.column)).append(": ").append(text);
  }
  if (dropped_ != 0) message.append("\nand ").append(std::to_string(dropped_)).append(" more");
  return {Code::kInvalid, "config_invalid", std::move(message)};
}

Section::Section(Document& document, const toml::table& table, std::string name)
    : document_(document), table_(table), name_(std::move(name)) {}

std::string Section::full_name(std::string_view key) const {
  return name_.empty() ? std::string(key) : name_ + "." + std::string(key);
}

const toml::node* Section::find(std::string_view key) {
  if (asked_.emplace(key).second) {
    std::string name = full_name(key);
    auto& known = document_.known_;
    if (std::find(known.begin(), known.end(), name) == known.end())
      known.push_back(std::move(name));
  }
  return table_.get(key);
}

void Section::problem(std::string_view key, std::string what) {
  unsound_.emplace(key);
  const toml::node* node = table_.get(key);
  toml::source_position where = (node != nullptr ? *node : table_).source().begin;
  if (where.line == 0) where.line = where.column = 1;
  document_.problem(where, full_name(key), std::move(what));
}

bool Section::sound(std::initializer_list<std::string_view> keys) const {
  return std::none_of(keys.begin(), keys.end(),
                      [&](std::string_view key) { return unsound_.contains(key); });
}

void Section::wrong_type(std::string_view key, const toml::node& node, std::string_view expected) {
  problem(key, "expected " + std::string(expected) + ", found " + std::string(type_name(node)));
}

bool Section::text(std::string_view key, std::string& target) {
  const toml::node* node = find(key);
  if (node == nullptr) return false;
  const auto* value = node->as_string();
  if (value == nullptr) return wrong_type(key, *node, "a string"), false;
  if (value->get().find('\0') != std::string::npos) return problem(key, "holds a zero byte"), false;
  target = value->get();
  return true;
}

bool Section::choice(std::string_view key, std::string& target,
                     std::initializer_list<std::string_view> allowed) {
  std::string value;
  if (!text(key, value)) return false;
  if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) {
    target = std::move(value);
    return true;
  }
  std::string what = quote_for_people(value) + " is none of";
  for (const std::string_view one : allowed)
    what.append(one == *allowed.begin() ? " " : ", ").append(one);
  const std::string_view shown = std::string_view(value).substr(0, limits::kNameBytes);
  std::optional<std::size_t> best;
  std::string_view nearest;
  for (const std::string_view one : allowed) {
    const auto near = nearness(shown, one);
    if (!near || (best && *best <= *near)) continue;
    best = near;
    nearest = one;
  }
  if (best) what.append(". (Did you mean '").append(nearest).append("'?)");
  return problem(key, std::move(what)), false;
}

bool Section::flag(std::string_view key, bool& target) {
  const toml::node* node = find(key);
  if (node == nullptr) return false;
  const auto* value = node->as_boolean();
  if (value == nullptr) return wrong_type(key, *node, "true or false"), false;
  target = value->get();
  return true;
}

bool Section::number(std::string_view key, double& target) {
  const toml::node* node = find(key);
  if (node == nullptr) return false;
  if (!node->is_number()) return wrong_type(key, *node, "a number"), false;
  const double value = *node->value<double>();
  if (!std::isfinite(value)) return problem(key, "must be finite"), false;
  target = value;
  return true;
}

bool Section::whole(std::string_view key, std::int64_t& target, std::int64_t minimum,
                    std::int64_t maximum) {
  const toml::node* node = find(key);
  if (node == nullptr) return false;
  const auto* value = node->as_integer();
  if (value == nullptr) return wrong_type(key, *node, "an integer"), false;
  if (value->get() < minimum || value->get() > maximum)
    return problem(key, std::to_string(value->get()) + " is not between " +
                            std::to_string(minimum) + " and " + std::to_string(maximum)),
           false;
  target = value->get();
  return true;
}

bool Section::bytes(std::string_view key, std::uint64_t& target, std::uint64_t minimum,
                    std::uint64_t maximum) {
  const toml::node* node = find(key);
  if (node == nullptr) return false;
  if (const auto* bare = node->as_integer())
    return problem(key, std::to_string(bare->get()) + " has no unit: write a string, \"64MiB\""),
           false;
  const auto* value = node->as_string();
  if (value == nullptr) return wrong_type(key, *node, "a size such as \"64MiB\""), false;
  const auto size = parse_bytes(value->get());
  if (!size.ok()) return problem(key, std::string(size.status().message())), false;
  if (*size < minimum || *size > maximum)
    return problem(key, bytes_text(*size) + " is not between " + bytes_text(minimum) + " and " +
                            bytes_text(maximum)),
           false;
  target = *size;
  return true;
}

bool Section::duration(std::string_view key, Nanoseconds& target, Nanoseconds minimum,
                       Nanoseconds maximum) {
  const toml::node* node = find(key);
  if (node == nullptr) return false;
  if (const auto* bare = node->as_integer())
    return problem(key, std::to_string(bare->get()) + " has no unit: write a string, \"250ms\""),
           false;
  const auto* value = node->as_string();
  if (value == nullptr) return wrong_type(key, *node, "a duration such as \"250ms\""), false;
  const auto length = parse_duration(value->get());
  if (!length.ok()) return problem(key, std::string(length.status().message())), false;
  if (*length < minimum || *length > maximum)
    return problem(key, duration_text(*length) + " is not between " + duration_text(minimum) +
                            " and " + duration_text(maximum)),
           false;
  target = *length;
  return true;
}

bool Section::texts(std::string_view key, std::vector<std::string>& target) {
  const toml::node* node = find(key);
  if (node == nullptr) return false;
  if (const auto* one = node->as_string()) {
    target = {one->get()};
    return true;
  }
  const auto* array = node->as_array();
  if (array != nullptr && array->empty()) return problem(key, "is an empty array"), false;
  if (array == nullptr) return wrong_type(key, *node, "a string or an array of strings"), false;
  std::vector<std::string> values;
  for (const toml::node& element : *array) {
    const auto* value = element.as_string();
    if (value == nullptr) return wrong_type(key, element, "strings in the array"), false;
    values.push_back(value->get());
  }
  target = std::move(values);
  return true;
}

const toml::table& Section::table(std::string_view key) {
  static const toml::table kNone;
  const toml::node* node = find(key);
  if (node == nullptr) return kNone;
  if (const auto* table = node->as_table()) return *table;
  wrong_type(key, *node, "a table");
  return kNone;
}

std::vector<const toml::table*> Section::tables(std::string_view key) {
  std::vector<const toml::table*> found;
  const toml::node* node = find(key);
  if (node == nullptr) return found;
  const auto* array = node->as_array();
  if (array == nullptr || !array->is_homogeneous(toml::node_type::table)) {
    if (array == nullptr || !array->empty())
      wrong_type(key, *node, "tables, each under [[" + std::string(key) + "]]");
    return found;
  }
  for (const toml::node& element : *array) found.push_back(element.as_table());
  return found;
}

void Section::finish() {
  for (const auto& [key, node] : table_)
    if (!asked_.contains(key.str()))
      document_.unknown_.push_back({key.source().begin, name_, std::string(key.str())});
}

}  // namespace muster::server
