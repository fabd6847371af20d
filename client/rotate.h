// The randomised Hadamard rotation of a device's vector, in f64.
#pragma once

#include <cstdint>
#include <span>

namespace muster::client {

/// values = H values, not normalised; their number is a power of two.
void hadamard(std::span<double> values);
/// Changes the signs that `key` draws (base/codec_random.h).
void flip_signs(std::uint64_t key, std::span<double> values);

}  // namespace muster::client
