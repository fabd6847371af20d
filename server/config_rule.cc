#include "server/config_rule.h"

#include <algorithm>
#include <type_traits>

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
  robust::for_each_parameter(task.rule_parameters, [&](std::string_view key, auto& target) {
    section.optional(key, target, limits::kMaxUpdates);
  });
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
  bool sound = section.sound({"rule", "pre_steps"});
  robust::for_each_parameter(task.rule_parameters, [&](std::string_view key, const auto&) {
    sound = sound && section.sound({key});
  });
  if (!sound) return;
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
  robust::for_each_parameter(task.rule_parameters,
                             [&]<class T>(std::string_view key, const std::optional<T>& value) {
                               if (!value) return;
                               if constexpr (std::is_same_v<T, double>) writer.number(key, *value);
                               if constexpr (std::is_same_v<T, std::string>)
                                 writer.text(key, *value);
                               if constexpr (std::is_same_v<T, std::uint32_t>)
                                 writer.whole(key, *value);
                             });
}

}  // namespace muster::server
