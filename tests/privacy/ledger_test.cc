// The ledger: charges, budgets, repeats, damage and faults (reliability.md section 8).
#include "privacy/ledger.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sodium.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "base/hex.h"
#include "base/simulated_storage.h"
#include "privacy/accountant_gaussian.h"

namespace muster::privacy {
namespace {

const std::string kPath = "ledgers/keyboard.ledger";
const Budget kBudget{"keyboard-es", 8, 1e-6, Adjacency::kZeroOut};

Schedule plain() { return {10, Adjacency::kZeroOut, CheckIn{{1000, 1}}, 1}; }

Charge charge_of(std::uint64_t round, const std::string& task = "next-word") {
  Charge charge;
  charge.task = task;
  charge.round = round;
  charge.binding[0] = static_cast<std::byte>(round);
  charge.amounts = *round_charge(plain(), round, 1000, 20);
  charge.statement = "clipped_mean, check-in, z 10";
  charge.time_ms = 1'764'000'000'000 + round;
  return charge;
}

std::vector<std::byte> bytes_of(Storage& disk) { return *read_file(disk, kPath, 1 << 20); }

void put(Storage& disk, ConstBytes bytes) { EXPECT_TRUE(write_file(disk, kPath, bytes).ok()); }

/// A ledger of `rounds` charges on `disk`; its anchor.
Anchor written(Storage& disk, std::uint64_t rounds) {
  auto ledger = Ledger::create(disk, kPath, kBudget);
  EXPECT_TRUE(ledger.ok()) << ledger.status().to_string();
  for (std::uint64_t round = 1; round <= rounds; ++round)
    EXPECT_TRUE((*ledger)->charge(charge_of(round)).ok());
  return (*ledger)->anchor();
}

/// "ok", or the whole of what a person reads.
std::string refusal(Storage& disk, const Anchor& anchor) {
  return Ledger::open(disk, kPath, anchor).status().to_string();
}
std::string missing() {
  return "ledger_missing: ledgers/keyboard.ledger: there is no privacy ledger, and what was spent "
         "must not be forgotten; restore the newest copy";
}
std::string rolled_back(std::uint64_t bytes, std::uint64_t before) {
  return fmt::format(
      "ledger_rolled_back: ledgers/keyboard.ledger: the privacy ledger has {} bytes and had {}: it "
      "was cut, or an older copy was put in its place; restore the newest copy",
      bytes, before);
}
std::string forked() {
  return "ledger_forked: ledgers/keyboard.ledger: the privacy ledger is whole, but its history is "
         "not the one that was charged; restore the true copy";
}
std::string corrupt(std::size_t record, const std::string& what) {
  return fmt::format(
      "ledger_corrupt: ledgers/keyboard.ledger: record {} of the privacy ledger {}; restore an "
      "undamaged copy",
      record, what);
}
std::string conflict(std::uint64_t round, const std::string& task) {
  return fmt::format(
      "charge_conflict: ledgers/keyboard.ledger: round {} of task {} was charged for another "
      "release, and one round is released once; the control store is older than this ledger: "
      "restore the newest one",
      round, task);
}

TEST(Amounts, AreRoundedUpAndAddExactly) {
  Schedule run = plain();
  run.rounds = 64;
  const Amounts whole = *cost(run, 1000, 20);
  Amounts sum;
  for (std::uint64_t round = 1; round <= 64; ++round)
    sum = sum + *round_charge(plain(), round, 1000, 20);
  EXPECT_EQ(sum, whole);
  EXPECT_GE(std::ldexp(static_cast<double>(whole.rho), -kUnitBits), 64 / 200.0);
  const double exact = gaussian_epsilon(.8, 1e-6);
  EXPECT_GE(epsilon(whole, 1e-6), exact);
  EXPECT_LT(epsilon(whole, 1e-6), exact * (1 + 1e-6));
}

TEST(Amounts, OfSampledRoundsAreNeverBelowTheTruthAndNearTheFineOrders) {
  for (const double q : {.02, .3})
    for (const double z : {.7, 1.1, 4.0}) {
      Schedule run{z, Adjacency::kAddRemove, Poisson{q}, 1};
      Amounts sum;
      for (std::uint64_t round = 1; round <= 50; ++round)
        sum = sum + *round_charge(run, round, 1000, 24);
      run.rounds = 50;
      EXPECT_GE(epsilon(sum, 1e-7), *epsilon(run, 1e-7, Accountant::kPld) * .9999);
      EXPECT_LT(epsilon(sum, 1e-7), *epsilon(run, 1e-7, Accountant::kRdp) * 1.03) << q << ' ' << z;
    }
}

TEST(Amounts, OfCorrelatedNoiseGrowWithTheRun) {
  const Schedule tree{7, Adjacency::kZeroOut, Tree{{6, 314}, 0}, 1};
  const Schedule blt{7, Adjacency::kZeroOut, BltNoise{{{.9, .5}, {.1, .6}}, {2, 4}}, 1};
  for (Schedule run : {tree, blt}) {
    Amounts sum;
    for (std::uint64_t round = 1; round <= 40; ++round)
      sum = sum + *round_charge(run, round, 10, 20);
    run.rounds = 40;
    EXPECT_EQ(sum, *cost(run, 10, 20));
  }
}

TEST(Amounts, PlainAndSampledRoundsMix) {
  const Amounts sampled = *cost({1, Adjacency::kZeroOut, Poisson{.01}, 100}, 10, 20);
  const Amounts both = sampled + *cost(plain(), 10, 20);
  EXPECT_GT(epsilon(both, 1e-6), epsilon(sampled, 1e-6));
  Amounts full;
  full.rho = kNoBound;
  EXPECT_EQ(epsilon(full + sampled, 1e-6), INFINITY);
}

TEST(Amounts, RefuseWhatTheLedgerCannotAdd) {
  EXPECT_EQ(cost({1, Adjacency::kReplaceOne, Poisson{.1}, 1}, 1, 20).status().reason(),
            "ledger_cannot_hold");
  EXPECT_EQ(cost({1, Adjacency::kZeroOut, Poisson{.1, 100, 20}, 1}, 1, 20).status().reason(),
            "ledger_cannot_hold");
  EXPECT_EQ(cost(plain(), 1, 3).status().reason(), "grid_invalid");
  EXPECT_EQ(cost(plain(), 0, 20).status().reason(), "grid_invalid");
}

TEST(Ledger, ReloadsWhatWasCharged) {
  SimulatedStorage disk(1);
  const Anchor anchor = written(disk, 5);
  const auto ledger = Ledger::open(disk, kPath, anchor);
  ASSERT_TRUE(ledger.ok()) << ledger.status().to_string();
  EXPECT_EQ((*ledger)->anchor(), anchor);
  EXPECT_EQ((*ledger)->budget().population, "keyboard-es");
  EXPECT_EQ((*ledger)->budget().epsilon, 8);
  ASSERT_EQ((*ledger)->contents().entries.size(), 5u);
  const Charge& third = (*ledger)->contents().entries[2].charge;
  EXPECT_EQ(third.task, "next-word");
  EXPECT_EQ(third.round, 3u);
  EXPECT_EQ(third.amounts, charge_of(3).amounts);
  EXPECT_EQ(third.statement, charge_of(3).statement);
  EXPECT_EQ(third.time_ms, charge_of(3).time_ms);
  EXPECT_NEAR((*ledger)->epsilon_spent(), gaussian_epsilon(std::sqrt(5) / 10, 1e-6), 1e-6);
}

TEST(Ledger, ARoundIsChargedOnce) {
  SimulatedStorage disk(1);
  const Anchor anchor = written(disk, 2);
  const auto ledger = Ledger::open(disk, kPath, anchor);
  const auto again = (*ledger)->charge(charge_of(2));
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE(again->repeated);
  EXPECT_EQ(again->anchor, anchor);
  Charge other = charge_of(2);
  other.binding[9] = std::byte{1};
  EXPECT_EQ((*ledger)->charge(other).status().to_string(), conflict(2, "next-word"));
  other = charge_of(2);
  other.amounts.rho += 1;
  EXPECT_EQ((*ledger)->charge(other).status().to_string(), conflict(2, "next-word"));
  EXPECT_FALSE((*ledger)->charge(charge_of(2, "emoji"))->repeated) << "another task";
}

TEST(Ledger, RefusesBeforeTheBudgetIsExceededAndTasksShareIt) {
  SimulatedStorage disk(1);
  auto ledger = Ledger::create(disk, kPath, {"watches", 1, 1e-6, Adjacency::kZeroOut});
  std::uint64_t charged = 0;
  Status refused;
  for (std::uint64_t round = 1; refused.ok(); ++round)
    for (const char* task : {"steps", "sleep"}) {
      refused = (*ledger)->charge(charge_of(round, task)).status();
      if (!refused.ok()) break;
      ++charged;
      EXPECT_LE((*ledger)->epsilon_spent(), 1);
    }
  EXPECT_EQ(refused.code(), Code::kExhausted);
  const double mu = gaussian_mu(1, 1e-6);
  EXPECT_EQ(charged, static_cast<std::uint64_t>(mu * mu * 100)) << "as many as fit, both together";
  const auto spent_by = [](std::uint64_t releases) {
    return gaussian_epsilon(std::sqrt(static_cast<double>(releases)) / 10, 1e-6);
  };
  EXPECT_EQ(refused.to_string(),
            fmt::format("privacy_budget_exceeded: round {} of task {} would bring population "
                        "watches to epsilon {:.6g} at delta 1e-06; its budget is 1 and {:.6g} is "
                        "spent",
                        charged / 2 + 1, charged % 2 == 0 ? "steps" : "sleep",
                        spent_by(charged + 1), spent_by(charged)));
  const auto before = bytes_of(disk);
  EXPECT_FALSE((*ledger)->charge(charge_of(999)).ok());
  EXPECT_EQ(bytes_of(disk), before) << "a refusal charges nothing";
}

TEST(Ledger, IsLockedWhileOpen) {
  SimulatedStorage disk(1);
  const auto first = Ledger::create(disk, kPath, kBudget);
  EXPECT_EQ(refusal(disk, (*first)->anchor()),
            "already_locked: ledgers/keyboard.ledger.lock is locked");
}

TEST(Ledger, CreatingAgainIsFineUntilSomethingIsCharged) {
  SimulatedStorage disk(1);
  EXPECT_TRUE(Ledger::create(disk, kPath, kBudget).ok());
  EXPECT_TRUE(Ledger::create(disk, kPath, kBudget).ok());
  const std::string exists =
      "ledger_exists: ledgers/keyboard.ledger is a privacy ledger already; open it with its anchor";
  EXPECT_EQ(Ledger::create(disk, kPath, {"keyboard-es", 9, 1e-6, {}}).status().to_string(), exists);
  written(disk, 1);
  EXPECT_EQ(Ledger::create(disk, kPath, kBudget).status().to_string(), exists);
}

TEST(Ledger, RefusesTextsThatAReaderCouldNotTrust) {
  SimulatedStorage disk(1);
  for (const std::string& name : {std::string(), std::string(65, 'a'), std::string("a\nb")})
    EXPECT_EQ(Ledger::create(disk, kPath, {name, 1, 1e-6, {}}).status().to_string(),
              "ledger_field_invalid: a population needs a name of 1 to 64 printable ASCII "
              "characters");
  for (const double epsilon : {0.0, -1.0, 1e9, static_cast<double>(NAN)})
    EXPECT_EQ(Ledger::create(disk, kPath, {"a", epsilon, 1e-6, {}}).status().to_string(),
              "ledger_field_invalid: a budget's epsilon must lie in [1e-9, 1000]");
  for (const double delta : {0.0, 1.0, static_cast<double>(NAN)})
    EXPECT_EQ(Ledger::create(disk, kPath, {"a", 1, delta, {}}).status().to_string(),
              "ledger_field_invalid: delta must lie in (1e-20, 1)");
  auto ledger = Ledger::create(disk, kPath, kBudget);
  Charge charge = charge_of(1);
  charge.statement = "esc\x1b[31m";
  EXPECT_EQ((*ledger)->charge(charge).status().to_string(),
            "ledger_field_invalid: a statement is at most 256 printable ASCII characters");
  charge = charge_of(1, "");
  EXPECT_EQ((*ledger)->charge(charge).status().to_string(),
            "ledger_field_invalid: a task needs a name of 1 to 64 printable ASCII characters");
}

TEST(LedgerDamage, EveryTornLengthIsRefusedOrCutBackToTheAnchor) {
  SimulatedStorage disk(1);
  const Anchor before = written(disk, 2);
  const Anchor after = [&] {
    auto ledger = Ledger::open(disk, kPath, before);
    return (*ledger)->charge(charge_of(3))->anchor;
  }();
  const auto whole = bytes_of(disk);
  ASSERT_EQ(whole.size(), after.bytes);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    put(disk, ConstBytes(whole).first(size));
    EXPECT_EQ(refusal(disk, after), rolled_back(size, after.bytes));
    if (size < before.bytes) {
      EXPECT_EQ(refusal(disk, before), rolled_back(size, before.bytes));
      continue;
    }
    // The third charge was never acknowledged to a caller whose anchor is the second.
    const auto ledger = Ledger::open(disk, kPath, before);
    ASSERT_TRUE(ledger.ok()) << size << ' ' << ledger.status().to_string();
    EXPECT_EQ((*ledger)->contents().entries.size(), 2u);
    EXPECT_EQ((*ledger)->charge(charge_of(3))->anchor, after);
    EXPECT_EQ(bytes_of(disk), whole);
  }
}

/// What is wrong with a record of which one bit changed; `in`: the record.
std::string flaw_of(std::size_t offset, ConstBytes in) {
  if (offset < 4) return "does not begin like one";
  if (offset < 6) return "is of an unknown version (a later server wrote it, or it is damaged)";
  if (offset < 8) return "is of a kind that does not belong there";
  if (offset >= 12 && offset < 16) return "carries another number";
  if (offset < 12) {
    const auto size = load<std::uint32_t>(in, 8);
    if (size > 1024) return "claims to be larger than any record";
    if (16 + size + 32 > in.size()) return "is cut off";
  }
  return "does not continue the chain";
}

TEST(LedgerDamage, EveryFlippedBitIsRefused) {
  SimulatedStorage disk(1);
  const Anchor anchor = written(disk, 2);
  const auto whole = bytes_of(disk);
  const auto contents = *parse_ledger(whole);
  const std::uint64_t ends[] = {contents.opened.bytes, contents.entries[0].after.bytes,
                                contents.entries[1].after.bytes};
  for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    auto damaged = whole;
    damaged[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    put(disk, damaged);
    std::size_t record = 0;
    while (bit / 8 >= ends[record]) ++record;
    const std::size_t begin = record == 0 ? 0 : ends[record - 1];
    EXPECT_EQ(refusal(disk, anchor),
              corrupt(record, flaw_of(bit / 8 - begin, ConstBytes(damaged).subspan(begin))))
        << bit;
    EXPECT_EQ(bytes_of(disk), damaged) << "evidence is kept";
  }
}

TEST(LedgerDamage, WhatIsInTheChainAndCannotBeReadIsRefused) {
  SimulatedStorage disk(1);
  Anchor anchor = written(disk, 1);
  const auto whole = bytes_of(disk);
  const auto contents = *parse_ledger(whole);
  // Somebody who can hash, but not write ledgers: a charge with a text that would not be printed.
  auto odd = whole;
  const auto at = std::ranges::search(odd, as_bytes("check-in"));
  *at.begin() = std::byte{7};
  const auto body =
      ConstBytes(odd).subspan(contents.opened.bytes, whole.size() - contents.opened.bytes - 32);
  const auto chained = [](const Digest& previous, ConstBytes record) {
    std::vector<std::byte> bytes(previous.begin(), previous.end());
    bytes.insert(bytes.end(), record.begin(), record.end());
    Digest out;
    crypto_hash_sha256(reinterpret_cast<unsigned char*>(out.data()),
                       reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
    return out;
  };
  const Digest head = chained(contents.opened.head, body);
  std::ranges::copy(head, odd.end() - 32);
  put(disk, odd);
  anchor.head = head;
  EXPECT_EQ(refusal(disk, anchor),
            corrupt(1, "cannot be read (a statement is at most 256 printable ASCII characters)"));
  // The same round twice, each in its place.
  auto twice = whole;
  const auto again = encode_charge(charge_of(1), 2, contents.end());
  twice.insert(twice.end(), again.begin(), again.end());
  put(disk, twice);
  EXPECT_EQ(refusal(disk, anchor_after(contents.end(), again)),
            corrupt(2, "charges a round a second time"));
}

TEST(LedgerDamage, RollbackForkAndLossAreRefused) {
  SimulatedStorage disk(1);
  const Anchor old = written(disk, 2);
  const auto old_bytes = bytes_of(disk);
  const Anchor anchor = [&] {
    auto ledger = Ledger::open(disk, kPath, old);
    return (*ledger)->charge(charge_of(3))->anchor;
  }();
  const auto newest = bytes_of(disk);
  put(disk, old_bytes);
  EXPECT_EQ(refusal(disk, anchor), rolled_back(old.bytes, anchor.bytes));
  {  // The older copy goes on by itself: whole, as long, and another history.
    auto ledger = Ledger::open(disk, kPath, old);
    EXPECT_TRUE((*ledger)->charge(charge_of(4)).ok());
  }
  EXPECT_EQ(bytes_of(disk).size(), newest.size());
  EXPECT_EQ(refusal(disk, anchor), forked());
  {  // And past it.
    auto ledger = Ledger::open(disk, kPath, old);
    EXPECT_TRUE((*ledger)->charge(charge_of(5)).ok());
  }
  EXPECT_EQ(refusal(disk, anchor), forked());
  // Another ledger's file.
  auto others = encode_budget({"keyboard-fr", 8, 1e-6, Adjacency::kZeroOut});
  Anchor end = anchor_after({}, others);
  for (std::uint32_t round = 1; round <= 3; ++round) {
    const auto record = encode_charge(charge_of(round), round, end);
    end = anchor_after(end, record);
    others.insert(others.end(), record.begin(), record.end());
  }
  put(disk, others);
  EXPECT_EQ(refusal(disk, anchor), forked());
  auto swapped = newest;  // two whole records change places
  const std::size_t record = newest.size() - old_bytes.size(), first = old_bytes.size() - record;
  std::swap_ranges(swapped.begin() + static_cast<std::ptrdiff_t>(first),
                   swapped.begin() + static_cast<std::ptrdiff_t>(first + record),
                   swapped.begin() + static_cast<std::ptrdiff_t>(first + record));
  put(disk, swapped);
  EXPECT_EQ(refusal(disk, anchor), corrupt(2, "carries another number"));
  EXPECT_TRUE(disk.remove(kPath).ok());
  EXPECT_EQ(refusal(disk, anchor), missing());
  EXPECT_EQ(read_ledger(disk, kPath).status().to_string(), missing());
  put(disk, newest);
  EXPECT_EQ(refusal(disk, anchor), "ok");
}

TEST(LedgerFaults, AFailureOfAnyCallNeverUnderCounts) {
  std::uint64_t calls = 0;
  for (std::uint64_t k = 0; k == 0 || k <= calls; ++k) {  // the 0th run counts
    for (std::uint64_t seed = 1; seed <= 6; ++seed) {
      SimulatedStorage disk(seed * 1000 + k);
      Anchor kept;  // the control store: written after each charge, before each release
      std::set<std::uint64_t> released;
      const auto live = [&](std::uint64_t from, std::uint64_t to) -> Status {
        std::unique_ptr<Ledger> ledger;
        if (kept.bytes == 0) {
          MUSTER_ASSIGN(ledger, Ledger::create(disk, kPath, kBudget));
          kept = ledger->anchor();
        } else {
          MUSTER_ASSIGN(ledger, Ledger::open(disk, kPath, kept));
        }
        for (std::uint64_t round = from; round <= to; ++round) {
          auto receipt = ledger->charge(charge_of(round));
          if (!receipt.ok()) {
            EXPECT_NE(receipt.status().reason(), "charge_conflict");
            EXPECT_FALSE(ledger->charge(charge_of(round)).ok()) << "nothing is retried in place";
            return std::move(receipt).status();
          }
          kept = receipt->anchor;
          released.insert(round);
        }
        return {};
      };
      // Odd seeds fail the call; even ones lose the power there.
      if (k > 0 && seed % 2 == 1) disk.set_plan({.fail_call = k});
      if (k > 0 && seed % 2 == 0) disk.set_plan({.crash_call = k});
      const Status first = live(1, 6);
      if (k == 0) {
        ASSERT_TRUE(first.ok()) << first.to_string();
        calls = disk.calls();
        continue;
      }
      ASSERT_FALSE(first.ok()) << k;
      // The process comes back, on what the cache shows or after the power went; then the power
      // goes.
      if (seed % 2 == 0) disk.power_cycle();
      disk.set_plan({});
      const std::uint64_t next = released.size() + 1;
      ASSERT_TRUE(live(next, 8).ok()) << k << ' ' << seed;
      disk.power_cycle();
      const auto ledger = Ledger::open(disk, kPath, kept);
      ASSERT_TRUE(ledger.ok()) << k << ' ' << seed << ' ' << ledger.status().to_string();
      std::set<std::uint64_t> charged;
      for (const LedgerEntry& entry : (*ledger)->contents().entries)
        EXPECT_TRUE(charged.insert(entry.charge.round).second);
      EXPECT_EQ(charged, released) << "call " << k << " seed " << seed;
    }
  }
  EXPECT_GT(calls, 12u);
}

TEST(LedgerFaults, ASyncThatFailedLeavesTheChargeToTheNextOpening) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SimulatedStorage disk(seed);
    const Anchor anchor = written(disk, 3);
    {
      auto ledger = Ledger::open(disk, kPath, anchor);
      disk.set_plan({.fail_call = 2});  // its write is the first
      EXPECT_FALSE((*ledger)->charge(charge_of(4)).ok());
      disk.set_plan({});
      EXPECT_EQ((*ledger)->charge(charge_of(5)).status().to_string(),
                "ledger_fault: ledgers/keyboard.ledger: the privacy ledger could not be written; "
                "look after its disk, then restart");
    }
    Anchor kept;
    {
      auto ledger = Ledger::open(disk, kPath, anchor);
      ASSERT_TRUE(ledger.ok()) << ledger.status().to_string();
      const auto receipt = (*ledger)->charge(charge_of(4));
      ASSERT_TRUE(receipt.ok());
      kept = receipt->anchor;  // acknowledged now, repeated or not: it must survive
    }
    disk.power_cycle();
    EXPECT_EQ(refusal(disk, kept), "ok") << seed;
  }
}

