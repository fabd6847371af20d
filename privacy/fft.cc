#include "privacy/fft.h"

#include <bit>
#include <cmath>
#include <numbers>
#include <utility>

#include "base/check.h"

namespace muster::privacy {

Fft::Fft(std::size_t size) : size_(size), roots_(size / 2) {
  MUSTER_CHECK(std::has_single_bit(size));
  for (std::size_t k = 0; k < roots_.size(); ++k) {
    const double angle = -2 * std::numbers::pi * static_cast<double>(k) / static_cast<double>(size);
    roots_[k] = {std::cos(angle), std::sin(angle)};
  }
}

void Fft::transform(std::span<std::complex<double>> values, bool inverse) const {
  MUSTER_CHECK_OP(values.size(), ==, size_);
  for (std::size_t i = 1, j = 0; i < size_; ++i) {  // j is i with its bits reversed
    std::size_t bit = size_ >> 1;
    for (; (j & bit) != 0; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) std::swap(values[i], values[j]);
  }
  for (std::size_t half = 1; half < size_; half *= 2) {
    const std::size_t stride = size_ / (2 * half);
    for (std::size_t first = 0; first < size_; first += 2 * half) {
      for (std::size_t k = 0; k < half; ++k) {
        const double re = roots_[k * stride].real();
        const double im = inverse ? -roots_[k * stride].imag() : roots_[k * stride].imag();
        const std::complex<double> a = values[first + k], b = values[first + half + k];
        // Written out: std::complex's product checks for NaN.
        const std::complex<double> turned = {b.real() * re - b.imag() * im,
                                             b.real() * im + b.imag() * re};
        values[first + k] = a + turned;
        values[first + half + k] = a - turned;
      }
    }
  }
}

}  // namespace muster::privacy
