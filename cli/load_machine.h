// What the machine and its processes are like, from /proc.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"

namespace muster::cli {

/// Processor, cores, memory, kernel, disk of `folder`, load average, versions.
std::vector<std::pair<std::string, std::string>> machine_facts(const std::string& folder);

/// A process as the kernel sees it; zeros where it is gone.
struct ProcessUse {
  double resident = 0, peak = 0;  ///< bytes
  double cpu = 0;                 ///< seconds, user and system
};
ProcessUse process_use(pid_t pid);

/// Raises the soft limit of open files: "descriptors" with the numbers where it does not suffice.
Status allow_descriptors(std::uint64_t needed);

}  // namespace muster::cli
