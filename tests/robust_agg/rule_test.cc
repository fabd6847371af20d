#include "robust_agg/rule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::robust {
namespace {

using ::testing::HasSubstr;

std::string refusal(std::string_view name, const RuleParameters& parameters) {
  const auto rule = parse_rule(name, parameters);
  return rule.ok() ? "accepted: " + to_string(*rule) : rule.status().to_string();
}

TEST(ParseRule, ReadsEveryRule) {
  EXPECT_EQ(to_string(parse_rule("mean", {}).value()), "mean");
  EXPECT_EQ(to_string(parse_rule("median", {}).value()), "median");
  EXPECT_EQ(to_string(parse_rule("clipped_mean", {.clip_norm = 2.5}).value()),
            "clipped_mean(clip_norm=2.5)");
  EXPECT_EQ(to_string(parse_rule("trimmed_mean", {.byzantine_share = 0.2}).value()),
            "trimmed_mean(byzantine_share=0.2)");
  EXPECT_EQ(to_string(parse_rule("krum", {.f = 3}).value()), "krum(f=3, neighbours=n-f-2)");
  EXPECT_EQ(to_string(parse_rule("multi_krum", {.f = 3, .m = 5, .neighbours = "n-f-1"}).value()),
            "multi_krum(f=3, m=5, neighbours=n-f-1)");
  EXPECT_EQ(to_string(parse_rule("multi_krum", {.f = 3}).value()),
            "multi_krum(f=3, m=n-f-2, neighbours=n-f-2)");
  EXPECT_EQ(to_string(parse_rule("meamed", {.f = 3}).value()), "meamed(f=3)");
  EXPECT_EQ(to_string(parse_rule("phocas", {.byzantine_share = 0.1}).value()),
            "phocas(byzantine_share=0.1)");
  EXPECT_EQ(to_string(parse_rule("bulyan", {.f = 2}).value()), "bulyan(f=2)");
  EXPECT_EQ(to_string(parse_rule("mda", {.f = 2}).value()), "mda(f=2)");
}

TEST(ParseRule, ReadsTheRowRules) {
  EXPECT_EQ(to_string(parse_rule("geometric_median", {}).value()),
            "geometric_median(smoothing=1e-06, iterations=8, tolerance=0, start=mean)");
  EXPECT_EQ(
      to_string(
          parse_rule("geometric_median",
                     {.smoothing = 0.1, .iterations = 3, .tolerance = 1e-9, .start = "previous"})
              .value()),
      "geometric_median(smoothing=0.1, iterations=3, tolerance=1e-09, start=previous)");
  EXPECT_EQ(to_string(parse_rule("centred_clipping", {.tau = 10}).value()),
            "centred_clipping(tau=10, iterations=1, start=previous)");
  EXPECT_EQ(to_string(parse_rule("cge", {.f = 2}).value()), "cge(f=2)");
  EXPECT_EQ(to_string(parse_rule("caf", {.byzantine_share = 0.1}).value()),
            "caf(byzantine_share=0.1)");
  EXPECT_EQ(to_string(parse_rule("monna", {.f = 2}).value()), "monna(f=2)");
  EXPECT_EQ(to_string(parse_rule("fltrust", {}).value()), "fltrust");
  EXPECT_EQ(to_string(parse_rule("sign_majority", {.step = 0.5}).value()),
            "sign_majority(step=0.5)");
}

TEST(ParseRule, RefusesParametersOfOtherRowRules) {
  EXPECT_THAT(refusal("centred_clipping", {}), HasSubstr("needs tau"));
  EXPECT_THAT(refusal("centred_clipping", {.tau = -1}), HasSubstr("tau must be a positive number"));
  EXPECT_THAT(refusal("centred_clipping", {.start = "mean", .tau = 1}),
              HasSubstr("start must be \"zero\" or \"previous\", it is \"mean\""));
  EXPECT_THAT(refusal("centred_clipping", {.smoothing = 1, .tau = 1}),
              HasSubstr("takes no smoothing"));
  EXPECT_THAT(refusal("geometric_median", {.start = "here"}),
              HasSubstr("\"zero\", \"mean\" or \"previous\""));
  for (const std::uint32_t bad : {0u, 1001u})
    EXPECT_THAT(refusal("geometric_median", {.iterations = bad}), HasSubstr("[1, 1000]"));
  for (const double bad : {-1e-9, 1.0, double(NAN)})
    EXPECT_THAT(refusal("geometric_median", {.tolerance = bad}), HasSubstr("[0, 1)"));
  for (const double bad : {0.0, double(NAN), double(INFINITY)}) {
    EXPECT_THAT(refusal("geometric_median", {.smoothing = bad}), HasSubstr("smoothing"));
    EXPECT_THAT(refusal("sign_majority", {.step = bad}), HasSubstr("step"));
  }
  EXPECT_THAT(refusal("geometric_median", {.f = 1}), HasSubstr("takes no f"));
  EXPECT_THAT(refusal("fltrust", {.tau = 1}), HasSubstr("takes no tau"));
  EXPECT_THAT(refusal("mean", {.iterations = 1}), HasSubstr("takes no iterations"));
  EXPECT_THAT(refusal("mean", {.tolerance = 0}), HasSubstr("takes no tolerance"));
  EXPECT_THAT(refusal("mean", {.start = "zero"}), HasSubstr("takes no start"));
  EXPECT_THAT(refusal("mean", {.step = 1}), HasSubstr("takes no step"));
  EXPECT_THAT(refusal("caf", {}), HasSubstr("caf needs f or byzantine_share"));
  EXPECT_THAT(refusal("centered_clipping", {}), HasSubstr("\"centred_clipping\""));
}

TEST(ParseRule, SuggestsTheNearestSpelling) {
  EXPECT_EQ(refusal("trimed_mean", {}),
            "rule_unknown: there is no rule \"trimed_mean\"; did you mean \"trimmed_mean\"?");
  EXPECT_THAT(refusal("Krum", {}), HasSubstr("\"krum\""));
  EXPECT_THAT(refusal("multikrum", {}), HasSubstr("\"multi_krum\""));
  EXPECT_THAT(refusal("bullyan", {}), HasSubstr("\"bulyan\""));
  EXPECT_THAT(refusal("", {}), HasSubstr("rule_unknown"));
  EXPECT_LT(refusal(std::string(100'000, 'x'), {}).size(), 300u);
}

TEST(ParseRule, RefusesWhatIsMissingUnusedOrOutOfRange) {
  EXPECT_THAT(refusal("krum", {}), HasSubstr("rule_parameter: krum needs f or byzantine_share"));
  EXPECT_THAT(refusal("krum", {.f = 1, .byzantine_share = 0.1}), HasSubstr("not both"));
  EXPECT_THAT(refusal("mean", {.f = 1}), HasSubstr("mean takes no f"));
  EXPECT_THAT(refusal("median", {.byzantine_share = 0.1}), HasSubstr("takes no byzantine_share"));
  EXPECT_THAT(refusal("krum", {.f = 1, .m = 2}), HasSubstr("krum takes no m"));
  EXPECT_THAT(refusal("trimmed_mean", {.f = 1, .neighbours = "n-f-2"}),
              HasSubstr("takes no neighbours"));
  EXPECT_THAT(refusal("trimmed_mean", {.clip_norm = 1, .f = 1}), HasSubstr("takes no clip_norm"));
  EXPECT_THAT(refusal("krum", {.f = 1, .neighbours = "all"}), HasSubstr("\"all\""));
  EXPECT_THAT(refusal("clipped_mean", {}), HasSubstr("needs clip_norm"));
  for (const double norm : {0.0, -1.0, double(NAN), double(INFINITY)})
    EXPECT_THAT(refusal("clipped_mean", {.clip_norm = norm}), HasSubstr("rule_parameter"));
  // Half of the cohort faulty: no rule can tell which half. Some libraries average an empty slice.
  for (const double share : {0.5, 1.0, -0.1, double(NAN)})
    EXPECT_THAT(refusal("trimmed_mean", {.byzantine_share = share}), HasSubstr("[0, 0.5)"));
}

TEST(FaultBound, SharesRoundDownButNotBelowWhatWasMeant) {
  EXPECT_EQ((FaultBound{std::nullopt, 0.29}.of(100)), 29u);  // 0.29 * 100 < 29 in f64
  EXPECT_EQ((FaultBound{std::nullopt, 0.2}.of(5)), 1u);
  EXPECT_EQ((FaultBound{std::nullopt, 0.2}.of(4)), 0u);
  EXPECT_EQ((FaultBound{std::nullopt, 0.2}.of(9)), 1u);
  EXPECT_EQ((FaultBound{7, 0.2}.of(3)), 7u);
  for (std::uint32_t n = 1; n <= 20'000; ++n)
    for (std::uint32_t percent = 0; percent < 50; ++percent)
      ASSERT_EQ((FaultBound{std::nullopt, percent / 100.0}.of(n)), n * percent / 100)
          << n << " at " << percent << " %";
}

TEST(MinimumCohort, FollowsThePapers) {
  EXPECT_EQ(minimum_cohort(Mean{}, 0), 1u);
  EXPECT_EQ(minimum_cohort(ClippedMean{}, 0), 1u);
  EXPECT_EQ(minimum_cohort(Median{}, 0), 1u);
  EXPECT_EQ(minimum_cohort(TrimmedMean{}, 3), 7u);
  EXPECT_EQ(minimum_cohort(Krum{}, 3), 9u);
  EXPECT_EQ(minimum_cohort(MultiKrum{}, 3), 9u);
  EXPECT_EQ(minimum_cohort(MultiKrum{{}, 12}, 3), 12u);
  EXPECT_EQ(minimum_cohort(GeometricMedian{}, 0), 1u);
  EXPECT_EQ(minimum_cohort(CentredClipping{}, 0), 1u);
  EXPECT_EQ(minimum_cohort(Cge{}, 3), 7u);
  EXPECT_EQ(minimum_cohort(Caf{}, 3), 7u);
  EXPECT_EQ(minimum_cohort(Monna{}, 3), 7u);
  EXPECT_EQ(minimum_cohort(FlTrust{}, 0), 2u);
  EXPECT_EQ(minimum_cohort(SignMajority{}, 0), 1u);
  EXPECT_EQ(minimum_cohort(Meamed{}, 3), 7u);
  EXPECT_EQ(minimum_cohort(Phocas{}, 3), 7u);
  EXPECT_EQ(minimum_cohort(Bulyan{}, 3), 15u);
  EXPECT_EQ(minimum_cohort(Mda{}, 3), 7u);
}

TEST(Rule, DeclaresShapeWeightsAndSensitivity) {
  EXPECT_EQ(shape_of(ClippedMean{}), Shape::kRow);
  EXPECT_EQ(shape_of(Median{}), Shape::kCoordinate);
  EXPECT_EQ(shape_of(MultiKrum{}), Shape::kGram);
  EXPECT_TRUE(uses_weights(Mean{}));
  EXPECT_FALSE(uses_weights(TrimmedMean{}));
  EXPECT_FALSE(uses_weights(Krum{}));
  EXPECT_EQ(shape_of(GeometricMedian{}), Shape::kPasses);
  EXPECT_EQ(shape_of(SignMajority{}), Shape::kRow);
  EXPECT_EQ(shape_of(Caf{}), Shape::kGram);
  EXPECT_TRUE(uses_weights(GeometricMedian{}));
  EXPECT_TRUE(uses_weights(CentredClipping{}));
  EXPECT_FALSE(uses_weights(SignMajority{}));
  EXPECT_TRUE(uses_previous(CentredClipping{}));
  EXPECT_FALSE(uses_previous(GeometricMedian{}));
  EXPECT_TRUE(uses_trusted(Monna{}));
  EXPECT_FALSE(uses_trusted(Cge{}));
  EXPECT_THAT(std::string(sensitivity(CentredClipping{})), HasSubstr("iterations * tau / n"));
  EXPECT_THAT(std::string(sensitivity(TrimmedMean{})), HasSubstr("C / (n - 2f)"));
  for (const Rule& rule :
       {Rule(Mean{}), Rule(ClippedMean{}), Rule(Median{}), Rule(Krum{}), Rule(MultiKrum{}),
        Rule(Meamed{}), Rule(Phocas{}), Rule(Bulyan{}), Rule(Mda{})})
    EXPECT_THAT(std::string(sensitivity(rule)), HasSubstr("none"));
}

TEST(Rule, RefusesFormatsThatDoNotExist) {
  EXPECT_TRUE(accepts(Krum{}, {Codec::kI8B, 12}).ok());
  EXPECT_EQ(accepts(Krum{}, {Codec::kF32, 3}).reason(), "rule_codec");
  EXPECT_EQ(accepts(Krum{}, {Codec::kI8S, 63}).reason(), "rule_codec");
  EXPECT_EQ(accepts(Krum{}, {static_cast<Codec>(9), 0}).reason(), "rule_codec");
}

}  // namespace
}  // namespace muster::robust