TEST(LedgerExport, IsJsonWithTheChainAndTheEpsilonAfterEachCharge) {
  SimulatedStorage disk(1);
  const Anchor anchor = written(disk, 2);
  const auto document = nlohmann::json::parse(ledger_json(*read_ledger(disk, kPath)));
  EXPECT_EQ(document["population"], "keyboard-es");
  EXPECT_EQ(document["adjacency"], "zero-out");
  EXPECT_EQ(document["charges"].size(), 2u);
  EXPECT_EQ(document["charges"][1]["chain"], hex(anchor.head));
  EXPECT_EQ(document["charges"][1]["bytes"], anchor.bytes);
  EXPECT_EQ(document["charges"][0]["rho"], charge_of(1).amounts.rho);
  EXPECT_EQ(document["epsilon_spent"], document["charges"][1]["epsilon_after"]);
  EXPECT_TRUE(document["flaw"].is_null());
  auto torn = bytes_of(disk);
  torn.pop_back();
  put(disk, torn);
  EXPECT_TRUE(nlohmann::json::parse(ledger_json(*read_ledger(disk, kPath)))["flaw"].is_string());
}

TEST(LedgerExport, DigestsReadBack) {
  const Digest digest = charge_of(7).binding;
  EXPECT_EQ(*parse_digest(hex(digest)), digest);
  for (const char* text :
       {"", "00", "zz", "0000000000000000000000000000000000000000000000000000000000000g"})
    EXPECT_EQ(parse_digest(text).status().reason(), "digest_invalid");
}

}  // namespace
}  // namespace muster::privacy
