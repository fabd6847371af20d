#include "cli/load_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/clock.h"
#include "base/storage.h"
#include "robust_agg/aggregate.h"
#include "robust_agg/step.h"

namespace muster::cli {
namespace {

using loadtest::Receipted;
using loadtest::RoundWork;
using nlohmann::json;

constexpr std::size_t kModelBytes = std::size_t{64} << 30;
constexpr std::size_t kMostRounds = 10'000;
/// Rows folded in one call.
constexpr std::size_t kTogether = 256;

/// The receipts of a round as a cohort. Ties are broken by a secret of the server; ranks here only
/// serve where there are none.
class ReceiptCohort final : public robust::Cohort {
 public:
  ReceiptCohort(const RoundWork& work, std::span<const Receipted> receipts)
      : work_(work), receipts_(receipts), weights_(receipts.size(), 1), ranks_(receipts.size()) {
    std::iota(ranks_.begin(), ranks_.end(), std::uint64_t{0});
  }
  std::uint32_t size() const override { return static_cast<std::uint32_t>(receipts_.size()); }
  std::span<const std::uint32_t> weights() const override { return weights_; }
  std::span<const std::uint64_t> ranks() const override { return ranks_; }
  Result<kernels::Codes> chunk(std::uint32_t index) override {
    rows_.clear();
    for (const Receipted& receipt : receipts_)
      rows_.push_back(work_.pool->update(receipt.update).chunks[index].data());
    return codes(index, rows_);
  }
  kernels::Codes codes(std::uint32_t index, std::span<const std::byte* const> rows) const {
    const wire::Assignment& assignment = work_.assignment;
    const std::uint64_t first = std::uint64_t{index} * assignment.chunk_coordinates;
    const auto d = static_cast<std::size_t>(
        std::min<std::uint64_t>(assignment.chunk_coordinates, assignment.dimension - first));
    kernels::Codes codes{assignment.format, d, rows, {}};
    if (has_shared_scales(assignment.format.codec)) {
      const std::size_t block = std::size_t{1} << assignment.format.log2_block;
      codes.scale_exponents = std::span<const std::int8_t>(assignment.scale_exponents)
                                  .subspan(first / block, divide_up(d, block));
    }
    return codes;
  }

 private:
  const RoundWork& work_;
  std::span<const Receipted> receipts_;
  std::vector<std::uint32_t> weights_;
  std::vector<std::uint64_t> ranks_;
  std::vector<const std::byte*> rows_;
};

/// Backend memory that goes with the scope.
class Held {
 public:
  Held(kernels::Backend& backend, std::size_t bytes)
      : backend_(backend), buffer_(backend.allocate(std::max<std::size_t>(bytes, 64)).value()) {}
  ~Held() { backend_.release(buffer_); }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  template <class T>
  T* as() {
    return buffer_.as<T>();
  }
  std::byte* data() { return buffer_.data; }

