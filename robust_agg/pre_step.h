// What may be done to updates before a rule sees them. Definitions and sources: docs/rules.md.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "robust_agg/rule.h"

namespace muster::robust {

/// x_i min(1, C / |x_i|).
struct Clipping {
  double clip_norm = 1;
};
/// Clips the floor(2 f (n - f) / n) longest updates to the norm of the longest one left (Allouah et
/// al. 2025, "Adaptive gradient clipping").
struct AdaptiveClipping {
  FaultBound f;
};
/// Means of `size` updates each, put together by the round's secret; the last bucket may be short
/// (Karimireddy et al. 2022).
struct Bucketing {
  std::uint32_t size = 2;
};
/// Each update becomes the mean of the n - f updates nearest to it, itself included (Allouah et al.
/// 2023).
struct NeighbourMixing {
  FaultBound f;
};

using PreStep = std::variant<Clipping, AdaptiveClipping, Bucketing, NeighbourMixing>;

/// "clipping(clip_norm=2)", "arc", "bucketing(s=2)", "nnm"; arc and nnm take f=... or
/// byzantine_share=... where it is not the rule's. Refusals, all "pre_step": what is not spelled
/// so, an order other than clipping or arc, bucketing, nnm, and rules that see updates one by one.
Result<std::vector<PreStep>> parse_pre_steps(std::span<const std::string> texts, const Rule& rule);

/// "bucketing(s=2), nnm(f=3)".
std::string to_string(std::span<const PreStep> steps);

/// Whether the rule can run behind pre-steps, with the reason if not.
Status accepts(std::span<const PreStep> steps, const Rule& rule);

/// Smallest cohort for the steps and then the rule. f faulty updates may spoil f buckets, so that
/// the rule must bear as many among fewer rows.
/// `n`: the cohort shares of faulty updates are taken of.
std::uint32_t minimum_cohort(std::span<const PreStep> steps, const Rule& rule, std::uint32_t n);
/// The same steps with f as their fault bound.
std::vector<PreStep> with_faults(std::vector<PreStep> steps, std::uint32_t f);
/// Rows the rule sees of n updates.
std::uint32_t rows_after(std::span<const PreStep> steps, std::uint32_t n);

/// The rule's, or that of the steps where the rule has none.
FaultBound fault_bound(std::span<const PreStep> steps, const Rule& rule);

/// "nnm(f=3), then median".
std::string to_string(std::span<const PreStep> steps, const Rule& rule);

/// Whether the distances of all updates have to be measured.
bool needs_distances(std::span<const PreStep> steps, const Rule& rule);

/// As of a rule: no bound survives a step that lets one update move others.
std::string_view sensitivity(std::span<const PreStep> steps, const Rule& rule);

}  // namespace muster::robust
