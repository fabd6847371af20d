#include "cli/demo.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <thread>

#include "base/clock.h"
#include "base/storage.h"
#include "cli/demo_report.h"
#include "cli/demo_run.h"
#include "cli/demo_screen.h"
#include "cli/demo_server.h"
#include "cli/exit_code.h"
#include "cli/interrupt.h"
#include "loadtest/model_file.h"

namespace muster::cli {
namespace {

constexpr int kExitInterrupted = 130;
/// Descriptors a phone's connection needs at most (socket, monitor, mailboxes), and the rest.
constexpr rlim_t kDescriptorsPerPhone = 6;
constexpr rlim_t kDescriptorsBeside = 256;

struct DemoOptions {
  std::string out = "demo-out", text, attack = "mixed";
  std::uint32_t phones = 0, rounds = 0;  ///< 0: as many as fit the occasion
  double hostile = 0.2;
  std::uint64_t seed = 1;
  bool smoke = false;
  bool is_private = false;  ///< the fleet with and without differential privacy, nobody hostile
  double epsilon = 8, delta = 1e-5;
  double clip_norm = 3;  ///< 1 ends at 51 % top-3 where 3 ends at 56 %
};

/// Noise grows with the root of the parameters and shrinks with the number of phones: 8,832 and
/// 1,000 meet a thirteenth of what 58,688 and 200, the demo of attacks, would.
constexpr loadtest::ModelShape kPrivateShape{64, 8, 8, 64};
constexpr std::uint32_t kPrivatePhones = 1000;

Status raise_descriptor_limit(std::uint32_t phones) {
  const rlim_t needed = phones * kDescriptorsPerPhone + kDescriptorsBeside;
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur >= needed) return {};
  limit.rlim_cur = std::min(limit.rlim_max, needed);
  if (::setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur >= needed) return {};
  return {
      Code::kExhausted, "descriptors",
      fmt::format("{} phones need {} open files, {} are allowed\nRaise the limit with ulimit -n "
                  "or take fewer --phones.",
                  phones, needed, limit.rlim_max)};
}

Result<loadtest::Corpus> read_corpus(const DemoOptions& options) {
  const auto standard = loadtest::default_text_directory();
  if (options.text.empty() && !standard)
    return Status(Code::kNotFound, "text_missing",
                  "there is no text to learn from\nInstall the package 'fortunes', or name a "
                  "directory of plain text with --text DIR.");
  MUSTER_ASSIGN(const auto documents,
                loadtest::read_documents(options.text.empty() ? *standard : options.text));
  return loadtest::cut(documents, options.phones);
}

DemoSetting setting_of(const DemoOptions& options) {
  DemoSetting setting;
  setting.phones = options.phones;
  setting.rounds = options.rounds;
  if (options.is_private) setting.shape = kPrivateShape;
  if (options.hostile > 0) setting.byzantine_share = options.hostile;
  setting.attack = *loadtest::parse_attack(options.attack);
  return setting;
}

std::vector<DemoRule> rules_of(const DemoOptions& options) {
  if (options.is_private) {
    const std::string privacy = fmt::format(
        "[privacy]\npopulation = \"phones\"\nclip_norm = {}\ntarget_epsilon = {}\ndelta = {}\n"
        "planned_rounds = {}\nparticipations = {}\n",
        options.clip_norm, options.epsilon, options.delta, options.rounds, options.rounds);
    return {{"mean", "mean", "mean, not private", 0, ""},
            {"private-mean", "clipped_mean",
             fmt::format("mean, epsilon {:g} at delta {:g}", options.epsilon, options.delta), 0,
             privacy}};
  }
  const std::string hostile = fmt::format("{:.0f} % hostile", 100 * options.hostile);
  return {{"mean-honest", "mean", "mean, every phone honest", 0, ""},
          {"mean", "mean", "mean, " + hostile, options.hostile, ""},
          {"trimmed-mean", "trimmed_mean", "trimmed mean, " + hostile, options.hostile, ""},
          {"krum", "krum", "krum, " + hostile, options.hostile, ""}};
}

Status enrol(const DemoServer& server, const loadtest::Fleet& fleet) {
  nlohmann::json keys = nlohmann::json::array();
  for (const std::string& key : fleet.public_keys())
    keys.push_back({{"key", key}, {"role", "device"}, {"label", "demo"}});
  return server.admin().post("/v1/keys", {{"keys", std::move(keys)}}).status();
}

void say_summary(DemoScreen& screen, const std::vector<DemoResult>& results, double seconds) {
  screen.say(fmt::format("\n{:<34} {:>9} {:>7} {:>7} {:>8}", "after the last round", "loss",
                         "top-1", "top-3", "seconds"));
  for (const DemoResult& result : results) {
    const auto& last = result.curve.back();
    screen.say(fmt::format("{:<34} {:>9} {:>6.1f}% {:>6.1f}% {:>8.1f}", result.rule.label,
                           loss_text(last.loss), 100 * last.top1, 100 * last.top3, result.seconds));
  }
  const auto lost = [&](std::size_t run) {
    return 100 * (results[0].curve.back().top3 - results[run].curve.back().top3);
  };
  if (!results.back().record.empty()) {
    screen.say(
        fmt::format("\nPrivacy costs {:.1f} points of top-3 accuracy.  ({:.0f} s in all)\n"
                    "What the server says beside the release:\n\n{}",
                    lost(results.size() - 1), seconds, results.back().record));
    return;
  }
  screen.say(
      fmt::format("\nThe attack costs the mean {:.1f} points of top-3 accuracy, the trimmed "
                  "mean {:.1f}.  ({:.0f} s in all)",
                  lost(1), lost(2), seconds));
}

/// The run whose model the demo is about: the private one, or the trimmed mean's.
const DemoResult& kept(const std::vector<DemoResult>& results) {
  return results.back().record.empty() ? results[2] : results.back();
}

Status write_results(const std::string& out, const std::vector<DemoResult>& results) {
  PosixStorage storage;
  MUSTER_ASSIGN(const auto model,
                read_file(storage, kept(results).model_file, std::size_t{64} << 20));
  MUSTER_TRY(write_file(storage, out + "/model.safetensors", model));
  if (const auto& record = results.back().record; !record.empty())
    MUSTER_TRY(write_file(storage, out + "/model.privacy.txt", as_bytes(record)));
  MUSTER_TRY(write_file(storage, out + "/learning-curves.svg", as_bytes(demo_chart(results))));
  return write_file(storage, out + "/summary.json", as_bytes(demo_summary(results)));
}

Status run_demo(const DemoOptions& options) {
  const SystemClock clock;
  const Nanoseconds start = clock.now();
  const InterruptGuard guard;
  DemoScreen screen(std::cout, ::isatty(STDOUT_FILENO) != 0 && std::getenv("NO_COLOR") == nullptr);
  MUSTER_TRY(raise_descriptor_limit(options.phones));
  MUSTER_ASSIGN(const loadtest::Corpus corpus, read_corpus(options));
  DemoSetting setting = setting_of(options);

  std::error_code error;
  const std::string self = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  MUSTER_ASSIGN(const auto server, DemoServer::start(self + "/musterd", options.out + "/server"));
  PosixStorage storage;
  setting.model_file = options.out + "/start.safetensors";
  MUSTER_TRY(loadtest::write_model(storage, setting.model_file, setting.shape,
                                   loadtest::initial_model(setting.shape, options.seed)));

  loadtest::FleetOptions fleet_options;
  fleet_options.shape = setting.shape;
  fleet_options.training = {options.smoke ? 16U : 128U, 32, 0.5F, 5};
  fleet_options.seed = options.seed;
  fleet_options.threads = 4 * std::max(2U, std::thread::hardware_concurrency());
  fleet_options.stop = &InterruptGuard::flag();
  loadtest::Fleet fleet(fleet_options, corpus);
  MUSTER_TRY(enrol(*server, fleet));
  MUSTER_TRY(fleet.connect(server->endpoint(), server->server_key()));

  screen.say(fmt::format(
      "{} phones learn to guess the next character: {} parameters, {} rounds.\n"
      "Status page while this runs: {}",
      options.phones, setting.shape.dimension(), setting.rounds, server->status_page()));
  std::vector<DemoResult> results;
  const auto rules = rules_of(options);
  for (const DemoRule& rule : rules) {
    screen.begin(results.size() + 1, rules.size(), rule.label);
    MUSTER_ASSIGN(DemoResult result, run_demo_rule(rule, setting, *server, fleet, corpus, screen));
    results.push_back(std::move(result));
  }
  MUSTER_TRY(write_results(options.out, results));
  say_summary(screen, results, static_cast<double>(clock.now() - start) / kSecond);
  screen.say(
      fmt::format("learning curves  {0}/learning-curves.svg\nmodel            "
                  "{0}/model.safetensors ({2})\nsummary          "
                  "{0}/summary.json\nserver log       {1}",
                  options.out, server->log_file(), kept(results).rule.label));
  return {};
}

/// --smoke changes what was not asked for.
void settle(DemoOptions& options) {
  const std::uint32_t phones = options.is_private ? kPrivatePhones : 200;
  if (options.phones == 0) options.phones = options.smoke ? 20 : phones;
  if (options.rounds == 0) options.rounds = options.smoke ? 3 : options.is_private ? 10 : 14;
}

int report(const Status& status) {
  if (status.ok()) return 0;
  std::cerr << "\nmuster demo: " << status.message() << " [" << status.reason() << "]\n";
  return status.reason() == "interrupted" ? kExitInterrupted : exit_code(status);
}

}  // namespace

