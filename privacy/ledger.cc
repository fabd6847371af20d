#include "privacy/ledger.h"

#include <fmt/format.h>

#include <algorithm>

namespace muster::privacy {
namespace {

/// Half a million charges.
constexpr std::size_t kLedgerBytes = std::size_t{256} << 20;

Status missing(const std::string& path) {
  return {Code::kNotFound, "ledger_missing",
          fmt::format("{}: there is no privacy ledger, and what was spent must not be forgotten; "
                      "restore the newest copy",
                      path)};
}

Result<std::vector<std::byte>> read_all(Storage& storage, const std::string& path) {
  if (!storage.exists(path)) return missing(path);
  return read_file(storage, path, kLedgerBytes);
}

Result<LedgerContents> parse(ConstBytes bytes, const std::string& path) {
  auto contents = parse_ledger(bytes);
  if (!contents.ok()) return std::move(contents).status().with_context(path);
  return contents;
}

}  // namespace

Ledger::Ledger(std::string path, std::unique_ptr<File> lock, std::unique_ptr<File> file,
               LedgerContents contents)
    : path_(std::move(path)),
      lock_(std::move(lock)),
      file_(std::move(file)),
      contents_(std::move(contents)) {
  spent_ = contents_.spent();
  for (std::size_t i = 0; i < contents_.entries.size(); ++i) {
    const Charge& charge = contents_.entries[i].charge;
    rounds_.emplace(std::pair(charge.task, charge.round), i);
  }
}

Result<std::unique_ptr<Ledger>> Ledger::create(Storage& storage, const std::string& path,
                                               const Budget& budget) {
  MUSTER_TRY(check(budget));
  const std::vector<std::byte> record = encode_budget(budget);
  MUSTER_TRY(storage.make_directory(parent_directory(path)));
  if (storage.exists(path)) {
    MUSTER_ASSIGN(const auto there, read_all(storage, path));
    if (there != record)
      return Status(Code::kDuplicate, "ledger_exists",
                    fmt::format("{} is a privacy ledger already; open it with its anchor", path));
  }
  MUSTER_TRY(write_file(storage, path, record));
  return open(storage, path, anchor_after({}, record));
}

Result<std::unique_ptr<Ledger>> Ledger::open(Storage& storage, const std::string& path,
                                             const Anchor& anchor) {
  MUSTER_ASSIGN(auto lock, storage.lock(path + ".lock"));
  MUSTER_ASSIGN(const auto bytes, read_all(storage, path));
  if (bytes.size() < anchor.bytes) return verify({}, bytes.size(), anchor).with_context(path);
  MUSTER_ASSIGN(LedgerContents contents, parse(bytes, path));
  MUSTER_TRY(verify(contents, bytes.size(), anchor).with_context(path));
  MUSTER_ASSIGN(auto file, storage.open(path, OpenMode::kWrite));
  // What follows the anchor may be in the cache only, since a sync of it may have failed: it is
  // written once more, and what is torn is cut off, before anything relies on it.
  const std::uint64_t end = contents.end().bytes;
  const ConstBytes tail = ConstBytes(bytes).subspan(anchor.bytes, end - anchor.bytes);
  if (!tail.empty()) MUSTER_TRY(file->write_at(anchor.bytes, {&tail, 1}));
  if (end < bytes.size()) MUSTER_TRY(file->truncate(end));
  if (anchor.bytes < bytes.size()) MUSTER_TRY(file->sync());
  contents.flaw = {};
  return std::unique_ptr<Ledger>(
      new Ledger(path, std::move(lock), std::move(file), std::move(contents)));
}

Result<Receipt> Ledger::charge(const Charge& charge) {
  MUSTER_TRY(check(charge));
  if (faulted_)
    return Status(Code::kUnavailable, "ledger_fault",
                  fmt::format("{}: the privacy ledger could not be written; look after its disk, "
                              "then restart",
                              path_));
  if (const auto found = rounds_.find({charge.task, charge.round}); found != rounds_.end()) {
    const Charge& there = contents_.entries[found->second].charge;
    if (there.binding != charge.binding || !(there.amounts == charge.amounts))
      return Status(Code::kInvalid, "charge_conflict",
                    fmt::format("{}: round {} of task {} was charged for another release, and one "
                                "round is released once; the control store is older than this "
                                "ledger: restore the newest one",
                                path_, charge.round, charge.task));
    return Receipt{anchor(), true, epsilon_spent()};
  }
  const Amounts after = spent_ + charge.amounts;
  const double epsilon_after = epsilon(after, budget().delta);
  if (!(epsilon_after <= budget().epsilon))
    return Status(Code::kExhausted, "privacy_budget_exceeded",
                  fmt::format("round {} of task {} would bring population {} to epsilon {:.6g} at "
                              "delta {:.3g}; its budget is {:.6g} and {:.6g} is spent",
                              charge.round, charge.task, budget().population, epsilon_after,
                              budget().delta, budget().epsilon, epsilon_spent()));
  const auto sequence = static_cast<std::uint32_t>(contents_.entries.size() + 1);
  const std::vector<std::byte> record = encode_charge(charge, sequence, anchor());
  if (anchor().bytes + record.size() > kLedgerBytes)
    return Status(Code::kExhausted, "ledger_full",
                  fmt::format("{}: the privacy ledger holds as many charges as a file may; the "
                              "tasks of population {} end here",
                              path_, budget().population));
  const ConstBytes piece = record;
  Status written = file_->write_at(anchor().bytes, {&piece, 1});
  if (written.ok()) written = file_->sync();
  if (!written.ok()) {
    faulted_ = true;
    return std::move(written).with_context("privacy ledger " + path_);
  }
  rounds_.emplace(std::pair(charge.task, charge.round), contents_.entries.size());
  contents_.entries.push_back({charge, anchor_after(anchor(), record)});
  spent_ = after;
  return Receipt{anchor(), false, epsilon_after};
}

Result<LedgerContents> read_ledger(Storage& storage, const std::string& path) {
  MUSTER_ASSIGN(const auto bytes, read_all(storage, path));
  return parse(bytes, path);
}

Status verify(const LedgerContents& contents, std::uint64_t file_bytes, const Anchor& anchor) {
  if (file_bytes < anchor.bytes)
    return {Code::kCorrupt, "ledger_rolled_back",
            fmt::format("the privacy ledger has {} bytes and had {}: it was cut, or an older copy "
                        "was put in its place; restore the newest copy",
                        file_bytes, anchor.bytes)};
  const bool here = contents.opened == anchor ||
                    std::any_of(contents.entries.begin(), contents.entries.end(),
                                [&](const LedgerEntry& entry) { return entry.after == anchor; });
  if (here) return {};
  if (contents.end().bytes < anchor.bytes && !contents.flaw.ok()) return contents.flaw;
  return {Code::kCorrupt, "ledger_forked",
          "the privacy ledger is whole, but its history is not the one that was charged; restore "
          "the true copy"};
}

}  // namespace muster::privacy
