// A helper process of the benchmark: this binary again, with a line in and a line out.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace muster::bench {

/// Wall and CPU time of this process so far.
struct Cost {
  double wall = 0, cpu = 0;
  static Cost now();
};

class HelperProcess {
 public:
  HelperProcess(const std::string& program, const std::vector<std::string>& arguments);
  ~HelperProcess();  ///< ends it
  void tell(char what);
  char hear();  ///< waits; 0 at its end

 private:
  pid_t pid_ = -1;
  int to_ = -1, from_ = -1;
};

}  // namespace muster::bench
