// The answer of a load test: from receipts and known updates the models that must have been
// released.
#pragma once

#include "cli/admin_client.h"
#include "cli/load_result.h"
#include "loadtest/update_pool.h"

namespace muster::cli {

/// Recomputes every round of the task with robust_agg on the CPU, from its first, and compares with
/// the files of the versions the server still keeps. What does not fit is in AnswerCheck::trouble;
/// errors are those of asking and computing.
Result<AnswerCheck> check_answer(const Scenario& scenario, const AdminClient& admin,
                                 const loadtest::WorkBook& book, const loadtest::Outcome& outcome);

}  // namespace muster::cli
