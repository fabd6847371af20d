#include "tests/learning/claims.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace muster::learning {
namespace {

/// The first cell of every pair is above the second by at least `gap` (below 0: it may lie that
/// much under it).
struct Claim {
  std::string what;
  double gap;
  std::vector<std::pair<Cell, Cell>> pairs;
  bool slice;
};

constexpr Attack kPublished[] = {Attack::kAlie, Attack::kBitFlip, Attack::kIpm, Attack::kLabelFlip,
                                 Attack::kMimic};

struct Scene {
  Split split;
  double momentum;

  Cell cell(std::string_view rule, Attack attack, PreStep pre_step = PreStep::kPlain) const {
    return {split, momentum, attack, {std::string(rule), pre_step}};
  }
  /// What can be had where nobody is hostile.
  Cell best() const { return cell("mean", Attack::kNone); }
};

constexpr Scene kIid{Split::kIid, 0.9};
constexpr Scene kSorted{Split::kSorted, 0.9};

std::vector<Claim> everybody_learns_iid() {
  Claim learns{"iid: every rule learns without attackers", -0.1, {}, false};
  for (const char* rule :
       {"krum", "median", "trimmed_mean", "geometric_median", "centred_clipping"})
    learns.pairs.emplace_back(kIid.cell(rule, Attack::kNone), kIid.best());
  Claim bears{
      "iid: median, trimmed mean, geometric median and centred clipping hold under the "
      "published attacks",
      -0.12,
      {},
      false};
  for (const char* rule : {"median", "trimmed_mean", "geometric_median", "centred_clipping"})
    for (const Attack attack : kPublished)
      bears.pairs.emplace_back(kIid.cell(rule, attack), kIid.best());
  Claim boost{"iid: -10 mu ruins the mean, not Krum, median and trimmed mean", 0.4, {}, true};
  for (const char* rule : {"krum", "median", "trimmed_mean"})
    boost.pairs.emplace_back(kIid.cell(rule, Attack::kBoost), kIid.cell("mean", Attack::kBoost));
  Claim mixed{"iid: behind NNM every rule holds under every attack", -0.06, {}, false};
  for (const std::string_view rule : rule_names())
    for (const Attack attack : kAttacks)
      mixed.pairs.emplace_back(kIid.cell(rule, attack, PreStep::kNnm), kIid.best());
  return {learns, bears, boost, mixed};
}

std::vector<Claim> plain_rules_fail_sorted() {
  std::vector<Claim> claims;
  for (const char* rule : {"krum", "median"}) {
    claims.push_back({fmt::format("sorted: {} fails though nobody is hostile", rule),
                      0.25,
                      {{kSorted.best(), kSorted.cell(rule, Attack::kNone)}},
                      true});
    Claim worse{fmt::format("sorted: {} fails under bit flip, IPM, label flip, mimic", rule),
                0.4,
                {},
                true};
    for (const Attack attack : {Attack::kBitFlip, Attack::kIpm, Attack::kLabelFlip, Attack::kMimic})
      worse.pairs.emplace_back(kSorted.best(), kSorted.cell(rule, attack));
    claims.push_back(std::move(worse));
  }
  return claims;
}

std::vector<Claim> what_helps_sorted() {
  // Bit flips hold less than the rest: each hostile update counts almost as much as an honest one.
  Claim clipping{"sorted: centred clipping holds under the published attacks", -0.27, {}, true};
  Claim bucketed{"sorted: bucketing and centred clipping lose next to nothing", -0.08, {}, true};
  Claim above{"sorted: centred clipping is far above Krum and median", 0.3, {}, true};
  for (const Attack attack : kPublished) {
    clipping.pairs.emplace_back(kSorted.cell("centred_clipping", attack), kSorted.best());
    bucketed.pairs.emplace_back(kSorted.cell("centred_clipping", attack, PreStep::kBucketing),
                                kSorted.best());
    if (attack == Attack::kAlie) continue;  // too weak at z = 0.25 to ruin anything in 600 rounds
    for (const char* rule : {"krum", "median"})
      above.pairs.emplace_back(kSorted.cell("centred_clipping", attack),
                               kSorted.cell(rule, attack));
  }
  Claim mixing{"sorted: NNM lifts Krum and median", 0.25, {}, true};
  for (const char* rule : {"krum", "median"})
    for (const Attack attack : {Attack::kIpm, Attack::kLabelFlip, Attack::kMimic})
      mixing.pairs.emplace_back(kSorted.cell(rule, attack, PreStep::kNnm),
                                kSorted.cell(rule, attack));
  Claim buckets{
      "sorted: bucketing lifts the geometric median under IPM and label flip", 0.15, {}, true};
  for (const Attack attack : {Attack::kIpm, Attack::kLabelFlip})
    buckets.pairs.emplace_back(kSorted.cell("geometric_median", attack, PreStep::kBucketing),
                               kSorted.cell("geometric_median", attack));
  Claim median{"sorted: bucketing lifts the median under IPM and mimic", 0.15, {}, false};
  for (const Attack attack : {Attack::kIpm, Attack::kMimic})
    median.pairs.emplace_back(kSorted.cell("median", attack, PreStep::kBucketing),
                              kSorted.cell("median", attack));
  return {clipping, bucketed, above, mixing, buckets, median};
}

std::vector<Claim> all_claims() {
  std::vector<Claim> claims;
  for (auto part : {everybody_learns_iid(), plain_rules_fail_sorted(), what_helps_sorted()})
    claims.insert(claims.end(), part.begin(), part.end());
  return claims;
}

}  // namespace

std::vector<Judgement> judge(const Table& table) {
  std::vector<Judgement> judgements;
  for (const Claim& claim : all_claims()) {
    double least = 2;
    std::string decisive;
    bool complete = true;
    for (const auto& [upper, lower] : claim.pairs) {
      const auto a = table.accuracy(upper);
      const auto b = table.accuracy(lower);
      complete = complete && a && b;
      if (!complete || *a - *b >= least) continue;
      least = *a - *b;
      decisive =
          fmt::format("{} {:.1f} %, {} {:.1f} %", upper.name(), 100 * *a, lower.name(), 100 * *b);
    }
    if (complete)
      judgements.push_back({fmt::format("{} (gap at least {:+.0f} points: {})", claim.what,
                                        100 * claim.gap, decisive),
                            least >= claim.gap});
  }
  return judgements;
}

std::vector<Cell> slice_cells() {
  std::vector<Cell> cells;
  const auto add = [&](const Cell& cell) {
    if (std::find(cells.begin(), cells.end(), cell) == cells.end()) cells.push_back(cell);
  };
  for (const Claim& claim : all_claims()) {
    if (!claim.slice) continue;
    for (const auto& [upper, lower] : claim.pairs) {
      add(upper);
      add(lower);
    }
  }
  return cells;
}

}  // namespace muster::learning
