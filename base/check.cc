#include "base/check.h"

#include <unistd.h>

#include <cstdlib>

namespace muster {

void check_failed(const char* condition, const char* file, int line, const std::string& values) {
  std::string text =
      std::string(file) + ":" + std::to_string(line) + ": check failed: " + condition;
  if (!values.empty()) text += " (" + values + ")";
  text += "\n";
  // write(2) needs no lock and no allocation: it also works where the logger is what broke.
  [[maybe_unused]] auto written = ::write(STDERR_FILENO, text.data(), text.size());
  std::abort();
}

}  // namespace muster