 private:
  kernels::Backend& backend_;
  kernels::Buffer buffer_;
};

Result<robust::Plan> plan_of(const Scenario& scenario, const wire::Assignment& assignment,
                             const kernels::Backend& backend) {
  const ScenarioTask& task = scenario.task;
  robust::PlanRequest request;
  MUSTER_ASSIGN(request.rule, robust::parse_rule(task.rule, task.parameters));
  request.dimension = assignment.dimension;
  request.chunk_coordinates = assignment.chunk_coordinates;
  request.format = assignment.format;
  request.max_updates = static_cast<std::uint32_t>(
      std::ceil(static_cast<double>(task.target_cohort) * task.over_selection));
  request.max_weight = assignment.max_weight;
  request.minimum_cohort = task.minimum_cohort;
  request.value_bound = assignment.value_bound;
  return robust::make_plan(request, backend);
}

Result<robust::Outcome> fold(const robust::Plan& plan, kernels::Backend& backend,
                             const RoundWork& work, std::span<const Receipted> receipts,
                             const ReceiptCohort& cohort, std::int64_t* sum) {
  Held decoded(backend, plan.decoded_bytes), counters(backend, plan.counter_bytes);
  robust::RowFold rows(backend, plan, sum, decoded.as<float>(), counters.as<std::uint32_t>());
  const std::size_t together = plan.decoded_bytes == 0 ? kTogether : 1;
  std::vector<const std::byte*> addresses;
  for (std::size_t at = 0; at < receipts.size(); at += together) {
    const std::size_t n = std::min(together, receipts.size() - at);
    addresses.clear();
    for (std::uint32_t chunk = 0; chunk < plan.chunk_count; ++chunk)
      for (std::size_t i = 0; i < n; ++i)
        addresses.push_back(work.pool->update(receipts[at + i].update).chunks[chunk].data());
    std::vector<kernels::Codes> codes;
    for (std::uint32_t chunk = 0; chunk < plan.chunk_count; ++chunk)
      codes.push_back(cohort.codes(chunk, std::span(addresses).subspan(chunk * n, n)));
    rows.add(codes, cohort.weights().subspan(at, n));
  }
  return std::move(rows).finish();
}

/// `state` after the round of these receipts.
Result<robust::Outcome> play(const Scenario& scenario, kernels::Backend& backend,
                             const RoundWork& work, std::span<const Receipted> receipts,
                             robust::ModelState& state) {
  MUSTER_ASSIGN(const robust::Plan plan, plan_of(scenario, work.assignment, backend));
  Held sum(backend, plan.rule_dimension * sizeof(std::int64_t));
  ReceiptCohort cohort(work, receipts);
  robust::Outcome outcome;
  if (plan.streaming) {
    MUSTER_ASSIGN(outcome, fold(plan, backend, work, receipts, cohort, sum.as<std::int64_t>()));
  } else {
    Held previous(backend, state.aggregate.size() * sizeof(float));
    if (!state.aggregate.empty())
      backend.upload(previous.data(), std::as_bytes(std::span<const float>(state.aggregate)),
                     kernels::Stream::kCompute);
    MUSTER_ASSIGN(outcome,
                  robust::aggregate(plan, backend, cohort, sum.as<std::int64_t>(),
                                    state.aggregate.empty() ? nullptr : previous.as<float>()));
  }
  Held model_sum(backend, plan.restores ? plan.request.dimension * sizeof(std::int64_t) : 0);
  if (plan.restores)
    robust::restore(plan, backend, work.assignment.codec_seed, sum.as<std::int64_t>(),
                    model_sum.as<std::int64_t>());
  MUSTER_TRY(robust::apply_step(backend, {}, plan, outcome,
                                (plan.restores ? model_sum : sum).as<std::int64_t>(), state));
  return outcome;
}

/// The tensor "model" of a file of the server's.
Result<std::vector<float>> read_released(const std::string& path, std::uint64_t dimension) {
  PosixStorage storage;
  MUSTER_ASSIGN(const auto file, read_file(storage, path, kModelBytes));
  const Status broken(Code::kCorrupt, "model_file", path + " is not a model of this task");
  if (file.size() < 8) return broken;
  const auto length = load<std::uint64_t>(file);
  if (length > file.size() - 8) return broken;
  const json header =
      json::parse(reinterpret_cast<const char*>(file.data()) + 8,
                  reinterpret_cast<const char*>(file.data()) + 8 + length, nullptr, false);
  if (!header.is_object() || !header.contains("model")) return broken;
  const auto offsets = header["model"].value("data_offsets", std::vector<std::uint64_t>());
  if (offsets.size() != 2 || offsets[1] - offsets[0] != dimension * sizeof(float) ||
      offsets[1] > file.size() - 8 - length)
    return broken;
  std::vector<float> values(dimension);
  std::memcpy(values.data(), file.data() + 8 + length + offsets[0], dimension * sizeof(float));
  return values;
}

void note(AnswerCheck& check, std::string trouble) {
  check.exact = false;
  if (check.trouble.empty()) check.trouble = std::move(trouble);
}

/// Receipts that name one update twice, which no two devices may share.
std::uint64_t repeated(std::vector<Receipted>& receipts) {
  std::sort(receipts.begin(), receipts.end(),
            [](const Receipted& a, const Receipted& b) { return a.id < b.id; });
  const auto same = [](const Receipted& a, const Receipted& b) { return a.id == b.id; };
  std::uint64_t count = 0;
  for (auto at = receipts.begin();
       (at = std::adjacent_find(at, receipts.end(), same)) != receipts.end(); ++at)
    ++count;
  return count;
}

}  // namespace

Result<AnswerCheck> check_answer(const Scenario& scenario, const AdminClient& admin,
                                 const loadtest::WorkBook& book, const loadtest::Outcome& outcome) {
  SystemClock clock;
  const Nanoseconds start = clock.now();
  AnswerCheck check;
  check.done = check.exact = true;
  const std::string path = "/v1/tasks/" + escape(scenario.task.name);
  MUSTER_ASSIGN(const json task, admin.get(path));
  const TaskId id = task.value("id", 0U);
  MUSTER_ASSIGN(const json answer, admin.get(fmt::format("{}/rounds?limit={}", path, kMostRounds)));
  MUSTER_ASSIGN(json rounds, objects_of(answer, "rounds"));
  std::reverse(rounds.begin(), rounds.end());

  kernels::BackendOptions options;
  options.kind = "cpu";
  MUSTER_ASSIGN(const auto backend, kernels::create_backend(options, nullptr));
  robust::ModelState state;
  state.values.assign(scenario.task.dimension, 0.0F);
  std::uint64_t version = 0;
  for (const json& round : rounds) {
    const std::string name = round.value("state", "");
    if (name == "abandoned") ++check.abandoned;
    if (name != "released" && name != "shredded") continue;
    ++check.rounds;
    const auto number = round.value("round", RoundNumber{0});
    const auto cohort = round.value("cohort", std::uint64_t{0});
    check.invalid += round.value("invalid", std::uint64_t{0});
    std::vector<Receipted> receipts;
    if (const auto found = outcome.receipts.find({id, number}); found != outcome.receipts.end())
      receipts = found->second;
    check.receipts += receipts.size();
    if (const std::uint64_t twice = repeated(receipts); twice > 0)
      note(check, fmt::format("round {}: {} receipts name an update that another device's does",
                              number, twice));
    if (receipts.size() > cohort) check.lost += receipts.size() - cohort;
    if (receipts.size() < cohort) check.unknown += cohort - receipts.size();
    if (receipts.size() != cohort) {
      note(check, fmt::format("round {} counted {} updates, {} have a receipt", number, cohort,
                              receipts.size()));
      continue;
    }
    if (!check.exact) continue;  // nothing after a wrong round can be right
    const auto work = book.find(id, number);
    if (work == nullptr)
      return Status(Code::kInternal, "loadtest", fmt::format("round {} is not known", number));
    MUSTER_ASSIGN([[maybe_unused]] const robust::Outcome played,
                  play(scenario, *backend, *work, receipts, state));
    ++version;
    const auto model = admin.get(fmt::format("{}/model?version={}", path, version));
    if (!model.ok()) continue;  // retired; its successors build on it
    MUSTER_ASSIGN(const auto released,
                  read_released(model->value("file", ""), scenario.task.dimension));
    ++check.models;
    const auto differs =
        std::mismatch(released.begin(), released.end(), state.values.begin(),
                      [](float a, float b) { return std::memcmp(&a, &b, sizeof a) == 0; });
    if (differs.first != released.end())
      note(check,
           fmt::format("version {} differs at coordinate {}: {:.9g} was released, {:.9g} is right",
                       version, differs.first - released.begin(), *differs.first, *differs.second));
  }
  if (check.rounds > 0 && check.models == 0 && check.trouble.empty())
    note(check, "no released model could be read");
  if (check.rounds == 0) note(check, "no round was released");
  check.seconds = static_cast<double>(clock.now() - start) / kSecond;
  return check;
}

}  // namespace muster::cli
