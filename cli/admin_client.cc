#include "cli/admin_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

namespace muster::cli {
namespace {

using nlohmann::json;

/// The list of four million keys is the largest answer there is.
constexpr std::size_t kAnswerBytes = std::size_t{1} << 30;
constexpr long kConnectSeconds = 5;
/// A server we do not trust to be ours cannot make us keep more distinct reasons than this.
constexpr std::size_t kReasons = 1024;

using Easy = std::unique_ptr<CURL, decltype(&curl_easy_cleanup)>;
using Headers = std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)>;

struct Answer {
  long status = 0;
  std::string body;
};

std::size_t take_body(char* data, std::size_t, std::size_t size, void* target) {
  auto& body = *static_cast<std::string*>(target);
  if (body.size() + size > kAnswerBytes) return 0;
  body.append(data, size);
  return size;
}

/// Status wants tokens with static storage; a server's codes are a short closed list.
const char* intern(const std::string& reason) {
  // A mutex outside base/: the set only grows, is touched on failures alone, and the pointers given
  // out stay valid because nodes of a std::set never move.
  static std::mutex mutex;
  static std::set<std::string> known;
  const std::lock_guard lock(mutex);
  if (known.size() >= kReasons && !known.contains(reason)) return "server_error";
  return known.insert(reason).first->c_str();
}

Code code_of(long http_status) {
  switch (http_status) {
    case 401:
    case 403:
      return Code::kForbidden;
    case 404:
      return Code::kNotFound;
    case 409:
      return Code::kDuplicate;
    case 410:
      return Code::kClosed;
    case 429:
    case 507:
      return Code::kExhausted;
    case 502:
    case 503:
    case 504:
      return Code::kUnavailable;
    default:
      return http_status >= 500 ? Code::kInternal : Code::kInvalid;
  }
}

/// libcurl's complaint about reaching `where`.
Status unreachable(CURL* curl, CURLcode error, const std::string& where) {
  long os_error = 0;
  curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &os_error);
  if (os_error == EACCES || os_error == EPERM)
    return Status(Code::kForbidden, "socket_forbidden",
                  "you may not use the socket " + where +
                      "\nRun this as the server's user, or join its group.");
  if (error == CURLE_OPERATION_TIMEDOUT)
    return Status(Code::kUnavailable, "server_timeout",
                  "the server at " + where + " did not answer in time" +
                      "\nSee its log; it may be busy with a large aggregation.");
  return Status(Code::kUnavailable, "server_unreachable",
                "no server answers at " + where + " (" + curl_easy_strerror(error) + ")" +
                    "\nStart musterd, or name its socket with --socket or MUSTER_SOCKET.");
}

Result<Answer> perform(const std::string& unix_path, const std::string& url,
                       const std::optional<std::string>& body, long timeout_s) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  const Easy curl(curl_easy_init(), &curl_easy_cleanup);
  if (ready != CURLE_OK || !curl)
    return Status(Code::kInternal, "curl_init", "libcurl could not start");
  Answer answer;
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, "http");
  curl_easy_setopt(curl.get(), CURLOPT_PROXY, "");
  curl_easy_setopt(curl.get(), CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT, timeout_s);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, &take_body);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &answer.body);
  if (!unix_path.empty()) curl_easy_setopt(curl.get(), CURLOPT_UNIX_SOCKET_PATH, unix_path.c_str());
  Headers headers(nullptr, &curl_slist_free_all);
  if (body) {
    headers.reset(curl_slist_append(nullptr, "Content-Type: application/json"));
    curl_slist_append(headers.get(), "Expect:");  // no round trip before a large body
    curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, headers.get());
    curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(body->size()));
    curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDS, body->c_str());
  }
  if (const CURLcode error = curl_easy_perform(curl.get()); error != CURLE_OK)
    return unreachable(curl.get(), error, unix_path.empty() ? url : unix_path);
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &answer.status);
  return answer;
}

Status bad_answer(const Answer& answer) {
  return Status(Code::kInternal, "bad_answer",
                "the answer (HTTP " + std::to_string(answer.status) +
                    ") is not Muster's JSON\nIs this the admin socket of musterd?");
}

std::string text_of(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

Result<json> read_answer(const Answer& answer) {
  json document = json::parse(answer.body, nullptr, /*allow_exceptions=*/false);
  if (document.is_discarded() || !document.is_object()) return bad_answer(answer);
  if (answer.status >= 200 && answer.status < 300) return document;
  const auto error = document.find("error");
  if (error == document.end() || !error->is_object()) return bad_answer(answer);
  const std::string code = text_of(*error, "code");
  std::string message = text_of(*error, "message");
  if (const std::string remedy = text_of(*error, "remedy"); !remedy.empty())
    message += "\n" + remedy;
  return Status(code_of(answer.status), code.empty() ? "server_error" : intern(code),
                std::move(message));
}

}  // namespace

AdminClient::AdminClient(std::string socket_path, long timeout_s)
    : socket_path_(std::move(socket_path)), timeout_s_(timeout_s) {}

Result<json> AdminClient::get(const std::string& path) const {
  MUSTER_ASSIGN(const Answer answer,
                perform(socket_path_, "http://localhost" + path, std::nullopt, timeout_s_));
  return read_answer(answer);
}

Result<json> AdminClient::post(const std::string& path, const json& body) const {
  const std::string text = body.dump(-1, ' ', false, json::error_handler_t::replace);
  MUSTER_ASSIGN(const Answer answer,
                perform(socket_path_, "http://localhost" + path, text, timeout_s_));
  return read_answer(answer);
}

Result<std::string> fetch_text(const std::string& address, const std::string& path,
                               long timeout_s) {
  const bool is_unix = address.starts_with("unix:");
  const std::string host = is_unix ? "localhost" : address;
  MUSTER_ASSIGN(Answer answer, perform(is_unix ? address.substr(5) : "", "http://" + host + path,
                                       std::nullopt, timeout_s));
  if (answer.status != 200) return bad_answer(answer);
  return std::move(answer.body);
}

Result<json> objects_of(const json& answer, const char* key) {
  const auto found = answer.find(key);
  if (found != answer.end() && found->is_array() &&
      std::all_of(found->begin(), found->end(), [](const json& item) { return item.is_object(); }))
    return *found;
  return Status(Code::kInternal, "bad_answer",
                std::string("the server's answer has no list '") + key +
                    "'\nUse the muster program of the same version as musterd.");
}

std::string escape(std::string_view segment) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string escaped;
  for (const char c : segment) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '~';
    if (plain) {
      escaped += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    escaped += '%';
    escaped += kDigits[byte >> 4];
    escaped += kDigits[byte & 15];
  }
  return escaped;
}

}  // namespace muster::cli
