// A small HTTP server (libmicrohttpd) for metrics, health, status and the admin socket.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/status.h"

namespace muster::monitoring {

struct HttpRequest {
  std::string method;  ///< "GET", "POST", ...
  std::string path;    ///< decoded, without the query
  std::map<std::string, std::string> query;
  std::string body;                       ///< at most HttpOptions::body_bytes
  std::optional<std::uint32_t> peer_uid;  ///< of the process behind a Unix socket
};
struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::map<std::string, std::string> headers = {};  ///< beside Content-Type: Location, Allow, ...
};

struct HttpOptions {
  std::string listen = "127.0.0.1:9400";  ///< "host:port" (port 0: any) or "unix:/path" (mode 0660)
  std::size_t body_bytes = 1024 * 1024;   ///< a longer body is refused with 413
  std::uint32_t max_connections = 256;
  std::uint32_t timeout_s = 5;  ///< half-open and idle connections are closed after this
};

/// Calls `handler` from threads of its own, several at once. Exceptions in it become a 500.
class HttpServer {
 public:
  using Handler = std::function<HttpResponse(const HttpRequest&)>;
  /// "listen_address" (cannot be read), "listen_in_use", "listen_failed".
  static Result<std::unique_ptr<HttpServer>> start(const HttpOptions& options, Handler handler);
  virtual ~HttpServer() = default;
  /// "127.0.0.1:9400" with the real port, or "unix:/path".
  virtual std::string address() const = 0;
};

}  // namespace muster::monitoring
