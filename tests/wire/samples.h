// One message of every kind, with every field set: what the golden vectors freeze.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "wire/message.h"

namespace muster::wire {

struct Sample {
  std::string name;  ///< of the golden file
  Message message;
  std::vector<std::byte> payload;  ///< empty where the kind has none

  /// As a socket would hand them over. They point into `header` and this sample.
  std::vector<ConstBytes> frames(ConstBytes header) const;
};

/// In the order of the kinds.
std::vector<Sample> samples();

}  // namespace muster::wire
