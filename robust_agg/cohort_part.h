// Some rows of a cohort as a cohort: a shard, or what a private round sums apart.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "robust_agg/aggregate.h"

namespace muster::robust {

class CohortPart final : public Cohort {
 public:
  /// `rows` of `whole`, which outlives it. `key`: of the part's own sketches.
  CohortPart(Cohort& whole, std::vector<std::uint32_t> rows, SketchKey key)
      : whole_(whole), rows_(std::move(rows)), key_(key) {
    for (const std::uint32_t row : rows_) {
      weights_.push_back(whole.weights()[row]);
      ranks_.push_back(whole.ranks()[row]);
    }
  }
  std::uint32_t size() const override { return static_cast<std::uint32_t>(rows_.size()); }
  std::span<const std::uint32_t> weights() const override { return weights_; }
  std::span<const std::uint64_t> ranks() const override { return ranks_; }
  Result<kernels::Codes> chunk(std::uint32_t index) override {
    return whole_.chunk_of(index, rows_);
  }
  Result<kernels::Codes> chunk_of(std::uint32_t index,
                                  std::span<const std::uint32_t> rows) override {
    wanted_.clear();
    for (const std::uint32_t row : rows) wanted_.push_back(rows_[row]);
    return whole_.chunk_of(index, wanted_);
  }
  SketchKey sketch_key() const override { return key_; }
  /// What row `position` of the part is in the whole.
  std::uint32_t row(std::uint32_t position) const { return rows_[position]; }

 private:
  Cohort& whole_;
  const std::vector<std::uint32_t> rows_;
  const SketchKey key_;
  std::vector<std::uint32_t> weights_;
  std::vector<std::uint64_t> ranks_;
  std::vector<std::uint32_t> wanted_;
};

}  // namespace muster::robust
