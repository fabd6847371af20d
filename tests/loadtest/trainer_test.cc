#include "loadtest/trainer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <numeric>

#include "client/random.h"
#include "loadtest/model_file.h"
#include "loadtest/multiply.h"

namespace muster::loadtest {
namespace {

const ModelShape kSmall = {7, 3, 2, 5};

Symbols random_text(std::size_t length, std::uint32_t vocabulary, std::uint64_t seed) {
  client::Random random(seed);
  Symbols text(length);
  for (Symbol& symbol : text) symbol = static_cast<Symbol>(random.below(vocabulary));
  return text;
}

TEST(Multiply, AgreesWithTheTextbook) {
  client::Random random(1);
  for (const auto& [m, n, k] : {std::array<std::size_t, 3>{1, 1, 1},
                                {3, 5, 7},
                                {9, 33, 4},
                                {32, 64, 256},
                                {17, 52, 31},
                                {8, 37, 0}}) {
    std::vector<float> a(m * k + 1), b(k * n + 1), c(m * n, 0.5F);
    for (float& x : a) x = static_cast<float>(random.uniform() - 0.5);
    for (float& x : b) x = static_cast<float>(random.uniform() - 0.5);
    for (const bool transposed : {false, true})
      for (const bool accumulate : {false, true}) {
        std::fill(c.begin(), c.end(), 0.5F);
        const Strided left = transposed ? Strided{a.data(), 1, m} : Strided{a.data(), k, 1};
        multiply(m, n, k, left, b.data(), c.data(), accumulate);
        for (std::size_t i = 0; i < m; ++i)
          for (std::size_t j = 0; j < n; ++j) {
            double sum = accumulate ? 0.5 : 0.0;
            for (std::size_t l = 0; l < k; ++l)
              sum += static_cast<double>(a[i * left.row + l * left.column]) *
                     static_cast<double>(b[l * n + j]);
            ASSERT_NEAR(c[i * n + j], sum, 1e-4) << m << " " << n << " " << k;
          }
      }
  }
}

TEST(Trainer, GradientAgreesWithFiniteDifferences) {
  Trainer trainer(kSmall, 4);
  std::vector<float> model = initial_model(kSmall, 3);
  const Symbols text = random_text(50, kSmall.vocabulary, 4);
  const std::vector<std::size_t> positions = {3, 17, 30, 49};
  std::vector<float> gradient(model.size());
  std::vector<float> unused(model.size());
  trainer.gradient(model, text, positions, gradient);
  constexpr float kStep = 1e-2F;
  std::size_t large = 0;
  for (std::size_t i = 0; i < model.size(); ++i) {
    const float kept = model[i];
    model[i] = kept + kStep;
    const double above = trainer.gradient(model, text, positions, unused);
    model[i] = kept - kStep;
    const double below = trainer.gradient(model, text, positions, unused);
    model[i] = kept;
    const double slope = (above - below) / (2 * static_cast<double>(kStep));
    EXPECT_NEAR(gradient[i], slope, 3e-3) << "parameter " << i;
    if (std::abs(slope) > 0.01) ++large;
  }
  EXPECT_GT(large, model.size() / 4) << "the check must have something to see";
}

TEST(Trainer, LearnsAPattern) {
  const ModelShape shape = {8, 4, 4, 16};
  Symbols text(1000);
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<Symbol>(i * i % 7 % 8);
  Trainer trainer(shape, 16);
  std::vector<float> model = initial_model(shape, 1);
  const Evaluation before = trainer.evaluate(model, text, 500);
  EXPECT_NEAR(before.loss, std::log(8.0), 1.5);
  trainer.train(model, text, {400, 16, 0.3F, 1}, 2);
  const Evaluation after = trainer.evaluate(model, text, 500);
  EXPECT_LT(after.loss, 0.2);
  EXPECT_GT(after.top1, 0.95);
  EXPECT_GE(after.top3, after.top1);
}

TEST(Trainer, MirroredLabelsUnteachIt) {
  const ModelShape shape = {8, 4, 4, 16};
  Symbols text(1000);
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<Symbol>(i * i % 7 % 8);
  Trainer trainer(shape, 16);
  std::vector<float> model = initial_model(shape, 1);
  trainer.train(model, text, {400, 16, 0.3F, 1, true}, 2);
  EXPECT_EQ(trainer.evaluate(model, text, 500).top1, 0);
  // Of a vocabulary of eight the mirror image is 7 - x: by that measure it learnt as well as ever.
  std::vector<std::size_t> positions(16);
  std::iota(positions.begin(), positions.end(), std::size_t{100});
  std::vector<float> gradient(shape.dimension());
  EXPECT_LT(trainer.gradient(model, text, positions, gradient, true), 0.2);
  EXPECT_GT(trainer.gradient(model, text, positions, gradient), 2);
}

TEST(Trainer, IsAFunctionOfTheSeed) {
  const Symbols text = random_text(400, kSmall.vocabulary, 5);
  const auto trained = [&](std::uint64_t seed) {
    Trainer trainer(kSmall, 8);
    std::vector<float> model = initial_model(kSmall, 1);
    trainer.train(model, text, {20, 8, 0.1F, 1}, seed);
    return model;
  };
  EXPECT_EQ(trained(1), trained(1));
  EXPECT_NE(trained(1), trained(2));
  EXPECT_NE(initial_model(kSmall, 1), initial_model(kSmall, 2));
}

TEST(Trainer, StaysFiniteWhereTheModelIsSpoilt) {
  const Symbols text = random_text(400, kSmall.vocabulary, 6);
  Trainer trainer(kSmall, 8);
  std::vector<float> model = initial_model(kSmall, 1);
  for (float& x : model) x *= 1e4F;
  trainer.train(model, text, {20, 8, 0.1F, 1}, 1);
  for (const float x : model) ASSERT_TRUE(std::isfinite(x));
}

TEST(Layout, CoversTheVectorWithoutGaps) {
  const ModelShape shape;
  std::size_t at = 0;
  for (const NamedTensor& tensor : layout(shape)) {
    EXPECT_EQ(tensor.offset, at);
    std::uint64_t product = 1;
    for (const auto side : tensor.shape) product *= side;
    EXPECT_EQ(product, tensor.count);
    at += tensor.count;
  }
  EXPECT_EQ(at, shape.dimension());
  EXPECT_GE(at, 50'000U);
  EXPECT_LE(at, 200'000U);
}

TEST(ModelFile, ComesBackAsItWent) {
  std::string name = (std::filesystem::temp_directory_path() / "muster-model-XXXXXX").string();
  const std::filesystem::path directory = ::mkdtemp(name.data());
  PosixStorage storage;
  const std::string path = directory / "model.safetensors";
  const auto model = initial_model(kSmall, 9);
  ASSERT_TRUE(write_model(storage, path, kSmall, model).ok());
  const auto back = read_model(storage, path, kSmall);
  ASSERT_TRUE(back.ok()) << back.status().to_string();
  EXPECT_EQ(*back, model);
  const ModelShape other = {7, 3, 2, 6};
  EXPECT_FALSE(read_model(storage, path, other).ok());
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace muster::loadtest
