#include "robust_agg/rank_order.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace muster::robust {
namespace {

/// Ranks are hashes: bins of equal width hold about as many each.
constexpr int kBinBits = 14;
/// Positions worth one pass over all ranks: a million updates take 16 passes.
constexpr std::size_t kWindow = 65'536;

}  // namespace

RankOrder::RankOrder(std::span<const std::uint64_t> ranks)
    : ranks_(ranks), counts_(std::size_t{1} << kBinBits) {
  if (ranks.empty()) return;
  const auto [least, most] = std::minmax_element(ranks.begin(), ranks.end());
  least_ = *least;
  shift_ = std::max(0, static_cast<int>(std::bit_width(*most - *least)) - kBinBits);
  for (const std::uint64_t rank : ranks) ++counts_[bin_of(rank)];
}

std::span<const std::uint32_t> RankOrder::rows(std::size_t first, std::size_t last) {
  MUSTER_CHECK_OP(first, <=, last);
  MUSTER_CHECK_OP(last, <=, ranks_.size());
  if (first == last) return {};
  if (first < begin_ || last > begin_ + window_.size()) move_to(first, last);
  return std::span(window_).subspan(first - begin_, last - first);
}

void RankOrder::move_to(std::size_t first, std::size_t last) {
  last = std::min(std::max(last, first + kWindow), ranks_.size());
  std::size_t low = 0, end = 0;
  for (begin_ = 0; begin_ + counts_[low] <= first; ++low) begin_ += counts_[low];
  std::size_t high = low;
  for (end = begin_ + counts_[high]; end < last; end += counts_[++high]) {
  }
  window_.clear();
  window_.reserve(end - begin_);
  for (std::uint32_t row = 0; row < ranks_.size(); ++row)
    if (const std::size_t bin = bin_of(ranks_[row]); bin >= low && bin <= high)
      window_.push_back(row);
  std::sort(window_.begin(), window_.end(), [&](std::uint32_t a, std::uint32_t b) {
    return std::pair(ranks_[a], a) < std::pair(ranks_[b], b);
  });
}

}  // namespace muster::robust
