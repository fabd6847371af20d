#include "tests/e2e/server_process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <random>

namespace muster::e2e {

TemporaryFolder::TemporaryFolder() {
  std::string name = std::filesystem::current_path().string() + "/e2e-XXXXXX";
  MUSTER_CHECK(::mkdtemp(name.data()) != nullptr);
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

Enrolment enroll(const std::string& data_dir, const std::vector<ingest::PublicKey>& keys,
                 ingest::KeyRole role) {
  PosixStorage storage;
  MUSTER_CHECK(storage.make_directory(data_dir).ok());
  auto store = server::ControlStore::open(storage, data_dir + "/control.db");
  MUSTER_CHECK(store.ok());
  std::vector<server::KeyRow> rows;
  for (const auto& key : keys) rows.push_back({key, role, false, "", 0});
  MUSTER_CHECK((*store)->enroll(rows).ok());
  return {ingest::key_text((*store)->server_key().public_key)};
}

int free_port() {
  // Below the range from which the kernel takes source ports: while the server is down, a device
  // that keeps connecting to a port of that range sooner or later connects to itself and holds the
  // port.
  constexpr int kFirst = 10'000, kLast = 32'000;
  static std::random_device random;
  for (;;) {
    const int port = std::uniform_int_distribution(kFirst, kLast)(random);
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MUSTER_CHECK(fd >= 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const bool free = ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    ::close(fd);
    if (free) return port;
  }
}

ServerProcess::ServerProcess(const std::string& config_file, const std::string& log_file,
                             const std::map<std::string, std::string>& environment) {
  pid_ = ::fork();
  MUSTER_CHECK(pid_ >= 0);
  if (pid_ > 0) return;
  const int log = ::open(log_file.c_str(), O_CREAT | O_WRONLY | O_APPEND, 0600);
  ::dup2(log, STDERR_FILENO);
  ::dup2(log, STDOUT_FILENO);
  for (const auto& [name, value] : environment) ::setenv(name.c_str(), value.c_str(), 1);
  const std::string program = std::string(MUSTER_BIN_DIR) + "/musterd";
  ::execl(program.c_str(), program.c_str(), "--config", config_file.c_str(), nullptr);
  ::_exit(127);
}

ServerProcess::~ServerProcess() {
  if (poll()) return;
  signal(SIGKILL);
  wait();
}

std::optional<int> ServerProcess::poll() {
  int status = 0;
  if (!ended_ && ::waitpid(pid_, &status, WNOHANG) == pid_) ended_ = status;
  return ended_;
}

void ServerProcess::signal(int number) {
  if (!ended_) ::kill(pid_, number);
}

int ServerProcess::wait() {
  int status = 0;
  if (!ended_ && ::waitpid(pid_, &status, 0) == pid_) ended_ = status;
  return ended_.value_or(-1);
}

}  // namespace muster::e2e
