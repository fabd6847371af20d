#include "server/config_rule.h"

#include <algorithm>

#include "base/check.h"
#include "base/limits.h"
#include "ingest/keys.h"

namespace muster::server {
namespace {

/// The rule must be defined for every cohort a round may close with.
void check_rule_cohort(Section& section, const TaskConfig& task, const RuleChoice& choice) {
  if (choice.sharding) {
    if (const Status status =
            robust::check_shards(*choice.sharding, choice.rule, task.minimum_cohort,
                                 task.target_cohort, choice.pre_steps);
        !status.ok())
      section.problem("shard_size", std::string(status.message()));
    return;
  }
  // A share is rounded down, so the need does not grow evenly; a window past the minimum shows it.
  constexpr std::uint32_t kWindow = 65'536;
  const std::uint32_t last = std::min(task.target_cohort, task.minimum_cohort + kWindow);
  for (std::uint32_t n = task.minimum_cohort; n <= last; ++n) {
    const std::uint32_t needed = robust::minimum_cohort(choice.pre_steps, choice.rule, n);
    if (needed <= n) continue;
    const std::uint32_t f = robust::fault_bound(choice.pre_steps, choice.rule).of(n);
    return section.problem("minimum_cohort", robust::to_string(choice.pre_steps, choice.rule) +
                                                 " with f = " + std::to_string(f) +
                                                 " needs a cohort of " + std::to_string(needed) +
                                                 ", a round may have " + std::to_string(n));
  }
}

void check_trusted(Section& section, const TaskConfig& task, const robust::Rule& rule) {
  const bool needed = robust::uses_trusted(rule);
  if (needed && task.trusted_device.empty())
    section.problem("trusted_device", std::string(robust::rule_name(rule)) +
                                          " needs one: the public key of a device of your own");
  if (!needed && !task.trusted_device.empty())
    section.problem("trusted_device",
                    std::string(robust::rule_name(rule)) + " takes no trusted_device");
  if (!task.trusted_device.empty() && !ingest::parse_key(task.trusted_device))
    section.problem("trusted_device", "is not a public key (40 characters of Z85)");
}

}  // namespace

void read_rule(Section& section, TaskConfig& task) {
  section.text("rule", task.rule);
  section.texts("pre_steps", task.pre_steps);
  section.choice("invalid_updates", task.invalid_updates, {"reject", "zero"});
  section.text("trusted_device", task.trusted_device);
  auto& parameters = task.rule_parameters;
  const auto number = [&](std::string_view key, std::optional<double>& target) {
    double value = 0;
    if (section.number(key, value)) target = value;
  };
  const auto count = [&](std::string_view key, std::optional<std::uint32_t>& target) {
    std::uint32_t value = 0;
    if (section.integer(key, value, 0, limits::kMaxUpdates)) target = value;
  };
  const auto text = [&](std::string_view key, std::optional<std::string>& target) {
    std::string value;
    if (section.text(key, value)) target = value;
  };
  number("clip_norm", parameters.clip_norm);
  count("f", parameters.f);
  number("byzantine_share", parameters.byzantine_share);
  count("m", parameters.m);
  text("neighbours", parameters.neighbours);
  text("scores", parameters.scores);
  number("smoothing", parameters.smoothing);
  count("iterations", parameters.iterations);
  number("tolerance", parameters.tolerance);
  text("start", parameters.start);
  number("tau", parameters.tau);
  number("step", parameters.step);
  count("shard_size", parameters.shard_size);
}

Result<RuleChoice> choose_rule(const TaskConfig& task) {
  RuleChoice choice;
  MUSTER_ASSIGN(choice.rule, robust::parse_rule(task.rule, task.rule_parameters));
  MUSTER_ASSIGN(choice.sharding, robust::parse_sharding(choice.rule, task.rule_parameters));
  MUSTER_ASSIGN(choice.pre_steps, robust::parse_pre_steps(task.pre_steps, choice.rule));
  return choice;
}

std::string rule_text(const RuleChoice& choice) {
  std::string text = robust::to_string(choice.pre_steps, choice.rule);
  if (choice.sharding) text.append(" ").append(robust::to_string(*choice.sharding));
  return text;
}

std::string rule_terms(const TaskConfig& task) {
  const auto choice = choose_rule(task);
  MUSTER_CHECK(choice.ok());
  std::string text = rule_text(*choice) + ", invalid updates: " + task.invalid_updates;
  if (!task.trusted_device.empty()) text += ", trusted: " + task.trusted_device;
  return text;
}

void check_rule(Section& section, const TaskConfig& task, std::optional<ChunkFormat> format) {
  if (!section.sound({"rule", "pre_steps", "clip_norm", "f", "byzantine_share", "m", "neighbours",
                      "scores", "smoothing", "iterations", "tolerance", "start", "tau", "step",
                      "shard_size"}))
    return;
  const auto choice = choose_rule(task);
  if (!choice.ok()) {
    const std::string_view reason = choice.status().reason();
    return section.problem(reason == "pre_step" ? "pre_steps" : "rule",
                           std::string(choice.status().message()));
  }
  if (format) {
    if (const Status status = robust::accepts(choice->rule, *format); !status.ok())
      section.problem("codec", std::string(status.message()));
    if (task.buffered && in_round_space(format->codec))
      section.problem("codec", task.codec +
                                   " has other coordinates each round, and a buffered task "
                                   "averages updates of several rounds");
  }
  check_trusted(section, task, choice->rule);
  if (section.sound({"target_cohort", "minimum_cohort"})) check_rule_cohort(section, task, *choice);
}

void write_rule(Writer& writer, const TaskConfig& task) {
  writer.text("rule", task.rule);
  if (!task.pre_steps.empty()) writer.texts("pre_steps", task.pre_steps);
  writer.text("invalid_updates", task.invalid_updates);
  if (!task.trusted_device.empty()) writer.text("trusted_device", task.trusted_device);
  const auto& parameters = task.rule_parameters;
  const auto number = [&](std::string_view key, const std::optional<double>& value) {
    if (value) writer.number(key, *value);
  };
  const auto count = [&](std::string_view key, const std::optional<std::uint32_t>& value) {
    if (value) writer.whole(key, *value);
  };
  const auto text = [&](std::string_view key, const std::optional<std::string>& value) {
    if (value) writer.text(key, *value);
  };
  number("clip_norm", parameters.clip_norm);
  count("f", parameters.f);
  number("byzantine_share", parameters.byzantine_share);
  count("m", parameters.m);
  text("neighbours", parameters.neighbours);
  text("scores", parameters.scores);
  number("smoothing", parameters.smoothing);
  count("iterations", parameters.iterations);
  number("tolerance", parameters.tolerance);
  text("start", parameters.start);
  number("tau", parameters.tau);
  number("step", parameters.step);
  count("shard_size", parameters.shard_size);
}

}  // namespace muster::server
