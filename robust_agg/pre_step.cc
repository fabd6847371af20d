#include "robust_agg/pre_step.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/bytes.h"
#include "base/limits.h"
#include "robust_agg/text.h"

namespace muster::robust {
namespace {

Status refuse(const std::string& why) { return Status(Code::kInvalid, "pre_step", why); }

std::string quoted(std::string_view text) {
  return std::string(1, '"').append(text.substr(0, limits::kNameBytes)).append(1, '"');
}

/// "name" or "name(key=value)".
struct Spelling {
  std::string_view name, key, value;
};

Result<Spelling> split(std::string_view text) {
  const std::size_t open = text.find('(');
  if (open == std::string_view::npos) return Spelling{text, {}, {}};
  const std::string_view inside = text.substr(open + 1);
  const std::size_t equals = inside.find('=');
  if (equals == std::string_view::npos || !inside.ends_with(')'))
    return refuse(quoted(text) + " is not of the form name(key=value)");
  return Spelling{text.substr(0, open), inside.substr(0, equals),
                  inside.substr(equals + 1, inside.size() - equals - 2)};
}

template <class T>
Result<T> number(const Spelling& step) {
  T value{};
  const char* end = step.value.data() + step.value.size();
  const auto [stop, error] = std::from_chars(step.value.data(), end, value);
  if (error != std::errc() || stop != end)
    return refuse(std::string(step.name) + ": " + std::string(step.key) +
                  " must be a number, it is " + quoted(step.value));
  return value;
}

Result<FaultBound> fault_bound_of(const Spelling& step, const Rule& rule) {
  if (step.key.empty()) {
    if (!takes_fault_bound(rule))
      return refuse(std::string(step.name) + " needs f or byzantine_share, for " +
                    std::string(rule_name(rule)) + " has none: write " + std::string(step.name) +
                    "(f=...)");
    return fault_bound(rule);
  }
  if (step.key == "f") {
    MUSTER_ASSIGN(const auto f, number<std::uint32_t>(step));
    if (f > limits::kMaxUpdates / 2)
      return refuse(std::string(step.name) + ": f must be at most " +
                    std::to_string(limits::kMaxUpdates / 2) + ", it is " + std::to_string(f));
    return FaultBound{f, 0};
  }
  if (step.key == "byzantine_share") {
    MUSTER_ASSIGN(const auto share, number<double>(step));
    if (!(share >= 0 && share < 0.5))
      return refuse(std::string(step.name) + ": byzantine_share must be in [0, 0.5), it is " +
                    quoted(step.value));
    return FaultBound{std::nullopt, share};
  }
  return refuse(std::string(step.name) + " takes f or byzantine_share, not " + quoted(step.key));
}

Result<PreStep> read(std::string_view text, const Rule& rule) {
  MUSTER_ASSIGN(const Spelling step, split(text));
  if (step.name == "arc") {
    MUSTER_ASSIGN(const FaultBound f, fault_bound_of(step, rule));
    return PreStep(AdaptiveClipping{f});
  }
  if (step.name == "nnm") {
    MUSTER_ASSIGN(const FaultBound f, fault_bound_of(step, rule));
    return PreStep(NeighbourMixing{f});
  }
  if (step.name == "clipping") {
    if (step.key != "clip_norm") return refuse("clipping needs clip_norm and nothing else");
    MUSTER_ASSIGN(const auto norm, number<double>(step));
    if (!(std::isfinite(norm) && norm > 0))
      return refuse("clipping: clip_norm must be a positive number, it is " + quoted(step.value));
    return PreStep(Clipping{norm});
  }
  if (step.name == "bucketing") {
    if (step.key != "s") return refuse("bucketing needs s and nothing else");
    MUSTER_ASSIGN(const auto size, number<std::uint32_t>(step));
    if (size < 1 || size > limits::kMaxUpdates)
      return refuse("bucketing: s must be in [1, " + std::to_string(limits::kMaxUpdates) +
                    "], it is " + quoted(step.value));
    return PreStep(Bucketing{size});
  }
  return refuse("there is no pre-step " + quoted(step.name) +
                "; there are clipping, arc, bucketing and nnm");
}

std::string_view name_of(const PreStep& step) {
  constexpr std::string_view kNames[] = {"clipping", "arc", "bucketing", "nnm"};
  static_assert(std::size(kNames) == std::variant_size_v<PreStep>);
  return kNames[step.index()];
}

/// Place of a step in the only order there is: what is clipped must be so before it is averaged,
/// and neighbours are those of the rows the rule would have seen.
int place_of(const PreStep& step) {
  constexpr int kPlaces[] = {0, 0, 1, 2};
  return kPlaces[step.index()];
}

/// Whether a rule works on rows or distances that are not those of single updates.
bool sees_rows_together(const Rule& rule) {
  return !uses_trusted(rule) && !std::holds_alternative<Cge>(rule) &&
         !std::holds_alternative<Caf>(rule) && !std::holds_alternative<SignMajority>(rule);
}

}  // namespace

Result<std::vector<PreStep>> parse_pre_steps(std::span<const std::string> texts, const Rule& rule) {
  std::vector<PreStep> steps;
  for (const std::string& text : texts) {
    MUSTER_ASSIGN(const PreStep step, read(text, rule));
    steps.push_back(step);
  }
  MUSTER_TRY(accepts(steps, rule));
  return steps;
}

std::string to_string(std::span<const PreStep> steps) {
  std::string text;
  for (const PreStep& step : steps) {
    const std::string parameters = std::visit(
        Overloaded{
            [](const Clipping& clipping) { return "clip_norm=" + number_text(clipping.clip_norm); },
            [](const AdaptiveClipping& clipping) { return bound_text(clipping.f); },
            [](const Bucketing& buckets) {
              return std::string("s=").append(std::to_string(buckets.size));
            },
            [](const NeighbourMixing& mixing) { return bound_text(mixing.f); }},
        step);
    if (!text.empty()) text += ", ";
    text.append(name_of(step)).append("(").append(parameters).append(")");
  }
  return text;
}

Status accepts(std::span<const PreStep> steps, const Rule& rule) {
  if (steps.empty()) return {};
  if (std::holds_alternative<ClippedMean>(rule))
    return refuse("clipped_mean takes no pre-steps: write clipping before mean");
  if (!sees_rows_together(rule))
    return refuse(std::string(rule_name(rule)) +
                  " takes no pre-steps: it does not see mixed updates");
  if (uses_sketches(rule))
    return refuse(std::string(rule_name(rule)) +
                  " with sketched scores takes no pre-steps: they need all distances exactly");
  if (uses_previous(rule) && place_of(steps[0]) == 0)
    return refuse(std::string(name_of(steps[0])) + " cannot go before a " +
                  std::string(rule_name(rule)) +
                  " that starts at the previous aggregate: write start = \"zero\"");
  for (std::size_t i = 1; i < steps.size(); ++i)
    if (place_of(steps[i]) <= place_of(steps[i - 1]))
      return refuse(
          "pre_steps go in the order clipping or arc, bucketing, nnm, each once at most; " +
          std::string(name_of(steps[i])) + " comes after " + std::string(name_of(steps[i - 1])));
  return {};
}

std::uint32_t minimum_cohort(std::span<const PreStep> steps, const Rule& rule, std::uint32_t n) {
  std::uint32_t needed = minimum_cohort(rule, fault_bound(rule).of(n));
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    if (const auto* mixing = std::get_if<NeighbourMixing>(&*step))
      needed = std::max(needed, 2 * mixing->f.of(n) + 1);
    if (const auto* clipping = std::get_if<AdaptiveClipping>(&*step))
      needed = std::max(needed, 2 * clipping->f.of(n) + 1);
    if (const auto* buckets = std::get_if<Bucketing>(&*step))
      needed = (needed - 1) * buckets->size + 1;
  }
  return needed;
}

