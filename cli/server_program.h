// Runs musterd for verbs that need no running server, and collects what it says.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "cli/exit_code.h"

namespace muster::cli {

struct Outcome {
  int exit_code = kExitInternal;
  std::string text;  ///< what it printed, both streams
};

/// `program` with these arguments. "server_program" where it cannot be run.
Result<Outcome> run_server_program(const std::string& program,
                                   const std::vector<std::string>& arguments);

}  // namespace muster::cli
