// The part of a configuration that is one task.
#pragma once

#include <string>

#include "server/config.h"
#include "server/config_reader.h"

namespace muster::server {

/// Reads and checks every key of a task. `section` holds the problems; the value is usable only if
/// there were none.
TaskConfig read_task(Section& section);

/// Every key with its value, defaults written out, so that a task stays what it was when a later
/// version has other defaults. parse_task() gives the same task back.
std::string task_text(const TaskConfig& task);

}  // namespace muster::server
