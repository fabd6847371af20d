#include "server/node.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <filesystem>

#include "base/limits.h"
#include "base/log.h"
#include "server/backend_choice.h"
#include "server/config_values.h"
#include "server/memory_trim.h"
#include "server/secrets.h"

namespace muster::server {
namespace {

constexpr Nanoseconds kTurnWait = 5 * kMillisecond;
/// Signs of life between two STATUS lines for systemd.
constexpr int kStatusEvery = 10;

/// Every peer costs a descriptor; the soft limit of most systems (1,024) is no place to stay.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

/// A core file would hold keys and updates.
void forbid_core_files() {
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
}

LogFormat log_format(const std::string& name) {
  if (name == "json") return LogFormat::kJson;
  return name == "text" ? LogFormat::kText : LogFormat::kAuto;
}

LogLevel log_level(const std::string& name) {
  if (name == "debug") return LogLevel::kDebug;
  if (name == "warning") return LogLevel::kWarning;
  return name == "error" ? LogLevel::kError : LogLevel::kInfo;
}

std::string joined(const std::vector<std::string>& words) {
  return words.empty() ? "none" : fmt::format("{}", fmt::join(words, " "));
}

}  // namespace

Node::Node(const Config& config, const std::atomic<bool>* stopping)
    : config_(config), stop_flag_(stopping) {}

Result<std::unique_ptr<Node>> Node::start(const Config& config, const std::atomic<bool>* stopping) {
  std::unique_ptr<Node> node(new Node(config, stopping));
  MUSTER_TRY(node->open());
  return node;
}

Status Node::open() {
  log_setup(log_format(config_.log.format), log_level(config_.log.level));
  raise_descriptor_limit();
  forbid_core_files();
  MUSTER_TRY(storage_.make_directory(config_.data_dir));
  MUSTER_ASSIGN(lock_, storage_.lock(config_.data_dir + "/lock"));
  crash_guard_.emplace(storage_, config_.data_dir + "/starts", config_.crash_limit);
  MUSTER_TRY(crash_guard_->on_start(clock_));
  MUSTER_ASSIGN(audit_, Audit::open(storage_, config_.data_dir + "/audit.log", clock_, stats_));
  MUSTER_TRY(audit_->write(AuditKind::kServer, "started", {{"version", MUSTER_VERSION}}));
  facts_.config = config_values(config_);
  facts_.data_dir = std::filesystem::absolute(config_.data_dir).lexically_normal().string();
  MUSTER_TRY(open_public_http());
  MUSTER_ASSIGN(control_, ControlStore::open(storage_, config_.data_dir + "/control.db"));
  MUSTER_ASSIGN(masters_, open_master_keys(storage_, config_, *control_));
  MUSTER_TRY(load_round_keys(*masters_, *control_, round_keys_));
  models_ = std::make_unique<ModelStore>(storage_, config_.data_dir);

  MUSTER_ASSIGN(const auto known, control_->tasks());
  const std::size_t slot_bytes = choose_slot_bytes(known);
  const std::size_t slab_bytes = std::max<std::size_t>(config_.ingest.slab_bytes, 8 * slot_bytes);
  MUSTER_ASSIGN(BackendChoice choice, choose_backend(config_, slab_bytes, storage_, stats_));
  backend_ = std::move(choice.backend);
  gpu_unready_ = std::move(choice.unready);
  metered_ = std::make_unique<MeteredBackend>(*backend_, stats_);
  if (backend_->kind() != "cpu") pinned_bytes_ = static_cast<std::int64_t>(slab_bytes);
  MUSTER_ASSIGN(slab_, metered_->allocate_host(slab_bytes));
  slots_ = std::make_unique<ingest::SlotPool>(MutableBytes(slab_.data, slab_.bytes), slot_bytes);

  facts_.backend = backend_->description();
  facts_.server_key = ingest::key_text(control_->server_key().public_key);
  RecoveredRounds recovered;
  MUSTER_TRY(open_ingest(recovered));
  MUSTER_TRY(open_admin());
  announce();
  starting_ = false;
  return {};
}

/// The one line of a start, with loud ones for what is unsafe.
void Node::announce() {
  log_info("started", "musterd " MUSTER_VERSION " is up",
           {{"backend", facts_.backend},
            {"listen", fmt::format("{}", fmt::join(facts_.endpoints, " "))},
            {"security", config_.ingest.security},
            {"server_key", facts_.server_key},
            {"status_page", "http://" + facts_.metrics_address + "/status"},
            {"admin", admin_http_->address()},
            {"privacy", privacy_line()}});
  if (config_.ingest.security == "plain")
    log_warning("unsafe", "plain mode: identities are claims and traffic is readable");
  log_info("memory_budget", engine_->budget().describe(),
           {{"bytes", engine_->budget().total_bytes}});
  notifier_.ready(fmt::format("serving {} tasks", engine_->tasks().size()));
}

std::string Node::privacy_line() const {
  std::string names;
  for (const auto& [id, task] : engine_->tasks())
    if (task->status().privacy) names.append(names.empty() ? "" : " ").append(task->row().name);
  return names.empty() ? "none: releases carry no differential-privacy statement"
                       : "tasks with a statement: " + names;
}

/// Slots fit the longest chunk of every task known at start, and of a default task made later.
std::size_t Node::choose_slot_bytes(const std::vector<TaskRow>& known) const {
  std::size_t payload = payload_bytes({Codec::kI8B, 8}, 65'536);
  auto include = [&](const TaskConfig& task) {
    std::uint64_t d = task.chunk_coordinates;
    if (task.dimension != 0)
      d = std::min<std::uint64_t>(
          d, divide_up<std::uint64_t>(task.dimension, task.block) * task.block);
    payload = std::max(payload, payload_bytes(chunk_format(task), d));
  };
  for (const TaskConfig& task : config_.tasks) include(task);
  for (const TaskRow& row : known)
    if (const auto task = parse_task(row.text, row.name); task.ok()) include(*task);
  return std::max<std::size_t>(ingest::record_bytes(payload), config_.ingest.slot_bytes / 64 * 64);
}

Status Node::open_ingest(RecoveredRounds& recovered) {
  ingest::SpoolOptions spool;
  spool.directory = config_.data_dir + "/spool";
  spool.segment_bytes = config_.spool.segment_bytes;
  spool.low_water_bytes = config_.spool.low_water_bytes;
  spool.accept_quarantine = config_.spool.accept_quarantine;
  spool.keys = &round_keys_;
  MUSTER_TRY(storage_.make_directory(spool.directory));
  stats_.gauge("muster_spool_low_water_bytes").set(static_cast<double>(spool.low_water_bytes));
  MUSTER_ASSIGN(spool_, ingest::Spool::open(
                            storage_, spool, stats_,
                            [&](const ingest::RecordHeader& header, ingest::RecordLocation where) {
                              recovered[{header.task, header.round}].push_back({header, where});
                            },
                            &recovery_));
  if (recovery_.records > 0 || recovery_.truncated_bytes > 0 || !recovery_.quarantined.empty())
    log_info("recovered", "the spool was recovered",
             {{"records", recovery_.records},
              {"bytes", recovery_.bytes},
              {"truncated_bytes", recovery_.truncated_bytes},
              {"quarantined", recovery_.quarantined.size()}});

  ingest::ServiceOptions options;
  options.endpoints = config_.ingest.listen;
  options.curve = config_.ingest.security != "plain";
  options.allow_plain_anywhere = config_.ingest.allow_plain_anywhere;
  options.server_key = control_->server_key();
  options.io_threads = static_cast<int>(config_.ingest.io_threads);
  options.max_connections = config_.ingest.max_connections;
  options.max_connections_per_address = config_.ingest.max_connections_per_address;
  options.commit_window = config_.ingest.commit_window;
  options.commit_bytes = config_.ingest.commit_bytes;
  options.on_alive = [this] { on_alive(); };
  arrivals_ =
      std::make_unique<BoundedQueue<ingest::Arrival>>(slots_->count() + 2 * limits::kMaxTasks);
  // Before anybody can connect: a device that is turned away for want of its key does not come
  // back.
  MUSTER_TRY(load_keys(*control_, keys_));
  MUSTER_ASSIGN(service_,
                ingest::Service::start(options, *spool_, *slots_, keys_, control_->node_secret(),
                                       *arrivals_, clock_, stats_, [this](const Status& status) {
                                         log_error("spool_fault", status.message());
                                         faulted_ = true;
                                       }));
  facts_.endpoints = service_->endpoints();
  serving_ = service_.get();
  TaskParts parts{storage_, *control_, *models_,    *metered_,
                  *spool_,  *slots_,   *service_,   clock_,
                  stats_,   *masters_, round_keys_, config_.spool.encrypt == "all"};
  parts.audit = audit_.get();
  engine_ = std::make_unique<Engine>(std::move(parts), *arrivals_, keys_, config_);
  MUSTER_TRY(engine_->start(std::move(recovered)));
  service_->serve();
  return {};
}

Status Node::open_public_http() {
  refresh_process_stats_ = monitoring::register_process_stats(stats_);
  Gauge& scrape_seconds = stats_.gauge("muster_scrape_duration_seconds");
  refresh_gauges();
  const auto public_handler = monitoring::public_handler(
      stats_, [this] { return unready(); },
      [this] {
        Admin* const admin = answering_;
        return admin != nullptr ? admin->status_json()
                                : std::string(R"({"version":")" MUSTER_VERSION R"("})");
      });
  monitoring::HttpOptions metrics;
  metrics.listen = config_.monitoring.listen;
  MUSTER_ASSIGN(public_http_,
                monitoring::HttpServer::start(metrics, [this, public_handler, &scrape_seconds](
                                                           const monitoring::HttpRequest& request) {
                  if (request.path != "/metrics") return public_handler(request);
                  const Nanoseconds begin = clock_.now();
                  refresh_process_stats_();
                  refresh_gauges();
                  auto response = public_handler(request);
                  scrape_seconds.set(static_cast<double>(clock_.now() - begin) / kSecond);
                  return response;
                }));
  facts_.metrics_address = public_http_->address();
  return {};
}

Status Node::open_admin() {
  admin_ = std::make_unique<Admin>(*engine_, stats_, *audit_, facts_, [this] { return unready(); });
  monitoring::HttpOptions admin;
  admin.listen = "unix:" + (config_.admin.socket.empty() ? facts_.data_dir + "/admin.sock"
                                                         : config_.admin.socket);
  admin.body_bytes = 16 * limits::kDocumentBytes;  // key lists of a fleet
  MUSTER_ASSIGN(admin_http_, monitoring::HttpServer::start(admin, [this](const auto& request) {
                  return admin_->handle(request);
                }));
  answering_ = admin_.get();
  return {};
}

/// What is not counted where it happens, but looked up when somebody asks.
void Node::refresh_gauges() {
  const std::vector<std::string> causes = unready();
  for (const char* cause : {"starting", "draining", "disk_low", "spool_fault", "gpu_unusable"})
    stats_.gauge("muster_unready", {{"cause", cause}})
        .set(std::ranges::find(causes, cause) == causes.end() ? 0 : 1);
  const LogCounts counts = log_counts();
  constexpr std::array<const char*, 4> kLevels = {"debug", "info", "warning", "error"};
  for (std::size_t i = 0; i < kLevels.size(); ++i)
    stats_.gauge("muster_log_lines_total", {{"level", kLevels[i]}})
        .set(static_cast<double>(counts.lines[i]));
  stats_.gauge("muster_log_suppressed_total").set(static_cast<double>(counts.suppressed));
  const auto pinned = static_cast<double>(pinned_bytes_.load());
  stats_.gauge("muster_pinned_pool_bytes").set(pinned);
  stats_.gauge("muster_pinned_pool_used_bytes")
      .set(pinned > 0 ? stats_.total("muster_inflight_bytes") : 0);
}

std::vector<std::string> Node::unready() const {
  std::vector<std::string> causes;
  if (starting_) causes.emplace_back("starting");
  if (is_stopping()) causes.emplace_back("draining");
  const ingest::Service* const service = serving_;
  if (service != nullptr && service->disk_low()) causes.emplace_back("disk_low");
  if (faulted_) causes.emplace_back("spool_fault");
  if (!starting_ && !gpu_unready_.empty()) causes.push_back(gpu_unready_);
  return causes;
}

/// On the receiver's thread, about once a second.
void Node::on_alive() {
  notifier_.watchdog();
  if (alive_++ % kStatusEvery == 0)
    notifier_.status(fmt::format("{} updates accepted, {} connections",
                                 stats_.total("muster_updates_accepted_total"),
                                 stats_.total("muster_connections")));
}

void Node::reload(const Config& fresh) {
  notifier_.reloading();
  const ConfigChanges changes = config_changes(config_, fresh);
  take_reloadable(config_, fresh);
  log_setup(log_format(fresh.log.format), log_level(fresh.log.level));
  log_info("reloaded", "the configuration was read again",
           {{"in_effect", joined(changes.reloadable)},
            {"need_a_restart", joined(changes.needs_restart)}});
  if (const Status status = audit_->write(AuditKind::kServer, "reloaded",
                                          {{"in_effect", joined(changes.reloadable)},
                                           {"need_a_restart", joined(changes.needs_restart)}});
      !status.ok())
    log_error("audit_failed", status.message());
  notifier_.ready(fmt::format("reloaded; need a restart: {}", joined(changes.needs_restart)));
}

void Node::reload_refused(const Status& why) {
  log_error("reload_refused", "the configuration has problems: nothing was changed",
            {{"problems", why.message()}});
}

Status Node::run() {
  set_log_component("engine");
  MemoryTrim trim(stats_.counter("muster_connections_ended_total"));
  while (!is_stopping() && !faulted_) {
    MUSTER_TRY(engine_->turn(kTurnWait));
    trim.look(clock_.now());
  }
  if (faulted_)
    return Status(
        Code::kUnavailable, "spool_fault",
        "a write or sync of the spool failed; nothing after it was acknowledged. Mend the "
        "disk and start again: everything acknowledged is recovered");
  notifier_.stopping();
  log_info("draining", "stopping: committing what was admitted");
  service_->drain();
  service_->stop();
  while (arrivals_->size() > 0) MUSTER_TRY(engine_->turn(0));
  engine_->stop();
  MUSTER_TRY(audit_->write(AuditKind::kServer, "stopped"));
  MUSTER_TRY(crash_guard_->on_orderly_end());
  log_info("stopped", "everything acknowledged is on disk");
  return {};
}

Node::~Node() {
  if (engine_) engine_->stop();
  // HTTP threads call the engine and the admin; ingest threads fill what the engine reads.
  admin_http_.reset();
  public_http_.reset();
  if (service_) service_->stop();
  engine_.reset();
  service_.reset();
}

Status recover_ledger(const Config& config, const std::string& population) {
  PosixStorage storage;
  MUSTER_ASSIGN(const auto lock, storage.lock(config.data_dir + "/lock"));
  MUSTER_ASSIGN(const auto control, ControlStore::open(storage, config.data_dir + "/control.db"));
  const SystemClock clock;
  Stats stats;
  MUSTER_ASSIGN(const auto audit,
                Audit::open(storage, config.data_dir + "/audit.log", clock, stats));
  MUSTER_TRY(audit->write(AuditKind::kPrivacy, "ledger_recovery", {{"population", population}}));
  PrivateLedgers ledgers(storage, *control, config.data_dir + "/ledgers");
  return ledgers.recover(population, clock.wall_ms());
}

int exit_code(const Status& status) {
  if (status.ok()) return 0;
  const std::string_view reason = status.reason();
  if (reason == "config_invalid") return 78;
  if (reason == "stopped") return 0;
  if (reason == "crash_loop") return 69;
  if (reason == "already_locked") return 75;
  if (reason == "spool_fault" || reason == "io_error" || reason == "disk_full") return 74;
  if (reason == "permission_denied") return 77;
  if (reason.starts_with("ledger_")) return 65;
  switch (status.code()) {
    case Code::kCorrupt:
      return 65;
    case Code::kUnavailable:
      return 69;
    case Code::kInternal:
      return 70;
    case Code::kInvalid:
    case Code::kExhausted:
      return 78;
    default:
      return 1;
  }
}

}  // namespace muster::server
