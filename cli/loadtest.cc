// `muster loadtest`: a fleet that does not train against a real server, and what came of it.
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <ostream>

#include "base/storage.h"
#include "cli/commands.h"
#include "cli/demo_server.h"
#include "cli/exit_code.h"
#include "cli/interrupt.h"
#include "cli/key_file.h"
#include "cli/load_machine.h"
#include "cli/load_run.h"
#include "cli/table.h"

namespace muster::cli {
namespace {

constexpr int kExitChecks = 3;
constexpr std::size_t kScenarioBytes = std::size_t{1} << 20;
constexpr Nanoseconds kPlainLine = 5 * kSecond;

struct LoadtestOptions {
  std::string file, out;
  bool running = false, check_only = false;
};

std::string time_text(double value) {
  return value < 1e-3 ? fmt::format("{:.0f} us", value * 1e6)
         : value < 1  ? fmt::format("{:.1f} ms", value * 1e3)
                      : fmt::format("{:.2f} s", value);
}

/// One line that overwrites itself on a terminal, a line now and then elsewhere.
class ProgressLine {
 public:
  ProgressLine(Session& session, bool terminal) : session_(session), terminal_(terminal) {}
  void show(const LoadSample& now, const std::string& phase, double share) {
    if (session_.json) return;
    const double span = std::max(now.at - before_.at, 1e-9);
    const auto rate = [&](std::uint64_t to, std::uint64_t from) {
      return static_cast<double>(to - from) / span;
    };
    if (now.at - before_.at < 0.9 && before_.at > 0) return;
    const std::string line = fmt::format(
        "{:<22} {:>3.0f} %  due {:>7.0f}/s  acknowledged {:>7.0f}/s  p50 {:>8} p99 {:>8}  under "
        "way "
        "{}  server {:.0f} MiB",
        phase, std::min(100 * share, 100.0), rate(now.due, before_.due),
        rate(now.acknowledged, before_.acknowledged), time_text(now.p50), time_text(now.p99),
        now.active, now.server_bytes / (1 << 20));
    before_ = now;
    if (terminal_) {
      session_.err() << '\r' << line << "\033[K" << std::flush;
      open_ = true;
    } else if (const Nanoseconds time = clock_.now(); time - said_ >= kPlainLine) {
      said_ = time;
      session_.err() << line << '\n' << std::flush;
    }
  }
  void end() {
    if (open_) session_.err() << '\n';
    open_ = false;
  }

