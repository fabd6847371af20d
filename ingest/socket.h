// ZeroMQ sockets as Muster opens them: ownership, and the settings of the ingest socket.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "ingest/service.h"

namespace muster::ingest {

struct ContextDeleter {
  void operator()(void* context) const;
};
struct SocketDeleter {
  void operator()(void* socket) const;
};
/// Destroying it waits for the lingering messages of its closed sockets.
using Context = std::unique_ptr<void, ContextDeleter>;
using Socket = std::unique_ptr<void, SocketDeleter>;

Context open_context(int io_threads);
Socket open_socket(void* context, int type);

/// The ZAP domain of the ingest socket.
inline constexpr char kZapDomain[] = "muster";

/// kInvalid where an endpoint is neither tcp nor ipc ("endpoint_unsupported"), or could be reached
/// from outside without CURVE ("plain_not_loopback").
Status check_endpoints(const ServiceOptions& options);

/// A ROUTER with its limits and security set, not bound yet.
Socket open_router(void* context, const ServiceOptions& options);

struct BoundTo {
  std::vector<std::string> endpoints;  ///< with their ports
  std::vector<int> descriptors;        ///< of the listening sockets
};
/// Binds a ROUTER to every endpoint: kUnavailable / "bind_failed" where one cannot be had.
Result<BoundTo> bind_all(void* context, void* router, const std::vector<std::string>& endpoints);

}  // namespace muster::ingest
