// The keys of a task that say how its updates become one vector.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "robust_agg/pre_step.h"
#include "robust_agg/shard.h"
#include "server/config.h"
#include "server/config_reader.h"
#include "server/config_writer.h"

namespace muster::server {

void read_rule(Section& section, TaskConfig& task);
/// Whether the rule is defined, on these codes (if they are sound), for every cohort a round may
/// close with. After all other keys were read.
void check_rule(Section& section, const TaskConfig& task, std::optional<ChunkFormat> format);
void write_rule(Writer& writer, const TaskConfig& task);

/// What the keys mean.
struct RuleChoice {
  robust::Rule rule;
  std::vector<robust::PreStep> pre_steps;
  std::optional<robust::Sharding> sharding;
};
Result<RuleChoice> choose_rule(const TaskConfig& task);
/// For people and for the terms hash: "nnm(f=3), then median, in shards of 256, ...".
std::string rule_text(const RuleChoice& choice);
/// rule_text() of a sound task, and what else decides what its updates are worth.
std::string rule_terms(const TaskConfig& task);

}  // namespace muster::server
