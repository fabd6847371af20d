// Runs a program under the emulator and keeps what it said.
#pragma once

#include <string>

namespace gpusim::host {

struct Outcome {
  int status = 0;  // of the exit; 128 + signal
  std::string output;
  // The emulator reported, the bytes were wrong, or a call failed.
  bool caught() const { return status != 0; }
};

// `environment`: "GPUSIM_SEED=3 GPUSIM_DEVICES=2", ...; `program`: in the emulator's folder.
Outcome run(const std::string& environment, const std::string& program);

// A case of gpusim_cases.
inline Outcome run_case(const std::string& environment, const std::string& name) {
  return run(environment, "gpusim_cases " + name);
}

}  // namespace gpusim::host
