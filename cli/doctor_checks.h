// What `muster doctor` looks at, and what it makes of it: finding and judging are apart, so that
// every verdict can be tested without breaking a machine.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace muster::cli {

/// A listener of the configuration, and whether it could be bound; an errno text where not.
struct PortFact {
  std::string address;
  std::string problem;
};

struct DoctorFacts {
  int config_exit = 0;                        ///< of musterd --check
  std::string config_text;                    ///< what it said
  std::map<std::string, std::string> config;  ///< key -> value, sizes as "123B"
  bool server_running = false;                ///< on this data directory
  std::uint64_t descriptors = 0;              ///< hard limit
  std::uint64_t memlock_bytes = 0;            ///< hard limit; ~0: none
  std::optional<std::uint64_t> free_bytes;    ///< under data_dir
  std::optional<double> sync_ms;              ///< median of writing and syncing 1 MiB there
  std::string disk_problem;                   ///< where the two are unknown
  bool clock_synchronised = false;
  std::int64_t wall_ms = 0;
  bool gpu_there = false;     ///< a device file of the driver
  std::string gpu_problem;    ///< why the driver cannot be used; empty: it can
  bool plugin_there = false;  ///< libmuster_cuda.so
  bool avx2 = false, sse42 = false;
  /// Files that hold secrets and their permission bits.
  std::map<std::string, unsigned> secret_modes;
  std::vector<PortFact> ports;
};

enum class Finding : std::uint8_t { kPass, kWarn, kFail };
struct CheckResult {
  std::string name;  ///< "descriptors": stable
  Finding finding = Finding::kPass;
  std::string what;    ///< one sentence with the numbers
  std::string remedy;  ///< empty for a pass
};

/// One result for each check, always the same ones in the same order.
std::vector<CheckResult> judge(const DoctorFacts& facts);

/// Looks at this machine with this configuration. `directory`: where musterd lies. Writes and
/// removes one file of 1 MiB in data_dir if that exists.
DoctorFacts look(const std::string& directory, const std::string& config_file);

}  // namespace muster::cli
