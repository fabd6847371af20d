#include "privacy/decision.h"

#include <algorithm>
#include <array>

namespace muster::privacy {
namespace {

enum : std::size_t {
  kMetrics,
  kInvalidLeftOut,
  kDenominator,
  kCohortShare,
  kArc,
  kUnnoisedClip,
  kNnm,
  kShuffled,
  kSamplingUnknown,
  kFixedSizeAdjacency,
  kBufferRepeats,
  kBufferSampled,
  kPrivateStart,
  kSteps,
  kCodec,
  kWeights,
  kRuleUnknown,
};

constexpr std::array<Condition, 17> kConditions = {{
    {"private_metrics", "per-device or data-dependent figures would leave the task without noise",
     "switch them off for this task"},
    {"invalid_left_out",
     "leaving out invalid updates changes the cohort, so only an add-remove bound is left",
     "set invalid_updates = \"zero\""},
    {"realised_denominator",
     "dividing by the weight that came lets one device change every other's share",
     "divide by a public constant: fixed_denominator"},
    {"cohort_share", "f as a share of who came is not a public constant",
     "give f as a count, and a fixed cohort"},
    {"arc_unbounded",
     "ARC clips at a norm taken from the cohort, so no device's influence is bounded",
     "clip at a fixed norm, or follow a noised quantile (adaptive_clip with noise)"},
    {"clip_unnoised", "a clip norm that follows the norms seen reveals them",
     "noise its count: the clipped share with standard deviation n / 20"},
    {"nnm_unbounded",
     "with NNM one device can exchange the neighbours of all others: nothing better than 2C is "
     "known",
     "put the rule behind noised buckets (mechanism buckets), which NNM then only post-processes"},
    {"sampling_shuffled",
     "a shuffled fixed order is not Poisson sampling, and its amplification is not proved",
     "state check-in with a participation limit, or tree or blt with a separation"},
    {"sampling_unknown", "no statement about sampling of this name is accounted for",
     "choose check-in, poisson, fixed-size, tree or blt"},
    {"adjacency_unsupported",
     "a fixed number drawn without replacement is accounted under replace-one only",
     "set adjacency = \"replace-one\", or sample by Poisson"},
    {"buffer_repeats", "a device with two updates in one buffer has twice the sensitivity",
     "admit one update a device and buffer"},
    {"buffer_sampled",
     "devices enter a buffer when they are done, which no sampling theorem covers",
     "state check-in with a participation limit"},
    {"start_private",
     "centred clipping from a point that was not released adds that point's own influence",
     "start at zero or at the previous noised release"},
    {"steps_unsummed",
     "each further step of centred clipping has to be noised on the grid by itself; the sum's "
     "integers "
     "cover one",
     "set iterations = 1"},
    {"codec_unpaired",
     "this codec is not known to decode coordinate by coordinate, as the rule needs",
     "use i8s, i8b, f16 or f32"},
    {"weights_claimed", "the rule's bound is per update, and weights are what devices claim",
     "use clipped_mean with max_weight and a fixed total weight"},
    {"rule_unknown", "nobody has analysed this rule", "use trimmed_mean or clipped_mean"},
}};

constexpr std::string_view kBucketsInstead =
    "noise the buckets instead (mechanism buckets), or use trimmed_mean, whose noise shrinks with "
    "n";

constexpr Decision allow(std::string_view rule, Placement mechanism, Sensitivity sensitivity,
                         std::string_view warning = "") {
  return {rule, mechanism, true, sensitivity, warning, "", "", ""};
}
constexpr Decision refuse(std::string_view rule, Placement mechanism, const char* reason,
                          std::string_view sentence, std::string_view alternative) {
  return {rule, mechanism, false, {}, "", reason, sentence, alternative};
}

constexpr Decision buckets(std::string_view rule) {
  return allow(rule, Placement::kBuckets, {"C on each bucket's sum", "2C on each bucket's sum"},
               "distances gain 2 D z^2 C^2 / s^2: small shifts drown");
}
constexpr Decision shards(std::string_view rule) {
  return allow(rule, Placement::kShards, {"2C/G", "2C/G"}, "noise is n_g times the clipped mean's");
}
constexpr Decision local(std::string_view rule) {
  return allow(rule, Placement::kLocal, {"C at the device", "2C at the device"},
               "the server cannot check that devices add their noise");
}
/// Rules whose output one device can move by about C whatever n is.
constexpr Decision direct(std::string_view rule, std::string_view sentence) {
  return refuse(rule, Placement::kCentral, "sensitivity_constant", sentence, kBucketsInstead);
}

constexpr std::string_view kTrivial = "no bound better than 2C is known, whatever n is";
constexpr std::string_view kAttained = "one update can move the result by 2C, whatever n is";

using enum Placement;
constexpr Decision kTable[] = {
    refuse("mean", kCentral, "not_clipped",
           "an update that is not clipped has no bounded influence", "use clipped_mean"),
    refuse("mean", kBuckets, "not_clipped",
           "an update that is not clipped has no bounded influence", "use clipped_mean"),
    refuse("mean", kShards, "not_clipped", "an update that is not clipped has no bounded influence",
           "use clipped_mean"),
    local("mean"),
    allow("clipped_mean", kCentral, {"w_max C/W", "2 w_max C/W"}),
    refuse("clipped_mean", kBuckets, "pointless",
           "the mean of noised buckets is the noised mean with more noise",
           "use mechanism central"),
    refuse("clipped_mean", kShards, "pointless",
           "the mean of shard means is the clipped mean with more noise", "use mechanism central"),
    local("clipped_mean"),
    allow("trimmed_mean", kCentral, {"C/(n-2f)", "2C/(n-2f)"}),
    buckets("trimmed_mean"),
    allow("trimmed_mean", kShards, {"C/(G(n_g-2f_g))", "2C/(G(n_g-2f_g))"}),
    local("trimmed_mean"),
    allow("centred_clipping", kCentral, {"L tau/n", "2L tau/n"}),
    buckets("centred_clipping"),
    shards("centred_clipping"),
    local("centred_clipping"),
    direct("median", "one update can move the median by C, whatever n is"),
    buckets("median"),
    shards("median"),
    local("median"),
    direct("meamed", "one update can move the result by about 2 sqrt(2) C, whatever n is"),
    buckets("meamed"),
    shards("meamed"),
    local("meamed"),
    direct("phocas", "one update can move the result by about 2 sqrt(2) C, whatever n is"),
    buckets("phocas"),
    shards("phocas"),
    local("phocas"),
    direct("krum", kAttained),
    buckets("krum"),
    shards("krum"),
    local("krum"),
    direct("multi_krum", "the bound 2C(f+1)/(n-f) does not fall with n where f grows with it"),
    buckets("multi_krum"),
    shards("multi_krum"),
    local("multi_krum"),
    direct("geometric_median", kAttained),
    buckets("geometric_median"),
    shards("geometric_median"),
    local("geometric_median"),
    direct("bulyan", kTrivial),
    buckets("bulyan"),
    shards("bulyan"),
    local("bulyan"),
    direct("mda", kTrivial),
    buckets("mda"),
    shards("mda"),
    local("mda"),
    direct("caf", kTrivial),
    buckets("caf"),
    shards("caf"),
    local("caf"),
    direct("cge", kTrivial),
    buckets("cge"),
    shards("cge"),
    local("cge"),
    direct("monna", kTrivial),
    buckets("monna"),
    refuse("monna", kShards, "trusted_in_shards", "the trusted update lies in one shard only",
           "use mechanism buckets"),
    local("monna"),
    refuse("fltrust", kCentral, "trust_denominator",
           "its denominator depends on the data: one update can move the result by 2|g0|",
           "use trimmed_mean; FLTrust divided by n would do, and this version has no such rule"),
    buckets("fltrust"),
    refuse("fltrust", kShards, "trusted_in_shards", "the trusted update lies in one shard only",
           "use mechanism buckets"),
    local("fltrust"),
    allow("fltrust_fixed", kCentral, {"|g0|/n", "2|g0|/n"}, "g0 must come from public data"),
    buckets("fltrust_fixed"),
    refuse("fltrust_fixed", kShards, "trusted_in_shards",
           "the trusted update lies in one shard only", "use mechanism buckets"),
    local("fltrust_fixed"),
    allow("sign_majority", kCentral, {"sqrt(D) votes", "2 sqrt(D) votes"},
          "useful only with n far above z sqrt(D)"),
    buckets("sign_majority"),
    shards("sign_majority"),
    local("sign_majority"),
    refuse("flame", kCentral, "noise_uncalibrated",
           "its noise is not calibrated to any device's sensitivity",
           "use trimmed_mean with mechanism central"),
    refuse("flame", kBuckets, "noise_uncalibrated",
           "its noise is not calibrated to any device's sensitivity",
           "use trimmed_mean with mechanism buckets"),
    refuse("flame", kShards, "noise_uncalibrated",
           "its noise is not calibrated to any device's sensitivity",
           "use trimmed_mean with mechanism shards"),
    refuse("flame", kLocal, "noise_uncalibrated",
           "its own noise would be taken for privacy beside the devices'",
           "use trimmed_mean with mechanism local"),
};

Status refused(const char* reason, std::string_view sentence, std::string_view alternative) {
  return {Code::kInvalid, reason,
          std::string("no privacy statement: ").append(sentence).append("; ").append(alternative)};
}
Status refused(std::size_t condition) {
  const Condition& c = kConditions[condition];
  return refused(c.reason, c.sentence, c.alternative);
}

bool one_of(std::string_view text, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), text) != names.end();
}

