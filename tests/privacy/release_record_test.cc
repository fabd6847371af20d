#include "privacy/release_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "privacy/discrete.h"

namespace muster::privacy {
namespace {

using ::testing::HasSubstr;

ReleaseRecord whole_record() {
  ReleaseRecord record;
  record.task = "keyboard \"en\"";
  record.round = 7;
  record.model_version = 8;
  record.mechanism =
      trimmed_mean({.clip_norm = 0.5, .noise_multiplier = 4, .dimension = 1'000'000, .n = 200}, 20)
          .value();
  record.clip_norm = 0.5;
  record.dimension = 1'000'000;
  record.n = 200;
  record.sampling = CheckIn{{3, 5}};
  record.rounds = 7;
  record.ledger_position = 12;
  record.delta = 1e-6;
  record.spent = Spend{2.8189321, Accountant::kGaussian};
  record.sampler_delta = sampler_delta(7e6, 0x1p-186, 2.82);
  record.other_releases = {"clip norm (noised count)"};
  return record;
}

TEST(ReleaseRecord, StatesEpsilonRoundedUp) {
  EXPECT_EQ(statement(whole_record()),
            "(epsilon 2.819, delta 1e-06) for one device's whole update, zero-out, after 7 rounds");
}

TEST(ReleaseRecord, HoldsEveryFieldInJsonAndText) {
  const ReleaseRecord record = whole_record();
  const nlohmann::json json = nlohmann::json::parse(to_json(record));
  for (const char* key : {"task",
                          "round",
                          "model_version",
                          "statement",
                          "unit",
                          "adjacency",
                          "mechanism",
                          "sensitivity_formula",
                          "sensitivity_units",
                          "noise_multiplier",
                          "grid_step",
                          "log2_noise_steps",
                          "divisor",
                          "noise_vectors",
                          "noise_backend",
                          "clip_norm",
                          "dimension",
                          "n",
                          "sampling",
                          "participations",
                          "separation",
                          "rounds",
                          "ledger_position",
                          "delta",
                          "sampler_delta",
                          "accountant",
                          "conversion",
                          "epsilon",
                          "other_releases"}) {
    ASSERT_TRUE(json.contains(key)) << key;
    EXPECT_FALSE(json[key].is_null()) << key;
  }
  EXPECT_EQ(json["task"], record.task);
  EXPECT_EQ(json["epsilon"], record.spent->epsilon);
  EXPECT_EQ(json["grid_step"], record.mechanism->grid.step);
  EXPECT_EQ(json["participations"], 3);
  EXPECT_EQ(json["separation"], 5);
  EXPECT_EQ(json["other_releases"][0], record.other_releases[0]);
  const std::string text = to_text(record);
  EXPECT_THAT(text, HasSubstr("C / (n - 2f) = 0.5 / (200 - 2 * 20)"));
  EXPECT_THAT(text, HasSubstr("zero-out"));
  EXPECT_THAT(text, HasSubstr("2^40"));
}

TEST(ReleaseRecord, StatesNothingWhereAFieldIsMissing) {
  const auto without = [](auto&& forget, const char* name) {
    ReleaseRecord record = whole_record();
    forget(record);
    EXPECT_EQ(statement(record), std::string("no DP statement: ") + name + " unknown");
    const nlohmann::json json = nlohmann::json::parse(to_json(record));
    EXPECT_TRUE(json["epsilon"].is_null()) << name;
    EXPECT_EQ(to_text(record).find("2.8189"), std::string::npos);
  };
  without([](ReleaseRecord& r) { r.mechanism.reset(); }, "mechanism");
  without([](ReleaseRecord& r) { r.mechanism->formula.clear(); }, "sensitivity formula");
  without([](ReleaseRecord& r) { r.unit.clear(); }, "unit");
  without([](ReleaseRecord& r) { r.clip_norm = 0; }, "clip norm");
  without([](ReleaseRecord& r) { r.dimension = 0; }, "dimension");
  without([](ReleaseRecord& r) { r.n = 0; }, "n");
  without([](ReleaseRecord& r) { r.sampling.reset(); }, "sampling statement");
  without([](ReleaseRecord& r) { r.rounds = 0; }, "rounds");
  without([](ReleaseRecord& r) { r.ledger_position = 0; }, "ledger position");
  without([](ReleaseRecord& r) { r.delta = 0; }, "delta, sampler delta");
  without([](ReleaseRecord& r) { r.sampler_delta = 0; }, "sampler delta");
  without([](ReleaseRecord& r) { r.spent.reset(); }, "epsilon");
}

}  // namespace
}  // namespace muster::privacy
