// The results: which cells there are, how they came out, and how they are shown.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tests/learning/run.h"

namespace muster::learning {

struct Entry {
  Cell cell;
  std::optional<double> accuracy;  ///< none: not run
};

struct Table {
  Settings settings;
  std::vector<Entry> entries;
  std::vector<std::string> skipped;  ///< "recipe: reason", each once

  std::optional<double> accuracy(const Cell& cell) const;
};

/// Every split, momentum, rule, pre-step and attack.
std::vector<Cell> all_cells();

/// Runs `cells` on `threads` threads; the result does not depend on their number. Prints a dot per
/// finished cell to stderr.
Table fill(const Settings& settings, const std::vector<Cell>& cells, const Data& data,
           std::size_t threads);

/// One block per split and momentum, a line per recipe, a column per attack, in percent; "-" where
/// nothing was run.
std::string as_text(const Table& table);
/// {settings, cells: [{split, momentum, attack, rule, pre_step, accuracy}], skipped}.
std::string as_json(const Table& table);
/// The blocks as heat maps. Needs nothing outside the file.
std::string as_svg(const Table& table);

}  // namespace muster::learning
