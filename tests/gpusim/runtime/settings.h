// What the environment asks of the emulated machine (docs/gpusim.md lists the variables).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace gpusim {

inline constexpr int kMostDevices = 16;

struct Settings {
  std::uint32_t seed = 0;         // GPUSIM_SEED: 0 runs all work at the call
  int devices = 1;                // GPUSIM_DEVICES: 0 to kMostDevices
  int architecture = 90;          // GPUSIM_ARCH: compute capability x 10
  int multiprocessors = 0;        // GPUSIM_SMS: 0: as many as the chip has
  std::size_t memory_bytes = 0;   // GPUSIM_MEMORY_MB, of each device
  std::uint64_t fail_malloc = 0;  // GPUSIM_FAIL_MALLOC: the n-th allocation finds no memory
  std::uint64_t fail_launch = 0;  // GPUSIM_FAIL_LAUNCH: the n-th kernel dies when it runs
  std::uint64_t fail_call = 0;    // GPUSIM_FAIL_CALL: the n-th runtime call fails, for good
  std::uint64_t hang = 0;         // GPUSIM_HANG: the n-th kernel never ends
  std::uint32_t deadlock_ms = 0;  // GPUSIM_DEADLOCK_MS: no progress for so long is a report
  std::uint32_t envreg0 = 0;      // GPUSIM_ENVREG0: what kernels read as %envreg0
  bool races = true;              // GPUSIM_RACES
  bool uninitialised = true;      // GPUSIM_UNINIT
  bool leaks = false;             // GPUSIM_LEAKS: what is still allocated at exit
  bool tolerate = false;          // GPUSIM_TOLERATE: reports do not change the exit status
  bool count_traffic = false;     // slower; on whenever there is a file
  std::string traffic;            // GPUSIM_TRAFFIC: JSON file written at exit
};

// Ends the process with a sentence if a variable holds what it cannot mean.
Settings settings_from_environment();

}  // namespace gpusim
