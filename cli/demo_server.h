// A musterd of the demo's or the load test's own: started as a child, asked over its admin socket,
// stopped at the end.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "base/status.h"
#include "cli/admin_client.h"

namespace muster::cli {

class DemoServer {
 public:
  /// Starts `program` with its data in `directory` (made, and emptied of an earlier demo's) on free
  /// loopback ports, and waits until it is ready. Errors carry the end of its log. `sections`: of
  /// its configuration, [ingest] to [monitoring]; empty: those of the demo.
  static Result<std::unique_ptr<DemoServer>> start(const std::string& program,
                                                   const std::string& directory,
                                                   const std::string& sections = {});
  /// SIGTERM, some patience, then SIGKILL.
  ~DemoServer();
  DemoServer(const DemoServer&) = delete;
  DemoServer& operator=(const DemoServer&) = delete;

  const AdminClient& admin() const { return admin_; }
  const std::string& endpoint() const { return endpoint_; }
  const std::string& server_key() const { return server_key_; }
  /// "http://127.0.0.1:40123/status".
  const std::string& status_page() const { return status_page_; }
  const std::string& log_file() const { return log_file_; }
  pid_t pid() const { return pid_; }

 private:
  DemoServer(std::string socket, std::string log_file)
      : admin_(std::move(socket)), log_file_(std::move(log_file)) {}
  Status launch(const std::string& program, const std::string& config_file);
  Status wait_until_ready();
  /// Whether the child is gone; reaps it.
  bool exited();

  AdminClient admin_;
  std::string log_file_;
  std::string endpoint_, server_key_, status_page_;
  pid_t pid_ = -1;
};

}  // namespace muster::cli
