#include "robust_agg/step.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "robust_agg/buffer.h"

namespace muster::robust {
namespace {

constexpr std::string_view kNames[] = {"sgd", "momentum", "adam", "yogi", "adagrad"};

/// A vector of the model in backend memory, zeros.
Result<ScopedBuffer> vector_of(kernels::Backend& backend, const Plan& plan) {
  return ScopedBuffer::allocate_by_chunk(backend, plan.request.dimension * sizeof(float),
                                         plan.request.chunk_coordinates * sizeof(float));
}

/// The same with the values, or `fresh` everywhere where the host has none yet.
Result<ScopedBuffer> upload(kernels::Backend& backend, const Plan& plan,
                            const std::vector<float>& values, float fresh = 0) {
  const auto d = static_cast<std::size_t>(plan.request.dimension);
  MUSTER_CHECK(values.empty() || values.size() == d);
  MUSTER_ASSIGN(ScopedBuffer buffer, vector_of(backend, plan));
  if (!values.empty())
    backend.upload(buffer.data(), std::as_bytes(std::span(values)), kernels::Stream::kCompute);
  if (values.empty() && fresh != 0) {
    const std::vector<float> filled(d, fresh);
    backend.upload(buffer.data(), std::as_bytes(std::span(filled)), kernels::Stream::kCompute);
    backend.wait(backend.record(kernels::Stream::kCompute));
  }
  return buffer;
}

std::vector<float> download(kernels::Backend& backend, const ScopedBuffer& buffer, std::size_t d) {
  std::vector<float> values(d);
  backend.download(std::as_writable_bytes(std::span(values)), buffer.data(),
                   kernels::Stream::kCompute);
  return values;
}

/// The second moment before the first step (Reddi et al. 2021: at least the square of epsilon).
float fresh_second(const StepParameters& parameters) {
  if (parameters.optimiser == kernels::Optimiser::kAdam) return 0;
  return static_cast<float>(parameters.epsilon * parameters.epsilon);
}

/// The aggregate itself, as f32: a step of rate 1 from zero.
Result<std::vector<float>> read_aggregate(kernels::Backend& backend, const Plan& plan,
                                          const kernels::StepJob& moved) {
  MUSTER_ASSIGN(const ScopedBuffer buffer, vector_of(backend, plan));
  kernels::StepJob job;
  job.learning_rate = 1;
  job.sum = moved.sum;
  job.scale = moved.scale;
  job.model = buffer.as<float>();
  job.d = moved.d;
  backend.step(job, kernels::Stream::kCompute);
  return download(backend, buffer, moved.d);
}

Status check_finite(const std::vector<float>& values, std::string_view what) {
  const auto bad =
      std::find_if(values.begin(), values.end(), [](float value) { return !std::isfinite(value); });
  if (bad == values.end()) return {};
  return Status(Code::kInvalid, "model_not_finite",
                std::string(what) + " would leave f32 at coordinate " +
                    std::to_string(bad - values.begin()) +
                    "; the model stays as it was: lower the learning rate or value_bound");
}

}  // namespace

std::string_view optimiser_name(kernels::Optimiser optimiser) {
  return kNames[static_cast<std::size_t>(optimiser)];
}

std::optional<kernels::Optimiser> parse_optimiser(std::string_view name) {
  for (std::size_t i = 0; i < std::size(kNames); ++i)
    if (kNames[i] == name) return static_cast<kernels::Optimiser>(i);
  return std::nullopt;
}

Status check(const StepParameters& parameters) {
  const auto refuse = [](const char* name, const char* range, double value) {
    return Status(Code::kInvalid, "step_parameter",
                  std::string(name) + " must be " + range + ", it is " + std::to_string(value));
  };
  const auto positive = [](double value) { return std::isfinite(value) && value > 0; };
  const auto decay = [](double value) { return value >= 0 && value < 1; };
  if (!positive(parameters.learning_rate))
    return refuse("learning_rate", "a positive number", parameters.learning_rate);
  if (!decay(parameters.beta1)) return refuse("beta1", "in [0, 1)", parameters.beta1);
  if (!decay(parameters.beta2)) return refuse("beta2", "in [0, 1)", parameters.beta2);
  if (!positive(parameters.epsilon))
    return refuse("epsilon", "a positive number", parameters.epsilon);
  return {};
}

Status apply_step(kernels::Backend& backend, const StepParameters& parameters, const Plan& plan,
                  const Outcome& outcome, const std::int64_t* sum, ModelState& state) {
  const auto d = static_cast<std::size_t>(plan.request.dimension);
  MUSTER_CHECK_OP(state.values.size(), ==, d);
  MUSTER_CHECK(outcome.divisor > 0);
  const bool has_first = has_first_moment(parameters.optimiser);
  const bool has_second = has_second_moment(parameters.optimiser);

  MUSTER_ASSIGN(const ScopedBuffer model, upload(backend, plan, state.values));
  std::optional<ScopedBuffer> first, second;
  if (has_first) {
    MUSTER_ASSIGN(ScopedBuffer buffer, upload(backend, plan, state.first));
    first.emplace(std::move(buffer));
  }
  if (has_second) {
    MUSTER_ASSIGN(ScopedBuffer buffer,
                  upload(backend, plan, state.second, fresh_second(parameters)));
    second.emplace(std::move(buffer));
  }
  kernels::StepJob job;
  job.optimiser = parameters.optimiser;
  job.learning_rate = parameters.learning_rate;
  job.beta1 = parameters.beta1;
  job.beta2 = parameters.beta2;
  job.epsilon = parameters.epsilon;
  job.sum = sum;
  job.scale = std::ldexp(1.0, -plan.grid_bits) / outcome.divisor;
  job.model = model.as<float>();
  job.first = has_first ? first->as<float>() : nullptr;
  job.second = has_second ? second->as<float>() : nullptr;
  job.d = d;
  backend.step(job, kernels::Stream::kCompute);

  ModelState next;
  next.values = download(backend, model, d);
  if (has_first) next.first = download(backend, *first, d);
  if (has_second) next.second = download(backend, *second, d);
  if (uses_previous(plan.request.rule)) {
    MUSTER_ASSIGN(next.aggregate, read_aggregate(backend, plan, job));
  }
  MUSTER_TRY(check_finite(next.values, "the model"));
  MUSTER_TRY(check_finite(next.first, "the first moment"));
  MUSTER_TRY(check_finite(next.second, "the second moment"));
  state = std::move(next);
  return {};
}

}  // namespace muster::robust
