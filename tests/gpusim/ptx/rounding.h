// Rounding modes other than to nearest: the handler runs under the host's mode.
#pragma once

#include <cfenv>

#include "tests/gpusim/ptx/decoder.h"

namespace gpusim {

// Wraps instruction->run if the form rounds toward zero, down or up (rz, rm, rp).
inline void apply_rounding(const Form& form, Instruction* instruction) {
  static constexpr int kModes[] = {FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD};
  const int mode = form.which({"rz", "rm", "rp"});
  if (mode < 0) return;
  instruction->inner = instruction->run;
  instruction->target = static_cast<std::uint32_t>(kModes[mode]);
  // The indirect call in the middle keeps the compiler from moving arithmetic across the changes.
  instruction->run = [](Warp& warp, const Instruction& self, Mask active) {
    std::fesetround(static_cast<int>(self.target));
    self.inner(warp, self, active);
    std::fesetround(FE_TONEAREST);
  };
}

}  // namespace gpusim
