// Bytes as text.
#pragma once

#include <string>

#include "base/bytes.h"

namespace muster {

/// Two hexadecimal digits a byte, a-f small.
std::string hex(ConstBytes bytes);

}  // namespace muster
