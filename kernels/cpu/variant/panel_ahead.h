// The panel to come, asked for while the present one is worked on: that work hides part of the wait
// for memory.
#pragma once

#include "kernels/cpu/table.h"
#include "kernels/cpu/variant/count_bits.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

constexpr size_t kLineBytes = 64;

/// The pieces of consecutive rows that make a panel, as cache lines, row after row. Empty where no
/// panel follows, or where the second cache level would not keep it beside the present one.
struct PanelAhead {
  const std::byte* const* row = nullptr;  ///< of the next line
  const std::byte* const* end = nullptr;  ///< of the rows
  size_t begin = 0;                       ///< bytes into a row
  size_t bytes = 0;                       ///< of a piece
  size_t at = 0;                          ///< bytes into the piece of the next line

  /// Asks for the next lines, as many as there are.
  MUSTER_CELL void ask(size_t lines) {
    for (; lines > 0 && row != end; --lines) {
      ask_for(*row + begin + at);
      at += kLineBytes;
      if (at >= bytes) at = 0, ++row;
    }
  }
  /// Into the second level: the first has no room.
  MUSTER_CELL static void ask_for(const void* line) { __builtin_prefetch(line, 0, 2); }
};

/// Lines asked for with each block of a walk through planes: three in four of as many as it reads,
/// for a walk through all digits reads as much as a panel is. The slicing asks for the others, so
/// that none is waited for here.
constexpr size_t kLinesOfBlock = kCountBlock * kVectorBytes / kLineBytes * 3 / 4;

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
