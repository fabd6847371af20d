#include "server/private_task.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "base/hex.h"
#include "base/log.h"
#include "privacy/discrete.h"
#include "privacy/keys.h"
#include "privacy/release_record.h"

namespace muster::server {
namespace {

constexpr std::string_view kBindingPurpose = "muster private release v1";

constexpr std::size_t kAllRounds = std::numeric_limits<std::int64_t>::max();

class Hashed {
 public:
  void put(ConstBytes bytes) {
    const std::uint64_t size = bytes.size();
    const ConstBytes length = object_bytes(size);
    bytes_.insert(bytes_.end(), length.begin(), length.end());
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  ConstBytes bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

bool is_tree(const PrivatePlan& plan) { return plan.config.sampling == "tree"; }

}  // namespace

PrivateTask::PrivateTask(PrivateParts parts, TaskId id, std::string name, PrivatePlan plan)
    : parts_(std::move(parts)),
      id_(id),
      name_(std::move(name)),
      plan_(std::move(plan)),
      participants_({plan_.config.participations, plan_.config.separation},
                    plan_.config.max_devices),
      keys_(parts_.control, parts_.master, id_, name_),
      spent_(parts_.stats.gauge("muster_privacy_epsilon_spent", {{"task", name_}})),
      writes_(parts_.stats.counter("muster_privacy_ledger_writes_total", {{"task", name_}})),
      refusals_(parts_.stats.counter("muster_privacy_refusals_total", {{"task", name_}})) {
  const Labels labels = {{"task", name_}};
  parts_.stats.gauge("muster_privacy_epsilon_limit", labels).set(plan_.config.budget_epsilon);
  parts_.stats.gauge("muster_privacy_delta", labels).set(plan_.config.delta);
  parts_.stats.gauge("muster_privacy_noise_multiplier", labels).set(plan_.config.noise_multiplier);
}

Result<std::unique_ptr<PrivateTask>> PrivateTask::create(PrivateParts parts, TaskId id,
                                                         std::string name, PrivatePlan plan) {
  MUSTER_ASSIGN(const privacy::Ledger* const ledger, parts.ledgers.open(plan.config.budget()));
  std::unique_ptr<PrivateTask> task(
      new PrivateTask(std::move(parts), id, std::move(name), std::move(plan)));
  task->ledger_ = ledger;
  MUSTER_ASSIGN(auto rows, task->parts_.control.participants(id));
  task->participants_.load(std::move(rows));
  MUSTER_ASSIGN(const auto rounds, task->parts_.control.private_rounds(id, kAllRounds));
  for (const PrivateRoundRow& row : rounds)
    task->newest_release_ = std::max(task->newest_release_, row.release);
  MUSTER_TRY(task->open_memory());
  MUSTER_ASSIGN(const privacy::Mechanism mechanism,
                task->plan_.mechanism(task->plan_.request.clip_norm));
  log_info("private_task", task->plan_.describe(mechanism),
           {{"task", task->name_},
            {"population", ledger->budget().population},
            {"epsilon_spent", ledger->epsilon_spent()},
            {"epsilon_limit", ledger->budget().epsilon},
            {"delta", ledger->budget().delta}});
  task->show();
  return task;
}

Status PrivateTask::may_open() const {
  MUSTER_ASSIGN(const privacy::Mechanism mechanism, plan_.mechanism(plan_.request.clip_norm));
  MUSTER_ASSIGN(const privacy::Amounts amounts, plan_.charge(mechanism, newest_release_ + 1));
  const privacy::Budget& budget = ledger_->budget();
  const double after = privacy::epsilon(ledger_->spent() + amounts, budget.delta);
  if (after <= budget.epsilon) return {};
  refusals_.add();
  return {Code::kExhausted, "privacy_budget_exceeded",
          fmt::format("one more round would bring population {} to epsilon {:.6g} at delta {:.3g}; "
                      "its budget is {:.6g} and {:.6g} is spent: the task has ended",
                      budget.population, after, budget.delta, budget.epsilon,
                      ledger_->epsilon_spent())};
}

Status PrivateTask::set_round(PrivateRoundRow row) {
  row_ = std::move(row);
  release_ = row_.release > 0 ? row_.release : newest_release_ + 1;
  MUSTER_ASSIGN(privacy::Mechanism mechanism, plan_.mechanism(row_.clip_norm));
  round_.emplace(PrivateRound{plan_, std::move(mechanism)});
  return {};
}

Status PrivateTask::open(RoundNumber round) {
  PrivateRoundRow row;
  row.task = id_;
  row.round = round;
  row.clip_norm = plan_.request.clip_norm;
  row.ledger_head = ledger_->anchor().head;
  if (plan_.adaptive) {
    // Of the last release, if there was one since the rows of abandoned rounds.
    MUSTER_ASSIGN(const auto rows, parts_.control.private_rounds(id_, round));
    for (const PrivateRoundRow& known : rows)
      if (known.round < round && known.next_clip_norm > 0) {
        row.clip_norm = known.next_clip_norm;
        break;
      }
  }
  MUSTER_TRY(set_round(std::move(row)));
  return parts_.control.set_private_round(row_);
}

Status PrivateTask::resume(RoundNumber round) {
  MUSTER_ASSIGN(auto row, parts_.control.private_round(id_, round));
  if (!row)
    return {Code::kCorrupt, "store_corrupt",
            fmt::format("round {} of private task {} lacks its row", round, name_)};
  return set_round(std::move(*row));
}

std::string PrivateTask::terms_of(const PrivateRoundRow& row) const {
  return fmt::format("round.clip_norm = {}\nround.ledger_head = \"{}\"\n", row.clip_norm,
                     hex(row.ledger_head));
}

Result<std::string> PrivateTask::terms_of_round(RoundNumber round) {
  MUSTER_ASSIGN(const auto row, parts_.control.private_round(id_, round));
  if (!row)
    return Status(Code::kCorrupt, "store_corrupt",
                  fmt::format("round {} of private task {} lacks its row", round, name_));
  return terms_of(*row);
}

std::optional<LedgerHead> PrivateTask::find_head(const privacy::Digest& chain) const {
  const privacy::LedgerContents& contents = ledger_->contents();
  if (contents.opened.head == chain) return LedgerHead{contents.opened.bytes, chain};
  for (const privacy::LedgerEntry& entry : contents.entries)
    if (entry.after.head == chain) return LedgerHead{entry.after.bytes, chain};
  return std::nullopt;
}

Result<std::optional<LedgerHead>> PrivateTask::ledger_of_round(RoundNumber round) const {
  MUSTER_ASSIGN(const auto row, parts_.control.private_round(id_, round));
  return row ? find_head(row->ledger_head) : std::optional<LedgerHead>();
}

std::shared_ptr<const ingest::KeptOut> PrivateTask::kept_out() const {
  auto out =
      std::make_shared<ingest::KeptOut>(participants_.kept_out(release_number(), plan_.request.n));
  if (out->only_known)
    log_warning("participation_table_full",
                "no device that never took part can be remembered, so none may: raise max_devices",
                {{"task", name_}, {"max_devices", plan_.config.max_devices}});
  return out;
}

void PrivateTask::sealed(std::span<const DeviceHash> devices) {
  participants_.count(devices, static_cast<std::uint32_t>(release_number()));
}

privacy::Digest PrivateTask::binding(const RoundRow& round, const privacy::Secret& key) const {
  const Sha256 commitment = ingest::sha256(key.bytes());
  const privacy::Mechanism& mechanism = round_->mechanism;
  Hashed all;
  all.put(as_bytes(kBindingPurpose));
  all.put(as_bytes(name_));
  all.put(object_bytes(round.round));
  all.put(round.sealed_hash);
  all.put(commitment);
  all.put(as_bytes(mechanism.formula));
  all.put(object_bytes(mechanism.grid.bound));
  all.put(object_bytes(mechanism.grid.log2_sigma));
  all.put(object_bytes(mechanism.grid.step));
  all.put(object_bytes(mechanism.divisor));
  return ingest::sha256(all.bytes());
}

Status PrivateTask::open_memory() {
  const privacy::Sampling statement = plan_.config.statement();
  const auto* const blt = std::get_if<privacy::BltNoise>(&statement);
  if (blt == nullptr) return {};
  memory_.emplace(parts_.storage, parts_.data_dir + "/noise/" + name_, id_, blt->blt.theta.size(),
                  plan_.request.dimension);
  MUSTER_TRY(memory_->make_folder());
  // What the next release would not find is said now.
  return after_earlier(newest_release_ + 1).status();
}

Result<std::vector<RoundNumber>> PrivateTask::rounds_of(
    std::span<const std::uint64_t> releases) const {
  std::vector<RoundNumber> found;
  if (releases.empty()) return found;
  MUSTER_ASSIGN(const auto rows, parts_.control.private_rounds(id_, kAllRounds));
  for (const PrivateRoundRow& row : rows)
    if (row.release > 0 && std::ranges::find(releases, row.release) != releases.end())
      found.push_back(row.round);
  return found;
}

Result<privacy::Secret> PrivateTask::kept_key(std::uint64_t release, KeyPurpose purpose) const {
  MUSTER_ASSIGN(const auto rounds, rounds_of({&release, 1}));
  return keys_.find(rounds.empty() ? 0 : rounds.front(), purpose);
}

Result<BltRound> PrivateTask::after_earlier(std::uint64_t release) const {
  BltRound round{*memory_, std::get<privacy::BltNoise>(plan_.config.statement()).blt};
  round.release = release;
  MUSTER_ASSIGN(round.before, memory_->newest(release - 1));
  if (round.before > 0) {
    MUSTER_ASSIGN(round.before_key, kept_key(round.before, KeyPurpose::kNoiseMemory));
  }
  for (std::uint64_t each = round.before + 1; each < release; ++each) {
    auto key = kept_key(each, KeyPurpose::kNoise);
    if (key.status().reason() == "noise_key_missing")
      return Status(Code::kCorrupt, "noise_memory_missing",
                    fmt::format("noise goes on from what release {} of {} left in {}, which is not "
                                "there; restore that folder from its volume",
                                release - 1, name_, memory_->folder()));
    MUSTER_TRY(key.status());
    round.unreleased.push_back(std::move(*key));
  }
  return round;
}

Result<RoundNoise> PrivateTask::charge(const RoundRow& round) {
  MUSTER_ASSIGN(privacy::Secret key, keys_.draw(round, memory_.has_value()));
  const std::uint64_t release = release_number();
  privacy::Charge charge;
  charge.task = name_;
  charge.round = round.round;
  charge.binding = binding(round, key);
  MUSTER_ASSIGN(charge.amounts, plan_.charge(round_->mechanism, release));
  charge.statement = plan_.describe(round_->mechanism).substr(0, 256);
  charge.time_ms = static_cast<std::uint64_t>(parts_.clock.wall_ms());
  auto receipt = parts_.ledgers.charge(ledger_->budget().population, charge);
  if (!receipt.ok()) {
    if (receipt.status().code() == Code::kExhausted) refusals_.add();
    return std::move(receipt).status();
  }
  if (!receipt->repeated) writes_.add();
  row_.release = newest_release_ = release;
  MUSTER_TRY(parts_.control.set_private_round(row_));
  show();
  log_info("privacy_charged", "the round's privacy spend is on disk",
           {{"task", name_},
            {"round", round.round},
            {"population", ledger_->budget().population},
            {"epsilon_spent", receipt->epsilon_spent},
            {"ledger_head", hex(receipt->anchor.head)}});

  RoundNoise noise = RoundNoise(std::move(key));
  if (is_tree(plan_))
    for (const std::uint64_t node : privacy::tree_nodes_dropped(release)) {
      MUSTER_ASSIGN(privacy::Secret held, kept_key(node, KeyPurpose::kNoise));
      noise.take_back(std::move(held));
    }
  if (memory_) {
    MUSTER_ASSIGN(BltRound blt, after_earlier(release));
    MUSTER_ASSIGN(blt.memory_key, keys_.find(round.round, KeyPurpose::kNoiseMemory));
    noise.filter(std::move(blt));
  }
  return noise;
}

Status PrivateTask::describe(ModelVersion version, std::optional<std::int64_t> clip_count) {
  if (plan_.adaptive)
    row_.next_clip_norm =
        privacy::next_clip_norm(*plan_.adaptive, row_.clip_norm, *clip_count, plan_.count_units);
  // As the ledger stood after this round's charge, whatever other tasks charged since.
  privacy::Amounts spent;
  privacy::ReleaseRecord record;
  for (const privacy::LedgerEntry& entry : ledger_->contents().entries) {
    spent = spent + entry.charge.amounts;
    ++record.ledger_position;
    if (entry.charge.task != name_ || entry.charge.round != row_.round) continue;
    record.ledger_head = hex(entry.after.head);
    break;
  }
  const privacy::Schedule run = plan_.schedule(round_->mechanism);
  record.task = name_;
  record.round = row_.round;
  record.model_version = version;
  record.mechanism = round_->mechanism;
  record.mechanism->noise_multiplier = run.noise_multiplier;
  record.clip_norm = row_.clip_norm;
  record.dimension = plan_.request.dimension;
  record.n = plan_.request.n;
  record.sampling = run.sampling;
  record.rounds = row_.release;
  record.delta = ledger_->budget().delta;
  record.spent =
      privacy::Spend{privacy::epsilon(spent, record.delta), privacy::Accountant::kGaussian};
  record.sampler_delta =
      privacy::sampler_delta(static_cast<double>(plan_.draws()) * static_cast<double>(row_.release),
                             std::ldexp(1.0, kernels::kNoiseVariationLog2), record.spent->epsilon);
  if (round_->mechanism.adjacency != privacy::Adjacency::kAddRemove)
    record.other_releases.emplace_back("how many updates came (public under this adjacency)");
  if (plan_.adaptive) record.other_releases.emplace_back("clip norm (noised count, within z)");
  row_.json = privacy::to_json(record);
  row_.text = privacy::to_text(record);
  return parts_.control.set_private_round(row_);
}

// Of a round that was never charged the key goes, whatever earlier releases still hold.
Status PrivateTask::forget_keys() {
  std::vector<std::uint64_t> held;  // releases whose noise a later one still needs
  if (is_tree(plan_) && newest_release_ > 0) held = privacy::tree_nodes(newest_release_);
  if (memory_) {
    MUSTER_ASSIGN(const std::uint64_t remembered, memory_->newest(newest_release_));
    for (std::uint64_t each = remembered + 1; each <= newest_release_; ++each) held.push_back(each);
    MUSTER_ASSIGN(const auto keep, rounds_of({&remembered, 1}));
    MUSTER_TRY(memory_->forget_before(remembered));
    MUSTER_TRY(keys_.drop(KeyPurpose::kNoiseMemory, keep));
  }
  MUSTER_ASSIGN(const auto keep, rounds_of(held));
  return keys_.drop(KeyPurpose::kNoise, keep);
}

PrivacyStatus PrivateTask::status() const {
  PrivacyStatus status;
  status.population = ledger_->budget().population;
  status.mechanism = round_ ? plan_.describe(round_->mechanism) : std::string();
  status.epsilon_spent = ledger_->epsilon_spent();
  status.epsilon_limit = ledger_->budget().epsilon;
  status.delta = ledger_->budget().delta;
  status.noise_multiplier = plan_.config.noise_multiplier;
  status.releases = newest_release_;
  status.anchor = fmt::format("{}:{}", ledger_->anchor().bytes, hex(ledger_->anchor().head));
  return status;
}

void PrivateTask::show() { spent_.set(ledger_->epsilon_spent()); }

}  // namespace muster::server
