#include "cli/load_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/clock.h"
#include "base/storage.h"
#include "cli/load_rule.h"

namespace muster::cli {
namespace {

using loadtest::Receipted;
using nlohmann::json;

constexpr std::size_t kModelBytes = std::size_t{64} << 30;
constexpr std::size_t kMostRounds = 10'000;

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
    EncodedRows rows;
    for (const Receipted& receipt : receipts)
      rows.emplace_back(work->pool->update(receipt.update).chunks);
    MUSTER_TRY(play_round(scenario.task, *backend, work->assignment, rows, state));
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
