#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "monitoring/exporter.h"
#include "monitoring/status_page.h"

namespace muster::monitoring {
namespace {

using nlohmann::json;

constexpr const char* kExposition = "text/plain; version=0.0.4; charset=utf-8";
constexpr const char* kPlain = "text/plain; charset=utf-8";
constexpr const char* kHtml = "text/html; charset=utf-8";
/// The page needs itself and /status.json, nothing else, and is nobody's frame.
constexpr const char* kPagePolicy =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src "
    "'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

std::string dump(const json& document) {
  return document.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

HttpResponse error(int status, const char* code, std::string message, const char* remedy) {
  HttpResponse response;
  response.status = status;
  response.body =
      dump({{"error", {{"code", code}, {"message", std::move(message)}, {"remedy", remedy}}}});
  return response;
}

HttpResponse readiness(const std::vector<std::string>& causes) {
  HttpResponse response;
  response.status = causes.empty() ? 200 : 503;
  response.body = dump({{"ready", causes.empty()}, {"causes", causes}});
  return response;
}

}  // namespace

HttpServer::Handler public_handler(const Stats& stats, ReadyCheck ready, StatusSource status) {
  return [&stats, ready = std::move(ready),
          status = std::move(status)](const HttpRequest& request) -> HttpResponse {
    const std::string_view path = request.path;
    const bool known = path == "/" || path == "/metrics" || path == "/livez" || path == "/readyz" ||
                       path == "/status" || path == "/status.json";
    if (!known)
      return error(404, "not_found", "there is nothing at this path",
                   "try /metrics, /livez, /readyz, /status or /status.json");
    if (request.method != "GET" && request.method != "HEAD") {
      HttpResponse refused = error(405, "method_not_allowed", "this listener only answers GET",
                                   "changes go through the admin socket: see muster --help");
      refused.headers["Allow"] = "GET, HEAD";
      return refused;
    }
    if (path == "/metrics") return {200, kExposition, prometheus_text(stats)};
    if (path == "/livez") return {200, kPlain, "ok\n"};
    if (path == "/readyz") return readiness(ready());
    if (path == "/status.json") return {200, "application/json", status()};
    if (path == "/") return {302, kPlain, "see /status\n", {{"Location", "/status"}}};
    return {200, kHtml, status_page(), {{"Content-Security-Policy", kPagePolicy}}};
  };
}

}  // namespace muster::monitoring
