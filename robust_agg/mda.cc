#include "robust_agg/mda.h"

#include <algorithm>

#include "base/check.h"

namespace muster::robust {
namespace {

/// n - f rows lie within a diameter where leaving out f rows takes away every pair farther apart: a
/// vertex cover of those pairs. Branching on the row with most such pairs (it goes, or all its
/// partners go) takes at most 2^f steps and in practice a handful, where trying subsets takes
/// C(n, f).
class Cover {
 public:
  /// Pairs with a distance above `diameter`.
  Cover(const Cloud& cloud, double diameter) : n_(cloud.n), far_(std::size_t{n_} * n_), gone_(n_) {
    for (std::uint32_t i = 0; i < n_; ++i)
      for (std::uint32_t j = 0; j < n_; ++j)
        far_[std::size_t{i} * n_ + j] = i != j && cloud.distance(i, j) > diameter;
  }

  /// Whether leaving out at most `spare` more rows is enough. Leaves all as it was.
  bool possible(std::uint32_t spare) {
    std::uint32_t most = 0, worst = 0;
    for (std::uint32_t i = 0; i < n_; ++i) {
      const std::uint32_t partners = gone_[i] ? 0 : count_partners(i);
      if (partners > most) most = partners, worst = i;
    }
    if (most == 0) return true;
    if (spare == 0) return false;
    gone_[worst] = true;
    const bool without = possible(spare - 1);
    gone_[worst] = false;
    // A row with more partners than may go has to go itself.
    return without || (most <= spare && possible_with(worst, spare));
  }

  /// The same if `row` is kept.
  bool possible_with(std::uint32_t row, std::uint32_t spare) {
    const std::vector<std::uint32_t> partners = partners_of(row);
    if (partners.size() > spare) return false;
    for (const std::uint32_t partner : partners) gone_[partner] = true;
    const bool answer = possible(spare - static_cast<std::uint32_t>(partners.size()));
    for (const std::uint32_t partner : partners) gone_[partner] = false;
    return answer;
  }

  /// Leaves out the partners of a row that is kept, and says how many those are.
  std::uint32_t keep(std::uint32_t row) {
    const std::vector<std::uint32_t> partners = partners_of(row);
    for (const std::uint32_t partner : partners) gone_[partner] = true;
    return static_cast<std::uint32_t>(partners.size());
  }
  void leave_out(std::uint32_t row) { gone_[row] = true; }
  bool gone(std::uint32_t row) const { return gone_[row] != 0; }

 private:
  std::uint32_t count_partners(std::uint32_t row) const {
    const std::uint8_t* far = far_.data() + std::size_t{row} * n_;
    std::uint32_t count = 0;
    for (std::uint32_t j = 0; j < n_; ++j) count += far[j] & (gone_[j] ^ 1u);
    return count;
  }
  std::vector<std::uint32_t> partners_of(std::uint32_t row) const {
    std::vector<std::uint32_t> partners;
    for (std::uint32_t j = 0; j < n_; ++j)
      if (far_[std::size_t{row} * n_ + j] && !gone_[j]) partners.push_back(j);
    return partners;
  }

  std::uint32_t n_;
  std::vector<std::uint8_t> far_;
  std::vector<std::uint8_t> gone_;
};

double least_diameter(const Cloud& cloud, std::uint32_t f) {
  std::vector<double> diameters = cloud.distances;
  std::sort(diameters.begin(), diameters.end());
  diameters.erase(std::unique(diameters.begin(), diameters.end()), diameters.end());
  return *std::partition_point(diameters.begin(), diameters.end(), [&](double diameter) {
    return !Cover(cloud, diameter).possible(f);
  });
}

}  // namespace

std::uint64_t subset_count(std::uint32_t n, std::uint32_t f) {
  MUSTER_CHECK_OP(f, <=, n);
  std::uint64_t count = 1;
  for (std::uint64_t k = 1; k <= std::min(f, n - f) && count <= kMostSubsets; ++k)
    count = count * (n - k + 1) / k;
  return std::min(count, kMostSubsets + 1);
}

std::vector<std::uint32_t> tightest_rows(const Cloud& cloud, std::uint32_t f) {
  MUSTER_CHECK_OP(f, <, cloud.n);
  Cover cover(cloud, least_diameter(cloud, f));
  std::vector<std::uint32_t> rows;
  std::uint32_t spare = f;
  for (std::uint32_t row = 0; rows.size() < cloud.n - f; ++row) {
    if (cover.gone(row)) continue;
    if (cover.possible_with(row, spare)) {
      rows.push_back(row);
      spare -= cover.keep(row);
    } else {
      MUSTER_CHECK(spare > 0);
      cover.leave_out(row);
      --spare;
    }
  }
  return rows;
}

}  // namespace muster::robust
