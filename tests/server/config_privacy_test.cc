// [privacy] through the configuration: the whole decision table, every condition of it, what this
// server does not carry out, and the floor of a cohort.
#include <gtest/gtest.h>

#include "privacy/decision.h"
#include "server/config.h"

namespace muster::server {
namespace {

constexpr char kUsual[] =
    "clip_norm = 1\nnoise_multiplier = 1\npopulation = 'p'\nbudget_epsilon = 8\ndelta = 1e-6\n";

struct Wish {
  std::string rule = "clipped_mean";
  std::string task = {};  ///< more keys of the task
  std::string privacy = kUsual;
  std::string codec = "i8b";
};

Result<TaskConfig> parse(const Wish& wish) {
  return parse_task("name = 't'\ndimension = 1000\ntarget_cohort = 200\ncodec = '" + wish.codec +
                        "'\nrule = '" + wish.rule + "'\n" + wish.task + "[privacy]\n" +
                        wish.privacy,
                    "f");
}
std::string complaint(const Wish& wish) {
  const auto task = parse(wish);
  return task.ok() ? "" : std::string(task.status().message());
}

/// What a rule needs so that nothing but privacy is wrong with it.
std::string parameters_of(const std::string& rule) {
  if (rule == "trimmed_mean" || rule == "meamed" || rule == "phocas" || rule == "krum" ||
      rule == "multi_krum" || rule == "bulyan" || rule == "cge" || rule == "caf")
    return "f = 2\n";
  if (rule == "mda") return "f = 0\n";
  if (rule == "monna" || rule == "fltrust")
    return std::string(rule == "monna" ? "f = 2\n" : "") +
           "trusted_device = 'rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7'\n";
  if (rule == "clipped_mean") return "clip_norm = 1\n";
  if (rule == "centred_clipping") return "tau = 1\n";
  if (rule == "sign_majority") return "step = 0.1\n";
  return "";
}

TEST(ConfigPrivacy, EveryRowOfTheDecisionTableIsKept) {
  std::size_t allowed = 0, refused = 0;
  for (const privacy::Decision& row : privacy::decisions()) {
    const std::string rule(row.rule);
    SCOPED_TRACE(rule + " with " + std::string(placement_name(row.mechanism)));
    Wish wish;
    wish.rule = rule;
    wish.task = "minimum_cohort = 100\n" + parameters_of(rule);
    wish.privacy += "mechanism = '" + std::string(placement_name(row.mechanism)) + "'\n";
    const bool votes = rule == "sign_majority" && row.mechanism == privacy::Placement::kCentral;
    if (votes) wish.privacy.erase(0, wish.privacy.find('\n') + 1);
    wish.privacy += "buckets = 10\nshards = 10\n";
    const std::string said = complaint(wish);
    if (!row.allowed) {
      ++refused;
      EXPECT_NE(said.find(std::string(row.reason) + ": no privacy statement: " +
                          std::string(row.sentence) + "; " + std::string(row.alternative)),
                std::string::npos)
          << said;
      continue;
    }
    ++allowed;
    // The table knows more rules than the server has, and a trusted update lies in no bucket.
    if (rule == "fltrust_fixed") {
      EXPECT_NE(said.find("fltrust_fixed"), std::string::npos) << said;
    } else if ((rule == "fltrust" || rule == "monna") &&
               row.mechanism == privacy::Placement::kBuckets) {
      EXPECT_NE(said.find("trusted_in_buckets: "), std::string::npos) << said;
    } else {
      EXPECT_EQ(said, "");
    }
  }
  EXPECT_EQ(allowed + refused, privacy::decisions().size());
  EXPECT_GT(refused, 15u);
}

TEST(ConfigPrivacy, EveryConditionIsKeptWithItsAlternative) {
  const std::string usual = kUsual;
  const std::vector<std::pair<const char*, Wish>> cases = {
      {"private_metrics", {.privacy = usual + "release_metrics = true\n"}},
      {"invalid_left_out", {.task = "invalid_updates = 'reject'\n"}},
      {"realised_denominator", {.privacy = usual + "denominator = 'realised'\n"}},
      {"cohort_share", {.rule = "trimmed_mean", .task = "byzantine_share = 0.1\n"}},
      {"arc_unbounded", {.rule = "trimmed_mean", .task = "f = 2\npre_steps = ['arc']\n"}},
      {"clip_unnoised", {.privacy = usual + "adaptive_clip = 'unnoised'\n"}},
      {"nnm_unbounded", {.rule = "trimmed_mean", .task = "f = 2\npre_steps = ['nnm(f=2)']\n"}},
      {"sampling_shuffled", {.privacy = usual + "sampling = 'shuffled'\n"}},
      {"sampling_unknown", {.privacy = usual + "sampling = 'uniform'\n"}},
      {"adjacency_unsupported", {.privacy = usual + "sampling = 'fixed-size'\n"}},
      {"buffer_sampled",
       {.task = "mode = 'buffered'\n", .privacy = usual + "sampling = 'poisson'\n"}},
      {"steps_unsummed", {.rule = "centred_clipping", .task = "iterations = 2\n"}},
      {"start_private", {.rule = "centred_clipping", .task = "start = 'mean'\n"}},
      {"codec_unpaired", {.rule = "trimmed_mean", .task = "f = 2\n", .codec = "topk"}},
      {"weights_claimed", {.rule = "trimmed_mean", .task = "f = 2\nmax_weight = 4\n"}},
      {"rule_unknown", {.rule = "average"}},
  };
  std::set<std::string> seen;
  for (const auto& [reason, wish] : cases) {
    const std::string said = complaint(wish);
    for (const privacy::Condition& condition : privacy::conditions())
      if (condition.reason == std::string(reason)) {
        seen.insert(reason);
        EXPECT_NE(said.find(std::string(reason) +
                            ": no privacy statement: " + std::string(condition.sentence) + "; " +
                            std::string(condition.alternative)),
                  std::string::npos)
            << reason << ": " << said;
      }
  }
  // No key of a configuration can say this: the server admits one update a device and buffer
  // (DecisionTable.KnowsMoreThanConfigurationsCanSay).
  seen.insert("buffer_repeats");
  EXPECT_EQ(seen.size(), privacy::conditions().size());
}

TEST(ConfigPrivacy, RefusesWhatItDoesNotCarryOut) {
  const std::string usual = kUsual;
  const std::vector<std::pair<const char*, Wish>> cases = {
      {"sampling_not_drawn", {.privacy = usual + "sampling = 'poisson'\n"}},
      {"pre_steps_unbounded",
       {.rule = "trimmed_mean", .task = "f = 2\npre_steps = ['bucketing(s=2)']\n"}},
      {"shards_unnoised",
       {.rule = "trimmed_mean", .task = "byzantine_share = 0.1\nshard_size = 50\n"}},
      {"scales_adaptive", {.task = "scales = 'adaptive'\n", .codec = "i8s"}},
      {"assignment_shifts",
       {.rule = "median",
        .privacy = usual + "mechanism = 'shards'\nshards = 10\nadjacency = 'add-remove'\n"}},
      {"central_only",
       {.rule = "median",
        .privacy = usual + "mechanism = 'shards'\nshards = 10\nadaptive_clip = 'noised'\n"}},
      {"buffer_weights", {.rule = "trimmed_mean", .task = "f = 2\nmode = 'buffered'\n"}},
      {"correlated_grid", {.privacy = usual + "sampling = 'tree'\nadaptive_clip = 'noised'\n"}},
      {"correlated_space", {.privacy = usual + "sampling = 'tree'\n", .codec = "hsq"}},
  };
  for (const auto& [reason, wish] : cases)
    EXPECT_NE(complaint(wish).find(std::string(reason) + ": "), std::string::npos)
        << reason << ": " << complaint(wish);
}

TEST(ConfigPrivacy, ACohortHasAFloor) {
  EXPECT_EQ(parse({})->minimum_cohort, 100u);
  EXPECT_EQ(parse({.task = "minimum_cohort = 10\n"})->minimum_cohort, 10u);
  EXPECT_NE(complaint({.task = "minimum_cohort = 9\n"}).find("cohort_floor: "), std::string::npos);
  EXPECT_EQ(complaint({.task = "minimum_cohort = 9\n",
                       .privacy = std::string(kUsual) + "allow_small_cohort = true\n"}),
            "");
  const auto small = parse_task(
      "name = 't'\ndimension = 8\nrule = 'clipped_mean'\ntarget_cohort = 50\n[privacy]\n" +
          std::string(kUsual),
      "f");
  EXPECT_NE(small.status().message().find("cohort_floor: "), std::string::npos)
      << small.status().message();
}

TEST(ConfigPrivacy, ForcesZeroModeAndSharesTheClipNorm) {
  const auto task = parse({});
  ASSERT_TRUE(task.ok()) << task.status().message();
  EXPECT_EQ(task->invalid_updates, "zero");
  EXPECT_EQ(task->rule_parameters.clip_norm, 1.0);
  EXPECT_NE(complaint({.task = "clip_norm = 2\n"}).find("another"), std::string::npos);
}

TEST(ConfigPrivacy, ATargetIsSolvedAndTheTextReadsBackTheSame) {
  Wish wish;
  wish.privacy =
      "clip_norm = 1\ntarget_epsilon = 4\nplanned_rounds = 200\nparticipations = 10\n"
      "population = 'p'\ndelta = 1e-6\n";
  const auto task = parse(wish);
  ASSERT_TRUE(task.ok()) << task.status().message();
  EXPECT_EQ(task->privacy->budget_epsilon, 4.0);
  EXPECT_GT(task->privacy->noise_multiplier, 1.0);
  const auto again = parse_task(task->text, "again");
  ASSERT_TRUE(again.ok()) << again.status().message();
  EXPECT_EQ(again->text, task->text);
  EXPECT_EQ(again->privacy->noise_multiplier, task->privacy->noise_multiplier);
  EXPECT_EQ(task_terms(*again), task_terms(*task));
}

TEST(ConfigPrivacy, NamesWhatIsMissingOrOutOfRange) {
  const std::vector<std::pair<const char*, const char*>> lines = {
      {"noise_multiplier = 1\npopulation = 'p'\nbudget_epsilon = 8\ndelta = 1e-6", "clip_norm"},
      {"clip_norm = 1\npopulation = 'p'\nbudget_epsilon = 8\ndelta = 1e-6", "noise_multiplier"},
      {"clip_norm = 1\nnoise_multiplier = 1\nbudget_epsilon = 8\ndelta = 1e-6", "population"},
      {"clip_norm = 1\nnoise_multiplier = 1\npopulation = 'p'\ndelta = 1e-6", "budget_epsilon"},
      {"clip_norm = 1\nnoise_multiplier = 1\npopulation = 'p'\nbudget_epsilon = 8", "delta"},
      {"clip_norm = 1\nnoise_multiplier = 0.01\npopulation = 'p'\nbudget_epsilon = 8\ndelta = 0.1",
       "noise_multiplier"},
      {"clip_norm = 1\nnoise_multiplier = 1\npopulation = 'A B'\nbudget_epsilon = 8\ndelta = 0.1",
       "population"},
      {"clip_norm = 1\nnoise_multiplier = 1\npopulation = 'p'\nbudget_epsilon = 8\ndelta = 2",
       "budget_epsilon"},
      {"clip_norm = 1\nnoise_multiplier = 1\npopulation = 'p'\nbudget_epsilon = 8\ndelta = 0.1\n"
       "particpations = 3",
       "participations"},
  };
  for (const auto& [privacy, key] : lines)
    EXPECT_NE(complaint({.privacy = privacy}).find(key), std::string::npos)
        << key << ": " << complaint({.privacy = privacy});
}

TEST(ConfigPrivacy, TermsNameTheProtection) {
  const std::string terms = task_terms(*parse({}));
  for (const char* word :
       {"privacy.mechanism = \"central\"", "privacy.adjacency = \"zero-out\"",
        "privacy.clip_norm = 1", "privacy.noise_multiplier = 1", "minimum_cohort = 100",
        "privacy.participations = 1", "privacy.separation = 1", "privacy.delta = 1e-06"})
    EXPECT_NE(terms.find(word), std::string::npos) << word << " in\n" << terms;
  for (const auto& other : {std::string("noise_multiplier = 2"), std::string("clip_norm = 2"),
                            std::string("adjacency = 'replace-one'")}) {
    std::string changed = kUsual;
    if (const auto at = changed.find(other.substr(0, other.find(' '))); at != std::string::npos)
      changed.replace(at, changed.find('\n', at) - at, other);
    else
      changed += other + "\n";
    EXPECT_NE(task_terms(*parse({.privacy = changed})), terms) << other;
  }
}

}  // namespace
}  // namespace muster::server
