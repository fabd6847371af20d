// The parts of muster_learning, without any data set.
#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <set>

#include "client/random.h"
#include "tests/learning/claims.h"
#include "tests/learning/network.h"

namespace muster::learning {
namespace {

/// Pictures of noise around one pattern a class.
Digits patterns(std::size_t count, std::uint64_t seed) {
  Digits digits;
  client::Random random(seed);
  for (std::size_t i = 0; i < count; ++i) {
    const auto label = static_cast<std::uint8_t>(i % kClasses);
    for (std::size_t k = 0; k < kPixels; ++k)
      digits.pixels.push_back(
          static_cast<float>((k % kClasses == label ? 0.6 : 0.0) + 0.4 * random.uniform()));
    digits.labels.push_back(label);
  }
  return digits;
}

double loss(std::span<const float> model, const Batch& batch) {
  double sum = 0;
  const float* hidden_bias = model.data() + kPixels * kHidden;
  const float* output_weights = hidden_bias + kHidden;
  const float* output_bias = output_weights + kHidden * kClasses;
  for (std::size_t r = 0; r < batch.labels.size(); ++r) {
    std::vector<double> outputs(output_bias, output_bias + kClasses);
    for (std::size_t h = 0; h < kHidden; ++h) {
      auto value = static_cast<double>(hidden_bias[h]);
      for (std::size_t k = 0; k < kPixels; ++k)
        value += static_cast<double>(batch.inputs[r * kPixels + k]) *
                 static_cast<double>(model[k * kHidden + h]);
      for (std::size_t c = 0; c < kClasses; ++c)
        outputs[c] += std::max(value, 0.0) * static_cast<double>(output_weights[h * kClasses + c]);
    }
    double exponentials = 0;
    for (const double output : outputs) exponentials += std::exp(output);
    sum += std::log(exponentials) - outputs[batch.labels[r]];
  }
  return sum / static_cast<double>(batch.labels.size());
}

TEST(Network, GradientsAreTheSlopesOfTheLoss) {
  const Digits digits = patterns(24, 5);
  std::vector<float> model = initial_model(9);
  std::vector<Batch> parts(2);
  Batch batch;
  for (std::size_t i = 0; i < digits.count(); ++i)
    for (Batch* target : {&batch, &parts[i / 12]}) target->add(digits.picture(i), digits.labels[i]);
  Rows gradients(2);
  Network().gradients(model, batch, gradients);
  client::Random random(17);
  for (int trial = 0; trial < 60; ++trial) {
    // Every second trial looks at the output layer, which a uniform choice would hardly meet.
    const std::size_t k = trial % 2 == 0 ? random.below(kDimension)
                                         : kDimension - 1 - random.below(kHidden * kClasses);
    const float before = model[k];
    for (std::size_t g = 0; g < 2; ++g) {
      constexpr float kStep = 1e-3F;
      model[k] = before + kStep;
      const double above = loss(model, parts[g]);
      model[k] = before - kStep;
      const double below = loss(model, parts[g]);
      model[k] = before;
      EXPECT_NEAR(static_cast<double>(gradients[g][k]),
                  (above - below) / static_cast<double>(2 * kStep), 2e-3)
          << "parameter " << k;
    }
  }
}

TEST(Network, ANaNIsNeverRight) {
  const Digits digits = patterns(20, 3);
  EXPECT_EQ(Network().accuracy(std::vector<float>(kDimension, NAN), digits), 0);
  EXPECT_EQ(Network().accuracy(std::vector<float>(kDimension, 0), digits), 0) << "all outputs tie";
}

TEST(Deal, GivesEveryPictureToOneClientAndSortedClientsFewLabels) {
  const Digits digits = patterns(1000, 1);
  for (const Split split : {Split::kIid, Split::kSorted}) {
    const auto hands = deal(digits.labels, 20, split, 7);
    std::set<std::uint32_t> seen;
    std::size_t most_labels = 0;
    for (const auto& hand : hands) {
      EXPECT_EQ(hand.size(), 50u);
      seen.insert(hand.begin(), hand.end());
      std::set<std::uint8_t> labels;
      for (const auto i : hand) labels.insert(digits.labels[i]);
      most_labels = std::max(most_labels, labels.size());
    }
    EXPECT_EQ(seen.size(), digits.count());
    EXPECT_EQ(most_labels, split == Split::kIid ? kClasses : 1u);
  }
}

TEST(ReadIdx, RefusesWhatIsMissingCutOrOfAnotherKind) {
  namespace fs = std::filesystem;
  const fs::path folder = fs::path(::testing::TempDir()) / "learning-idx";
  fs::create_directories(folder);
  const auto write = [&](const char* name, const std::string& bytes) {
    const std::string path = folder / name;
    gzFile file = gzopen(path.c_str(), "wb");
    gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
    gzclose(file);
    return path;
  };
  using namespace std::string_literals;
  const std::string head = "\0\0\x08\x03\0\0\0\x02\0\0\0\x1c\0\0\0\x1c"s;
  const std::string sound =
      write("images", head + std::string(784, '\0') + std::string(784, '\xff'));
  const std::string labels = write("labels", "\0\0\x08\x01\0\0\0\x02\x03\x09"s);
  const auto digits = read_idx(sound, labels);
  ASSERT_TRUE(digits.ok()) << digits.status().to_string();
  EXPECT_EQ(digits.value().labels, (std::vector<std::uint8_t>{3, 9}));
  EXPECT_EQ(digits.value().picture(0)[0], 0);
  EXPECT_EQ(digits.value().picture(1)[kPixels - 1], 1);

  const auto reason = [](const Result<Digits>& result) { return result.status().reason(); };
  EXPECT_EQ(reason(read_idx(sound + "?", labels)), "data_missing");
  EXPECT_EQ(reason(read_idx(write("cut", head + std::string(1567, '\0')), labels)),
            "data_malformed");
  EXPECT_EQ(reason(read_idx(labels, labels)), "data_malformed");
  EXPECT_EQ(reason(read_idx(sound, write("ten", "\0\0\x08\x01\0\0\0\x02\x03\x0a"s))),
            "data_malformed");
  EXPECT_EQ(reason(read_idx(sound, write("one", "\0\0\x08\x01\0\0\0\x01\x03"s))), "data_malformed");
}

TEST(Attacks, AreWhatTheirDefinitionsSay) {
  const Rows honest = {{1, 0}, {3, 0}, {2, 6}};
  const Rows own = {{1, 2}, {3, 4}};
  MimicTarget mimic(3);
  const auto rows = [&](Attack attack) { return hostile_rows(attack, honest, own, 2, mimic); };
  EXPECT_EQ(rows(Attack::kBitFlip), (Rows{{-1, -2}, {-3, -4}}));
  EXPECT_EQ(rows(Attack::kLabelFlip), own);
  for (const auto& row : rows(Attack::kIpm)) {
    EXPECT_FLOAT_EQ(row[0], -0.2F);
    EXPECT_FLOAT_EQ(row[1], -0.2F);
  }
  EXPECT_EQ(rows(Attack::kBoost), (Rows{{-20, -20}, {-20, -20}}));
  // The spread of (1,0) (3,0) (2,6) is along the second coordinate, and (2,6) lies furthest out.
  for (int round = 0; round < 6; ++round)
    EXPECT_EQ(rows(Attack::kMimic), (Rows{{2, 6}, {2, 6}})) << "round " << round;
}

TEST(Learning, IsTheSameWhateverTheThreadsAndMeansAreRuinedByBoost) {
  const Data data{patterns(500, 1), patterns(200, 2)};
  Settings settings;
  settings.rounds = 60;
  settings.batch = 8;
  std::vector<Cell> cells;
  for (const char* rule : {"mean", "trimmed_mean"})
    for (const Attack attack : {Attack::kNone, Attack::kBoost})
      cells.push_back({Split::kIid, 0, attack, {rule, PreStep::kPlain}});
  cells.push_back({Split::kIid, 0, Attack::kNone, {"no_such_rule", PreStep::kPlain}});
  for (const Codec codec : {Codec::kF32, Codec::kI8B, Codec::kI8S}) {
    settings.codec = codec;
    const Table one = fill(settings, cells, data, 1);
    const Table two = fill(settings, cells, data, 2);
    EXPECT_EQ(as_json(one), as_json(two));
    EXPECT_GT(one.accuracy(cells[0]), 0.9) << codec_name(codec);
    EXPECT_LT(one.accuracy(cells[1]), 0.5) << codec_name(codec);
    EXPECT_GT(one.accuracy(cells[2]), 0.9) << codec_name(codec);
    EXPECT_GT(one.accuracy(cells[3]), 0.8) << codec_name(codec);
    EXPECT_EQ(one.accuracy(cells[4]), std::nullopt);
    ASSERT_EQ(one.skipped.size(), 1u);
    EXPECT_NE(one.skipped[0].find("rule_unknown"), std::string::npos);
  }
}

TEST(Claims, FailWhenARuleDoesNotDoWhatItShould) {
  // A table on which every claim holds: good where it should be, bad elsewhere.
  const auto table_with = [](double krum) {
    Table table;
    for (const Cell& cell : slice_cells()) {
      const auto& [rule, pre_step] = cell.recipe;
      double value = 0.9;
      const bool plain = pre_step == PreStep::kPlain;
      if (cell.split == Split::kSorted && plain && rule == "krum") value = krum;
      if (cell.split == Split::kSorted && plain && rule == "median") value = 0.2;
      if (cell.split == Split::kSorted && plain && rule == "geometric_median") value = 0.5;
      if (cell.attack == Attack::kBoost && rule == "mean") value = 0.1;
      table.entries.push_back({cell, value});
    }
    return table;
  };
  const auto count = [](const Table& table, bool verdict) {
    const auto judgements = judge(table);
    return std::count_if(judgements.begin(), judgements.end(),
                         [&](const Judgement& j) { return j.holds == verdict; });
  };
  EXPECT_EQ(count(table_with(0.2), false), 0);
  EXPECT_GE(count(table_with(0.2), true), 8);
  EXPECT_GE(count(table_with(0.9), false), 4) << "a Krum that never fails";
  EXPECT_TRUE(judge(Table{}).empty()) << "nothing was run";
}

}  // namespace
}  // namespace muster::learning
