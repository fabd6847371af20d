#include "server/admin.h"

#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/hex.h"
#include "base/limits.h"
#include "base/log.h"
#include "wire/reason.h"

namespace muster::server {
namespace {

using monitoring::HttpRequest;
using monitoring::HttpResponse;
using Json = nlohmann::json;

int http_status(Code code) {
  switch (code) {
    case Code::kOk:
      return 200;
    case Code::kInvalid:
      return 400;
    case Code::kForbidden:
      return 403;
    case Code::kNotFound:
      return 404;
    case Code::kDuplicate:
    case Code::kClosed:
    case Code::kStale:
      return 409;
    case Code::kExhausted:
      return 429;
    case Code::kUnavailable:
      return 503;
    case Code::kCorrupt:
    case Code::kInternal:
      return 500;
  }
  return 500;
}

HttpResponse answer(const Result<Json>& result) {
  HttpResponse response;
  if (result.ok()) {
    response.body = result->dump();
    return response;
  }
  const Status status = result.status();
  response.status = http_status(status.code());
  response.body =
      Json{{"error", {{"code", status.reason()}, {"message", status.message()}}}}.dump();
  return response;
}

Status not_found(std::string message) { return {Code::kNotFound, "not_found", std::move(message)}; }

Json to_json(const TaskStatus& task) {
  Json json = {{"id", task.id},
               {"name", task.name},
               {"rule", task.rule},
               {"codec", task.codec},
               {"state", task.state},
               {"round", task.round},
               {"cohort", task.cohort},
               {"target", task.target},
               {"minimum", task.minimum},
               {"model_version", task.model_version},
               {"rounds_done", task.rounds_done},
               {"dimension", task.dimension},
               {"deadline_s", task.deadline_s}};
  if (!task.shows_cohort) json.erase("cohort");
  if (!task.stopped.empty()) json["stopped"] = task.stopped;
  if (task.privacy) {
    const PrivacyStatus& privacy = *task.privacy;
    json["privacy"] = {{"population", privacy.population},
                       {"mechanism", privacy.mechanism},
                       {"epsilon_spent", privacy.epsilon_spent},
                       {"epsilon_limit", privacy.epsilon_limit},
                       {"delta", privacy.delta},
                       {"noise_multiplier", privacy.noise_multiplier},
                       {"releases", privacy.releases},
                       {"ledger", privacy.anchor}};
  }
  return json;
}

Json to_json(const RoundRow& row) {
  Json json = {
      {"round", row.round},
      {"state", round_state_name(row.state)},
      {"model_version", row.model_version},
      {"opened_ms", row.opened_ms},
      {"closed_ms", row.closed_ms},
      {"seconds", row.closed_ms == 0 ? 0.0 : double(row.closed_ms - row.opened_ms) / 1000.0}};
  if (row.model_hash != Sha256{}) json["model_sha256"] = hex(row.model_hash);
  const Json record = row.record.empty() ? Json::object() : Json::parse(row.record, nullptr, false);
  if (record.is_object()) {
    for (const char* key : {"cohort", "n", "f", "invalid"})
      if (record.contains(key)) json[key] = record[key];
    json["record"] = record;
  }
  return json;
}

/// "/v1/tasks/NAME/rounds/3" -> {"tasks", "NAME", "rounds", "3"}; empty if not below /v1.
std::vector<std::string> split_path(const std::string& path) {
  std::vector<std::string> parts;
  if (path.rfind("/v1/", 0) != 0) return parts;
  std::size_t at = 4;
  while (at <= path.size()) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    parts.push_back(path.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

std::optional<std::uint64_t> parse_number(const std::string& text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

Result<Json> parse_body(const HttpRequest& request) {
  Json body = Json::parse(request.body, nullptr, false);
  if (body.is_discarded() || !body.is_object())
    return Status(Code::kInvalid, "body_not_json", "the request body must be a JSON object");
  return body;
}

Result<std::string> text_field(const Json& body, const char* name, bool required = true) {
  if (!body.contains(name)) {
    if (!required) return std::string();
    return Status(Code::kInvalid, "field_missing", fmt::format("field '{}' is missing", name));
  }
  if (!body[name].is_string())
    return Status(Code::kInvalid, "field_type", fmt::format("field '{}' must be text", name));
  return body[name].get<std::string>();
}

Result<Json> list_keys(Engine& engine) {
  MUSTER_ASSIGN(const auto rows, engine.control().keys());
  Json keys = Json::array();
  for (const KeyRow& row : rows)
    keys.push_back({{"key", ingest::key_text(row.key)},
                    {"role", row.role == ingest::KeyRole::kGateway ? "gateway" : "device"},
                    {"revoked", row.revoked},
                    {"label", row.label},
                    {"enrolled_ms", row.enrolled_ms}});
  return Json{{"keys", keys}};
}

Result<Json> enroll_keys(Engine& engine, const Json& body, std::int64_t now_ms) {
  if (!body.contains("keys") || !body["keys"].is_array())
    return Status(Code::kInvalid, "field_missing", "field 'keys' must be an array");
  std::vector<KeyRow> rows;
  for (const Json& item : body["keys"]) {
    if (!item.is_object())
      return Status(Code::kInvalid, "field_type", "each key must be an object");
    MUSTER_ASSIGN(const std::string text, text_field(item, "key"));
    MUSTER_ASSIGN(const std::string role, text_field(item, "role", false));
    MUSTER_ASSIGN(const std::string label, text_field(item, "label", false));
    const auto key = ingest::parse_key(text);
    if (!key)
      return Status(Code::kInvalid, "key_malformed",
                    "'" + text + "' is no CURVE public key (40 characters of Z85)");
    if (!role.empty() && role != "device" && role != "gateway")
      return Status(Code::kInvalid, "role_unknown", "role must be 'device' or 'gateway'");
    if (label.size() > limits::kNameBytes)
      return Status(Code::kInvalid, "label_too_long", "a label has at most 64 bytes");
    rows.push_back({*key, role == "gateway" ? ingest::KeyRole::kGateway : ingest::KeyRole::kDevice,
                    false, label, now_ms});
  }
  MUSTER_TRY(engine.enroll(rows));
  return Json{{"enrolled", rows.size()}};
}

Result<Json> create_task(Engine& engine, const Json& body) {
  MUSTER_ASSIGN(const std::string text, text_field(body, "toml"));
  MUSTER_ASSIGN(const std::string file, text_field(body, "file", false));
  MUSTER_ASSIGN(const std::string model, text_field(body, "model", false));
  std::string with_model = text;
  if (!model.empty()) with_model = fmt::format("model = {}\n{}", Json(model).dump(), text);
  MUSTER_ASSIGN(TaskConfig config, parse_task(with_model, file.empty() ? "task" : file));
  MUSTER_ASSIGN(Task* const task, engine.create_task(std::move(config)));
  return to_json(task->status());
}

Result<Json> show_rounds(Engine& engine, Task& task, const HttpRequest& request) {
  std::size_t limit = 20;
  if (const auto found = request.query.find("limit"); found != request.query.end()) {
    const auto number = parse_number(found->second);
    if (!number || *number == 0 || *number > 10'000)
      return Status(Code::kInvalid, "limit", "limit must be a number from 1 to 10000");
    limit = *number;
  }
  MUSTER_ASSIGN(const auto rows, engine.control().rounds(task.row().id, limit));
  Json rounds = Json::array();
  for (const RoundRow& row : rows) rounds.push_back(to_json(row));
  return Json{{"rounds", rounds}};
}

Result<Json> show_model(Engine& engine, Task& task, const HttpRequest& request,
                        const std::string& data_dir) {
  MUSTER_ASSIGN(const auto versions, engine.control().models(task.row().id));
  const ModelRow* wanted = versions.empty() ? nullptr : &versions.back();
  if (const auto found = request.query.find("version"); found != request.query.end()) {
    const auto number = parse_number(found->second);
    wanted = nullptr;
    for (const ModelRow& row : versions)
      if (number && row.version == *number) wanted = &row;
  }
  if (wanted == nullptr) return not_found("no such model version; it may have been retired");
  Json json = {{"version", wanted->version},
               {"sha256", hex(wanted->hash)},
               {"file", data_dir + "/" + wanted->file},
               {"dimension", task.layout().dimension}};
  if (const std::string record = engine.models().record(task.row().name, wanted->version);
      !record.empty())
    json["privacy"] = Json::parse(record, nullptr, false);
  return json;
}

Result<Json> import_model(Engine& engine, Task& task, const Json& body) {
  MUSTER_ASSIGN(const std::string path, text_field(body, "file"));
  PosixStorage storage;
  MUSTER_ASSIGN(const auto bytes, read_file(storage, path, std::size_t{64} << 30));
  MUSTER_ASSIGN(SafetensorsFile file, parse_safetensors(bytes));
  MUSTER_ASSIGN(const ModelVersion version, task.import_model(std::move(file)));
  MUSTER_ASSIGN(const auto models, engine.control().models(task.row().id));
  return Json{{"version", version}, {"sha256", hex(models.back().hash)}};
}

Result<Json> show_task(Task& task) {
  const TaskStatus status = task.status();
  Json json = to_json(status);
  json["plan"] = status.plan;
  json["terms"] = status.terms;
  json["toml"] = task.row().text;
  return json;
}

/// Calls on one task: `rest` is what follows its name in the path.
Result<Json> on_task(Engine& engine, Task& task, const std::vector<std::string>& rest,
                     const HttpRequest& request, const Json& body, const std::string& data_dir) {
  const bool post = request.method == "POST";
  if (rest.empty() && !post) return show_task(task);
  if (rest.size() == 1 && rest[0] == "rounds" && !post) return show_rounds(engine, task, request);
  if (rest.size() == 1 && rest[0] == "model")
    return post ? import_model(engine, task, body) : show_model(engine, task, request, data_dir);
  if (rest.size() >= 2 && rest[0] == "rounds") {
    const auto number = rest[1] == "current" ? task.round() : parse_number(rest[1]);
    if (!number) return Status(Code::kInvalid, "round_number", "not a round number: " + rest[1]);
    if (rest.size() == 2 && !post) {
      MUSTER_ASSIGN(const auto row, engine.control().round(task.row().id, *number));
      if (!row) return not_found(fmt::format("task {} has no round {}", task.row().name, *number));
      return to_json(*row);
    }
    if (rest.size() == 3 && post && (rest[2] == "close" || rest[2] == "abort")) {
      if (*number != task.round())
        return Status(Code::kStale, "round_closed", fmt::format("round {} is not open", *number));
      MUSTER_ASSIGN(const RoundNumber closed,
                    rest[2] == "close" ? task.close_round() : task.abort_round());
      return Json{{"task", task.row().name}, {"round", closed}, {"state", task.status().state}};
    }
  }
  return not_found("no such call");
}

Result<Json> dispatch(Engine& engine, const std::vector<std::string>& path,
                      const HttpRequest& request, const std::string& data_dir) {
  const bool post = request.method == "POST";
  Json body;
  if (post) {
    // Calls without parameters may come without a body.
    if (request.body.empty())
      body = Json::object();
    else {
      MUSTER_ASSIGN(body, parse_body(request));
    }
  }
  if (path[0] == "keys") {
    if (path.size() == 1)
      return post ? enroll_keys(engine, body, SystemClock().wall_ms()) : list_keys(engine);
    if (path.size() == 2 && path[1] == "revoke" && post) {
      MUSTER_ASSIGN(const std::string text, text_field(body, "key"));
      const auto key = ingest::parse_key(text);
      if (!key) return Status(Code::kInvalid, "key_malformed", "'" + text + "' is no CURVE key");
      MUSTER_TRY(engine.revoke(*key));
      return Json{{"revoked", true}};
    }
  }
  if (path[0] == "tasks") {
    if (path.size() == 1) {
      if (post) return create_task(engine, body);
      Json tasks = Json::array();
      for (const auto& [id, task] : engine.tasks()) tasks.push_back(to_json(task->status()));
      return Json{{"tasks", tasks}};
    }
    Task* const task = engine.find(path[1]);
    if (task == nullptr)
      return Status(Code::kNotFound, "unknown_task", "there is no task named " + path[1]);
    return on_task(engine, *task, {path.begin() + 2, path.end()}, request, body, data_dir);
  }
  return not_found("no such call: " + request.path);
}

Json resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t pages = 0, resident = 0;
  if (!(statm >> pages >> resident)) return nullptr;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

Admin::Admin(Engine& engine, const Stats& stats, Audit& audit, NodeFacts facts,
             monitoring::ReadyCheck ready)
    : engine_(engine),
      stats_(stats),
      audit_(audit),
      facts_(std::move(facts)),
      ready_(std::move(ready)) {}

std::string Admin::status_json() {
  const std::vector<std::string> causes = ready_();
  Json status = {{"version", MUSTER_VERSION},         {"backend", facts_.backend},
                 {"server_key", facts_.server_key},   {"endpoints", facts_.endpoints},
                 {"metrics", facts_.metrics_address}, {"data_dir", facts_.data_dir},
                 {"ready", causes.empty()},           {"causes", causes},
                 {"refused", Json::object()},         {"wall_ms", SystemClock().wall_ms()}};
  const auto total = [&](const char* name) {
    return static_cast<std::uint64_t>(stats_.total(name));
  };
  status["updates_accepted"] = total("muster_updates_accepted_total");
  status["bytes_received"] = total("muster_ingest_bytes_total");
  status["connections"] = total("muster_connections");
  status["spool_bytes"] = total("muster_spool_bytes");
  status["spool_free_bytes"] = total("muster_spool_free_bytes");
  status["slab"] = {{"bytes", total("muster_slab_bytes")},
                    {"used", total("muster_inflight_bytes")}};
  std::map<std::string, Json> privacy;
  for (const MetricFamily& family : stats_.families()) {
    const std::string_view name = family.metric->name;
    for (const auto& [labels, series] : family.series) {
      if (name == "muster_updates_rejected_total") {
        if (const double count = family.value(series); count > 0)
          status["refused"][labels.front().second] = static_cast<std::uint64_t>(count);
      } else if (name == "muster_privacy_epsilon_spent") {
        privacy[labels.front().second]["epsilon_spent"] = family.value(series);
      } else if (name == "muster_privacy_epsilon_limit") {
        privacy[labels.front().second]["epsilon_limit"] = family.value(series);
      } else if (name == "muster_privacy_delta") {
        privacy[labels.front().second]["delta"] = family.value(series);
      } else if (name == "muster_round_age_seconds") {
        status["age_s"][labels.front().second] = family.value(series);
      }
    }
  }
  Json tasks = Json::array();
  std::size_t budget = 0;
  engine_.call([&](Engine& engine) {
    for (const auto& [id, task] : engine.tasks()) tasks.push_back(to_json(task->status()));
    budget = engine.budget().total_bytes;
  });
  for (Json& task : tasks) {
    const auto found = privacy.find(task["name"].get<std::string>());
    if (found != privacy.end()) task["privacy"] = found->second;
    task["age_s"] = status.contains("age_s") ? status["age_s"].value(task["name"], 0.0) : 0.0;
  }
  status.erase("age_s");
  status["tasks"] = tasks;
  status["memory"] = {{"budget", budget}, {"resident", resident_bytes()}};
  return status.dump();
}

HttpResponse Admin::handle(const HttpRequest& request) {
  if (request.method != "GET" && request.method != "POST")
    return answer(Status(Code::kInvalid, "method", "only GET and POST"));
  const auto path = split_path(request.path);
  if (path.empty()) return answer(not_found("no such call: " + request.path));
  if (request.method == "POST" &&
      (!request.peer_uid || (*request.peer_uid != 0 && *request.peer_uid != ::geteuid())))
    return answer(Status(Code::kForbidden, "not_permitted",
                         "only root and the user musterd runs as may change things"));
  if (path.size() == 1 && path[0] == "status") return {200, "application/json", status_json()};
  if (request.method == "GET" && path.size() == 1 && path[0] == "logs")
    return answer(Json{{"lines", recent_log_lines()}});
  if (request.method == "GET" && path.size() == 1 && path[0] == "config")
    return answer(Json{{"values", facts_.config}});
  if (request.method == "POST") {
    // What cannot be written down is not done.
    const Status written = audit_.write(AuditKind::kOperator, "request",
                                        {{"call", request.path}, {"uid", *request.peer_uid}});
    if (!written.ok()) return answer(written);
  }
  Result<Json> result = Status(Code::kUnavailable, "stopping", "the server is stopping");
  engine_.call([&](Engine& engine) { result = dispatch(engine, path, request, facts_.data_dir); });
  return answer(result);
}

}  // namespace muster::server
