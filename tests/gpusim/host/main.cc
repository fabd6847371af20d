#include <fmt/format.h>

#include <cstdlib>

#include "tests/gpusim/host/case.h"

namespace gpusim::host {

void must(int result, const char* call) {
  if (result == 0) return;
  fmt::print(stderr, "{} -> {}\n", call, result);
  std::exit(3);
}

int say(cudaError_t error) {
  fmt::print("got {}\n", cudaGetErrorName(error));
  return kRight;
}

}  // namespace gpusim::host

int main(int count, char** arguments) {
  using namespace gpusim::host;
  for (const auto& cases :
       {ordering_cases(), memory_cases(), failure_cases(), blas_cases(), nccl_cases()})
    for (const Case& c : cases)
      if (count == 2 && c.name == arguments[1]) {
        const int status = c.run();
        fmt::print("{}\n", status == kRight ? "right" : "wrong bytes");
        return status;
      }
  fmt::print(stderr, "no such case\n");
  return 2;
}
