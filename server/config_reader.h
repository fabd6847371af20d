// Reading a TOML document into fields: every key that is asked for is known, every problem is kept
// with its place. The only file besides its .cc that knows toml++.
#pragma once

#include <toml++/toml.h>

#include <concepts>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/status.h"

namespace muster::server {

/// One document and what is wrong with it. Problems come out in the order of their places.
class Document {
 public:
  /// Parses. A document that is no TOML has one problem and an empty root.
  Document(std::string_view text, std::string_view file);
  const toml::table& root() const { return root_; }

  void problem(toml::source_position where, std::string_view key, std::string what);
  /// OK, or one "config_invalid" with every problem on a line of its own. Call it last.
  Status finish();
  /// Keys asked for so far, as "section.key".
  const std::vector<std::string>& known() const { return known_; }

 private:
  friend class Section;
  struct Problem {
    toml::source_position where;
    std::string text;
  };
  struct Unknown {
    toml::source_position where;
    std::string section, key;
  };
  void parse(std::string_view text);
  void resolve(const Unknown& unknown);

  std::string file_;
  toml::table root_;
  std::vector<Problem> problems_;
  std::size_t dropped_ = 0;  ///< problems beyond what anyone reads
  std::vector<Unknown> unknown_;
  std::vector<std::string> known_;
};

/// One table of a document. The calls leave `target` as it is where the key is absent or its value
/// is a problem; they return whether they set it.
class Section {
 public:
  /// `name` is "" for the top level.
  Section(Document& document, const toml::table& table, std::string name);

  bool text(std::string_view key, std::string& target);
  bool choice(std::string_view key, std::string& target,
              std::initializer_list<std::string_view> allowed);
  bool flag(std::string_view key, bool& target);
  /// Finite; integers are taken as well.
  bool number(std::string_view key, double& target);
  /// "64MiB" strings.
  bool bytes(std::string_view key, std::uint64_t& target, std::uint64_t minimum,
             std::uint64_t maximum);
  /// "250ms" strings.
  bool duration(std::string_view key, Nanoseconds& target, Nanoseconds minimum,
                Nanoseconds maximum);
  /// A string or an array of strings.
  bool texts(std::string_view key, std::vector<std::string>& target);
  template <std::integral T>
  bool integer(std::string_view key, T& target, std::int64_t minimum, std::int64_t maximum) {
    std::int64_t value = 0;
    if (!whole(key, value, minimum, maximum)) return false;
    target = static_cast<T>(value);
    return true;
  }
  /// What may be left out: text, a number, or an integer up to `maximum`. Untouched where absent.
  template <class T>
  void optional(std::string_view key, std::optional<T>& target, std::int64_t maximum) {
    T value{};
    bool given = false;
    if constexpr (std::is_same_v<T, double>)
      given = number(key, value);
    else if constexpr (std::is_same_v<T, std::string>)
      given = text(key, value);
    else
      given = integer(key, value, 0, maximum);
    if (given) target = std::move(value);
  }
  /// Tables: [key] and [[key]]. An absent table is an empty one.
  const toml::table& table(std::string_view key);
  /// The table under `key` as a section of its own.
  Section inner(std::string_view key) { return {document_, table(key), full_name(key)}; }
  std::vector<const toml::table*> tables(std::string_view key);

  bool has(std::string_view key) const { return table_.contains(key); }
  /// Whether no problem was found with any of these; where one was, comparing them says nothing.
  bool sound(std::initializer_list<std::string_view> keys) const;
  /// At the value of `key`, or at the table where it is absent.
  void problem(std::string_view key, std::string what);
  /// The keys nobody asked for are problems.
  void finish();

 private:
  const toml::node* find(std::string_view key);
  bool whole(std::string_view key, std::int64_t& target, std::int64_t minimum,
             std::int64_t maximum);
  void wrong_type(std::string_view key, const toml::node& node, std::string_view expected);
  std::string full_name(std::string_view key) const;

  Document& document_;
  const toml::table& table_;
  std::string name_;
  std::set<std::string, std::less<>> asked_;
  std::set<std::string, std::less<>> unsound_;
};

}  // namespace muster::server
