#include "tests/learning/server.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "client/random.h"

namespace muster::learning {
namespace {

constexpr std::uint32_t kChunkCoordinates = 4096;
constexpr std::uint8_t kLog2Block = 8;
/// I8S: values up to 127 * 2^-8 = 0.5 pass in steps of 0.004, the rest saturate. One exponent for
/// the whole vector, as a task's configuration has it.
constexpr std::int8_t kSharedExponent = -8;

ChunkFormat format_of(Codec codec) {
  const bool blocked = codec == Codec::kI8B || codec == Codec::kI8S;
  return {codec, blocked ? kLog2Block : std::uint8_t{0}};
}

/// Encoded updates in host memory, which the CPU backend reads in place.
class MemoryCohort : public robust::Cohort {
 public:
  MemoryCohort(const robust::Plan& plan, std::span<const std::int8_t> exponents,
               std::vector<client::EncodedUpdate> updates, std::uint64_t seed)
      : plan_(plan), exponents_(exponents), updates_(std::move(updates)) {
    for (std::size_t i = 0; i < updates_.size(); ++i) ranks_.push_back(client::mix(seed, i));
    weights_.assign(updates_.size(), 1);
  }

  std::uint32_t size() const override { return static_cast<std::uint32_t>(updates_.size()); }
  std::span<const std::uint32_t> weights() const override { return weights_; }
  std::span<const std::uint64_t> ranks() const override { return ranks_; }
  Result<kernels::Codes> chunk(std::uint32_t index) override {
    addresses_.clear();
    for (const auto& update : updates_) addresses_.push_back(update.chunks[index].data());
    const std::size_t begin = std::size_t{index} * kChunkCoordinates;
    const std::size_t length =
        std::min<std::size_t>(kChunkCoordinates, plan_.request.dimension - begin);
    kernels::Codes codes{plan_.request.format, length, addresses_, {}};
    if (!exponents_.empty())
      codes.scale_exponents =
          exponents_.subspan(begin >> kLog2Block, divide_up(length, std::size_t{1} << kLog2Block));
    return codes;
  }

 private:
  const robust::Plan& plan_;
  std::span<const std::int8_t> exponents_;
  std::vector<client::EncodedUpdate> updates_;
  std::vector<std::uint32_t> weights_;
  std::vector<std::uint64_t> ranks_;
  std::vector<const std::byte*> addresses_;
};

/// Backend memory of a scope.
class Memory {
 public:
  Memory(kernels::Backend& backend, std::size_t bytes)
      : backend_(backend), buffer_(backend.allocate(bytes).value()) {}
  ~Memory() { backend_.release(buffer_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  template <class T>
  T* as() const {
    return buffer_.as<T>();
  }

 private:
  kernels::Backend& backend_;
  kernels::Buffer buffer_;
};

/// aggregate() as the server calls it: with the aggregate released last.
Result<robust::Outcome> run_rule(const robust::Plan& plan, kernels::Backend& backend,
                                 robust::Cohort& cohort, std::int64_t* sum,
                                 const std::vector<float>& last) {
  if (last.empty()) return robust::aggregate(plan, backend, cohort, sum);
  const Memory previous(backend, last.size() * sizeof(float));
  std::copy(last.begin(), last.end(), previous.as<float>());
  return robust::aggregate(plan, backend, cohort, sum, previous.as<float>());
}

}  // namespace

Server::Server(std::unique_ptr<kernels::Backend> backend, robust::Plan plan, double learning_rate,
               std::vector<float> model)
    : backend_(std::move(backend)), plan_(std::move(plan)) {
  step_.learning_rate = learning_rate;
  state_.values = std::move(model);
  assignment_.dimension = plan_.request.dimension;
  assignment_.chunk_coordinates = plan_.request.chunk_coordinates;
  assignment_.format = plan_.request.format;
  assignment_.value_bound = plan_.request.value_bound;
  if (plan_.request.format.codec == Codec::kI8S)
    assignment_.scale_exponents.assign(
        divide_up<std::size_t>(plan_.request.dimension, std::size_t{1} << kLog2Block),
        kSharedExponent);
}

Result<Server> Server::create(const Recipe& recipe, Codec codec, double learning_rate,
                              std::vector<float> model) {
  robust::PlanRequest request;
  MUSTER_TRY(prepare(recipe, request));
  request.dimension = model.size();
  request.chunk_coordinates = kChunkCoordinates;
  request.format = format_of(codec);
  request.max_updates = kClients;
  request.minimum_cohort = kClients;
  kernels::BackendOptions options;
  options.kind = "cpu";
  options.threads = 1;
  MUSTER_ASSIGN(auto backend, kernels::create_backend(options, nullptr));
  MUSTER_CHECK(backend->host_visible());
  MUSTER_ASSIGN(robust::Plan plan, robust::make_plan(request, *backend));
  return Server(std::move(backend), std::move(plan), learning_rate, std::move(model));
}

Status Server::round(const Rows& updates, std::uint64_t seed) {
  MUSTER_CHECK_OP(updates.size(), ==, std::size_t{kClients});
  std::vector<client::EncodedUpdate> encoded;
  for (std::size_t i = 0; i < updates.size(); ++i) {
    MUSTER_ASSIGN(encoded.emplace_back(),
                  client::encode(assignment_, updates[i], client::mix(seed, i)));
  }
  MemoryCohort cohort(plan_, assignment_.scale_exponents, std::move(encoded), seed);
  const Memory sum(*backend_, state_.values.size() * sizeof(std::int64_t));
  MUSTER_ASSIGN(const robust::Outcome outcome,
                run_rule(plan_, *backend_, cohort, sum.as<std::int64_t>(), state_.aggregate));
  return robust::apply_step(*backend_, step_, plan_, outcome, sum.as<std::int64_t>(), state_);
}

}  // namespace muster::learning
