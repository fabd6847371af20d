// The decision table of algorithms 7.11, row by row, as who writes a configuration meets it: what
// goes through, and the whole text of each refusal. The texts stand here once more on purpose: no
// row and no word of one changes by accident.
#include <gtest/gtest.h>

#include <regex>
#include <set>

#include "privacy/decision.h"
#include "server/config.h"

namespace muster::server {
namespace {

struct Row {
  const char* rule;
  const char* mechanism;
  const char* task;     ///< more keys of the task
  const char* privacy;  ///< and of [privacy]
  const char* said;     ///< "": nothing, the task is taken
};

#define REFUSED(reason, sentence, alternative) \
  "key 'privacy.mechanism': " reason ": no privacy statement: " sentence "; " alternative "."
#define SAMPLING(reason, sentence, alternative) \
  "key 'privacy.sampling': " reason ": no privacy statement: " sentence "; " alternative "."
#define BUCKETS_INSTEAD                                                                           \
  "noise the buckets instead (mechanism buckets), or use trimmed_mean, whose noise shrinks with " \
  "n"
#define CONSTANT(sentence) REFUSED("sensitivity_constant", sentence, BUCKETS_INSTEAD)
#define ATTAINED CONSTANT("one update can move the result by 2C, whatever n is")
#define TRIVIAL CONSTANT("no bound better than 2C is known, whatever n is")
#define IN_SHARDS \
  REFUSED("trusted_in_shards", "the trusted update lies in one shard only", "use mechanism buckets")
#define IN_BUCKETS                                                                             \
  "key 'privacy.mechanism': trusted_in_buckets: a trusted update among noised buckets is not " \
  "carried out by this version; use trimmed_mean."
#define FLAME(mechanism)                                                                   \
  REFUSED("noise_uncalibrated", "its noise is not calibrated to any device's sensitivity", \
          "use trimmed_mean with mechanism " mechanism)
/// What this server says besides, for it does not carry these out.
#define AND_NO_PRE_STEPS                                                                      \
  "\nkey 'privacy.mechanism': pre_steps_unbounded: central noise goes on integers of single " \
  "updates, which pre-steps mix; leave pre_steps out, or use mechanism buckets."
#define AND_NOT_DRAWN                                                                             \
  "\nkey 'privacy.sampling': sampling_not_drawn: devices check in here when they can and nobody " \
  "draws them; state check-in with participations, or tree or blt with separation."
#define TRUSTED "trusted_device = 'rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7'\n"
#define BOTH "buckets = 10\nshards = 10\n"

const Row kRows[] = {
    // Clipped mean, fixed n; weights up to w_max and a fixed total.
    {"clipped_mean", "central", "", "", ""},
    {"clipped_mean", "central", "max_weight = 4\n", "", ""},
    {"clipped_mean", "central", "max_weight = 4\n", "denominator = 'realised'\n",
     REFUSED("realised_denominator",
             "dividing by the weight that came lets one device change every other's share",
             "divide by a public constant: fixed_denominator")},
    {"clipped_mean", "buckets", "", BOTH,
     REFUSED("pointless", "the mean of noised buckets is the noised mean with more noise",
             "use mechanism central")},
    {"clipped_mean", "shards", "", BOTH,
     REFUSED("pointless", "the mean of shard means is the clipped mean with more noise",
             "use mechanism central")},
    {"clipped_mean", "local", "clip_norm = 1\n", "", ""},
    // A mean of what is not clipped.
    {"mean", "central", "", "",
     REFUSED("not_clipped", "an update that is not clipped has no bounded influence",
             "use clipped_mean")},
    {"mean", "buckets", "", BOTH,
     REFUSED("not_clipped", "an update that is not clipped has no bounded influence",
             "use clipped_mean")},
    {"mean", "shards", "", BOTH,
     REFUSED("not_clipped", "an update that is not clipped has no bounded influence",
             "use clipped_mean")},
    {"mean", "local", "", "", ""},
    // Trimmed mean; f as a share of who came.
    {"trimmed_mean", "central", "f = 2\n", "", ""},
    {"trimmed_mean", "central", "byzantine_share = 0.1\n", "",
     REFUSED("cohort_share", "f as a share of who came is not a public constant",
             "give f as a count, and a fixed cohort")},
    {"trimmed_mean", "buckets", "f = 2\n", BOTH, ""},
    {"trimmed_mean", "shards", "f = 2\n", BOTH, ""},
    {"trimmed_mean", "local", "f = 2\n", "", ""},
    // Centred clipping from a public point, one step.
    {"centred_clipping", "central", "tau = 1\n", "", ""},
    {"centred_clipping", "central", "tau = 1\niterations = 2\n", "",
     REFUSED("steps_unsummed",
             "each further step of centred clipping has to be noised on the grid by itself; the "
             "sum's integers cover one",
             "set iterations = 1")},
    {"centred_clipping", "central", "tau = 1\nstart = 'mean'\n", "",
     REFUSED("start_private",
             "centred clipping from a point that was not released adds that point's own influence",
             "start at zero or at the previous noised release")},
    {"centred_clipping", "buckets", "tau = 1\n", BOTH, ""},
    {"centred_clipping", "shards", "tau = 1\n", BOTH, ""},
    {"centred_clipping", "local", "tau = 1\n", "", ""},
    // Rules whose output one device moves by about C, whatever n is.
    {"median", "central", "", "", CONSTANT("one update can move the median by C, whatever n is")},
    {"median", "buckets", "", BOTH, ""},
    {"median", "shards", "", BOTH, ""},
    {"median", "local", "", "", ""},
    {"meamed", "central", "f = 2\n", "",
     CONSTANT("one update can move the result by about 2 sqrt(2) C, whatever n is")},
    {"meamed", "buckets", "f = 2\n", BOTH, ""},
    {"meamed", "shards", "f = 2\n", BOTH, ""},
    {"meamed", "local", "f = 2\n", "", ""},
    {"phocas", "central", "f = 2\n", "",
     CONSTANT("one update can move the result by about 2 sqrt(2) C, whatever n is")},
    {"phocas", "buckets", "f = 2\n", BOTH, ""},
    {"phocas", "shards", "f = 2\n", BOTH, ""},
    {"phocas", "local", "f = 2\n", "", ""},
    {"krum", "central", "f = 2\n", "", ATTAINED},
    {"krum", "buckets", "f = 2\n", BOTH, ""},
    {"krum", "shards", "f = 2\n", BOTH, ""},
    {"krum", "local", "f = 2\n", "", ""},
    {"multi_krum", "central", "f = 2\n", "",
     CONSTANT("the bound 2C(f+1)/(n-f) does not fall with n where f grows with it")},
    {"multi_krum", "buckets", "f = 2\n", BOTH, ""},
    {"multi_krum", "shards", "f = 2\n", BOTH, ""},
    {"multi_krum", "local", "f = 2\n", "", ""},
    {"geometric_median", "central", "", "", ATTAINED},
    {"geometric_median", "buckets", "", BOTH, ""},
    {"geometric_median", "shards", "", BOTH, ""},
    {"geometric_median", "local", "", "", ""},
    {"bulyan", "central", "f = 2\n", "", TRIVIAL},
    {"bulyan", "buckets", "f = 2\n", BOTH, ""},
    {"bulyan", "shards", "f = 2\n", BOTH, ""},
    {"bulyan", "local", "f = 2\n", "", ""},
    {"mda", "central", "f = 0\n", "", TRIVIAL},
    {"mda", "buckets", "f = 0\n", BOTH, ""},
    {"mda", "shards", "f = 0\n", BOTH, ""},
    {"mda", "local", "f = 0\n", "", ""},
    {"caf", "central", "f = 2\n", "", TRIVIAL},
    {"caf", "buckets", "f = 2\n", BOTH, ""},
    {"caf", "shards", "f = 2\n", BOTH, ""},
    {"caf", "local", "f = 2\n", "", ""},
    {"cge", "central", "f = 2\n", "", TRIVIAL},
    {"cge", "buckets", "f = 2\n", BOTH, ""},
    {"cge", "shards", "f = 2\n", BOTH, ""},
    {"cge", "local", "f = 2\n", "", ""},
    // Rules with a trusted update.
    {"monna", "central", "f = 2\n" TRUSTED, "", TRIVIAL},
    {"monna", "buckets", "f = 2\n" TRUSTED, BOTH, IN_BUCKETS},
    {"monna", "shards", "f = 2\n" TRUSTED, BOTH, IN_SHARDS},
    {"monna", "local", "f = 2\n" TRUSTED, "", ""},
    {"fltrust", "central", TRUSTED, "",
     REFUSED("trust_denominator",
             "its denominator depends on the data: one update can move the result by 2|g0|",
             "use trimmed_mean; FLTrust divided by n would do, and this version has no such rule")},
    {"fltrust", "buckets", TRUSTED, BOTH, IN_BUCKETS},
    {"fltrust", "shards", TRUSTED, BOTH, IN_SHARDS},
    {"fltrust", "local", TRUSTED, "", ""},
    // Votes.
    {"sign_majority", "central", "step = 0.1\n", "", ""},
    {"sign_majority", "buckets", "step = 0.1\n", BOTH, ""},
    {"sign_majority", "shards", "step = 0.1\n", BOTH, ""},
    {"sign_majority", "local", "step = 0.1\n", "", ""},
    // FLAME: no guarantee under any mechanism.
    {"flame", "central", "", "", FLAME("central")},
    {"flame", "buckets", "", BOTH, FLAME("buckets")},
    {"flame", "shards", "", BOTH, FLAME("shards")},
    {"flame", "local", "", "",
     REFUSED("noise_uncalibrated", "its own noise would be taken for privacy beside the devices'",
             "use trimmed_mean with mechanism local")},
    // Any rule behind ARC, NNM, or a clip norm that follows the cohort.
    {"trimmed_mean", "central", "f = 2\npre_steps = ['arc']\n", "",
     REFUSED("arc_unbounded",
             "ARC clips at a norm taken from the cohort, so no device's influence is bounded",
             "clip at a fixed norm, or follow a noised quantile (adaptive_clip with noise)")
         AND_NO_PRE_STEPS},
    {"krum", "buckets", "f = 2\npre_steps = ['arc']\n", BOTH,
     REFUSED("arc_unbounded",
             "ARC clips at a norm taken from the cohort, so no device's influence is bounded",
             "clip at a fixed norm, or follow a noised quantile (adaptive_clip with noise)")},
    {"clipped_mean", "central", "", "adaptive_clip = 'unnoised'\n",
     REFUSED("clip_unnoised", "a clip norm that follows the norms seen reveals them",
             "noise its count: the clipped share with standard deviation n / 20")},
    {"clipped_mean", "central", "", "adaptive_clip = 'noised'\n", ""},
    {"trimmed_mean", "central", "f = 2\npre_steps = ['nnm(f=2)']\n", "",
     REFUSED("nnm_unbounded",
             "with NNM one device can exchange the neighbours of all others: nothing better than "
             "2C is known",
             "put the rule behind noised buckets (mechanism buckets), which NNM then only "
             "post-processes") AND_NO_PRE_STEPS},
    {"krum", "buckets", "f = 2\npre_steps = ['nnm(f=2)']\n", BOTH, ""},
    // n that follows who came.
    {"clipped_mean", "central", "invalid_updates = 'reject'\n", "",
     REFUSED("invalid_left_out",
             "leaving out invalid updates changes the cohort, so only an add-remove bound is left",
             "set invalid_updates = \"zero\"")},
    {"clipped_mean", "central", "invalid_updates = 'zero'\n", "", ""},
    // Buffers.
    {"clipped_mean", "central", "mode = 'buffered'\n", "participations = 3\n", ""},
    {"clipped_mean", "central", "mode = 'buffered'\n", "sampling = 'poisson'\n",
     REFUSED("buffer_sampled",
             "devices enter a buffer when they are done, which no sampling theorem covers",
             "state check-in with a participation limit") AND_NOT_DRAWN},
    // Statements about sampling (7.5).
    {"clipped_mean", "central", "", "sampling = 'check-in'\nparticipations = 3\n", ""},
    {"clipped_mean", "central", "", "sampling = 'tree'\n", ""},
    {"clipped_mean", "central", "", "sampling = 'shuffled'\n",
     SAMPLING("sampling_shuffled",
              "a shuffled fixed order is not Poisson sampling, and its amplification is not proved",
              "state check-in with a participation limit, or tree or blt with a separation")},
    {"clipped_mean", "central", "", "sampling = 'uniform'\n",
     SAMPLING("sampling_unknown", "no statement about sampling of this name is accounted for",
              "choose check-in, poisson, fixed-size, tree or blt")},
    {"clipped_mean", "central", "", "sampling = 'fixed-size'\n",
     REFUSED("adjacency_unsupported",
             "a fixed number drawn without replacement is accounted under replace-one only",
             "set adjacency = \"replace-one\", or sample by Poisson") AND_NOT_DRAWN},
    // What would say more than the release does.
    {"clipped_mean", "central", "", "release_metrics = true\n",
     REFUSED("private_metrics",
             "per-device or data-dependent figures would leave the task without noise",
             "switch them off for this task")},
    {"trimmed_mean", "central", "f = 2\nmax_weight = 4\n", "",
     REFUSED("weights_claimed",
             "the rule's bound is per update, and weights are what devices claim",
             "use clipped_mean with max_weight and a fixed total weight")},
    {"trimmed_mean", "central", "f = 2\ncodec = 'topk'\n", "",
     REFUSED("codec_unpaired",
             "this codec is not known to decode coordinate by coordinate, as the rule needs",
             "use i8s, i8b, f16 or f32")},
    {"average", "central", "", "",
     REFUSED("rule_unknown", "nobody has analysed this rule", "use trimmed_mean or clipped_mean")},
};

/// Lines about other keys (a rule that the server does not have at all) are left out, and
/// positions.
std::string refusal_of(const Row& row) {
  const bool votes =
      std::string_view(row.rule) == "sign_majority" && std::string_view(row.mechanism) == "central";
  const auto task = parse_task(
      std::string("name = 't'\ndimension = 1000\ntarget_cohort = 200\nminimum_cohort = 100\n") +
          "rule = '" + row.rule + "'\n" + row.task + "[privacy]\nmechanism = '" + row.mechanism +
          "'\n" + (votes ? "" : "clip_norm = 1\n") +
          "noise_multiplier = 1\npopulation = 'p'\nbudget_epsilon = 8\ndelta = 1e-6\n" +
          row.privacy,
      "f");
  std::string said;
  const std::string message(task.status().message());
  const std::regex line("f:[0-9]+:[0-9]+: (key 'privacy\\.[^\n]*)");
  for (std::sregex_iterator each(message.begin(), message.end(), line), end; each != end; ++each)
    said += (said.empty() ? "" : "\n") + (*each)[1].str();
  EXPECT_EQ(task.ok(), message.empty());
  // What is refused for another reason is a fault of the row here.
  if (said.empty()) {
    EXPECT_EQ(message, "");
  }
  return said;
}

TEST(DecisionTable, SaysExactlyThis) {
  for (const Row& row : kRows) {
    SCOPED_TRACE(std::string(row.rule) + ", " + row.mechanism + "\n" + row.task + row.privacy);
    EXPECT_EQ(refusal_of(row), row.said);
  }
}

TEST(DecisionTable, IsAllHere) {
  std::set<std::pair<std::string_view, std::string_view>> rows;
  std::set<std::string> reasons;
  for (const Row& row : kRows) {
    rows.emplace(row.rule, row.mechanism);
    const std::string said = row.said;
    if (const auto at = said.find(": no privacy statement"); at != said.npos)
      reasons.insert(said.substr(said.find(": ") + 2, at - said.find(": ") - 2));
  }
  for (const privacy::Decision& decision : privacy::decisions()) {
    if (decision.rule == "fltrust_fixed") continue;  // below
    EXPECT_TRUE(rows.contains({decision.rule, privacy::placement_name(decision.mechanism)}))
        << decision.rule << ", " << privacy::placement_name(decision.mechanism);
    if (!decision.allowed) {
      EXPECT_TRUE(reasons.contains(decision.reason)) << decision.reason;
    }
  }
  for (const privacy::Condition& condition : privacy::conditions())
    if (std::string_view(condition.reason) != "buffer_repeats") {  // below
      EXPECT_TRUE(reasons.contains(condition.reason)) << condition.reason;
    }
}

// What no configuration can say (docs/privacy.md): rounds take one update of a device, buffered or
// not, and there is no key for more; and fltrust_fixed is analysed, but not a rule of this server.
TEST(DecisionTable, KnowsMoreThanConfigurationsCanSay) {
  privacy::PrivateTask task;
  task.rule = "clipped_mean";
  task.buffered = true;
  EXPECT_TRUE(decide(task).ok());
  task.one_per_buffer = false;
  EXPECT_EQ(decide(task).status().to_string(),
            "buffer_repeats: no privacy statement: a device with two updates in one buffer has "
            "twice the sensitivity; admit one update a device and buffer");
  task = {};
  task.rule = "fltrust_fixed";
  EXPECT_TRUE(decide(task).ok());
  task.mechanism = privacy::Placement::kBuckets;
  EXPECT_TRUE(decide(task).ok());
  task.mechanism = privacy::Placement::kLocal;
  EXPECT_TRUE(decide(task).ok());
  task.mechanism = privacy::Placement::kShards;
  EXPECT_EQ(decide(task).status().to_string(),
            "trusted_in_shards: no privacy statement: the trusted update lies in one shard only; "
            "use mechanism buckets");
}

}  // namespace
}  // namespace muster::server
