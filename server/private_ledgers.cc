#include "server/private_ledgers.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>

#include "base/hex.h"
#include "base/log.h"

namespace muster::server {
namespace {

static_assert(std::is_trivially_copyable_v<privacy::Amounts>);

privacy::Anchor anchor_of(const LedgerRow& row) { return {row.bytes, row.head}; }

/// What the control store keeps beside an anchor: what was spent up to there, and the budget that a
/// ledger has to be begun with again.
struct Kept {
  privacy::Amounts spent;
  double epsilon = 0, delta = 0;
  privacy::Adjacency adjacency = privacy::Adjacency::kZeroOut;
};

std::vector<std::byte> to_bytes(const Kept& kept) {
  std::vector<std::byte> bytes;
  const auto put = [&](ConstBytes piece) { bytes.insert(bytes.end(), piece.begin(), piece.end()); };
  put(object_bytes(kept.spent));
  put(object_bytes(kept.epsilon));
  put(object_bytes(kept.delta));
  put(object_bytes(kept.adjacency));
  return bytes;
}

Result<Kept> kept_of(const LedgerRow& row) {
  Kept kept;
  const std::size_t numbers = sizeof kept.spent + 2 * sizeof(double);
  if (row.spent.size() != numbers + sizeof kept.adjacency)
    return Status(Code::kCorrupt, "store_corrupt", "what a ledger had spent has a wrong length");
  kept.spent = load<privacy::Amounts>(row.spent);
  kept.epsilon = load<double>(row.spent, sizeof kept.spent);
  kept.delta = load<double>(row.spent, sizeof kept.spent + sizeof(double));
  kept.adjacency = load<privacy::Adjacency>(row.spent, numbers);
  return kept;
}

/// What an operator reads where a ledger keeps the server from starting.
Status refused(Status why, const std::string& path, const std::string& population) {
  if (why.reason() == "ledger_exists")
    why = {Code::kDuplicate, "ledger_exists",
           fmt::format("{}: the control store knows nothing of this privacy ledger; restore the "
                       "control store that it belongs to, or name another population",
                       path)};
  else if (why.code() == Code::kCorrupt || why.reason() == "ledger_missing")
    why = {why.code(), why.reason().data(),
           fmt::format("{}. Where it is lost for good, begin anew with everything spent: musterd "
                       "--config FILE --recover-ledger {} --assume-spent",
                       why.message(), population)};
  return std::move(why).with_context("population " + population);
}

bool same_budget(const privacy::Budget& a, const privacy::Budget& b) {
  // Files keep epsilon in whole units, rounded down.
  const auto units = [](double epsilon) {
    return std::floor(std::ldexp(epsilon, privacy::kUnitBits));
  };
  return units(a.epsilon) == units(b.epsilon) && a.delta == b.delta && a.adjacency == b.adjacency;
}

}  // namespace

Status PrivateLedgers::keep_anchor(const privacy::Ledger& ledger) {
  LedgerRow row;
  row.population = ledger.budget().population;
  row.bytes = ledger.anchor().bytes;
  row.head = ledger.anchor().head;
  row.spent = to_bytes(
      {ledger.spent(), ledger.budget().epsilon, ledger.budget().delta, ledger.budget().adjacency});
  return control_.set_ledger(row);
}

Result<const privacy::Ledger*> PrivateLedgers::open(const privacy::Budget& budget) {
  auto found = open_.find(budget.population);
  if (found == open_.end()) {
    const std::string path = path_of(budget.population);
    MUSTER_ASSIGN(const auto row, control_.ledger(budget.population));
    auto ledger = row ? privacy::Ledger::open(storage_, path, anchor_of(*row))
                      : privacy::Ledger::create(storage_, path, budget);
    if (!ledger.ok()) return refused(std::move(ledger).status(), path, budget.population);
    // Whole charges past the anchor count from now on.
    if (!row || !((*ledger)->anchor() == anchor_of(*row))) MUSTER_TRY(keep_anchor(**ledger));
    found = open_.emplace(budget.population, std::move(*ledger)).first;
  }
  const privacy::Budget& there = found->second->budget();
  if (!same_budget(there, budget))
    return Status(
        Code::kInvalid, "budget_differs",
        fmt::format("population {} has a budget of epsilon {:.6g} at delta {:.3g}, {}; every task "
                    "that learns from it must name the same, and it cannot be changed later",
                    budget.population, there.epsilon, there.delta,
                    privacy::adjacency_name(there.adjacency)));
  return found->second.get();
}

Result<privacy::Receipt> PrivateLedgers::charge(const std::string& population,
                                                const privacy::Charge& charge) {
  privacy::Ledger& ledger = *open_.find(population)->second;
  MUSTER_ASSIGN(privacy::Receipt receipt, ledger.charge(charge));
  MUSTER_TRY(keep_anchor(ledger));
  return receipt;
}

Status PrivateLedgers::recover(const std::string& population, std::int64_t now_ms) {
  const std::string path = path_of(population);
  MUSTER_ASSIGN(const auto row, control_.ledger(population));
  if (!row)
    return {Code::kNotFound, "ledger_unknown",
            "no task of this node ever charged population " + population};
  MUSTER_ASSIGN(const Kept kept, kept_of(*row));
  std::string cause;
  {
    const auto there = privacy::Ledger::open(storage_, path, anchor_of(*row));
    if (there.ok())
      return {Code::kInvalid, "ledger_sound",
              "the ledger of population " + population + " is whole: there is nothing to recover"};
    if (there.status().code() != Code::kCorrupt && there.status().reason() != "ledger_missing")
      return there.status();
    cause = there.status().reason();
  }
  if (storage_.exists(path)) {
    std::string aside = path + ".broken";
    for (int copy = 2; storage_.exists(aside); ++copy)
      aside = path + ".broken-" + std::to_string(copy);
    MUSTER_TRY(storage_.rename(path, aside));
    MUSTER_TRY(storage_.sync_directory(parent_directory(path)));
  }
  const privacy::Budget budget{population, kept.epsilon, kept.delta, kept.adjacency};
  privacy::Charge assumed;
  assumed.task = "recovered";
  assumed.round = row->bytes;
  assumed.binding = row->head;
  assumed.amounts = kept.spent;
  assumed.time_ms = static_cast<std::uint64_t>(now_ms);
  assumed.statement =
      fmt::format("assumed spent by an operator: {} at {}:{}", cause, row->bytes, hex(row->head));
  // Written whole before the anchor points at it. What was spent may be all there is: the charge
  // is made whatever the budget says.
  const std::vector<std::byte> first = privacy::encode_budget(budget);
  const privacy::Anchor opened = privacy::anchor_after({}, first);
  std::vector<std::byte> file = first;
  const std::vector<std::byte> record = privacy::encode_charge(assumed, 1, opened);
  file.insert(file.end(), record.begin(), record.end());
  MUSTER_TRY(write_file(storage_, path, file));
  const privacy::Anchor after = privacy::anchor_after(opened, record);
  MUSTER_TRY(control_.set_ledger({population, after.bytes, after.head, row->spent}));
  log_warning("ledger_recovered",
              "an operator put a new privacy ledger in the place of a broken one",
              {{"population", population},
               {"cause", cause},
               {"anchor", fmt::format("{}:{}", row->bytes, hex(row->head))}});
  return {};
}

}  // namespace muster::server