std::vector<PreStep> with_faults(std::vector<PreStep> steps, std::uint32_t f) {
  for (PreStep& step : steps)
    std::visit(
        [f](auto& any) {
          if constexpr (requires { any.f; }) any.f = FaultBound{f, 0};
        },
        step);
  return steps;
}

std::uint32_t rows_after(std::span<const PreStep> steps, std::uint32_t n) {
  for (const PreStep& step : steps)
    if (const auto* buckets = std::get_if<Bucketing>(&step)) n = divide_up(n, buckets->size);
  return n;
}

FaultBound fault_bound(std::span<const PreStep> steps, const Rule& rule) {
  if (takes_fault_bound(rule)) return fault_bound(rule);
  for (const PreStep& step : steps) {
    if (const auto* mixing = std::get_if<NeighbourMixing>(&step)) return mixing->f;
    if (const auto* clipping = std::get_if<AdaptiveClipping>(&step)) return clipping->f;
  }
  return fault_bound(rule);
}

std::string to_string(std::span<const PreStep> steps, const Rule& rule) {
  if (steps.empty()) return to_string(rule);
  return to_string(steps).append(", then ").append(to_string(rule));
}

bool needs_distances(std::span<const PreStep> steps, const Rule& rule) {
  return shape_of(rule) == Shape::kGram || std::holds_alternative<GeometricMedian>(rule) ||
         std::holds_alternative<CentredClipping>(rule) ||
         std::any_of(steps.begin(), steps.end(), [](const PreStep& step) {
           return std::holds_alternative<NeighbourMixing>(step);
         });
}

std::string_view sensitivity(std::span<const PreStep> steps, const Rule& rule) {
  const auto is_clipping = [](const PreStep& step) {
    return std::holds_alternative<Clipping>(step);
  };
  if (std::all_of(steps.begin(), steps.end(), is_clipping)) return sensitivity(rule);
  for (const PreStep& step : steps) {
    if (std::holds_alternative<AdaptiveClipping>(step))
      return "none: one update moves the threshold of the others";
    if (std::holds_alternative<NeighbourMixing>(step))
      return "none useful: 2C, for one update is mixed into others";
  }
  if (std::holds_alternative<TrimmedMean>(rule))
    return "C / (s (n_b - 2f)) for n_b buckets of s updates clipped to norm C; n and f public "
           "constants";
  return "none useful: that of the rule for one of n_b buckets";
}

}  // namespace muster::robust