 private:
  Session& session_;
  const bool terminal_;
  bool open_ = false;
  LoadSample before_;
  SystemClock clock_;
  Nanoseconds said_ = 0;
};

void print_result(const LoadResult& result, std::ostream& out, bool bold) {
  const loadtest::Counts& counts = result.outcome.counts;
  Table latencies({{"from when it was due"},
                   {"count", true},
                   {"p50", true},
                   {"p90", true},
                   {"p99", true},
                   {"p99.9", true},
                   {"p99.99", true},
                   {"max", true}});
  const loadtest::PhaseLatencies all = all_phases(result.outcome);
  const auto row = [&](const std::string& name, const loadtest::LatencyHistogram& histogram) {
    if (histogram.count() == 0) return;
    const auto cell = [&](double percent) {
      return time_text(static_cast<double>(histogram.percentile(percent)) / kSecond);
    };
    latencies.add({name, fmt::format("{}", histogram.count()), cell(50), cell(90), cell(99),
                   cell(99.9), cell(99.99),
                   time_text(static_cast<double>(histogram.longest()) / kSecond)});
  };
  row("connect", all.connect);
  row("acknowledge", all.acknowledge);
  row("  from the send", all.acknowledge_sent);
  row("round", all.round);
  row("simulator's lag", all.lag);
  if (result.outcome.phases.size() > 1)
    for (std::size_t i = 0; i < result.outcome.phases.size(); ++i)
      row("acknowledge, " + result.scenario->plan.phases[i].name,
          result.outcome.phases[i].acknowledge);
  if (result.saturated.empty() && !result.scenario->answer_only) latencies.print(out, bold);
  out << '\n';
  std::string refusals;
  for (const auto& [reason, count] : result.outcome.refusals)
    refusals += fmt::format("{}{} {}", refusals.empty() ? "" : ", ", reason, count);
  print_facts(
      out,
      {{"turns", fmt::format("{} due, {} acknowledged ({:.0f}/s), {} dropped out, {} too late, {} "
                             "put off, {} refused, {} unanswered, {} cut short, {} skipped",
                             counts.due, counts.acknowledged, result.rate(), counts.dropped_out,
                             counts.too_late, counts.put_off, counts.refused, counts.unanswered,
                             counts.cut_short, counts.skipped)},
       {"answers", refusals},
       {"parts of a receipt",
        fmt::format("client {}, network {}, queue {}, durable {} (means); a round computes {}",
                    time_text(result.parts.client), time_text(result.parts.network),
                    time_text(result.parts.queue), time_text(result.parts.durable),
                    time_text(result.parts.compute))},
       {"server", fmt::format("peak {:.0f} MiB of a budget of {:.0f} MiB, {:.1f} CPU s",
                              result.server_peak / (1 << 20), result.server_budget / (1 << 20),
                              result.server_cpu)},
       {"simulator", fmt::format("{:.1f} CPU s, peak {:.0f} MiB; null sink {:.1f} times the rate",
                                 result.simulator_cpu, result.simulator_peak / (1 << 20),
                                 result.null_sink.factor)},
       {"answer", !result.check.done
                      ? "not checked"
                      : fmt::format("{} rounds, {} receipts, {} lost, {}", result.check.rounds,
                                    result.check.receipts, result.check.lost,
                                    result.check.exact ? fmt::format("{} models equal bit for bit",
                                                                     result.check.models)
                                                       : "WRONG: " + result.check.trouble)}});
  for (const Judged& one : result.judged)
    out << fmt::format("{}  {}: {} ({})\n", one.met ? "PASS" : "FAIL", one.what, one.found,
                       one.wanted);
}

Status write_results(const LoadResult& result, const std::string& out) {
  PosixStorage storage;
  const std::string document = to_json(result).dump(1);
  MUSTER_TRY(write_file(storage, out + "/result.json", as_bytes(document)));
  MUSTER_TRY(write_file(storage, out + "/samples.csv", as_bytes(samples_csv(result))));
  MUSTER_TRY(write_file(storage, out + "/percentiles.csv", as_bytes(percentiles_csv(result))));
  MUSTER_TRY(write_file(storage, out + "/acknowledge.hgrm",
                        as_bytes(all_phases(result.outcome).acknowledge.percentile_text())));
  return write_file(storage, out + "/report.html", as_bytes(report_html(result)));
}

Status run_loadtest(Session& session, const LoadtestOptions& options) {
  MUSTER_ASSIGN(const std::string text, read_text(options.file, kScenarioBytes));
  MUSTER_ASSIGN(const Scenario scenario, parse_scenario(text, options.file));
  if (options.check_only) {
    session.show({{"file", options.file}, {"valid", true}, {"scenario", scenario.name}},
                 [&](std::ostream& out) { out << options.file << ": OK\n"; });
    return {};
  }
  const std::string out = options.out.empty() ? "loadtest-out/" + scenario.name : options.out;
  std::error_code error;
  std::filesystem::create_directories(out, error);
  if (error)
    return {Code::kUnavailable, "file_create", "cannot make " + out + ": " + error.message()};
  LoadResult result;
  result.scenario = &scenario;
  result.machine = machine_facts(out);
  std::unique_ptr<DemoServer> server;
  if (!options.running) {
    const std::string program = session.program_directory() + "/musterd";
    MUSTER_ASSIGN(server, DemoServer::start(program, out + "/server",
                                            server_sections(scenario.server, scenario.task)));
    result.commands.push_back("musterd --config " + out + "/server/musterd.toml");
    session.say("status page while this runs: " + server->status_page());
  }
  result.commands.push_back(fmt::format(
      "muster loadtest {}{}{}", options.file, options.out.empty() ? "" : " --out " + options.out,
      options.running ? " --running --socket " + session.socket : ""));
  const InterruptGuard interrupts;
  ProgressLine line(session, ::isatty(STDERR_FILENO) != 0);
  const LoadTarget target{server ? server->admin() : session.admin(),
                          server ? server->pid() : pid_t{-1}};
  const LoadObserver observer{[&](const std::string& step) {
                                line.end();
                                session.say(step);
                              },
                              [&](const LoadSample& sample, const std::string& phase,
                                  double share) { line.show(sample, phase, share); }};
  const Status ran = run_load(target, observer, result);
  line.end();
  MUSTER_TRY(ran);
  MUSTER_TRY(write_results(result, out));
  session.show(to_json(result),
               [&](std::ostream& to) { print_result(result, to, session.bold()); });
  session.say("report " + out + "/report.html");
  if (!result.saturated.empty()) {
    session.err()
        << "error: the simulator, not the server, set these figures: " << result.saturated
        << " [generator_saturated]\n"
        << "  Take a lower rate or more workers, or give the simulator more of the machine.\n";
    session.exit_code = kExitChecks;
  } else if (!result.passed()) {
    session.exit_code = kExitChecks;
  }
  return {};
}

}  // namespace

void add_loadtest(CLI::App& app, Session& session) {
  CLI::App& verb = add_verb(app, "loadtest", "A simulated fleet against a server, by scenario",
                            "muster loadtest examples/scenarios/smoke.toml");
  auto options = std::make_shared<LoadtestOptions>();
  verb.add_option("SCENARIO", options->file, "What is to happen (TOML, docs/loadtest.md)")
      ->required()
      ->option_text(" ");
  verb.add_option("--out", options->out, "Results go here (loadtest-out/NAME)")->option_text("DIR");
  verb.add_flag("--running", options->running, "Use the server at --socket; else one is started");
  verb.add_flag("--check", options->check_only, "Check the scenario, do nothing");
  verb.callback([&session, options] {
    // A failed threshold is no failure of the verb: it has its own exit code.
    session.finish({});
    try {
      const Status status = run_loadtest(session, *options);
      if (!status.ok()) session.finish(status);
    } catch (const std::exception& error) {
      session.finish(Status(Code::kInternal, "internal", error.what()));
    }
  });
}

}  // namespace muster::cli
