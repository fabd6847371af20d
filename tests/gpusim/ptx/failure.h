// What a check throws; the machine turns it into a Report with the kernel, line, block and thread.
#pragma once

#include <string>
#include <utility>

#include "tests/gpusim/ptx/machine.h"

namespace gpusim {

struct Failure {
  Fault fault;
  std::string what;
  int lane;  // of the warp that runs
};

[[noreturn]] inline void fail(Fault fault, int lane, std::string what) {
  throw Failure{fault, std::move(what), lane};
}

// 0x-text of an address.
std::string hex(std::uint64_t value);

}  // namespace gpusim
