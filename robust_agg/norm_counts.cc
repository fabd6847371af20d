#include <algorithm>

#include "base/metrics.h"
#include "robust_agg/aggregate.h"

namespace muster::robust {

void NormCounts::add(double norm, bool was_clipped) {
  const auto bounds = bucket_bounds(BucketScale::kNorm);
  if (buckets.empty()) buckets.assign(bounds.size() + 1, 0);
  ++buckets[static_cast<std::size_t>(std::ranges::lower_bound(bounds, norm) - bounds.begin())];
  sum += norm;
  clipped += was_clipped ? 1 : 0;
}

void NormCounts::add(const NormCounts& other) {
  if (other.buckets.empty()) return;
  buckets.resize(other.buckets.size());
  for (std::size_t i = 0; i < buckets.size(); ++i) buckets[i] += other.buckets[i];
  sum += other.sum;
  clipped += other.clipped;
}

}  // namespace muster::robust
