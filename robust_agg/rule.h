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

/// Where an iterated rule begins: at the origin, at the task's previous aggregate, or at the
/// weighted mean.
enum class Start : std::uint8_t { kZero, kPrevious, kMean };
/// The z that minimises sum w_i |z - x_i|, by smoothed Weiszfeld steps z = sum b_i x_i / sum b_i,
/// b_i = w_i / max(smoothing, |z - x_i|) (Pillutla et al. 2022, "RFA"). Breakdown n/2 of the
/// weight.
struct GeometricMedian {
  double smoothing = 1e-6;       ///< in units of the updates
  std::uint32_t iterations = 8;  ///< at most
  double tolerance = 0;          ///< stop when a step lowers the objective by less than this share
  Start start = Start::kMean;    ///< zero updates would hold back one that begins at the origin
};
/// v = v + (1 / W) sum w_i (x_i - v) min(1, tau / |x_i - v|), `iterations` times (Karimireddy et
/// al. 2021). No breakdown point; the promise wants at most a tenth faulty and a good start.
struct CentredClipping {
  double tau = 1;
  std::uint32_t iterations = 1;
  Start start = Start::kPrevious;
};
/// Mean of the n - f updates of least norm (Gupta et al. 2020, "comparative gradient
/// elimination"). Breakdown n/2 in its analysis.
struct Cge {
  FaultBound f;
};
/// Covariance bound-agnostic filter: weights fall along the direction of greatest variance until
/// n - 2f are left; the mean at the least greatest variance met (Allouah et al. 2025). Breakdown
/// n/2.
struct Caf {
  FaultBound f;
};
/// Mean weighted by max(0, cos(x_i, g)), each update brought to the norm of the trusted update g,
/// which itself is not averaged (Cao et al. 2021). Any number may be faulty but the trusted one.
struct FlTrust {};
/// Mean of the trusted update and the n - f - 1 updates nearest to it (Farhadkhani et al. 2023).
/// Breakdown n/2, the trusted update aside.
struct Monna {
  FaultBound f;
};
/// Per coordinate `step` times the sign of (updates above 0 - updates below 0) (Bernstein et al.
/// 2019). Breakdown n/2.
struct SignMajority {
  double step = 1;
};

/// Per coordinate mean of the n - f values nearest the median (Xie et al. 2018). Breakdown n/2.
struct Meamed {
  FaultBound f;
};
/// Per coordinate mean of the n - f values nearest the trimmed mean (Xie et al. 2018b). Breakdown
/// n/2.
struct Phocas {
  FaultBound f;
};
/// n - 2f rows elected one after the other by Krum, then per coordinate the mean of the n - 4f of
/// their values nearest their median (El Mhamdi et al. 2018). Needs n >= 4f + 3.
struct Bulyan {
  FaultBound f;
};
/// Mean of the n - f rows of least diameter (El Mhamdi et al. 2018, minimum-diameter averaging).
/// Breakdown n/2.
struct Mda {
  FaultBound f;
};

using Rule = std::variant<Mean, ClippedMean, Median, TrimmedMean, Krum, MultiKrum, GeometricMedian,
                          CentredClipping, Cge, Caf, FlTrust, Monna, SignMajority, Meamed, Phocas,
                          Bulyan, Mda>;

/// How a rule meets memory (algorithms: execution shapes).
enum class Shape : std::uint8_t {
  kRow,         ///< streaming: folds each complete update at once, O(d) state
  kPasses,      ///< several passes over sealed rows, O(d) state and numbers a row
  kCoordinate,  ///< needs all rows of a chunk together
  kGram,        ///< needs the n x n Gram matrix, then a combine pass
};

/// As a configuration writes it: "mean", "clipped_mean", "median", ...
std::string_view rule_name(const Rule& rule);
Shape shape_of(const Rule& rule);
/// {} for rules that take none.
FaultBound fault_bound(const Rule& rule);
bool takes_fault_bound(const Rule& rule);
/// Smallest cohort the rule is defined for with `f` faulty (n > 2f, n >= 2f + 3, ...).
std::uint32_t minimum_cohort(const Rule& rule, std::uint32_t f);
/// Whether the rule begins at the task's previous aggregate: see aggregate().
bool uses_previous(const Rule& rule);
/// Whether one update of the cohort has to be the trusted one: see Cohort::trusted().
bool uses_trusted(const Rule& rule);
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
  std::optional<double> smoothing = {};
  std::optional<std::uint32_t> iterations = {};
  std::optional<double> tolerance = {};
  std::optional<std::string> start = {};  ///< "zero", "previous" or "mean"
  std::optional<double> tau = {};
  std::optional<double> step = {};
  std::optional<std::uint32_t> shard_size = {};  ///< for parse_sharding() (shard.h)
};
/// visit(key, value) for every parameter, in the order people write them.
template <class Parameters, class Visit>
void for_each_parameter(Parameters& parameters, Visit&& visit) {
  visit("clip_norm", parameters.clip_norm);
  visit("f", parameters.f);
  visit("byzantine_share", parameters.byzantine_share);
  visit("m", parameters.m);
  visit("neighbours", parameters.neighbours);
  visit("scores", parameters.scores);
  visit("smoothing", parameters.smoothing);
  visit("iterations", parameters.iterations);
  visit("tolerance", parameters.tolerance);
  visit("start", parameters.start);
  visit("tau", parameters.tau);
  visit("step", parameters.step);
  visit("shard_size", parameters.shard_size);
}
/// "rule_unknown" (with the nearest spelling), "rule_parameter" or the rule.
Result<Rule> parse_rule(std::string_view name, const RuleParameters& parameters);
/// One line for people and for the terms hash: "trimmed_mean(byzantine_share=0.2)".
std::string to_string(const Rule& rule);

}  // namespace muster::robust
