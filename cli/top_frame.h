// One frame of `muster top`: the server's state as lines of text.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace muster::cli {

/// What changed between two answers of /v1/status; rates are 0 where there is none before.
struct TopRates {
  double updates_per_second = 0;
  double bytes_per_second = 0;
};
TopRates top_rates(const nlohmann::json& before, const nlohmann::json& now);

/// Lines of at most 80 columns, each with its end of line. `bold`: for a terminal.
std::string top_frame(const nlohmann::json& status, const TopRates& rates, bool bold);

}  // namespace muster::cli
