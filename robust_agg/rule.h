// The rules: how a cohort becomes one vector. Definitions, constraints and golden numbers follow
// docs/rules.md (sources named there per rule).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"
#include "kernels/backend.h"

namespace muster::robust {

/// How many of n updates may be arbitrary: an absolute count, or a share of the realised cohort.
struct FaultBound {
  std::optional<std::uint32_t> count;
  double share = 0;
  /// floor(share * n) (guarded against 0.2 * 5 = 0.999...), or the count.
  std::uint32_t of(std::uint32_t n) const;
};

/// sum w_i x_i / sum w_i.
struct Mean {};
/// sum w_i x_i min(1, C / |x_i|) / sum w_i. (Without privacy the denominator is the realised
/// weight.)
struct ClippedMean {
  double clip_norm = 1;
};
/// Per coordinate; even n: average of the two middle values (Yin et al. 2018). Breakdown n/2.
struct Median {};
/// Per coordinate mean of what is left without the f smallest and f largest (Yin et al. 2018).
struct TrimmedMean {
  FaultBound f;
};
/// Which neighbours a Krum score counts besides the row itself.
enum class Neighbours : std::uint8_t { kNMinusFMinus2, kNMinusFMinus1 };
/// How scores are found: from the Gram matrix of all rows, or ranked by sketches (sketch.h) with
/// the rows near the cut decided on exact distances.
enum class Scores : std::uint8_t { kExact, kSketched };
/// The row with the least sum of squared distances to its nearest neighbours (Blanchard et al.
/// 2017).
struct Krum {
  FaultBound f;
  Neighbours neighbours = Neighbours::kNMinusFMinus2;
  Scores scores = Scores::kExact;
};
/// Mean of the m rows with the best Krum scores; m 0: n - f - 2.
struct MultiKrum {
  FaultBound f;
  std::uint32_t m = 0;
  Neighbours neighbours = Neighbours::kNMinusFMinus2;
  Scores scores = Scores::kExact;
};

using Rule = std::variant<Mean, ClippedMean, Median, TrimmedMean, Krum, MultiKrum>;

/// How a rule meets memory (algorithms: execution shapes).
enum class Shape : std::uint8_t {
  kRow,         ///< streaming: folds each complete update at once, O(d) state
  kCoordinate,  ///< needs all rows of a chunk together
  kGram,        ///< needs the n x n Gram matrix, then a combine pass
};

std::string_view rule_name(
    const Rule& rule);  ///< "mean", "clipped_mean", "median", "trimmed_mean", "krum", "multi_krum"
Shape shape_of(const Rule& rule);
FaultBound fault_bound(const Rule& rule);
/// Smallest cohort the rule is defined for with `f` faulty (n > 2f, n >= 2f + 3, ...).
std::uint32_t minimum_cohort(const Rule& rule, std::uint32_t f);
/// Whether weights count (algorithms section 2); otherwise every update weighs 1.
bool uses_weights(const Rule& rule);
/// Whether the rule's scores are sketched.
bool uses_sketches(const Rule& rule);
/// Whether the rule may run on codes of this kind, with the reason if not.
Status accepts(const Rule& rule, ChunkFormat format);
/// L2 sensitivity of the released average under zero-out adjacency, as a sentence; "none" where no
/// useful bound is known.
std::string_view sensitivity(const Rule& rule);

/// Parameters as a configuration gives them; unused ones must be absent.
struct RuleParameters {
  std::optional<double> clip_norm = {};
  std::optional<std::uint32_t> f = {};
  std::optional<double> byzantine_share = {};  ///< in [0, 0.5)
  std::optional<std::uint32_t> m = {};
  std::optional<std::string> neighbours = {};  ///< "n-f-2" or "n-f-1"
  std::optional<std::string> scores = {};      ///< "exact" or "sketched"
};
/// "rule_unknown" (with the nearest spelling), "rule_parameter" or the rule.
Result<Rule> parse_rule(std::string_view name, const RuleParameters& parameters);
/// One line for people and for the terms hash: "trimmed_mean(byzantine_share=0.2)".
std::string to_string(const Rule& rule);

}  // namespace muster::robust
