#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/limits.h"
#include "robust_agg/rule.h"

namespace muster::robust {
namespace {

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
  const Rule kinds[] = {Mean{}, ClippedMean{}, Median{}, TrimmedMean{}, Krum{}, MultiKrum{}};
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
    asked_f_ = true;
    const auto& [clip_norm, f, share, m, neighbours, scores] = parameters_;
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
    asked_clip_norm_ = true;
    if (!parameters_.clip_norm) return refuse("needs clip_norm");
    if (!(std::isfinite(*parameters_.clip_norm) && *parameters_.clip_norm > 0))
      return refuse("clip_norm must be a positive number, it is " +
                    std::to_string(*parameters_.clip_norm));
    return *parameters_.clip_norm;
  }

  Result<Neighbours> neighbours() {
    asked_neighbours_ = true;
    const std::string text = parameters_.neighbours.value_or("n-f-2");
    if (text == "n-f-2") return Neighbours::kNMinusFMinus2;
    if (text == "n-f-1") return Neighbours::kNMinusFMinus1;
    return refuse("neighbours must be \"n-f-2\" or \"n-f-1\", it is \"" +
                  text.substr(0, limits::kNameBytes) + "\"");
  }

  Result<Scores> scores() {
    asked_scores_ = true;
    const std::string text = parameters_.scores.value_or("exact");
    if (text == "exact") return Scores::kExact;
    if (text == "sketched") return Scores::kSketched;
    return refuse("scores must be \"exact\" or \"sketched\", it is \"" +
                  text.substr(0, limits::kNameBytes) + "\"");
  }

  Result<std::uint32_t> m() {
    asked_m_ = true;
    const std::uint32_t m = parameters_.m.value_or(0);
    if (m > limits::kMaxUpdates)
      return refuse("m must be at most " + std::to_string(limits::kMaxUpdates) + ", it is " +
                    std::to_string(m));
    return m;
  }

  /// Refuses what no call above asked for: it would be ignored, and its author believes otherwise.
  Status finish() const {
    const auto& [clip_norm, f, share, m, neighbours, scores] = parameters_;
    if (clip_norm && !asked_clip_norm_) return refuse("takes no clip_norm");
    if (f && !asked_f_) return refuse("takes no f");
    if (share && !asked_f_) return refuse("takes no byzantine_share");
    if (m && !asked_m_) return refuse("takes no m");
    if (neighbours && !asked_neighbours_) return refuse("takes no neighbours");
    if (scores && !asked_scores_) return refuse("takes no scores");
    return {};
  }

 private:
  Status refuse(const std::string& why) const {
    return Status(Code::kInvalid, "rule_parameter", std::string(rule_) + " " + why);
  }

  std::string_view rule_;
  const RuleParameters& parameters_;
  bool asked_clip_norm_ = false, asked_f_ = false, asked_m_ = false, asked_neighbours_ = false,
       asked_scores_ = false;
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
