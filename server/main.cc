// musterd: flags, signals, exit codes; nothing else.
#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>
#include <cstdio>

#include "base/limits.h"
#include "base/log.h"
#include "server/node.h"
#include "server/spool_verify.h"

namespace {

// For the signal handler: a request to stop may come before there is a node to stop.
std::atomic<bool> stop_requested{false};
std::atomic<muster::server::Node*> running{nullptr};

void on_signal(int /*number*/) {
  stop_requested = true;
  if (auto* node = running.load()) node->stop();
}

int fail(const muster::Status& status) {
  std::fprintf(stderr, "musterd: %s\n", status.to_string().c_str());
  return muster::server::exit_code(status);
}

muster::Result<muster::server::Config> load(const std::string& file) {
  if (file.empty()) return muster::server::Config{};
  muster::PosixStorage storage;
  MUSTER_ASSIGN(const auto bytes, muster::read_file(storage, file, muster::limits::kDocumentBytes));
  return muster::server::parse_config(muster::as_text(bytes), file);
}

int verify_spool(const muster::server::Config& config) {
  muster::PosixStorage storage;
  const auto verdict = muster::server::verify_spool(storage, config);
  if (!verdict.ok()) return fail(verdict.status());
  std::fputs(verdict->text().c_str(), stdout);
  return verdict->problem_count == 0 ? 0 : 65;
}

int serve(const muster::server::Config& config) {
  using muster::LogFormat;
  using muster::LogLevel;
  const auto& log = config.log;
  muster::log_setup(log.format == "json"   ? LogFormat::kJson
                    : log.format == "text" ? LogFormat::kText
                                           : LogFormat::kAuto,
                    log.level == "debug"     ? LogLevel::kDebug
                    : log.level == "warning" ? LogLevel::kWarning
                    : log.level == "error"   ? LogLevel::kError
                                             : LogLevel::kInfo);
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  auto node = muster::server::Node::start(config);
  if (!node.ok()) return fail(node.status());
  running = node->get();
  if (stop_requested) (*node)->stop();
  const muster::Status status = (*node)->run();
  running = nullptr;
  return status.ok() ? 0 : fail(status);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "musterd: the aggregation server. Without --config it listens on loopback only and "
      "keeps its data in ./muster-data."};
  app.set_version_flag("--version", "musterd " MUSTER_VERSION);
  std::string config_file, check_file, data_dir, population;
  bool assume_spent = false;
  app.add_option("-c,--config", config_file, "TOML configuration file");
  app.add_option("--check", check_file, "Check a configuration file and exit (0 or 78)");
  app.add_option("--data-dir", data_dir, "Overrides data_dir of the configuration");
  bool verify = false;
  app.add_flag("--verify-spool", verify,
               "Check every record of a stopped server and that ended rounds are shut (0 or 65)");
  CLI::Option* const recover = app.add_option(
      "--recover-ledger", population,
      "Operator: begin a new privacy ledger for this population in the place of one that is "
      "missing or damaged and cannot be restored, and exit. Its first record says so");
  app.add_flag("--assume-spent", assume_spent,
               "With --recover-ledger: all that was ever charged counts as spent")
      ->needs(recover);
  app.footer("Example: musterd --config /etc/muster/muster.toml");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : 2;
  }
  auto config = load(check_file.empty() ? config_file : check_file);
  if (!config.ok()) {
    std::fprintf(stderr, "%s\n", std::string(config.status().message()).c_str());
    return muster::server::exit_code(config.status());
  }
  if (!check_file.empty()) {
    std::printf("%s: ok\n", check_file.c_str());
    return 0;
  }
  if (!data_dir.empty()) config->data_dir = data_dir;
  if (verify) return verify_spool(*config);
  if (population.empty()) return serve(*config);
  if (!assume_spent)
    return fail(muster::Status(
        muster::Code::kInvalid, "assume_spent_missing",
        "a recovered ledger can only assume that everything was spent: add --assume-spent"));
  if (const auto status = muster::server::recover_ledger(*config, population); !status.ok())
    return fail(status);
  std::printf("population %s has a new ledger; what was spent is its first record\n",
              population.c_str());
  return 0;
}
