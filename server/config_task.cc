#include "server/config_task.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/codec.h"
#include "base/limits.h"
#include "server/config_text.h"

namespace muster::server {
namespace {

constexpr std::int64_t kMaxWhole = std::numeric_limits<std::int64_t>::max();
constexpr std::uint32_t kMinBlock = 16, kMaxBlock = 65'536;
constexpr double kMaxValueBound = 1e6;
constexpr double kMaxOverSelection = 10;

void read_name(Section& section, TaskConfig& task) {
  if (!section.text("name", task.name)) {
    if (!section.has("name")) section.problem("name", "a task needs a name");
    return;
  }
  if (task.name.empty() || task.name.size() > limits::kNameBytes ||
      task.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") != std::string::npos)
    section.problem("name", quote_for_people(task.name) + " is not 1 to " +
                                std::to_string(limits::kNameBytes) +
                                " characters of a-z, 0-9, _ and -");
}

void read_model(Section& section, TaskConfig& task) {
  section.integer("dimension", task.dimension, 1, static_cast<std::int64_t>(limits::kMaxDimension));
  section.text("model", task.model);
  if (section.has("dimension") && section.has("model"))
    section.problem("model", "give dimension (a fresh model) or model (a file), not both");
  else if (!section.has("dimension") && !section.has("model"))
    section.problem("dimension", "a task needs dimension (a fresh model) or model (a file)");
  else if (section.has("model") && section.sound({"model"}) && task.model.empty())
    section.problem("model", "is empty");
}

/// Codec, block and chunk, as far as they are sound together.
std::optional<ChunkFormat> read_format(Section& section, TaskConfig& task) {
  section.choice("codec", task.codec, {"f32", "f16", "bf16", "i8b", "i8s"});
  if (section.integer("block", task.block, kMinBlock, kMaxBlock) &&
      !std::has_single_bit(task.block))
    section.problem("block", std::to_string(task.block) + " is not a power of two");
  section.integer("scale_exponent", task.scale_exponent, -126, 120);
  section.integer("chunk_coordinates", task.chunk_coordinates, limits::kMinChunkCoordinates,
                  limits::kMaxChunkCoordinates);
  if (!section.sound({"codec", "block", "chunk_coordinates"})) return std::nullopt;

  ChunkFormat format{*parse_codec(task.codec), 0};
  if (format.codec == Codec::kI8B || format.codec == Codec::kI8S) {
    format.log2_block = static_cast<std::uint8_t>(std::countr_zero(task.block));
    if (task.chunk_coordinates % task.block != 0)
      section.problem("chunk_coordinates", std::to_string(task.chunk_coordinates) +
                                               " is not a multiple of block (" +
                                               std::to_string(task.block) + ")");
  }
  if (const std::size_t bytes = payload_bytes(format, task.chunk_coordinates);
      bytes > limits::kPayloadBytes)
    section.problem("chunk_coordinates", "a chunk would be " + std::to_string(bytes) +
                                             " bytes, a message holds " +
                                             std::to_string(limits::kPayloadBytes));
  if (section.sound({"dimension"}) &&
      divide_up<std::uint64_t>(task.dimension, task.chunk_coordinates) > limits::kMaxChunks)
    section.problem("chunk_coordinates", "an update would be more than " +
                                             std::to_string(limits::kMaxChunks) +
                                             " chunks; take larger ones");
  return format;
}

void read_rule(Section& section, TaskConfig& task) {
  section.text("rule", task.rule);
  double number = 0;
  std::uint32_t count = 0;
  std::string text;
  auto& parameters = task.rule_parameters;
  if (section.number("clip_norm", number)) parameters.clip_norm = number;
  if (section.integer("f", count, 0, limits::kMaxUpdates)) parameters.f = count;
  if (section.number("byzantine_share", number)) parameters.byzantine_share = number;
  if (section.integer("m", count, 0, limits::kMaxUpdates)) parameters.m = count;
  if (section.text("neighbours", text)) parameters.neighbours = text;
  if (section.text("scores", text)) parameters.scores = text;
}

void read_step(Section& section, TaskConfig& task) {
  std::string optimiser;
  if (section.choice("optimiser", optimiser, {"sgd", "momentum", "adam"}))
    task.step.optimiser = *robust::parse_optimiser(optimiser);
  // One parameter at a time beside good ones, so that a refusal is about this key.
  auto read = [&](std::string_view key, double robust::StepParameters::*member) {
    robust::StepParameters probe;
    if (!section.number(key, probe.*member)) return;
    if (const Status status = robust::check(probe); !status.ok())
      section.problem(key, std::string(status.message()));
    task.step.*member = probe.*member;
  };
  read("learning_rate", &robust::StepParameters::learning_rate);
  read("beta1", &robust::StepParameters::beta1);
  read("beta2", &robust::StepParameters::beta2);
  read("epsilon", &robust::StepParameters::epsilon);
}

void read_bounds(Section& section, TaskConfig& task) {
  double number = 0;
  if (section.number("device_clip_norm", number)) {
    task.device_clip_norm = static_cast<float>(number);
    if (!(number >= 0 && std::isfinite(task.device_clip_norm)))
      section.problem("device_clip_norm", "must be 0 (none) or a positive float32");
  }
  if (section.number("value_bound", number)) {
    task.value_bound = static_cast<float>(number);
    if (!(task.value_bound > 0 && number <= kMaxValueBound))
      section.problem("value_bound", "must be above 0 and at most 1000000");
  }
  section.integer("max_weight", task.max_weight, 1, limits::kMaxWeight);
}

void read_cohort(Section& section, TaskConfig& task) {
  section.integer("target_cohort", task.target_cohort, 1, limits::kMaxUpdates);
  section.integer("minimum_cohort", task.minimum_cohort, 1, limits::kMaxUpdates);
  if (section.sound({"target_cohort", "minimum_cohort"}) &&
      task.minimum_cohort > task.target_cohort)
    section.problem("minimum_cohort", std::to_string(task.minimum_cohort) +
                                          (section.has("minimum_cohort") ? "" : " (the default)") +
                                          " is above target_cohort (" +
                                          std::to_string(task.target_cohort) + ")");
  if (section.number("over_selection", task.over_selection) &&
      !(task.over_selection >= 1 && task.over_selection <= kMaxOverSelection))
    section.problem("over_selection", "must be from 1 to 10");
  section.duration("deadline", task.deadline, 0, 365 * 24 * 3600 * kSecond);
  section.integer("rounds", task.rounds, 0, kMaxWhole);
  section.bytes("memory", task.memory_bytes, 0, kMaxWhole);
  section.integer("keep_models", task.keep_models, 1, 1'000'000);
}

/// The rule must be defined for every cohort a round may close with.
void check_rule_cohort(Section& section, const TaskConfig& task, const robust::Rule& rule) {
  // A share is rounded down, so the need does not grow evenly; a window past the minimum shows it.
  constexpr std::uint32_t kWindow = 65'536;
  const std::uint32_t last = std::min(task.target_cohort, task.minimum_cohort + kWindow);
  const robust::FaultBound bound = robust::fault_bound(rule);
  for (std::uint32_t n = task.minimum_cohort; n <= last; ++n) {
    const std::uint32_t f = bound.of(n), needed = robust::minimum_cohort(rule, f);
    if (needed > n)
      return section.problem("minimum_cohort", robust::to_string(rule) +
                                                   " with f = " + std::to_string(f) +
                                                   " needs a cohort of " + std::to_string(needed) +
                                                   ", a round may have " + std::to_string(n));
  }
}

void check_rule(Section& section, const TaskConfig& task, std::optional<ChunkFormat> format) {
  if (!section.sound({"rule", "clip_norm", "f", "byzantine_share", "m", "neighbours", "scores"}))
    return;
  const auto rule = robust::parse_rule(task.rule, task.rule_parameters);
  if (!rule.ok()) return section.problem("rule", std::string(rule.status().message()));
  if (format)
    if (const Status status = robust::accepts(*rule, *format); !status.ok())
      section.problem("codec", std::string(status.message()));
  if (section.sound({"target_cohort", "minimum_cohort"})) check_rule_cohort(section, task, *rule);
}

/// "key = value" lines.
class Writer {
 public:
  void raw(std::string_view key, std::string_view value) {
    text_.append(key).append(" = ").append(value).append("\n");
  }
  void text(std::string_view key, std::string_view value) { raw(key, toml_string(value)); }
  template <std::integral T>
  void whole(std::string_view key, T value) {
    raw(key, std::to_string(value));
  }
  template <std::floating_point T>
  void number(std::string_view key, T value) {
    raw(key, number_text(value));
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

void write_step(Writer& writer, const robust::StepParameters& step) {
  writer.text("optimiser", robust::optimiser_name(step.optimiser));
  writer.number("learning_rate", step.learning_rate);
  writer.number("beta1", step.beta1);
  writer.number("beta2", step.beta2);
  writer.number("epsilon", step.epsilon);
}

void write_format(Writer& writer, const TaskConfig& task) {
  writer.text("codec", task.codec);
  writer.whole("block", task.block);
  writer.whole("scale_exponent", task.scale_exponent);
  writer.whole("chunk_coordinates", task.chunk_coordinates);
}

void write_bounds(Writer& writer, const TaskConfig& task) {
  writer.number("device_clip_norm", task.device_clip_norm);
  writer.number("value_bound", task.value_bound);
  writer.whole("max_weight", task.max_weight);
  writer.whole("target_cohort", task.target_cohort);
  writer.whole("minimum_cohort", task.minimum_cohort);
}

}  // namespace

TaskConfig read_task(Section& section) {
  TaskConfig task;
  read_name(section, task);
  read_model(section, task);
  const auto format = read_format(section, task);
  read_rule(section, task);
  read_step(section, task);
  read_bounds(section, task);
  read_cohort(section, task);
  check_rule(section, task, format);
  section.finish();
  task.text = task_text(task);
  return task;
}

std::string task_text(const TaskConfig& task) {
  Writer writer;
  writer.text("name", task.name);
  if (task.model.empty())
    writer.whole("dimension", task.dimension);
  else
    writer.text("model", task.model);
  write_format(writer, task);
  writer.text("rule", task.rule);
  const auto& parameters = task.rule_parameters;
  if (parameters.clip_norm) writer.number("clip_norm", *parameters.clip_norm);
  if (parameters.f) writer.whole("f", *parameters.f);
  if (parameters.byzantine_share) writer.number("byzantine_share", *parameters.byzantine_share);
  if (parameters.m) writer.whole("m", *parameters.m);
  if (parameters.neighbours) writer.text("neighbours", *parameters.neighbours);
  if (parameters.scores) writer.text("scores", *parameters.scores);
  write_step(writer, task.step);
  write_bounds(writer, task);
  writer.number("over_selection", task.over_selection);
  writer.text("deadline", duration_text(task.deadline));
  writer.whole("rounds", task.rounds);
  writer.text("memory", bytes_text(task.memory_bytes));
  writer.whole("keep_models", task.keep_models);
  return writer.take();
}

Result<TaskConfig> parse_task(std::string_view text, std::string_view file) {
  Document document(text, file);
  Section section(document, document.root(), "");
  TaskConfig task = read_task(section);
  MUSTER_TRY(document.finish());
  return task;
}

std::string task_terms(const TaskConfig& task) {
  const auto rule = robust::parse_rule(task.rule, task.rule_parameters);
  MUSTER_CHECK(rule.ok());
  Writer writer;
  writer.whole("terms", 1);
  writer.text("task", task.name);
  write_format(writer, task);
  writer.text("rule", robust::to_string(*rule));
  write_step(writer, task.step);
  write_bounds(writer, task);
  return writer.take();
}

}  // namespace muster::server
