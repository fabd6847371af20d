// How a task looks to a person; `task ls` and `status` share it.
#pragma once

#include <iosfwd>
#include <nlohmann/json.hpp>

namespace muster::cli {

void print_tasks(std::ostream& out, const nlohmann::json& tasks, bool bold);

}  // namespace muster::cli
