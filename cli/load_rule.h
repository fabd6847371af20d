// The server's rule on updates that lie in memory: to recompute its answers, and for attackers who
// are taken to know it.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "cli/scenario.h"
#include "loadtest/attack_search.h"
#include "robust_agg/step.h"
#include "wire/message.h"

namespace muster::cli {

/// The encoded chunks of each update.
using EncodedRows = std::vector<std::span<const std::vector<std::byte>>>;

/// `state` after a round of these updates. Ties are broken by their order here, by a secret on the
/// server.
Status play_round(const ScenarioTask& task, kernels::Backend& backend,
                  const wire::Assignment& assignment, const EncodedRows& rows,
                  robust::ModelState& state);

/// What the rule of the task makes of a cohort of any size, before codecs: f and m are taken in the
/// proportion they have to the target cohort.
loadtest::CohortRule cohort_rule(const ScenarioTask& task);

}  // namespace muster::cli
