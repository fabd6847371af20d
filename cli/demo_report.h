// What the demo leaves behind: learning-curves.svg and summary.json.
#pragma once

#include <string>
#include <vector>

#include "cli/demo_run.h"

namespace muster::cli {

/// {"runs": [{rule, hostile_share, rounds, loss, top1, top3, seconds, model_sha256}]}; shares in
/// [0, 1], a loss that is not finite is null.
std::string demo_summary(const std::vector<DemoResult>& results);

/// Two panels over rounds, top-3 accuracy and loss, a line a run. Needs nothing outside the file.
std::string demo_chart(const std::vector<DemoResult>& results);

}  // namespace muster::cli
