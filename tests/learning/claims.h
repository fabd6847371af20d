// What a table must show: orderings and gaps, with margins wide enough for another machine's float
// rounding in training. No decimals.
#pragma once

#include <string>
#include <vector>

#include "tests/learning/table.h"

namespace muster::learning {

/// `what` reads as a sentence with the numbers that decided it.
struct Judgement {
  std::string what;
  bool holds = false;
};

/// The claims of docs/learning.md all of whose cells were run.
std::vector<Judgement> judge(const Table& table);

/// The cells that the claims of the one-minute slice are about.
std::vector<Cell> slice_cells();

}  // namespace muster::learning