void add_demo_command(CLI::App& app, int& exit_code) {
  CLI::App& verb =
      *app.add_subcommand("demo", "A server, a fleet that learns, and attackers in it");
  verb.footer("Example:\n  muster demo --out demo-out --hostile 0.2");
  auto options = std::make_shared<DemoOptions>();
  verb.add_option("--out", options->out, "Results go here (demo-out)")->option_text("DIR");
  verb.add_option("--text", options->text, "Text to learn (the installed fortunes)")
      ->option_text("DIR");
  verb.add_option("--phones", options->phones, "How many phones (200, private 1000)")
      ->check(CLI::Range(10, 5000))
      ->option_text("N");
  verb.add_option("--rounds", options->rounds, "Rounds of each run (14, private 10)")
      ->check(CLI::Range(1, 1000))
      ->option_text("N");
  verb.add_option("--hostile", options->hostile, "Share of hostile phones (0.2)")
      ->check(CLI::Range(0.0, 0.4))
      ->option_text("SHARE");
  verb.add_option("--attack", options->attack, "mixed, sign_flip, little_is_enough or label_flip")
      ->check(CLI::IsMember({"mixed", "sign_flip", "little_is_enough", "label_flip"}))
      ->option_text("KIND");
  verb.add_option("--seed", options->seed, "Of model and training (1)")->option_text("N");
  verb.add_flag("--smoke", options->smoke, "20 phones, 3 short rounds: does it work at all?");
  verb.add_flag("--private", options->is_private, "Differential privacy: with and without")
      ->excludes("--hostile")
      ->excludes("--attack");
  verb.add_option("--epsilon", options->epsilon, "With --private: of all rounds (8)")
      ->check(CLI::Range(0.1, 100.0))
      ->needs("--private")
      ->option_text("E");
  verb.add_option("--delta", options->delta, "With --private: of all rounds (1e-5)")
      ->check(CLI::Range(1e-12, 1e-2))
      ->needs("--private")
      ->option_text("D");
  verb.add_option("--clip-norm", options->clip_norm, "With --private: of an update (3)")
      ->check(CLI::Range(1e-3, 100.0))
      ->needs("--private")
      ->option_text("C");
  verb.callback([&exit_code, options] {
    settle(*options);
    try {
      exit_code = report(run_demo(*options));
    } catch (const std::exception& error) {
      exit_code = report(Status(Code::kInternal, "internal", error.what()));
    }
  });
}

}  // namespace muster::cli
