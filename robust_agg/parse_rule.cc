#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <string>

#include "base/limits.h"
#include "robust_agg/rule.h"

namespace muster::robust {
namespace {

/// Steps of an iterated rule; each may read the whole cohort again.
constexpr std::uint32_t kMaxIterations = 1000;

/// Insertions, deletions and substitutions between two short words.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t substituted = diagonal + (a[i] != b[j]);
      diagonal = row[j + 1];
      row[j + 1] = std::min({row[j] + 1, row[j + 1] + 1, substituted});
    }
  }
  return row.back();
}

Status unknown_rule(std::string_view name) {
  // The name comes from a file: compare and repeat no more of it than a rule name can be wrong by.
  const std::string_view shown = name.substr(0, limits::kNameBytes);
  const Rule kinds[] = {Mean{},         ClippedMean{}, Median{},          TrimmedMean{},
                        Krum{},         MultiKrum{},   GeometricMedian{}, CentredClipping{},
                        Cge{},          Caf{},         FlTrust{},         Monna{},
                        SignMajority{}, Meamed{},      Phocas{},          Bulyan{},
                        Mda{}};
  static_assert(std::size(kinds) == std::variant_size_v<Rule>);
  const auto nearest =
      std::min_element(std::begin(kinds), std::end(kinds), [&](const Rule& a, const Rule& b) {
        return edit_distance(shown, rule_name(a)) < edit_distance(shown, rule_name(b));
      });
  return Status(Code::kInvalid, "rule_unknown",
                "there is no rule \"" + std::string(shown) + "\"; did you mean \"" +
                    std::string(rule_name(*nearest)) + "\"?");
}

/// Reads parameters and remembers which were asked for, to refuse the rest.
class Reader {
 public:
  Reader(std::string_view rule, const RuleParameters& parameters)
      : rule_(rule), parameters_(parameters) {}

  Result<FaultBound> fault_bound() {
    asked_.insert({"f", "byzantine_share"});
    const auto& f = parameters_.f;
    const auto& share = parameters_.byzantine_share;
    if (f.has_value() == share.has_value())
      return refuse(f ? "takes f or byzantine_share, not both" : "needs f or byzantine_share");
    if (f) {
      if (*f > limits::kMaxUpdates / 2)
        return refuse("f must be at most " + std::to_string(limits::kMaxUpdates / 2) + ", it is " +
                      std::to_string(*f));
      return FaultBound{*f, 0};
    }
    if (!(*share >= 0 && *share < 0.5))
      return refuse("byzantine_share must be in [0, 0.5), it is " + std::to_string(*share));
    return FaultBound{std::nullopt, *share};
  }

  Result<double> clip_norm() {
    asked_.insert("clip_norm");
    if (!parameters_.clip_norm) return refuse("needs clip_norm");
    return positive("clip_norm", *parameters_.clip_norm);
  }

  Result<double> smoothing() {
    asked_.insert("smoothing");
    return positive("smoothing", parameters_.smoothing.value_or(GeometricMedian{}.smoothing));
  }

  Result<double> tau() {
    asked_.insert("tau");
    if (!parameters_.tau) return refuse("needs tau");
    return positive("tau", *parameters_.tau);
  }

  Result<double> step() {
    asked_.insert("step");
    return positive("step", parameters_.step.value_or(SignMajority{}.step));
  }

  Result<double> tolerance() {
    asked_.insert("tolerance");
    const double tolerance = parameters_.tolerance.value_or(0);
    if (!(tolerance >= 0 && tolerance < 1))
      return refuse("tolerance must be in [0, 1), it is " + std::to_string(tolerance));
    return tolerance;
  }

  Result<std::uint32_t> iterations(std::uint32_t usual) {
    asked_.insert("iterations");
    const std::uint32_t iterations = parameters_.iterations.value_or(usual);
    if (iterations < 1 || iterations > kMaxIterations)
      return refuse("iterations must be in [1, " + std::to_string(kMaxIterations) + "], it is " +
                    std::to_string(iterations));
    return iterations;
  }

  Result<Start> start(Start usual) {
    asked_.insert("start");
    const bool takes_mean = usual == Start::kMean;
    if (!parameters_.start) return usual;
    if (*parameters_.start == "zero") return Start::kZero;
    if (*parameters_.start == "previous") return Start::kPrevious;
    if (*parameters_.start == "mean" && takes_mean) return Start::kMean;
    return refuse(std::string("start must be \"zero\"") + (takes_mean ? ", \"mean\"" : "") +
                  " or \"previous\", it is \"" + parameters_.start->substr(0, limits::kNameBytes) +
                  "\"");
  }

  Result<Neighbours> neighbours() {
    asked_.insert("neighbours");
    const std::string text = parameters_.neighbours.value_or("n-f-2");
    if (text == "n-f-2") return Neighbours::kNMinusFMinus2;
    if (text == "n-f-1") return Neighbours::kNMinusFMinus1;
    return refuse("neighbours must be \"n-f-2\" or \"n-f-1\", it is \"" +
                  text.substr(0, limits::kNameBytes) + "\"");
  }

