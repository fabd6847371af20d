// One run of the demo: one task under one rule, round after round, with its learning curve.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "base/status.h"
#include "cli/demo_screen.h"
#include "cli/demo_server.h"
#include "loadtest/fleet.h"

namespace muster::cli {

/// What is tried: a rule, with or without attackers.
struct DemoRule {
  std::string name;   ///< of the task
  std::string rule;   ///< as a task file says it
  std::string label;  ///< for people
  double hostile_share = 0;
  std::string privacy;  ///< its [privacy] table; empty: not private
};

struct DemoResult {
  DemoRule rule;
  std::vector<loadtest::Evaluation> curve;  ///< [0]: the model all runs start from
  double seconds = 0;
  std::string model_file, model_sha256;
  std::string record;  ///< what the server says beside a private release, for people
};

/// What all runs share.
struct DemoSetting {
  std::uint32_t phones = 200;
  std::uint32_t rounds = 14;
  double byzantine_share = 0.2;  ///< what the robust rules are told to bear
  std::string model_file;        ///< to start from
  loadtest::ModelShape shape;
  loadtest::Attack attack = loadtest::Attack::kMixed;
  std::size_t evaluated = 16'384;  ///< characters of the held-out text
};

/// Creates the task and runs its rounds. "interrupted" when the fleet was stopped, "demo_failed"
/// when phones or server did not do what they must.
Result<DemoResult> run_demo_rule(const DemoRule& rule, const DemoSetting& setting,
                                 const DemoServer& server, loadtest::Fleet& fleet,
                                 const loadtest::Corpus& corpus, DemoScreen& screen);

}  // namespace muster::cli
