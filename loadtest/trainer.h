// What a phone learns: the next character from the last few, by an embedding, one hidden layer of
// ReLU and a softmax (Bengio et al. 2003), with plain SGD on one flat vector.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "loadtest/text.h"

namespace muster::loadtest {

struct ModelShape {
  std::uint32_t vocabulary = 64;
  std::uint32_t context = 10;  ///< characters seen
  std::uint32_t embedding = 16;
  std::uint32_t hidden = 256;

  std::uint32_t inputs() const { return context * embedding; }
  std::size_t dimension() const;
};

/// A named part of the flat vector, row-major.
struct NamedTensor {
  std::string name;
  std::vector<std::uint64_t> shape;
  std::size_t offset;  ///< in values
  std::size_t count;
};
/// Embedding, hidden weight and bias, output weight and bias, in the vector's order, without gaps.
std::vector<NamedTensor> layout(const ModelShape& shape);
/// Uniform weights of variance 1/inputs, zero biases; a function of the seed.
std::vector<float> initial_model(const ModelShape& shape, std::uint64_t seed);

struct TrainOptions {
  std::uint32_t steps = 64;
  std::uint32_t batch = 32;
  float learning_rate = 0.2F;
  float gradient_norm = 1;    ///< longer gradients are cut to this L2 norm
  bool flips_labels = false;  ///< learns the mirror image of what comes next
};

struct Evaluation {
  double loss = 0;  ///< mean cross entropy, nats a character
  double top1 = 0;  ///< shares in [0, 1]
  double top3 = 0;
};

/// Workspace of one thread.
class Trainer {
 public:
  Trainer(const ModelShape& shape, std::uint32_t batch);

  /// Mean loss over the examples and its gradient. Example e predicts text[positions[e]] from the
  /// characters before it; positions are at least context. At most `batch` examples.
  /// `flips_labels`: what comes next is said to be its mirror image in the vocabulary.
  double gradient(std::span<const float> model, std::span<const Symbol> text,
                  std::span<const std::size_t> positions, std::span<float> gradient,
                  bool flips_labels = false);
  /// SGD at random positions of `text`, in place; a function of model, text, options and seed.
  void train(std::span<float> model, std::span<const Symbol> text, const TrainOptions& options,
             std::uint64_t seed);
  /// Over `count` positions spread evenly over `text`.
  Evaluation evaluate(std::span<const float> model, std::span<const Symbol> text,
                      std::size_t count);

 private:
  /// Probabilities (before normalisation: logits) of the examples into logits_.
  void forward(std::span<const float> model, std::span<const Symbol> text,
               std::span<const std::size_t> positions);

  ModelShape shape_;
  std::uint32_t batch_;
  std::vector<float> inputs_;      ///< batch x inputs
  std::vector<float> hidden_;      ///< batch x hidden
  std::vector<float> logits_;      ///< batch x vocabulary; gradient of the loss on the way back
  std::vector<float> transposed_;  ///< small matrices on their way through a product
  std::vector<float> hidden_gradient_;  ///< hidden x batch
  std::vector<float> input_gradient_;   ///< inputs x batch
  std::vector<float> gradient_;         ///< of one step
};

}  // namespace muster::loadtest