  Result<Scores> scores() {
    asked_.insert("scores");
    const std::string text = parameters_.scores.value_or("exact");
    if (text == "exact") return Scores::kExact;
    if (text == "sketched") return Scores::kSketched;
    return refuse("scores must be \"exact\" or \"sketched\", it is \"" +
                  text.substr(0, limits::kNameBytes) + "\"");
  }

  Result<std::uint32_t> m() {
    asked_.insert("m");
    const std::uint32_t m = parameters_.m.value_or(0);
    if (m > limits::kMaxUpdates)
      return refuse("m must be at most " + std::to_string(limits::kMaxUpdates) + ", it is " +
                    std::to_string(m));
    return m;
  }

  /// Refuses what no call above asked for: it would be ignored, and its author believes otherwise.
  Status finish() const {
    // Sharding reads its size, and the share as well.
    std::string unused;
    for_each_parameter(parameters_, [&](std::string_view key, const auto& value) {
      const bool sharding =
          key == "shard_size" || (key == "byzantine_share" && parameters_.shard_size);
      if (value && !sharding && !asked_.contains(key) && unused.empty()) unused = key;
    });
    if (!unused.empty()) return refuse("takes no " + unused);
    return {};
  }

 private:
  Result<double> positive(const std::string& name, double value) const {
    if (!(std::isfinite(value) && value > 0))
      return refuse(name + " must be a positive number, it is " + std::to_string(value));
    return value;
  }
  Status refuse(const std::string& why) const {
    return Status(Code::kInvalid, "rule_parameter", std::string(rule_) + " " + why);
  }

  std::string_view rule_;
  const RuleParameters& parameters_;
  std::set<std::string_view> asked_;
};

Result<Rule> read(std::string_view name, Reader& reader) {
  if (name == "mean") return Rule(Mean{});
  if (name == "median") return Rule(Median{});
  if (name == "clipped_mean") {
    MUSTER_ASSIGN(const double clip_norm, reader.clip_norm());
    return Rule(ClippedMean{clip_norm});
  }
  if (name == "trimmed_mean") {
    MUSTER_ASSIGN(const FaultBound f, reader.fault_bound());
    return Rule(TrimmedMean{f});
  }
  if (name == "krum") {
    MUSTER_ASSIGN(const FaultBound f, reader.fault_bound());
    MUSTER_ASSIGN(const Neighbours neighbours, reader.neighbours());
    MUSTER_ASSIGN(const Scores scores, reader.scores());
    return Rule(Krum{f, neighbours, scores});
  }
  if (name == "multi_krum") {
    MUSTER_ASSIGN(const FaultBound f, reader.fault_bound());
    MUSTER_ASSIGN(const std::uint32_t m, reader.m());
    MUSTER_ASSIGN(const Neighbours neighbours, reader.neighbours());
    MUSTER_ASSIGN(const Scores scores, reader.scores());
    return Rule(MultiKrum{f, m, neighbours, scores});
  }
  if (name == "geometric_median") {
    const GeometricMedian usual;
    GeometricMedian median;
    MUSTER_ASSIGN(median.smoothing, reader.smoothing());
    MUSTER_ASSIGN(median.iterations, reader.iterations(usual.iterations));
    MUSTER_ASSIGN(median.tolerance, reader.tolerance());
    MUSTER_ASSIGN(median.start, reader.start(usual.start));
    return Rule(median);
  }
  if (name == "centred_clipping") {
    const CentredClipping usual;
    CentredClipping clipping;
    MUSTER_ASSIGN(clipping.tau, reader.tau());
    MUSTER_ASSIGN(clipping.iterations, reader.iterations(usual.iterations));
    MUSTER_ASSIGN(clipping.start, reader.start(usual.start));
    return Rule(clipping);
  }
  if (name == "fltrust") return Rule(FlTrust{});
  if (name == "sign_majority") {
    MUSTER_ASSIGN(const double step, reader.step());
    return Rule(SignMajority{step});
  }
  if (name == "cge" || name == "caf" || name == "monna") {
    MUSTER_ASSIGN(const FaultBound f, reader.fault_bound());
    return name == "cge" ? Rule(Cge{f}) : name == "caf" ? Rule(Caf{f}) : Rule(Monna{f});
  }
  if (name == "meamed") {
    MUSTER_ASSIGN(const FaultBound f, reader.fault_bound());
    return Rule(Meamed{f});
  }
  if (name == "phocas") {
    MUSTER_ASSIGN(const FaultBound f, reader.fault_bound());
    return Rule(Phocas{f});
  }
  if (name == "bulyan") {
    MUSTER_ASSIGN(const FaultBound f, reader.fault_bound());
    return Rule(Bulyan{f});
  }
  if (name == "mda") {
    MUSTER_ASSIGN(const FaultBound f, reader.fault_bound());
    return Rule(Mda{f});
  }
  return unknown_rule(name);
}

}  // namespace

Result<Rule> parse_rule(std::string_view name, const RuleParameters& parameters) {
  Reader reader(name, parameters);
  MUSTER_ASSIGN(Rule rule, read(name, reader));
  MUSTER_TRY(reader.finish());
  return rule;
}

}  // namespace muster::robust
