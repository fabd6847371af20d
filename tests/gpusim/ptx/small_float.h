// f16 and bf16: 16 bits to numbers and back.
#pragma once

#include <cstdint>

namespace gpusim {

struct Half {
  std::uint16_t bits;
};

struct BrainFloat {
  std::uint16_t bits;
};

float widen(Half value);
float widen(BrainFloat value);

// To nearest even, or toward zero; beyond the largest number is infinity, or that number.
Half narrow_half(double value, bool toward_zero = false);
BrainFloat narrow_brain(double value, bool toward_zero = false);

// a * b + c rounded so that narrowing it once more gives what one rounding would.
double fused_for_narrowing(double a, double b, double c);

}  // namespace gpusim
