#include "tests/learning/network.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "client/random.h"
#include "loadtest/multiply.h"

namespace muster::learning {
namespace {

using loadtest::multiply;

constexpr std::size_t kHiddenBias = kPixels * kHidden;
constexpr std::size_t kOutputWeights = kHiddenBias + kHidden;
constexpr std::size_t kOutputBias = kOutputWeights + kHidden * kClasses;

void softmax(std::span<float> row) {
  const float largest = *std::max_element(row.begin(), row.end());
  float sum = 0;
  for (float& value : row) sum += value = std::exp(value - largest);
  for (float& value : row) value /= sum;
}

/// target[k] = sum of column k of a rows x width matrix.
void sum_rows(const float* matrix, std::size_t rows, std::size_t width, float* target) {
  std::fill_n(target, width, 0.0F);
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t k = 0; k < width; ++k) target[k] += matrix[r * width + k];
}

}  // namespace

std::vector<float> initial_model(std::uint64_t seed) {
  std::vector<float> model(kDimension, 0.0F);
  client::Random random(seed);
  const auto fill = [&](std::size_t begin, std::size_t end, std::size_t inputs) {
    const double width = std::sqrt(6.0 / static_cast<double>(inputs));
    for (std::size_t i = begin; i < end; ++i)
      model[i] = static_cast<float>((2 * random.uniform() - 1) * width);
  };
  fill(0, kHiddenBias, kPixels);
  fill(kOutputWeights, kOutputBias, kHidden);
  return model;
}

void Batch::clear() {
  inputs.clear();
  labels.clear();
}

void Batch::add(std::span<const float> picture, std::uint8_t label) {
  inputs.insert(inputs.end(), picture.begin(), picture.end());
  labels.push_back(label);
}

void Network::forward(std::span<const float> model, const float* inputs, std::size_t rows) {
  MUSTER_CHECK_OP(model.size(), ==, kDimension);
  hidden_.resize(rows * kHidden);
  outputs_.resize(rows * kClasses);
  for (std::size_t r = 0; r < rows; ++r) {
    std::copy_n(model.data() + kHiddenBias, kHidden, hidden_.data() + r * kHidden);
    std::copy_n(model.data() + kOutputBias, kClasses, outputs_.data() + r * kClasses);
  }
  multiply(rows, kHidden, kPixels, {inputs, kPixels, 1}, model.data(), hidden_.data(), true);
  for (float& value : hidden_) value = std::max(value, 0.0F);
  multiply(rows, kClasses, kHidden, {hidden_.data(), kHidden, 1}, model.data() + kOutputWeights,
           outputs_.data(), true);
}

void Network::gradients(std::span<const float> model, const Batch& batch,
                        std::span<std::vector<float>> gradients) {
  const std::size_t rows = batch.labels.size();
  const std::size_t part = rows / gradients.size();
  MUSTER_CHECK_OP(part * gradients.size(), ==, rows);
  forward(model, batch.inputs.data(), rows);
  for (std::size_t r = 0; r < rows; ++r) {
    const std::span row(outputs_.data() + r * kClasses, kClasses);
    softmax(row);
    row[batch.labels[r]] -= 1;
    for (float& value : row) value /= static_cast<float>(part);
  }
  transposed_.resize(kClasses * kHidden);
  for (std::size_t h = 0; h < kHidden; ++h)
    for (std::size_t c = 0; c < kClasses; ++c)
      transposed_[c * kHidden + h] = model[kOutputWeights + h * kClasses + c];
  hidden_errors_.resize(rows * kHidden);
  multiply(rows, kHidden, kClasses, {outputs_.data(), kClasses, 1}, transposed_.data(),
           hidden_errors_.data());
  for (std::size_t i = 0; i < hidden_errors_.size(); ++i)
    if (hidden_[i] <= 0) hidden_errors_[i] = 0;

  for (std::size_t g = 0; g < gradients.size(); ++g) {
    gradients[g].resize(kDimension);
    float* target = gradients[g].data();
    const float* inputs = batch.inputs.data() + g * part * kPixels;
    const float* hidden = hidden_.data() + g * part * kHidden;
    const float* errors = outputs_.data() + g * part * kClasses;
    const float* hidden_errors = hidden_errors_.data() + g * part * kHidden;
    multiply(kPixels, kHidden, part, {inputs, 1, kPixels}, hidden_errors, target);
    sum_rows(hidden_errors, part, kHidden, target + kHiddenBias);
    multiply(kHidden, kClasses, part, {hidden, 1, kHidden}, errors, target + kOutputWeights);
    sum_rows(errors, part, kClasses, target + kOutputBias);
  }
}

double Network::accuracy(std::span<const float> model, const Digits& digits) {
  forward(model, digits.pixels.data(), digits.count());
  std::size_t right = 0;
  for (std::size_t i = 0; i < digits.count(); ++i) {
    const float* row = outputs_.data() + i * kClasses;
    const float own = row[digits.labels[i]];
    // Counting what is not below: a NaN compares with nothing, so it is never right.
    const auto others = std::count_if(row, row + kClasses, [&](float v) { return !(v < own); });
    right += others == 1 && own == own ? 1 : 0;
  }
  return static_cast<double>(right) / static_cast<double>(digits.count());
}

}  // namespace muster::learning
