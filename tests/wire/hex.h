// Frames as hex text: sixteen bytes a line, an empty line between frames.
#pragma once

#include <cstddef>
#include <cstdio>
#include <sstream>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace muster::wire {

inline std::string to_hex(const std::vector<ConstBytes>& frames) {
  std::string text;
  for (std::size_t f = 0; f < frames.size(); ++f) {
    if (f > 0) text += '\n';
    for (std::size_t i = 0; i < frames[f].size(); ++i) {
      char pair[4];
      std::snprintf(pair, sizeof pair, "%02x", static_cast<unsigned>(frames[f][i]));
      text += pair;
      text += i % 16 == 15 || i + 1 == frames[f].size() ? '\n' : ' ';
    }
  }
  return text;
}

inline std::vector<std::vector<std::byte>> from_hex(const std::string& text) {
  std::vector<std::vector<std::byte>> frames(1);
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty()) frames.emplace_back();
    std::istringstream pairs(line);
    for (std::string pair; pairs >> pair;)
      frames.back().push_back(static_cast<std::byte>(std::stoul(pair, nullptr, 16)));
  }
  return frames;
}

}  // namespace muster::wire
