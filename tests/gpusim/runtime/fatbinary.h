// What nvcc embeds in a program: a container of PTX texts and machine code (cubins) for several
// architectures, each perhaps compressed. The layout is not documented; it was read from the
// output of nvcc 13.0 and is checked field by field.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gpusim {

struct FatBinaryEntry {
  enum class Kind : std::uint16_t { kPtx = 1, kCubin = 2 };
  Kind kind = Kind::kPtx;
  bool compressed = false;
  int architecture = 0;  // compute capability x 10
  std::string_view payload;
};

// Entries of the container that a registration wrapper points to; empty, with the reason in
// `error`, if that is not what lies there. The views live as long as the program.
std::vector<FatBinaryEntry> read_fat_binary(const void* wrapper, std::string* error);

// The PTX a device of this architecture would compile: the newest not newer than itself. Empty,
// with what was found instead and how to build, if there is none.
std::string_view choose_ptx(const std::vector<FatBinaryEntry>& entries, int architecture,
                            std::string* error);

}  // namespace gpusim
