// A small classifier: pixels -> 32 hidden units (ReLU) -> 10 classes, cross entropy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tests/learning/digits.h"

namespace muster::learning {

inline constexpr std::size_t kHidden = 32;
/// Parameters in the flat vector: hidden weights [kPixels, kHidden], hidden bias, output weights
/// [kHidden, kClasses], output bias.
inline constexpr std::size_t kDimension =
    kPixels * kHidden + kHidden + kHidden * kClasses + kClasses;

std::vector<float> initial_model(std::uint64_t seed);

/// Pictures gathered for a step: `labels.size()` rows.
struct Batch {
  std::vector<float> inputs;  ///< rows x kPixels
  std::vector<std::uint8_t> labels;

  void clear();
  void add(std::span<const float> picture, std::uint8_t label);
};

/// Scratch for one thread.
class Network {
 public:
  /// The mean gradient of each of gradients.size() equal parts of `batch` at the same model.
  void gradients(std::span<const float> model, const Batch& batch,
                 std::span<std::vector<float>> gradients);
  /// Share of `digits` whose label has the greatest output; a row with a NaN is wrong.
  double accuracy(std::span<const float> model, const Digits& digits);

 private:
  /// Fills hidden_ and outputs_ for `rows` inputs.
  void forward(std::span<const float> model, const float* inputs, std::size_t rows);

  std::vector<float> hidden_, outputs_, hidden_errors_, transposed_;
};

}  // namespace muster::learning