Status check_sampling(const PrivateTask& task) {
  if (task.sampling == "shuffled") return refused(kShuffled);
  if (!one_of(task.sampling, {"check-in", "poisson", "fixed-size", "tree", "blt"}))
    return refused(kSamplingUnknown);
  if (task.sampling == "fixed-size" && task.adjacency != Adjacency::kReplaceOne)
    return refused(kFixedSizeAdjacency);
  if (!task.buffered) return {};
  if (!task.one_per_buffer) return refused(kBufferRepeats);
  if (one_of(task.sampling, {"poisson", "fixed-size"})) return refused(kBufferSampled);
  return {};
}

/// topk's rows are spread out before a rule sees them, and its support is the device's choice:
/// harmless to a sum, unknown to anything that orders or compares.
Status check_codec(const PrivateTask& task) {
  const bool sums = one_of(task.rule, {"clipped_mean", "centred_clipping"});
  if (one_of(task.codec,
             {"f32", "f16", "bf16", "i8b", "i8s", "i4b", "i4s", "sign1", "randk", "hsq", "eden"}) ||
      (task.codec == "topk" && sums))
    return {};
  return refused(kCodec);
}

}  // namespace

std::string_view placement_name(Placement mechanism) {
  switch (mechanism) {
    case Placement::kCentral:
      return "central";
    case Placement::kBuckets:
      return "buckets";
    case Placement::kShards:
      return "shards";
    case Placement::kLocal:
      return "local";
  }
  return "unknown";
}

