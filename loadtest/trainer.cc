#include "loadtest/trainer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "client/random.h"
#include "loadtest/multiply.h"

namespace muster::loadtest {
namespace {

/// Offsets of the parts in the flat vector.
struct Parts {
  std::size_t embedding, hidden_weight, hidden_bias, output_weight, output_bias, end;
  explicit Parts(const ModelShape& s) {
    embedding = 0;
    hidden_weight = embedding + std::size_t{s.vocabulary} * s.embedding;
    hidden_bias = hidden_weight + std::size_t{s.inputs()} * s.hidden;
    output_weight = hidden_bias + s.hidden;
    output_bias = output_weight + std::size_t{s.hidden} * s.vocabulary;
    end = output_bias + s.vocabulary;
  }
};

/// target[c * rows + r] = source[r * columns + c].
void transpose(const float* source, std::size_t rows, std::size_t columns, float* target) {
  for (std::size_t c = 0; c < columns; ++c)
    for (std::size_t r = 0; r < rows; ++r) target[c * rows + r] = source[r * columns + c];
}

/// In 16 interleaved sums, so that the additions need not wait for each other.
float sum_of_squares(std::span<const float> values) {
  std::array<float, 16> sums{};
  std::size_t i = 0;
  for (; i + sums.size() <= values.size(); i += sums.size())
    for (std::size_t lane = 0; lane < sums.size(); ++lane)
      sums[lane] += values[i + lane] * values[i + lane];
  for (; i < values.size(); ++i) sums[0] += values[i] * values[i];
  return std::accumulate(sums.begin(), sums.end(), 0.0F);
}

/// Logits of one row become probabilities; returns log(sum exp).
double softmax(std::span<float> row) {
  const float largest = *std::max_element(row.begin(), row.end());
  float sum = 0;
  for (float& value : row) sum += value = std::exp(value - largest);
  const float scale = 1 / sum;
  for (float& value : row) value *= scale;
  return static_cast<double>(largest) + std::log(static_cast<double>(sum));
}

}  // namespace

std::size_t ModelShape::dimension() const { return Parts(*this).end; }

std::vector<NamedTensor> layout(const ModelShape& s) {
  const Parts at(s);
  return {
      {"embedding.weight", {s.vocabulary, s.embedding}, at.embedding, at.hidden_weight},
      {"hidden.weight",
       {s.inputs(), s.hidden},
       at.hidden_weight,
       at.hidden_bias - at.hidden_weight},
      {"hidden.bias", {s.hidden}, at.hidden_bias, s.hidden},
      {"output.weight",
       {s.hidden, s.vocabulary},
       at.output_weight,
       at.output_bias - at.output_weight},
      {"output.bias", {s.vocabulary}, at.output_bias, s.vocabulary},
  };
}

std::vector<float> initial_model(const ModelShape& shape, std::uint64_t seed) {
  const Parts at(shape);
  std::vector<float> model(at.end, 0.0F);
  client::Random random(seed);
  const auto fill = [&](std::size_t begin, std::size_t end, double variance) {
    const double width = std::sqrt(3 * variance);
    for (std::size_t i = begin; i < end; ++i)
      model[i] = static_cast<float>((2 * random.uniform() - 1) * width);
  };
  fill(at.embedding, at.hidden_weight, 1.0);
  fill(at.hidden_weight, at.hidden_bias, 1.0 / shape.inputs());
  fill(at.output_weight, at.output_bias, 1.0 / shape.hidden);
  return model;
}

Trainer::Trainer(const ModelShape& shape, std::uint32_t batch)
    : shape_(shape),
      batch_(batch),
      inputs_(std::size_t{batch} * shape.inputs()),
      hidden_(std::size_t{batch} * shape.hidden),
      logits_(std::size_t{batch} * shape.vocabulary),
      transposed_(std::size_t{batch} * std::max(shape.hidden, shape.vocabulary)),
      hidden_gradient_(std::size_t{batch} * shape.hidden),
      input_gradient_(std::size_t{batch} * shape.inputs()),
      gradient_(shape.dimension()) {}

void Trainer::forward(std::span<const float> model, std::span<const Symbol> text,
                      std::span<const std::size_t> positions) {
  const Parts at(shape_);
  const std::size_t n = positions.size();
  MUSTER_CHECK_OP(n, <=, batch_);
  MUSTER_CHECK_OP(model.size(), ==, at.end);
  float* input = inputs_.data();
  for (const std::size_t position : positions)
    for (std::size_t c = position - shape_.context; c < position; ++c, input += shape_.embedding)
      std::copy_n(model.data() + at.embedding + std::size_t{text[c]} * shape_.embedding,
                  shape_.embedding, input);
  for (std::size_t e = 0; e < n; ++e) {
    std::copy_n(model.data() + at.hidden_bias, shape_.hidden, hidden_.data() + e * shape_.hidden);
    std::copy_n(model.data() + at.output_bias, shape_.vocabulary,
                logits_.data() + e * shape_.vocabulary);
  }
  multiply(n, shape_.hidden, shape_.inputs(), {inputs_.data(), shape_.inputs(), 1},
           model.data() + at.hidden_weight, hidden_.data(), true);
  for (std::size_t i = 0; i < n * shape_.hidden; ++i) hidden_[i] = std::max(hidden_[i], 0.0F);
  multiply(n, shape_.vocabulary, shape_.hidden, {hidden_.data(), shape_.hidden, 1},
           model.data() + at.output_weight, logits_.data(), true);
}

double Trainer::gradient(std::span<const float> model, std::span<const Symbol> text,
                         std::span<const std::size_t> positions, std::span<float> gradient,
                         bool flips_labels) {
  const Parts at(shape_);
  const std::size_t n = positions.size();
  MUSTER_CHECK_OP(gradient.size(), ==, at.end);
  forward(model, text, positions);
  double loss = 0;
  const float share = 1 / static_cast<float>(n);
  for (std::size_t e = 0; e < n; ++e) {
    const std::span row(logits_.data() + e * shape_.vocabulary, shape_.vocabulary);
    const std::size_t came = text[positions[e]];
    const std::size_t next = flips_labels ? shape_.vocabulary - 1 - came : came;
    const float logit = row[next];
    loss += softmax(row) - static_cast<double>(logit);
    row[next] -= 1;
    for (float& value : row) value *= share;
  }
  std::fill(gradient.begin(), gradient.begin() + static_cast<std::ptrdiff_t>(at.hidden_weight), 0);
  std::fill(gradient.begin() + static_cast<std::ptrdiff_t>(at.output_bias), gradient.end(), 0);
  for (std::size_t e = 0; e < n; ++e)
    for (std::size_t v = 0; v < shape_.vocabulary; ++v)
      gradient[at.output_bias + v] += logits_[e * shape_.vocabulary + v];
  multiply(shape_.hidden, shape_.vocabulary, n, {hidden_.data(), 1, shape_.hidden}, logits_.data(),
           gradient.data() + at.output_weight);

  // The way back runs transposed (weights * errors^T): the narrow side of each product is the
  // batch.
  transpose(logits_.data(), n, shape_.vocabulary, transposed_.data());
  multiply(shape_.hidden, n, shape_.vocabulary,
           {model.data() + at.output_weight, shape_.vocabulary, 1}, transposed_.data(),
           hidden_gradient_.data());
  for (std::size_t h = 0; h < shape_.hidden; ++h) {
    float sum = 0;
    for (std::size_t e = 0; e < n; ++e) {
      float& value = hidden_gradient_[h * n + e];
      if (hidden_[e * shape_.hidden + h] <= 0) value = 0;
      sum += value;
    }
    gradient[at.hidden_bias + h] = sum;
  }
  transpose(hidden_gradient_.data(), shape_.hidden, n, transposed_.data());
  multiply(shape_.inputs(), shape_.hidden, n, {inputs_.data(), 1, shape_.inputs()},
           transposed_.data(), gradient.data() + at.hidden_weight);
  multiply(shape_.inputs(), n, shape_.hidden, {model.data() + at.hidden_weight, shape_.hidden, 1},
           hidden_gradient_.data(), input_gradient_.data());
  for (std::size_t e = 0; e < n; ++e)
    for (std::size_t c = 0; c < shape_.context; ++c) {
      const Symbol symbol = text[positions[e] - shape_.context + c];
      for (std::size_t v = 0; v < shape_.embedding; ++v)
        gradient[at.embedding + std::size_t{symbol} * shape_.embedding + v] +=
            input_gradient_[(c * shape_.embedding + v) * n + e];
    }
  return loss / static_cast<double>(n);
}

void Trainer::train(std::span<float> model, std::span<const Symbol> text,
                    const TrainOptions& options, std::uint64_t seed) {
  MUSTER_CHECK_OP(text.size(), >, shape_.context);
  MUSTER_CHECK_OP(options.batch, <=, batch_);
  client::Random random(seed);
  std::vector<std::size_t> positions(options.batch);
  for (std::uint32_t step = 0; step < options.steps; ++step) {
    for (auto& position : positions)
      position = shape_.context + random.below(text.size() - shape_.context);
    gradient(model, text, positions, gradient_, options.flips_labels);
    const float norm = std::sqrt(sum_of_squares(gradient_));
    const float rate = -options.learning_rate * std::min(1.0F, options.gradient_norm / norm);
    for (std::size_t i = 0; i < gradient_.size(); ++i) model[i] += rate * gradient_[i];
  }
}

Evaluation Trainer::evaluate(std::span<const float> model, std::span<const Symbol> text,
                             std::size_t count) {
  MUSTER_CHECK_OP(text.size(), >, shape_.context);
  const std::size_t room = text.size() - shape_.context;
  count = std::min(count, room);
  Evaluation sum;
  std::vector<std::size_t> positions;
  for (std::size_t done = 0; done < count; done += positions.size()) {
    positions.clear();
    for (std::size_t i = done; i < std::min<std::size_t>(count, done + batch_); ++i)
      positions.push_back(shape_.context + i * room / count);
    forward(model, text, positions);
    for (std::size_t e = 0; e < positions.size(); ++e) {
      const std::span row(logits_.data() + e * shape_.vocabulary, shape_.vocabulary);
      const float logit = row[text[positions[e]]];
      const auto above = std::count_if(row.begin(), row.end(), [&](float v) { return v > logit; });
      sum.top1 += above < 1 ? 1 : 0;
      sum.top3 += above < 3 ? 1 : 0;
      sum.loss += softmax(row) - static_cast<double>(logit);
    }
  }
  const auto n = static_cast<double>(count);
  return {sum.loss / n, sum.top1 / n, sum.top3 / n};
}

}  // namespace muster::loadtest
