// The traffic counters of all launches as JSON, and what is said at exit.
#pragma once

#include <string>

#include "tests/gpusim/ptx/machine.h"

namespace gpusim {

// {"kernels": [{"kernel", "name", "launches", "warp_instructions", ..., "sector_use",
//               "bank_conflicts", "lines": [{"file", "line", ...}]}]}, ratios from 0 to 1.
std::string traffic_json(const Machine& machine);

}  // namespace gpusim
