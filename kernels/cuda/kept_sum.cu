#include <cmath>

#include "base/check.h"
#include "kernels/cuda/kept_sum.h"
#include "kernels/cuda/ops.h"

namespace muster::kernels::cuda {
namespace {

/// Up to here the network is cheaper than 256 bins a column.
constexpr std::size_t kFewCodes = 32;

}  // namespace

void kept_sum(const KeptSumJob& job, Context& context) {
  MUSTER_CHECK_OP(std::uint64_t{job.low} + job.high, <, job.codes.n());
  const CodesView codes = context.codes(job.codes);
  const KeptView kept{job.low, job.high, job.grid_bits, std::ldexp(1.0, job.grid_bits), job.target};
  const bool shared_int8 = codes.coding == cell::Coding::kI8S;
  if (codes.n <= (shared_int8 ? kFewCodes : kNetworkRows))
    sum_by_network(codes, kept, context);
  else if (shared_int8)
    sum_by_histogram(codes, kept, context);
  else
    sum_by_digits(codes, kept, context);
}

}  // namespace muster::kernels::cuda
