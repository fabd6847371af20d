// musterd: flags, signals, exit codes; nothing else.
#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/limits.h"
#include "base/log.h"
#include "server/config_values.h"
#include "server/node.h"
#include "server/spool_verify.h"

namespace {

std::atomic<bool> stop_requested{false};

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

/// Takes the signals of the process on a thread of its own, where everything may be done.
class Signals {
 public:
  /// Before any other thread: they inherit what is blocked here.
  Signals(const muster::server::Config& config, std::function<void()> on_reload)
      : grace_(config.drain_grace), on_reload_(std::move(on_reload)) {
    sigemptyset(&set_);
    for (const int number : {SIGTERM, SIGINT, SIGHUP, kEnd}) sigaddset(&set_, number);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    thread_ = std::thread([this] { run(); });
  }
  ~Signals() {
    ending_ = true;
    pthread_kill(thread_.native_handle(), kEnd);
    thread_.join();
  }
  void set_grace(muster::Nanoseconds grace) { grace_ = grace; }

 private:
  static constexpr int kEnd = SIGUSR1;

  void run() {
    while (!ending_) {
      int number = 0;
      if (sigwait(&set_, &number) != 0 || number == kEnd) continue;
      if (number == SIGHUP) {
        on_reload_();
        continue;
      }
      stop_requested = true;
      return drain();
    }
  }

  /// Everything acknowledged is on disk at every instant; past the grace period nothing more can be
  /// gained by waiting.
  void drain() {
    const muster::SystemClock clock;
    const muster::Nanoseconds deadline = clock.now() + grace_;
    while (!ending_) {
      const muster::Nanoseconds left = deadline - clock.now();
      if (left <= 0) {
        muster::log_error("drain_incomplete",
                          "the grace period is over: ending now. What was acknowledged is on disk; "
                          "what was not will be sent again");
        std::_Exit(kExitTemporary);
      }
      const timespec wait{left / muster::kSecond, left % muster::kSecond};
      sigtimedwait(&set_, nullptr, &wait);
    }
  }

  static constexpr int kExitTemporary = 75;
  sigset_t set_{};
  std::atomic<bool> ending_{false};
  std::atomic<muster::Nanoseconds> grace_;
  std::function<void()> on_reload_;
  std::thread thread_;
};

/// `load_again`: the configuration as it is now, for SIGHUP.
int serve(const muster::server::Config& config,
          const std::function<muster::Result<muster::server::Config>()>& load_again) {
  std::mutex mutex;  // reloads and the node's coming and going; never while it serves
  std::unique_ptr<muster::server::Node> node;
  Signals* taken = nullptr;
  Signals signals(config, [&] {
    std::lock_guard lock(mutex);
    if (node == nullptr) return;  // still starting, with the file as it was a moment ago
    const auto fresh = load_again();
    if (!fresh.ok()) return node->reload_refused(fresh.status());
    taken->set_grace(fresh->drain_grace);
    node->reload(*fresh);
  });
  taken = &signals;
  auto started = muster::server::Node::start(config, &stop_requested);
  if (!started.ok())
    return muster::server::exit_code(started.status()) == 0 ? 0 : fail(started.status());
  {
    std::lock_guard lock(mutex);
    node = std::move(*started);
  }
  const muster::Status status = node->run();
  std::unique_ptr<muster::server::Node> ending;
  {
    std::lock_guard lock(mutex);
    ending = std::move(node);
  }
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
  bool values = false;
  app.add_flag("--values", values, "With --check: print every key with its value as JSON");
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
    if (values)
      std::printf("%s\n", nlohmann::json(muster::server::config_values(*config)).dump().c_str());
    else
      std::printf("%s: ok\n", check_file.c_str());
    return 0;
  }
  if (!data_dir.empty()) config->data_dir = data_dir;
  if (verify) return verify_spool(*config);
  if (population.empty())
    return serve(*config, [&]() -> muster::Result<muster::server::Config> {
      MUSTER_ASSIGN(auto fresh, load(config_file));
      if (!data_dir.empty()) fresh.data_dir = data_dir;
      return fresh;
    });
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
