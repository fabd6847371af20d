#include "server/config_task.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <span>

#include "base/codec.h"
#include "base/limits.h"
#include "server/config_rule.h"
#include "server/config_text.h"
#include "server/config_writer.h"

namespace muster::server {
namespace {

constexpr std::int64_t kMaxWhole = std::numeric_limits<std::int64_t>::max();
constexpr std::uint32_t kMinBlock = 16, kMaxBlock = 65'536;
constexpr double kMaxValueBound = 1e6;
constexpr double kMaxOverSelection = 10;
constexpr std::uint32_t kMaxStaleness = 100;

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

bool is_power_of_two(Section& section, std::string_view key, std::uint32_t value) {
  if (std::has_single_bit(value)) return true;
  section.problem(key, std::to_string(value) + " is not a power of two");
  return false;
}

/// The keys that only some codecs heed.
void read_packing(Section& section, TaskConfig& task) {
  section.integer("bits", task.bits, 0, 32);
  if (section.integer("rotation", task.rotation, kMinBlock, kMaxBlock))
    is_power_of_two(section, "rotation", task.rotation);
  if (section.number("keep", task.keep) && !(task.keep > 0 && task.keep <= 1))
    section.problem("keep", "must be above 0 and at most 1");
  section.choice("entropy", task.entropy, {"none", "zstd"});
  if (!section.sound({"codec", "bits", "entropy"})) return;
  const Codec codec = *parse_codec(task.codec);
  if (task.bits != 0 && is_rotated(codec) && task.bits > 8)
    section.problem("bits", task.codec + " codes have 1 to 8 bits");
  if (task.bits != 0 && is_sparse(codec) && task.bits != 16 && task.bits != 32)
    section.problem("bits", task.codec + " values have 16 or 32 bits");
  if (task.bits != 0 && !is_rotated(codec) && !is_sparse(codec))
    section.problem("bits", task.codec + " takes no bits");
  if (codec == Codec::kTopK && task.entropy == "zstd")
    section.problem("entropy", "topk takes none: its positions are coded already");
}

/// Codec, block and chunk, as far as they are sound together.
std::optional<ChunkFormat> read_format(Section& section, TaskConfig& task) {
  section.choice(
      "codec", task.codec,
      {"f32", "f16", "bf16", "i8b", "i8s", "i4b", "i4s", "sign1", "topk", "randk", "eden", "hsq"});
  if (section.integer("block", task.block, kMinBlock, kMaxBlock))
    is_power_of_two(section, "block", task.block);
  section.integer("scale_exponent", task.scale_exponent, -126, 120);
  std::string scales;
  if (section.choice("scales", scales, {"fixed", "adaptive"}))
    task.adaptive_scales = scales == "adaptive";
  section.integer("chunk_coordinates", task.chunk_coordinates, limits::kMinChunkCoordinates,
                  limits::kMaxChunkCoordinates);
  read_packing(section, task);
  if (!section.sound(
          {"codec", "block", "chunk_coordinates", "bits", "rotation", "keep", "entropy"}))
    return std::nullopt;

  const ChunkFormat format = chunk_format(task);
  if (task.adaptive_scales && !has_shared_scales(format.codec))
    section.problem("scales", task.codec + " has no scales that a round shares; i8s and i4s have");
  if (has_blocks(format.codec) && task.chunk_coordinates % task.block != 0)
    section.problem("chunk_coordinates", std::to_string(task.chunk_coordinates) +
                                             " is not a multiple of block (" +
                                             std::to_string(task.block) + ")");
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

void read_step(Section& section, TaskConfig& task) {
  std::string optimiser;
  if (section.choice("optimiser", optimiser, {"sgd", "momentum", "adam", "yogi", "adagrad"}))
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

void read_mode(Section& section, TaskConfig& task) {
  std::string text;
  if (section.choice("mode", text, {"synchronous", "buffered"})) task.buffered = text == "buffered";
  section.integer("max_staleness", task.max_staleness, 0, kMaxStaleness);
  if (section.choice("staleness_weight", text, {"constant", "inverse_root", "inverse"}))
    task.staleness_weight = *robust::parse_staleness_weight(text);
  if (task.buffered && task.adaptive_scales)
    section.problem("scales",
                    "a buffered task averages updates of several rounds, which must share scales");
  if (task.buffered && section.sound({"max_weight"}) &&
      task.max_weight > limits::kMaxWeight / robust::kStalenessUnit)
    section.problem("max_weight", "must be at most " +
                                      std::to_string(limits::kMaxWeight / robust::kStalenessUnit) +
                                      " in a buffered task, whose weights count in 1/" +
                                      std::to_string(robust::kStalenessUnit));
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
  read_mode(section, task);
  section.duration("deadline", task.deadline, 0, 365 * 24 * 3600 * kSecond);
  section.integer("rounds", task.rounds, 0, kMaxWhole);
  section.bytes("memory", task.memory_bytes, 0, kMaxWhole);
  section.integer("keep_models", task.keep_models, 1, 1'000'000);
}

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
  writer.text("scales", task.adaptive_scales ? "adaptive" : "fixed");
  writer.whole("bits", task.bits);
  writer.whole("rotation", task.rotation);
  writer.number("keep", task.keep);
  writer.text("entropy", task.entropy);
  writer.whole("chunk_coordinates", task.chunk_coordinates);
}

void write_bounds(Writer& writer, const TaskConfig& task) {
  writer.number("device_clip_norm", task.device_clip_norm);
  writer.number("value_bound", task.value_bound);
  writer.whole("max_weight", task.max_weight);
  writer.whole("target_cohort", task.target_cohort);
  writer.whole("minimum_cohort", task.minimum_cohort);
}

void write_mode(Writer& writer, const TaskConfig& task) {
  writer.text("mode", task.buffered ? "buffered" : "synchronous");
  if (!task.buffered) return;
  writer.whole("max_staleness", task.max_staleness);
  writer.text("staleness_weight", robust::staleness_weight_name(task.staleness_weight));
}

}  // namespace

ChunkFormat chunk_format(const TaskConfig& task) {
  ChunkFormat format{parse_codec(task.codec).value()};
  format.zstd = task.entropy == "zstd";
  if (has_blocks(format.codec))
    format.log2_block = static_cast<std::uint8_t>(std::countr_zero(task.block));
  if (is_rotated(format.codec)) {
    constexpr std::uint32_t kUsual = 4;
    format.log2_block = static_cast<std::uint8_t>(std::countr_zero(task.rotation));
    format.bits = static_cast<std::uint8_t>(task.bits == 0 ? kUsual : task.bits);
  }
  if (is_sparse(format.codec)) {
    constexpr std::uint32_t kUsual = 32;
    format.bits = static_cast<std::uint8_t>(task.bits == 0 ? kUsual : task.bits);
    format.share = std::max(1u, static_cast<std::uint32_t>(std::lround(task.keep * kWholeShare)));
  }
  return format;
}

TaskConfig read_task(Section& section) {
  TaskConfig task;
  read_name(section, task);
  read_model(section, task);
  const auto format = read_format(section, task);
  read_rule(section, task);
  read_step(section, task);
  read_bounds(section, task);
  read_cohort(section, task);
  read_privacy(section, task);
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
  write_rule(writer, task);
  write_step(writer, task.step);
  write_bounds(writer, task);
  write_mode(writer, task);
  writer.number("over_selection", task.over_selection);
  writer.text("deadline", duration_text(task.deadline));
  writer.whole("rounds", task.rounds);
  writer.text("memory", bytes_text(task.memory_bytes));
  writer.whole("keep_models", task.keep_models);
  return writer.take() + privacy_text(task);
}

Result<TaskConfig> parse_task(std::string_view text, std::string_view file) {
  Document document(text, file);
  Section section(document, document.root(), "");
  TaskConfig task = read_task(section);
  MUSTER_TRY(document.finish());
  return task;
}

std::string task_terms(const TaskConfig& task) {
  Writer writer;
  writer.whole("terms", 1);
  writer.text("task", task.name);
  write_format(writer, task);
  writer.text("rule", rule_terms(task));
  write_step(writer, task.step);
  write_bounds(writer, task);
  write_mode(writer, task);
  write_privacy_terms(writer, task);
  return writer.take();
}

std::uint32_t most_updates(const TaskConfig& task) {
  return static_cast<std::uint32_t>(
      std::ceil(static_cast<double>(task.target_cohort) * task.over_selection));
}

}  // namespace muster::server
