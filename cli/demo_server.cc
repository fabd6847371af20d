#include "cli/demo_server.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "base/clock.h"

namespace muster::cli {
namespace {

constexpr Nanoseconds kStartPatience = 30 * kSecond;
constexpr Nanoseconds kStopPatience = 15 * kSecond;
constexpr auto kPoll = std::chrono::milliseconds(20);
constexpr std::size_t kLogTail = 1500;
/// sockaddr_un's path, less its NUL.
constexpr std::size_t kSocketPathBytes = 107;

constexpr const char* kDemoSections = R"([ingest]
listen = ["tcp://127.0.0.1:*"]
slot = "32KiB"
[spool]
segment = "64MiB"
low_water = "64MiB"
[monitoring]
listen = "127.0.0.1:0"
)";

std::string config_text(const std::string& directory, const std::string& socket,
                        const std::string& sections) {
  const auto quoted = [](const std::string& text) { return nlohmann::json(text).dump(); };
  return fmt::format(R"(data_dir = {}
drain_grace = "5s"
{}[admin]
socket = {}
[log]
format = "json"
)",
                     quoted(directory + "/data"), sections, quoted(socket));
}

std::string tail_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (text.size() > kLogTail) text.erase(0, text.size() - kLogTail);
  return text;
}

/// In the child, between fork and exec: only calls that are safe there.
[[noreturn]] void become(const char* program, const char* config_file, int log) {
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);  // no demo, no server
  // Ctrl-C goes to the demo alone, which stops the server in its own time.
  ::setpgid(0, 0);
  ::dup2(log, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  ::execl(program, program, "--config", config_file, static_cast<char*>(nullptr));
  ::_exit(127);
}

}  // namespace

Result<std::unique_ptr<DemoServer>> DemoServer::start(const std::string& program,
                                                      const std::string& directory,
                                                      const std::string& sections) {
  std::error_code error;
  std::filesystem::remove_all(directory, error);
  if (!error) std::filesystem::create_directories(directory, error);
  if (error)
    return Status(Code::kUnavailable, "file_create",
                  "cannot make " + directory + ": " + error.message() +
                      "\nName a directory you may write to with --out.");
  const std::string socket = directory + "/admin.sock";
  if (socket.size() > kSocketPathBytes)
    return Status(Code::kInvalid, "usage",
                  "the path " + socket + " is too long for a socket\nTake a shorter --out.");
  const std::string config_file = directory + "/musterd.toml";
  std::ofstream(config_file) << config_text(directory, socket,
                                            sections.empty() ? kDemoSections : sections);
  std::unique_ptr<DemoServer> server(new DemoServer(socket, directory + "/musterd.log"));
  MUSTER_TRY(server->launch(program, config_file));
  MUSTER_TRY(server->wait_until_ready());
  return server;
}

Status DemoServer::launch(const std::string& program, const std::string& config_file) {
  if (::access(program.c_str(), X_OK) != 0)
    return {Code::kNotFound, "server_missing",
            "there is no server at " + program + "\nBuild or install musterd beside muster."};
  const int log = ::open(log_file_.c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
  if (log < 0)
    return {Code::kUnavailable, "file_create",
            "cannot write " + log_file_ + ": " + std::strerror(errno)};
  pid_ = ::fork();
  if (pid_ == 0) become(program.c_str(), config_file.c_str(), log);
  const int failure = errno;
  ::close(log);
  if (pid_ < 0)
    return {Code::kUnavailable, "server_start",
            std::string("cannot start a process: ") + std::strerror(failure)};
  return {};
}

Status DemoServer::wait_until_ready() {
  const SystemClock clock;
  const Nanoseconds end = clock.now() + kStartPatience;
  while (clock.now() < end) {
    if (exited())
      return {Code::kUnavailable, "server_start",
              "musterd ended at once; the end of " + log_file_ + ":\n" + tail_of(log_file_)};
    const auto status = admin_.get("/v1/status");
    if (status.ok() && status->value("ready", false)) {
      endpoint_ = status->at("endpoints").at(0).get<std::string>();
      server_key_ = status->value("server_key", "");
      status_page_ = "http://" + status->value("metrics", "") + "/status";
      return {};
    }
    std::this_thread::sleep_for(kPoll);
  }
  return {Code::kUnavailable, "server_start",
          "musterd is not ready after 30 s; the end of " + log_file_ + ":\n" + tail_of(log_file_)};
}

bool DemoServer::exited() {
  if (pid_ <= 0) return true;
  int status = 0;
  const pid_t reaped = ::waitpid(pid_, &status, WNOHANG);
  if (reaped == 0) return false;
  pid_ = -1;
  return true;
}

DemoServer::~DemoServer() {
  if (exited()) return;
  ::kill(pid_, SIGTERM);
  const SystemClock clock;
  const Nanoseconds end = clock.now() + kStopPatience;
  while (clock.now() < end) {
    if (exited()) return;
    std::this_thread::sleep_for(kPoll);
  }
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

}  // namespace muster::cli
