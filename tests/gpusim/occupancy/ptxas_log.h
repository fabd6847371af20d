// What `ptxas -v` says about each kernel on each chip.
#pragma once

#include <istream>
#include <string>
#include <vector>

namespace gpusim {

struct Usage {
  std::string kernel;  // without namespace and template arguments
  std::string full;    // demangled
  int chip = 0;        // 80 for sm_80
  int registers = 0, static_shared = 0;
  int stack = 0, spills = 0;  // bytes
};

// Appends the kernels of one log.
void read_ptxas_log(std::istream& log, std::vector<Usage>* kernels);

// muster::map<int>(float) is map.
std::string short_name(const std::string& demangled);

}  // namespace gpusim
