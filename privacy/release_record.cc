#include "privacy/release_record.h"

#include <fmt/format.h>

#include <cmath>
#include <string_view>

#include "kernels/backend.h"

namespace muster::privacy {
namespace {

/// One field: its key in JSON, its name for a person, its value for both.
struct Field {
  std::string_view key, name;
  std::string json, text;
};

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
  return out;
}

Field words(std::string_view key, std::string_view name, std::string_view value) {
  return value.empty() ? Field{key, name, "null", "unknown"}
                       : Field{key, name, quoted(value), std::string(value)};
}

/// Counts and positive numbers; zero is unknown.
template <class Number>
Field number(std::string_view key, std::string_view name, Number value) {
  if (!(value > 0) || (std::is_floating_point_v<Number> && !std::isfinite(value)))
    return {key, name, "null", "unknown"};
  const std::string text = fmt::format("{}", value);
  return {key, name, text, text};
}

const Participation* limit_of(const Sampling& sampling) {
  return std::visit(
      [](const auto& any) -> const Participation* {
        if constexpr (requires { any.limit; })
          return &any.limit;
        else
          return nullptr;
      },
      sampling);
}

std::string list_json(const std::vector<std::string>& items) {
  std::string out = "[";
  for (const std::string& item : items) {
    if (out.size() > 1) out += ", ";
    out += quoted(item);
  }
  out.push_back(']');
  return out;
}

std::vector<Field> fields_of(const ReleaseRecord& record) {
  const bool stated = missing_fields(record).empty();
  std::vector<Field> fields = {
      words("task", "task", record.task),
      number("round", "round", record.round),
      {"model_version", "model version", fmt::format("{}", record.model_version),
       fmt::format("{}", record.model_version)},
      words("statement", "statement", statement(record)),
      words("unit", "unit of privacy", record.unit),
  };
  if (record.mechanism) {
    const Mechanism& mechanism = *record.mechanism;
    fields.push_back(words("adjacency", "adjacency", adjacency_name(mechanism.adjacency)));
    fields.push_back(words("mechanism", "mechanism", mechanism.name));
    fields.push_back(words("sensitivity_formula", "sensitivity", mechanism.formula));
    fields.push_back(
        number("sensitivity_units", "sensitivity in grid steps", mechanism.sensitivity_units));
    fields.push_back(number("noise_multiplier", "noise multiplier z", mechanism.noise_multiplier));
    fields.push_back(number("grid_step", "grid step", mechanism.grid.step));
    fields.push_back({"log2_noise_steps", "noise deviation in grid steps",
                      fmt::format("{}", mechanism.grid.log2_sigma),
                      fmt::format("2^{}", mechanism.grid.log2_sigma)});
    fields.push_back(number("divisor", "divisor", mechanism.divisor));
    fields.push_back(number("noise_vectors", "vectors of noise", mechanism.vectors));
    fields.push_back(
        words("noise_backend", "noise",
              fmt::format("exact discrete Gaussian, ChaCha20; total variation at most 2^{} a draw",
                          kernels::kNoiseVariationLog2)));
  } else {
    fields.push_back({"mechanism", "mechanism", "null", "none: nothing is noised"});
  }
  fields.push_back(number("clip_norm", "clip norm", record.clip_norm));
  fields.push_back(number("dimension", "coordinates", record.dimension));
  fields.push_back(number("n", "cohort constant n", record.n));
  fields.push_back(words("sampling", "sampling statement",
                         record.sampling ? sampling_name(*record.sampling) : std::string_view()));
  if (const Participation* limit = record.sampling ? limit_of(*record.sampling) : nullptr) {
    fields.push_back(number("participations", "participations k, at most", limit->participations));
    fields.push_back(number("separation", "separation b, at least", limit->separation));
  }
  fields.push_back(number("rounds", "rounds so far T", record.rounds));
  fields.push_back(number("ledger_position", "ledger record", record.ledger_position));
  fields.push_back(words("ledger_head", "ledger chain", record.ledger_head));
  fields.push_back(number("delta", "delta", record.delta));
  fields.push_back(number("sampler_delta", "of it for the sampler", record.sampler_delta));
  fields.push_back(words("accountant", "accountant",
                         record.spent ? accountant_name(record.spent->accountant) : ""));
  fields.push_back(words("conversion", "conversion",
                         record.spent ? conversion_name(record.spent->accountant) : ""));
  fields.push_back(stated ? number("epsilon", "epsilon after this round", record.spent->epsilon)
                          : Field{"epsilon", "epsilon after this round", "null", "not stated"});
  const std::string others = fmt::format("{}", fmt::join(record.other_releases, ", "));
  fields.push_back({"other_releases", "also released", list_json(record.other_releases),
                    others.empty() ? "nothing" : others});
  return fields;
}

}  // namespace

std::vector<std::string> missing_fields(const ReleaseRecord& record) {
  std::vector<std::string> missing;
  const auto need = [&](bool known, const char* name) {
    if (!known) missing.emplace_back(name);
  };
  need(!record.task.empty(), "task");
  need(record.round > 0, "round");
  need(!record.unit.empty(), "unit");
  need(record.mechanism.has_value(), "mechanism");
  if (record.mechanism) {
    need(!record.mechanism->formula.empty(), "sensitivity formula");
    need(record.mechanism->noise_multiplier > 0, "noise multiplier");
    need(record.mechanism->grid.step > 0 && record.mechanism->grid.log2_sigma > 0, "grid");
  }
  need(record.clip_norm > 0, "clip norm");
  need(record.dimension > 0, "dimension");
  need(record.n > 0, "n");
  need(record.sampling.has_value(), "sampling statement");
  need(record.rounds > 0, "rounds");
  need(record.ledger_position > 0, "ledger position");
  need(record.delta > 0 && record.delta < 1, "delta");
  need(record.sampler_delta > 0 && record.sampler_delta < record.delta, "sampler delta");
  need(record.spent.has_value() && std::isfinite(record.spent->epsilon), "epsilon");
  return missing;
}

std::string statement(const ReleaseRecord& record) {
  if (const std::vector<std::string> missing = missing_fields(record); !missing.empty())
    return fmt::format("no DP statement: {} unknown", fmt::join(missing, ", "));
  return fmt::format("(epsilon {:.3f}, delta {:.4g}) for {}, {}, after {} round{}",
                     // rounded up in what is printed
                     std::ceil(record.spent->epsilon * 1e3) / 1e3, record.delta, record.unit,
                     adjacency_name(record.mechanism->adjacency), record.rounds,
                     record.rounds == 1 ? "" : "s");
}

std::string to_json(const ReleaseRecord& record) {
  std::string out = "{";
  for (const Field& field : fields_of(record)) {
    out += out.size() == 1 ? "\n" : ",\n";
    out += fmt::format("  \"{}\": {}", field.key, field.json);
  }
  out += "\n}\n";
  return out;
}

std::string to_text(const ReleaseRecord& record) {
  std::string out;
  for (const Field& field : fields_of(record))
    out += fmt::format("{:<30} {}\n", field.name, field.text);
  return out;
}

}  // namespace muster::privacy
