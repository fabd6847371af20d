// The server step over a range of coordinates.
#pragma once

#include "kernels/cell/step.h"
#include "kernels/cpu/table.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

void step_sgd(const StepView& job, size_t begin, size_t end) {
  const int64_t* __restrict sum = job.sum;
  float* __restrict model = job.model;
  const cell::StepRates rates = job.rates;
  for (size_t k = begin; k < end; ++k) model[k] = cell::sgd_step(rates, sum[k], model[k]);
}

void step_momentum(const StepView& job, size_t begin, size_t end) {
  const int64_t* __restrict sum = job.sum;
  float* __restrict model = job.model;
  float* __restrict first = job.first;
  const cell::StepRates rates = job.rates;
  for (size_t k = begin; k < end; ++k)
    model[k] = cell::momentum_step(rates, sum[k], model[k], first[k]);
}

template <cell::SecondMoment kKind>
MUSTER_CELL void step_adaptive(const StepView& job, size_t begin, size_t end) {
  const int64_t* __restrict sum = job.sum;
  float* __restrict model = job.model;
  float* __restrict first = job.first;
  float* __restrict second = job.second;
  const cell::StepRates rates = job.rates;
  for (size_t k = begin; k < end; ++k)
    model[k] = cell::adaptive_step<kKind>(rates, sum[k], model[k], first[k], second[k]);
}

void step_adam(const StepView& job, size_t begin, size_t end) {
  step_adaptive<cell::SecondMoment::kAdam>(job, begin, end);
}

void step_yogi(const StepView& job, size_t begin, size_t end) {
  step_adaptive<cell::SecondMoment::kYogi>(job, begin, end);
}

void step_adagrad(const StepView& job, size_t begin, size_t end) {
  step_adaptive<cell::SecondMoment::kAdagrad>(job, begin, end);
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
