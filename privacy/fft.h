// The discrete Fourier transform of 2^k complex numbers, for convolutions of privacy losses.
#pragma once

#include <complex>
#include <span>
#include <vector>

namespace muster::privacy {

/// Powers of two only. The relative error of a transform in L2 is below 4 log2(n) 2^-53.
class Fft {
 public:
  explicit Fft(std::size_t size);
  std::size_t size() const { return size_; }
  /// In place; forward, then inverse, multiplies by size().
  void forward(std::span<std::complex<double>> values) const { transform(values, false); }
  void inverse(std::span<std::complex<double>> values) const { transform(values, true); }

 private:
  void transform(std::span<std::complex<double>> values, bool inverse) const;

  std::size_t size_;
  std::vector<std::complex<double>> roots_;  ///< e^(-2 pi i k / size), k < size / 2
};

}  // namespace muster::privacy
