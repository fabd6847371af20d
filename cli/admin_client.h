// Asks a running server over its admin socket: JSON over HTTP on a Unix socket.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/status.h"

namespace muster::cli {

/// Errors are the server's own: its code as the reason, and a message whose first line says what
/// happened and whose second, if any, says what to do. Beside them: "server_unreachable" (nobody
/// listens), "server_timeout", "socket_forbidden", "bad_answer" (not JSON).
class AdminClient {
 public:
  explicit AdminClient(std::string socket_path, long timeout_s = 300);

  /// `path` begins with "/v1/"; segments that come from outside go through escape().
  Result<nlohmann::json> get(const std::string& path) const;
  Result<nlohmann::json> post(const std::string& path, const nlohmann::json& body) const;

  const std::string& socket_path() const { return socket_path_; }

 private:
  std::string socket_path_;
  long timeout_s_;
};

/// Field `key` of an answer, an array of objects. "bad_answer" where it is anything else.
Result<nlohmann::json> objects_of(const nlohmann::json& answer, const char* key);

/// Body of a GET on `address` ("host:port" or "unix:/path"), such as the metrics listener.
Result<std::string> fetch_text(const std::string& address, const std::string& path, long timeout_s);

/// `segment` percent-encoded for a URL path or query value.
std::string escape(std::string_view segment);

}  // namespace muster::cli
