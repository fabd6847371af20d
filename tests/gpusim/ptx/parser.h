// PTX text to Syntax.
#pragma once

#include <stdexcept>
#include <string_view>

#include "tests/gpusim/ptx/syntax.h"

namespace gpusim {

struct ParseError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Throws ParseError with the PTX line.
Syntax parse(std::string_view text);

}  // namespace gpusim
