// `muster demo`: a real server, a fleet that really trains, and what attackers do to four rules.
#pragma once

#include <CLI/CLI.hpp>

namespace muster::cli {

/// `exit_code`: set when the verb ran; must outlive `app`.
void add_demo_command(CLI::App& app, int& exit_code);

}  // namespace muster::cli
