#include "monitoring/http.h"

#include <microhttpd.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstdarg>
#include <exception>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "monitoring/listen.h"

namespace muster::monitoring {
namespace {

/// Handlers may wait (an admin call for the engine), so a few run at once.
constexpr unsigned kThreads = 4;
/// Head of a request and buffers of its connection.
constexpr std::size_t kConnectionBytes = 32 * 1024;
/// How much of a body that is too long is read and dropped, so that its sender, still writing, gets
/// to see the 413. Beyond this the connection is cut.
constexpr std::uint64_t kDrainBytes = 1024 * 1024;

/// What one request has brought so far; lives in libmicrohttpd's per-request pointer.
struct Exchange {
  HttpRequest request;
  std::uint64_t received = 0;
};

MHD_Result put_query(void* target, MHD_ValueKind, const char* key, const char* value) {
  auto& query = *static_cast<std::map<std::string, std::string>*>(target);
  query[key] = value == nullptr ? "" : value;
  return MHD_YES;
}

void forget_exchange(void*, MHD_Connection*, void** slot, MHD_RequestTerminationCode) {
  delete static_cast<Exchange*>(*slot);
  *slot = nullptr;
}

// libmicrohttpd tells of every connection that was closed on it: not worth a line.
void no_log(void*, const char*, va_list) {}

HttpResponse refusal(int status, std::string_view code, std::string_view message,
                     std::string_view remedy) {
  HttpResponse response;
  response.status = status;
  response.body.append(R"({"error":{"code":")").append(code);
  response.body.append(R"(","message":")").append(message);
  response.body.append(R"(","remedy":")").append(remedy).append("\"}}\n");
  return response;
}

HttpResponse too_large(std::size_t limit) {
  return refusal(413, "body_too_large",
                 "the request body is longer than " + std::to_string(limit) + " bytes",
                 "send less in one request");
}

/// Length the head of the request announces; 0 where it does not.
std::uint64_t announced_length(MHD_Connection* connection) {
  const char* text =
      MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
  std::uint64_t length = 0;
  if (text != nullptr) {
    const std::string_view digits = text;
    std::from_chars(digits.data(), digits.data() + digits.size(), length);
  }
  return length;
}

MHD_Result send(MHD_Connection* connection, const HttpResponse& answer) {
  // MUST_COPY: the bytes are copied before the call returns.
  MHD_Response* response = MHD_create_response_from_buffer(
      answer.body.size(), const_cast<char*>(answer.body.data()), MHD_RESPMEM_MUST_COPY);
  if (response == nullptr) return MHD_NO;
  MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer.content_type.c_str());
  MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
  MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
  for (const auto& [name, value] : answer.headers)
    MHD_add_response_header(response, name.c_str(), value.c_str());
  const MHD_Result queued =
      MHD_queue_response(connection, static_cast<unsigned>(answer.status), response);
  MHD_destroy_response(response);
  return queued;
}

class MicroHttpServer final : public HttpServer {
 public:
  MicroHttpServer(std::size_t body_bytes, Handler handler, ListenSocket socket)
      : body_bytes_(body_bytes), handler_(std::move(handler)), socket_(std::move(socket)) {}

  ~MicroHttpServer() override {
    if (daemon_ != nullptr) MHD_stop_daemon(daemon_);
  }

  Status run(const HttpOptions& options) {
    const unsigned threads = std::clamp(options.max_connections, 1U, kThreads);
    daemon_ = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ERROR_LOG | MHD_USE_ITC, 0, nullptr, nullptr,
        &MicroHttpServer::on_request, this, MHD_OPTION_EXTERNAL_LOGGER, &no_log, nullptr,
        MHD_OPTION_LISTEN_SOCKET, socket_.descriptor(), MHD_OPTION_THREAD_POOL_SIZE, threads,
        MHD_OPTION_CONNECTION_LIMIT, std::max(options.max_connections, threads),
        MHD_OPTION_CONNECTION_TIMEOUT, options.timeout_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        kConnectionBytes, MHD_OPTION_NOTIFY_COMPLETED, &forget_exchange, nullptr, MHD_OPTION_END);
    if (daemon_ == nullptr)
      return Status(Code::kUnavailable, "listen_failed",
                    "cannot start the HTTP threads of " + socket_.address());
    socket_.release_descriptor();  // MHD_stop_daemon closes it
    return Status();
  }

  std::string address() const override { return socket_.address(); }

 private:
  static MHD_Result on_request(void* self, MHD_Connection* connection, const char* url,
                               const char* method, const char*, const char* data, std::size_t* size,
                               void** slot) try {
    return static_cast<MicroHttpServer*>(self)->take(connection, url, method, data, size, slot);
  } catch (const std::exception&) {  // no memory: the connection is cut, the server stays
    return MHD_NO;
  }

  /// Called once for the head, once for each piece of body, and once at the end.
  MHD_Result take(MHD_Connection* connection, const char* url, const char* method, const char* data,
                  std::size_t* size, void** slot) {
    if (*slot == nullptr) {
      auto* exchange = new Exchange;
      *slot = exchange;  // forget_exchange deletes it
      exchange->request.method = method;
      exchange->request.path = url;
      if (announced_length(connection) > body_bytes_ + kDrainBytes)
        return send(connection, too_large(body_bytes_));
      return MHD_YES;
    }
    auto& exchange = *static_cast<Exchange*>(*slot);
    if (*size > 0) {
      exchange.received += *size;
      if (exchange.received > body_bytes_ + kDrainBytes) return MHD_NO;
      if (exchange.received <= body_bytes_) exchange.request.body.append(data, *size);
      *size = 0;
      return MHD_YES;
    }
    if (exchange.received > body_bytes_) return send(connection, too_large(body_bytes_));
    MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, &put_query,
                              &exchange.request.query);
    exchange.request.peer_uid = peer_uid(connection);
    return send(connection, answer(exchange.request));
  }

  std::optional<std::uint32_t> peer_uid(MHD_Connection* connection) const {
    if (!socket_.is_unix()) return std::nullopt;
    const MHD_ConnectionInfo* info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    ucred peer{};
    socklen_t length = sizeof peer;
    if (info == nullptr ||
        ::getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
      return std::nullopt;
    return peer.uid;
  }

  HttpResponse answer(const HttpRequest& request) const {
    std::string what = "not a std::exception";
    try {
      return handler_(request);
    } catch (const std::exception& error) {
      what = error.what();
    } catch (...) {  // NOLINT(bugprone-empty-catch): `what` says it
    }
    log(LogLevel::kError, "http_handler_failed", "an HTTP handler threw; the answer is a 500",
        {{"method", request.method}, {"path", request.path}, {"what", what}});
    return refusal(500, "internal", "the server failed to answer this request",
                   "report it with the server's log lines 'http_handler_failed'");
  }

  std::size_t body_bytes_;
  Handler handler_;
  ListenSocket socket_;
  MHD_Daemon* daemon_ = nullptr;
};

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::start(const HttpOptions& options, Handler handler) {
  MUSTER_ASSIGN(auto socket, ListenSocket::open(options.listen));
  auto server =
      std::make_unique<MicroHttpServer>(options.body_bytes, std::move(handler), std::move(socket));
  MUSTER_TRY(server->run(options));
  return std::unique_ptr<HttpServer>(std::move(server));
}

}  // namespace muster::monitoring
