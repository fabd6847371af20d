#include "cli/demo_run.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <functional>
#include <numeric>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/storage.h"
#include "loadtest/model_file.h"

namespace muster::cli {
namespace {

using nlohmann::json;

constexpr Nanoseconds kReleasePatience = 120 * kSecond;
constexpr auto kPoll = std::chrono::milliseconds(10);
constexpr std::uint32_t kEvaluationBatch = 64;

/// Server momentum gives in 14 rounds what plain averaging gives in 30; the same for every rule.
std::string task_text(const DemoRule& rule, const DemoSetting& setting) {
  const bool bounded = rule.rule != "mean" && rule.rule != "clipped_mean";
  return fmt::format(R"(name = "{}"
codec = "i8b"
chunk_coordinates = 16384
rule = "{}"
{}optimiser = "momentum"
beta1 = 0.6
target_cohort = {}
minimum_cohort = {}
over_selection = 1.0
deadline = "60s"
rounds = {}
{})",
                     rule.name, rule.rule,
                     bounded ? fmt::format("byzantine_share = {}\n", setting.byzantine_share) : "",
                     setting.phones, setting.phones * 9 / 10, setting.rounds, rule.privacy);
}

class Run {
 public:
  Run(const DemoRule& rule, const DemoSetting& setting, const DemoServer& server,
      loadtest::Fleet& fleet, const loadtest::Corpus& corpus, DemoScreen& screen)
      : setting_(setting),
        server_(server),
        fleet_(fleet),
        corpus_(corpus),
        screen_(screen),
        judge_(setting.shape, kEvaluationBatch),
        path_("/v1/tasks/" + rule.name) {
    result_.rule = rule;
  }

  Result<DemoResult> run() {
    MUSTER_TRY(evaluate(setting_.model_file).status());
    const auto& rule = result_.rule;
    MUSTER_TRY(server_.admin()
                   .post("/v1/tasks", {{"toml", task_text(rule, setting_)},
                                       {"file", rule.name + ".toml"},
                                       {"model", std::filesystem::absolute(setting_.model_file)}})
                   .status());
    const Nanoseconds start = clock_.now();
    for (std::uint32_t round = 1; round <= setting_.rounds; ++round) MUSTER_TRY(play(round));
    if (!rule.privacy.empty()) MUSTER_TRY(read_record());
    result_.seconds = static_cast<double>(clock_.now() - start) / kSecond;
    return std::move(result_);
  }

 private:
  Status play(std::uint32_t round) {
    const Nanoseconds start = clock_.now();
    MUSTER_TRY(wait("the round to open", [&](const json& task) {
      return task.value("state", "") == "open" && task.value("round", 0U) == round;
    }));
    const loadtest::RoundPlan plan = {result_.rule.name, result_.rule.hostile_share,
                                      setting_.attack};
    const auto report = fleet_.run_round(plan, [&](std::size_t done) {
      screen_.progress(round, setting_.rounds, done, setting_.phones);
    });
    if (report.refusals.contains("interrupted"))
      return {Code::kClosed, "interrupted", "stopped before the end"};
    if (report.submitted == 0)
      return {Code::kUnavailable, "demo_failed",
              fmt::format("no phone could submit in round {}: {}\nSee {}.", round,
                          report.refusals.begin()->first, server_.log_file())};
    MUSTER_TRY(wait("the round to be released",
                    [&](const json& task) { return task.value("rounds_done", 0U) >= round; }));
    MUSTER_ASSIGN(const json model, server_.admin().get(path_ + "/model"));
    result_.model_file = model.value("file", "");
    result_.model_sha256 = model.value("sha256", "");
    DemoRow row;
    MUSTER_ASSIGN(row.norm, evaluate(result_.model_file));
    row.round = round;
    row.evaluation = result_.curve.back();
    row.seconds = static_cast<double>(clock_.now() - start) / kSecond;
    MUSTER_TRY(fill_from_record(row, report));
    screen_.row(row);
    return {};
  }

  /// It lies beside the model it belongs to.
  Status read_record() {
    const std::string path =
        std::filesystem::path(result_.model_file).replace_extension(".privacy.txt").string();
    PosixStorage storage;
    MUSTER_ASSIGN(const auto bytes, read_file(storage, path, std::size_t{1} << 16));
    result_.record = as_text(bytes);
    return {};
  }

  /// What the server says about the round: how many updates counted, how many it had to leave out.
  Status fill_from_record(DemoRow& row, const loadtest::RoundReport& report) {
    MUSTER_ASSIGN(const json answer,
                  server_.admin().get(path_ + fmt::format("/rounds/{}", row.round)));
    row.cohort = answer.value("n", report.submitted);
    row.refused = report.refused() + answer.value("invalid", 0U);
    return {};
  }

  /// Adds a point to the curve. Returns how far the model is from the one before.
  Result<double> evaluate(const std::string& file) {
    PosixStorage storage;
    MUSTER_ASSIGN(auto model, loadtest::read_model(storage, file, setting_.shape));
    result_.curve.push_back(judge_.evaluate(model, corpus_.held_out, setting_.evaluated));
    model_.resize(model.size());
    const double squares = std::transform_reduce(
        model.begin(), model.end(), model_.begin(), 0.0, std::plus<>(),
        [](double now, double before) { return (now - before) * (now - before); });
    model_ = std::move(model);
    return std::sqrt(squares);
  }

  Status wait(const char* what, const std::function<bool(const json&)>& done) {
    const Nanoseconds end = clock_.now() + kReleasePatience;
    while (clock_.now() < end) {
      MUSTER_ASSIGN(const json task, server_.admin().get(path_));
      if (done(task)) return {};
      std::this_thread::sleep_for(kPoll);
    }
    return {Code::kUnavailable, "demo_failed",
            fmt::format("waited 120 s for {}\nSee {}.", what, server_.log_file())};
  }

  const DemoSetting& setting_;
  const DemoServer& server_;
  loadtest::Fleet& fleet_;
  const loadtest::Corpus& corpus_;
  DemoScreen& screen_;
  loadtest::Trainer judge_;
  SystemClock clock_;
  std::string path_;
  std::vector<float> model_;  ///< of the round before
  DemoResult result_;
};

}  // namespace

Result<DemoResult> run_demo_rule(const DemoRule& rule, const DemoSetting& setting,
                                 const DemoServer& server, loadtest::Fleet& fleet,
                                 const loadtest::Corpus& corpus, DemoScreen& screen) {
  return Run(rule, setting, server, fleet, corpus, screen).run();
}

}  // namespace muster::cli
