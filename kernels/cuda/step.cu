// step(): the server optimisers, with the cells of the CPU.
//
// Shape map, in f64 a coordinate: reads the sum (8 bytes), the model and what moments there are (4
// bytes each), writes all but the sum back. SGD moves 16 bytes a coordinate, Adam 32: on an H100
// (3.35 TB/s) at most 210 and 105 Gcoord/s; the one division and root of the adaptive three stay
// below that. fma is never contracted: -fmad=false.
#include "kernels/cell/step.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ops.h"

namespace muster::kernels::cuda {
namespace {

struct Sgd {
  const std::int64_t* sum;
  float* model;
  cell::StepRates rates;
  __device__ __forceinline__ void operator()(size_t k) const {
    model[k] = cell::sgd_step(rates, sum[k], model[k]);
  }
};

struct Momentum {
  const std::int64_t* sum;
  float* model;
  float* first;
  cell::StepRates rates;
  __device__ __forceinline__ void operator()(size_t k) const {
    float moment = first[k];
    model[k] = cell::momentum_step(rates, sum[k], model[k], moment);
    first[k] = moment;
  }
};

template <cell::SecondMoment kKind>
struct Adaptive {
  const std::int64_t* sum;
  float* model;
  float* first;
  float* second;
  cell::StepRates rates;
  __device__ __forceinline__ void operator()(size_t k) const {
    float moment = first[k], square = second[k];
    model[k] = cell::adaptive_step<kKind>(rates, sum[k], model[k], moment, square);
    first[k] = moment;
    second[k] = square;
  }
};

template <cell::SecondMoment kKind>
void adapt(const StepJob& job, const cell::StepRates& rates, Context& context) {
  map(context, job.d, Adaptive<kKind>{job.sum, job.model, job.first, job.second, rates});
}

}  // namespace

void step(const StepJob& job, Context& context) {
  MUSTER_CHECK(!has_first_moment(job.optimiser) || job.first != nullptr);
  MUSTER_CHECK(!has_second_moment(job.optimiser) || job.second != nullptr);
  const cell::StepRates rates{job.scale, job.learning_rate, job.beta1, job.beta2, job.epsilon};
  switch (job.optimiser) {
    case Optimiser::kSgd:
      return map(context, job.d, Sgd{job.sum, job.model, rates});
    case Optimiser::kMomentum:
      return map(context, job.d, Momentum{job.sum, job.model, job.first, rates});
    case Optimiser::kAdam:
      return adapt<cell::SecondMoment::kAdam>(job, rates, context);
    case Optimiser::kYogi:
      return adapt<cell::SecondMoment::kYogi>(job, rates, context);
    case Optimiser::kAdagrad:
      return adapt<cell::SecondMoment::kAdagrad>(job, rates, context);
  }
}

}  // namespace muster::kernels::cuda
