#include "server/config_privacy.h"

#include <algorithm>
#include <cmath>

#include "base/codec.h"
#include "base/limits.h"
#include "server/config.h"
#include "server/config_reader.h"
#include "server/config_writer.h"

namespace muster::server {
namespace {

using privacy::Adjacency;
using privacy::Placement;

constexpr std::uint32_t kMaxBuckets = 4096;
/// A coarser ratio has no grid (privacy::plan_grid).
constexpr double kLeastNoise = 0.0625;
/// What is left of a target for the ledger's rounding and the discreteness of the noise.
constexpr double kTargetMargin = 1e-4;

std::string with_code(const Status& status) {
  return std::string(status.reason()) + ": " + std::string(status.message());
}

void read_noise(Section& section, PrivacyConfig& privacy) {
  const auto positive = [&](const char* key, double& target) {
    if (section.number(key, target) && !(target > 0)) section.problem(key, "must be above 0");
  };
  positive("clip_norm", privacy.clip_norm);
  if (section.number("noise_multiplier", privacy.noise_multiplier) &&
      !(privacy.noise_multiplier >= kLeastNoise && privacy.noise_multiplier <= privacy::kMaxNoise))
    section.problem("noise_multiplier", "must be from 0.0625 to 100000");
  positive("budget_epsilon", privacy.budget_epsilon);
  positive("delta", privacy.delta);
  section.choice("adaptive_clip", privacy.adaptive_clip, {"none", "noised", "unnoised"});
  if (section.number("clip_quantile", privacy.clip_quantile) &&
      !(privacy.clip_quantile >= 0 && privacy.clip_quantile <= 1))
    section.problem("clip_quantile", "must be from 0 to 1");
  positive("clip_rate", privacy.clip_rate);
  positive("clip_count_noise", privacy.clip_count_noise);
}

void read_population(Section& section, PrivacyConfig& privacy) {
  if (section.text("population", privacy.population) &&
      (privacy.population.empty() || privacy.population.size() > limits::kNameBytes ||
       privacy.population.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") !=
           std::string::npos))
    section.problem("population", "is not 1 to 64 characters of a-z, 0-9, _ and -");
  section.text("sampling", privacy.sampling);  // the decision table knows the names
  section.integer("participations", privacy.participations, 1, 1'000'000);
  section.integer("separation", privacy.separation, 1, 1'000'000);
  section.integer("max_devices", privacy.max_devices, 1,
                  static_cast<std::int64_t>(limits::kMaxKeys));
}

/// What is read and settles something, but is not kept.
struct Wishes {
  double target_epsilon = 0;
  std::string denominator = "fixed";
  bool release_metrics = false;
};

void read_keys(Section& section, PrivacyConfig& privacy, Wishes& wishes) {
  section.choice("mechanism", privacy.mechanism, {"central", "buckets", "shards", "local"});
  section.choice("adjacency", privacy.adjacency, {"zero-out", "add-remove", "replace-one"});
  read_noise(section, privacy);
  read_population(section, privacy);
  if (section.number("target_epsilon", wishes.target_epsilon) && !(wishes.target_epsilon > 0))
    section.problem("target_epsilon", "must be above 0");
  section.integer("planned_rounds", privacy.planned_rounds, 1,
                  static_cast<std::int64_t>(privacy::kMaxRounds));
  section.choice("denominator", wishes.denominator, {"fixed", "realised"});
  section.flag("release_metrics", wishes.release_metrics);
  section.integer("buckets", privacy.buckets, 0, kMaxBuckets);
  section.integer("shards", privacy.shards, 0, kMaxBuckets);
  section.flag("allow_small_cohort", privacy.allow_small_cohort);
}

/// A target names what all planned rounds may cost; noise is found for it.
void solve_target(Section& section, PrivacyConfig& privacy, double target) {
  const bool wanted = section.has("target_epsilon");
  if (wanted == section.has("noise_multiplier"))
    return section.problem("noise_multiplier",
                           "give noise_multiplier, or target_epsilon with planned_rounds");
  if (!wanted) return;
  if (privacy.planned_rounds == 0)
    return section.problem("planned_rounds", "target_epsilon is for so many rounds");
  if (!section.sound({"target_epsilon", "planned_rounds", "delta", "adjacency", "sampling",
                      "participations", "separation"}))
    return;
  if (privacy.budget_epsilon == 0) privacy.budget_epsilon = target;
  privacy::Schedule run;
  run.adjacency = privacy.relation();
  run.sampling = privacy.statement();
  run.rounds = privacy.planned_rounds;
  const auto z = privacy::solve_noise(run, target * (1 - kTargetMargin), privacy.delta,
                                      privacy::Accountant::kGaussian);
  if (!z.ok()) return section.problem("target_epsilon", with_code(z.status()));
  privacy.noise_multiplier = *z;
}

void check_budget(Section& section, const PrivacyConfig& privacy) {
  if (!section.has("population"))
    section.problem("population",
                    "name whom the task learns from: tasks on one population share one budget");
  if (!section.has("delta") && section.sound({"delta"}))
    section.problem("delta", "a budget is an epsilon at a delta: give one, say 1e-6");
  if (privacy.budget_epsilon == 0 && section.sound({"budget_epsilon", "target_epsilon"}))
    section.problem("budget_epsilon", "what may be spent on the population, all tasks together");
  if (!section.sound({"delta", "budget_epsilon", "target_epsilon", "population"})) return;
  if (const Status status = check(privacy.budget()); !status.ok())
    section.problem("budget_epsilon", with_code(status));
}

/// The decision table on what the whole task says.
void check_decision(Section& section, const TaskConfig& task, const PrivacyConfig& privacy,
                    bool rejects_invalid, const Wishes& wishes) {
  privacy::PrivateTask wish;
  wish.rule = task.rule;
  wish.mechanism = privacy.placement();
  wish.adjacency = privacy.relation();
  wish.sampling = privacy.sampling;
  wish.codec = task.codec;
  wish.fixed_denominator = wishes.denominator == "fixed";
  wish.weighted = task.max_weight > 1;
  wish.fixed_cohort = !task.rule_parameters.byzantine_share;
  wish.zero_invalid = !rejects_invalid;
  wish.public_start = task.rule_parameters.start != "mean";
  wish.iterations = task.rule_parameters.iterations.value_or(1);
  const auto has_step = [&](std::string_view name) {
    return std::any_of(task.pre_steps.begin(), task.pre_steps.end(),
                       [&](const std::string& step) { return step.rfind(name, 0) == 0; });
  };
  wish.arc = has_step("arc");
  wish.nnm = has_step("nnm");
  wish.adaptive_clip = privacy.adaptive_clip != "none";
  wish.adaptive_clip_noised = privacy.adaptive_clip == "noised";
  wish.buffered = task.buffered;
  wish.releases_metrics = wishes.release_metrics;
  if (const auto decision = decide(wish); !decision.ok())
    section.problem(decision.status().reason().starts_with("sampling_") ? "sampling" : "mechanism",
                    with_code(decision.status()));
}

/// What the table allows and this server does not carry out.
void check_carried_out(Section& section, const TaskConfig& task, const PrivacyConfig& privacy) {
  const Placement placement = privacy.placement();
  if (privacy.sampling == "poisson" || privacy.sampling == "fixed-size")
    section.problem("sampling",
                    "sampling_not_drawn: devices check in here when they can and nobody draws "
                    "them; state check-in with participations, or tree or blt with separation");
  if (placement == Placement::kCentral && !task.pre_steps.empty())
    section.problem("mechanism",
                    "pre_steps_unbounded: central noise goes on integers of single updates, which "
                    "pre-steps mix; leave pre_steps out, or use mechanism buckets");
  if (task.rule_parameters.shard_size)
    section.problem("mechanism",
                    "shards_unnoised: shard_size averages shards without noise on each; use "
                    "mechanism shards");
  if (placement == Placement::kLocal) return;
  if (task.adaptive_scales)
    section.problem("mechanism",
                    "scales_adaptive: scales that follow the codes of updates reveal them; set "
                    "scales = \"fixed\"");
  if (placement != Placement::kCentral && privacy.relation() == Adjacency::kAddRemove)
    section.problem("adjacency",
                    "assignment_shifts: who is in which bucket or shard depends on who came; use "
                    "zero-out");
  if (placement == Placement::kBuckets &&
      (task.rule == "fltrust" || task.rule == "fltrust_fixed" || task.rule == "monna"))
    section.problem("mechanism",
                    "trusted_in_buckets: a trusted update among noised buckets is not carried out "
                    "by this version; use trimmed_mean");
  if (placement != Placement::kCentral && (task.buffered || privacy.adaptive_clip != "none"))
    section.problem("mechanism",
                    "central_only: buffered rounds and a clip norm that follows the updates go "
                    "with mechanism central");
  if (task.buffered && task.rule != "clipped_mean")
    section.problem("mechanism",
                    "buffer_weights: late updates weigh less, which only the clipped mean's bound "
                    "covers; use clipped_mean");
  if (privacy.sampling != "tree" && privacy.sampling != "blt") return;
  if (placement != Placement::kCentral || privacy.adaptive_clip != "none")
    section.problem("sampling",
                    "correlated_grid: noise that is correlated over rounds needs one grid and one "
                    "vector; use mechanism central with a fixed clip norm");
  if (const auto codec = parse_codec(task.codec); codec && in_round_space(*codec))
    section.problem("sampling",
                    "correlated_space: this codec has other coordinates each round, noise of "
                    "earlier rounds does not fit them; use i8s, i8b, f16 or f32");
}

void check_cohort(Section& task_section, Section& section, TaskConfig& task,
                  const PrivacyConfig& privacy) {
  if (!task_section.sound({"target_cohort", "minimum_cohort"})) return;
  if (!task_section.has("minimum_cohort")) {
    task.minimum_cohort = kUsualPrivateCohort;
    if (task.target_cohort < task.minimum_cohort)
      return task_section.problem(
          "target_cohort",
          "cohort_floor: cohorts of a private task have at least 100 updates; "
          "raise it, or give a minimum_cohort of your own");
  }
  if (task.minimum_cohort < kLeastPrivateCohort && !privacy.allow_small_cohort)
    section.problem("allow_small_cohort",
                    "cohort_floor: a minimum_cohort of " + std::to_string(task.minimum_cohort) +
                        " hides nobody, the floor is 10; raise it, or set allow_small_cohort = "
                        "true and answer for it");
}

/// The clip norm is one number: the rule's own key may repeat it, not contradict it.
void share_clip_norm(Section& section, TaskConfig& task, PrivacyConfig& privacy) {
  const bool votes = task.rule == "sign_majority" && privacy.placement() == Placement::kCentral;
  if (votes != (privacy.clip_norm == 0) && section.sound({"clip_norm"}))
    return section.problem("clip_norm", votes ? "votes have no norm to clip; leave it out"
                                              : "the norm that bounds an update is needed");
  if (privacy.placement() != Placement::kCentral) return;
  std::optional<double>* const own = task.rule == "clipped_mean" ? &task.rule_parameters.clip_norm
                                     : task.rule == "centred_clipping" ? &task.rule_parameters.tau
                                                                       : nullptr;
  if (own == nullptr) return;
  if (own->has_value() && **own != privacy.clip_norm)
    return section.problem("clip_norm",
                           "the rule's own clip norm (tau) is another; leave that out");
  *own = privacy.clip_norm;
}

}  // namespace

Placement PrivacyConfig::placement() const {
  for (const Placement each : {Placement::kBuckets, Placement::kShards, Placement::kLocal})
    if (mechanism == privacy::placement_name(each)) return each;
  return Placement::kCentral;
}

Adjacency PrivacyConfig::relation() const {
  for (const Adjacency each : {Adjacency::kAddRemove, Adjacency::kReplaceOne})
    if (adjacency == privacy::adjacency_name(each)) return each;
  return Adjacency::kZeroOut;
}

privacy::Budget PrivacyConfig::budget() const {
  return {population, budget_epsilon, delta, relation()};
}

privacy::Sampling PrivacyConfig::statement() const {
  const privacy::Participation limit{participations, separation};
  if (sampling == "tree") return privacy::Tree{limit, 0};
  if (sampling == "blt") return privacy::BltNoise{privacy::usual_blt(), limit};
  return privacy::CheckIn{limit};
}

void read_privacy(Section& task_section, TaskConfig& task) {
  Section section = task_section.inner("privacy");
  PrivacyConfig privacy;
  Wishes wishes;
  read_keys(section, privacy, wishes);
  section.finish();
  if (!task_section.has("privacy") || !section.sound({"mechanism", "adjacency", "sampling"}))
    return;
  const bool rejects = task_section.has("invalid_updates") && task.invalid_updates == "reject";
  if (privacy.central()) {
    if (!rejects) task.invalid_updates = "zero";
    solve_target(section, privacy, wishes.target_epsilon);
    check_budget(section, privacy);
    share_clip_norm(section, task, privacy);
    check_cohort(task_section, section, task, privacy);
  }
  if (section.sound({"adaptive_clip"}) &&
      task_section.sound({"rule", "pre_steps", "codec", "max_weight", "mode"})) {
    check_decision(section, task, privacy, rejects, wishes);
    check_carried_out(section, task, privacy);
  }
  task.privacy = privacy;
}

std::string privacy_text(const TaskConfig& task) {
  if (!task.privacy) return {};
  const PrivacyConfig& privacy = *task.privacy;
  Writer writer;
  writer.text("mechanism", privacy.mechanism);
  writer.text("adjacency", privacy.adjacency);
  if (privacy.clip_norm > 0) writer.number("clip_norm", privacy.clip_norm);
  writer.number("noise_multiplier", privacy.noise_multiplier);
  writer.text("population", privacy.population);
  writer.number("budget_epsilon", privacy.budget_epsilon);
  writer.number("delta", privacy.delta);
  writer.text("sampling", privacy.sampling);
  writer.whole("participations", privacy.participations);
  writer.whole("separation", privacy.separation);
  writer.whole("max_devices", privacy.max_devices);
  writer.text("adaptive_clip", privacy.adaptive_clip);
  writer.number("clip_quantile", privacy.clip_quantile);
  writer.number("clip_rate", privacy.clip_rate);
  if (privacy.clip_count_noise > 0) writer.number("clip_count_noise", privacy.clip_count_noise);
  writer.whole("buckets", privacy.buckets);
  writer.whole("shards", privacy.shards);
  writer.raw("allow_small_cohort", privacy.allow_small_cohort ? "true" : "false");
  return "\n[privacy]\n" + writer.take();
}

void write_privacy_terms(Writer& writer, const TaskConfig& task) {
  if (!task.privacy) return;
  const PrivacyConfig& privacy = *task.privacy;
  writer.text("privacy.mechanism", privacy.mechanism);
  writer.text("privacy.adjacency", privacy.adjacency);
  writer.number("privacy.clip_norm", privacy.clip_norm);
  writer.number("privacy.noise_multiplier", privacy.noise_multiplier);
  writer.text("privacy.population", privacy.population);
  writer.number("privacy.budget_epsilon", privacy.budget_epsilon);
  writer.number("privacy.delta", privacy.delta);
  writer.text("privacy.sampling", privacy.sampling);
  writer.whole("privacy.participations", privacy.participations);
  writer.whole("privacy.separation", privacy.separation);
  writer.text("privacy.adaptive_clip", privacy.adaptive_clip);
  writer.whole("privacy.buckets", privacy.buckets);
  writer.whole("privacy.shards", privacy.shards);
}

}  // namespace muster::server
