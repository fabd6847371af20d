// A real musterd as a child process, and the files it lives on.
#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>

#include "ingest/keys.h"
#include "server/control_store.h"

namespace muster::e2e {

/// A folder under the build's test area, removed with the object.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// What a fleet needs before the server runs: enrolled keys and the server's public key. Written
/// straight into the control store of `data_dir`.
struct Enrolment {
  std::string server_key;  ///< Z85
};
Enrolment enroll(const std::string& data_dir, const std::vector<ingest::PublicKey>& keys,
                 ingest::KeyRole role = ingest::KeyRole::kDevice);

/// A free TCP port on loopback.
int free_port();

class ServerProcess {
 public:
  /// Starts musterd with this configuration file. `environment` is added to ours.
  ServerProcess(const std::string& config_file, const std::string& log_file,
                const std::map<std::string, std::string>& environment = {});
  ~ServerProcess();  ///< SIGKILL if it still runs

  /// Exit status as waitpid gives it, if it has ended.
  std::optional<int> poll();
  void signal(int number);
  int wait();
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  std::optional<int> ended_;
};

}  // namespace muster::e2e