std::span<const Decision> decisions() { return kTable; }
std::span<const Condition> conditions() { return kConditions; }

const Decision* find_decision(std::string_view rule, Placement mechanism) {
  for (const Decision& row : kTable)
    if (row.rule == rule && row.mechanism == mechanism) return &row;
  return nullptr;
}

Result<Decision> decide(const PrivateTask& task) {
  const Decision* row = find_decision(task.rule, task.mechanism);
  if (row == nullptr) return refused(kRuleUnknown);
  if (!row->allowed) return refused(row->reason, row->sentence, row->alternative);
  if (task.releases_metrics) return refused(kMetrics);
  MUSTER_TRY(check_sampling(task));
  // Local noise is on the updates before the server sees them; what follows is post-processing.
  if (task.mechanism == Placement::kLocal) return *row;
  if (!task.zero_invalid) return refused(kInvalidLeftOut);
  if (task.arc) return refused(kArc);
  if (task.adaptive_clip && !task.adaptive_clip_noised) return refused(kUnnoisedClip);
  MUSTER_TRY(check_codec(task));
  if (task.weighted && task.rule != "clipped_mean") return refused(kWeights);
  if (task.mechanism == Placement::kBuckets) return *row;
  if (!task.fixed_denominator) return refused(kDenominator);
  if (!task.fixed_cohort) return refused(kCohortShare);
  if (task.mechanism == Placement::kShards) return *row;
  if (task.nnm) return refused(kNnm);
  if (task.rule == "centred_clipping") {
    if (!task.public_start) return refused(kPrivateStart);
    if (task.iterations != 1) return refused(kSteps);
  }
  return *row;
}

}  // namespace muster::privacy
