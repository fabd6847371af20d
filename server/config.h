// The configuration: TOML into one checked struct. Unknown keys are errors with line, column and
// the nearest spelling; sizes and durations carry units ("64MiB", "250ms").
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/codec.h"
#include "base/status.h"
#include "robust_agg/rule.h"
#include "robust_agg/staleness.h"
#include "robust_agg/step.h"
#include "server/config_privacy.h"

namespace muster::server {

/// A task as its author writes it ([[task]] in the configuration, or a file of its own for
/// `muster task create`, there without the table header).
struct TaskConfig {
  std::string name;             ///< [a-z0-9_-], at most limits::kNameBytes
  std::uint64_t dimension = 0;  ///< of a fresh all-zero model; or
  std::string model;            ///< a safetensors file to start from
  std::string codec = "i8b";
  std::uint32_t block = 256;          ///< coordinates a scale; power of two
  std::int32_t scale_exponent = -10;  ///< i8s, i4s: value = 2^e * q
  bool adaptive_scales = false;       ///< i8s, i4s: e follows the updates, block by block
  std::uint32_t bits = 0;             ///< eden, hsq: of a code; topk, randk: of a value; 0: usual
  std::uint32_t rotation = 65'536;    ///< eden, hsq: coordinates rotated together; power of two
  double keep = 0.01;                 ///< topk, randk: share of the coordinates
  std::string entropy = "none";       ///< or "zstd"
  std::uint32_t chunk_coordinates = 65'536;
  std::string rule = "mean";
  robust::RuleParameters rule_parameters;  ///< clip_norm, f, byzantine_share, m, neighbours, scores
  std::vector<std::string> pre_steps;      ///< robust::parse_pre_steps()
  std::string invalid_updates = "reject";  ///< or "zero"
  std::string trusted_device;              ///< public key; for rules that need one
  robust::StepParameters step;             ///< optimiser, learning_rate, beta1, beta2, epsilon
  float device_clip_norm = 0;              ///< asked of devices; 0: none
  float value_bound = 16;
  std::uint32_t max_weight = 1;
  std::uint32_t target_cohort = 100;  ///< the round closes at this many updates
  std::uint32_t minimum_cohort = 10;  ///< below this at the deadline it is abandoned
  double over_selection = 1.3;        ///< devices told to train, relative to the target
  bool buffered = false;              ///< asynchronous rounds: late updates count in later ones
  std::uint32_t max_staleness = 10;   ///< buffered: rounds an update may be late
  robust::StalenessWeight staleness_weight = robust::StalenessWeight::kInverseRoot;
  Nanoseconds deadline = 0;              ///< of a round; 0: none
  std::uint64_t rounds = 0;              ///< stop after this many releases; 0: go on for ever
  std::uint64_t memory_bytes = 0;        ///< budget in the backend; 0: the server's share
  std::uint32_t keep_models = 8;         ///< released versions kept on disk
  std::optional<PrivacyConfig> privacy;  ///< [privacy]; none: the task is not private
  std::string text;                      ///< the TOML it came from, kept in the control store
};

/// What the keys about the codec say together. Call on a task that was read without problems.
ChunkFormat chunk_format(const TaskConfig& task);

struct Config {
  std::string data_dir = "muster-data";
  struct {
    std::vector<std::string> listen = {"tcp://127.0.0.1:7400"};
    std::string security = "curve";  ///< "curve" or "plain"
    bool allow_plain_anywhere = false;
    std::uint64_t slab_bytes = std::uint64_t{64} << 20;
    std::uint64_t slot_bytes = 0;  ///< at least this; 0: what the tasks need
    std::uint32_t io_threads = 1;
    std::uint32_t max_connections = 16'384;
    std::uint32_t max_connections_per_address = 16'384;
    Nanoseconds commit_window = 2 * kMillisecond;
    std::uint64_t commit_bytes = std::uint64_t{4} << 20;
  } ingest;
  struct {
    std::uint64_t segment_bytes = std::uint64_t{256} << 20;
    std::uint64_t low_water_bytes = std::uint64_t{512} << 20;
    bool accept_quarantine = false;
    std::string encrypt = "all";  ///< rounds whose updates lie encrypted: "all" or "private"
  } spool;
  struct {
    /// Files of master secrets, the one in use first; "credential:NAME" is one that systemd hands
    /// in. Empty: <data_dir>/master.key, made at the first start.
    std::vector<std::string> master;
  } secrets;
  struct {
    std::string kind = "auto";
    std::uint32_t threads = 0;       ///< 0: one per core
    std::string cpu_level = "auto";  ///< "auto", "baseline", "avx2", "avx512"
    std::uint64_t memory_bytes = std::uint64_t{4} << 30;
    std::uint32_t devices = 0;           ///< GPUs; 0: all there are
    std::string gpu_fallback = "allow";  ///< or "forbid": "auto" with an unusable GPU is not ready
    Nanoseconds gpu_deadline = 20 * kSecond;  ///< of an operation, beside what its size allows it
  } backend;
  struct {
    std::string listen = "127.0.0.1:9400";
  } monitoring;
  struct {
    std::string socket;  ///< empty: <data_dir>/admin.sock
  } admin;
  struct {
    std::string level = "info";
    std::string format = "auto";  ///< "auto", "json", "text"
  } log;
  Nanoseconds drain_grace = 20 * kSecond;
  std::uint32_t crash_limit = 5;  ///< starts in 10 minutes that may end badly; 0: any number
  std::vector<TaskConfig> tasks;
};

/// Every problem found in `text`, not just the first: "FILE:LINE:COLUMN: key 'x': what. (Did you
/// mean 'y'?)", joined by newlines, as the message of one "config_invalid" Status.
Result<Config> parse_config(std::string_view text, std::string_view file);
/// A single task file. Same errors.
Result<TaskConfig> parse_task(std::string_view text, std::string_view file);
/// Canonical terms of a task (rule, cohort, codec, bounds, step), the text whose SHA-256 devices
/// bind into their updates.
std::string task_terms(const TaskConfig& task);

/// The most updates a round of the task takes: its target with over-selection. The public constant
/// n of a private task.
std::uint32_t most_updates(const TaskConfig& task);

/// Every key the parser knows, as "ingest.slab" or "task.rule", in the order it reads them.
std::vector<std::string> config_keys();

/// "64MiB" -> bytes; "250ms" -> nanoseconds. kInvalid / "unit" otherwise (bare numbers too).
Result<std::uint64_t> parse_bytes(std::string_view text);
Result<Nanoseconds> parse_duration(std::string_view text);

}  // namespace muster::server
