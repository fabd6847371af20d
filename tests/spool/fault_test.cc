// Every k-th storage call fails, or is the last before the power goes (reliability R3, R4).
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <set>

#include "base/simulated_storage.h"
#include "ingest/segment.h"
#include "tests/spool/items.h"

namespace muster::ingest::test {
namespace {

/// A fixed life of a spool: commits over many segments, releases, restarts between.
class Script {
 public:
  /// Odd seeds encrypt.
  explicit Script(std::uint64_t seed) : disk_(seed), sealed_(seed % 2 == 1) {
    options_.keys = &keys_;
    options_.directory = "spool";
    options_.segment_bytes = 6 * kBlockBytes;
  }

  /// Runs until the first failure, which is returned.
  Status run() {
    MUSTER_TRY(open());
    for (RoundNumber round = 1; round <= 45; ++round) {
      for (int group = 0; group < 2; ++group) MUSTER_TRY(commit_group(round));
      if (round >= 3) {
        for (auto& [nonce, item] : must_)
          if (item.header().round == round - 2) released_.insert(nonce);
        std::erase_if(must_, [&](const auto& e) { return released_.contains(e.first); });
        MUSTER_TRY(spool_->release_round(1, round - 2));
      }
      if (round % 10 == 4) MUSTER_TRY(open());
    }
    return {};
  }

  Status commit_group(RoundNumber round) {
    std::vector<Item> items;
    for (std::uint32_t i = 0; i < 3; ++i)
      items.push_back(make_item(++nonce_, 1, round, 900 + 700 * i));
    if (sealed_) {
      if (!keys_.has(1, round)) put_key(keys_, 1, round);
      for (Item& item : items) item = seal(std::move(item));
    }
    Status status = commit(*spool_, items);
    for (Item& item : items) {
      const std::uint64_t nonce = item.header().nonce;
      (status.ok() ? must_ : may_).emplace(nonce, std::move(item));
    }
    return status;
  }

  Status open() {
    spool_.reset();
    seen_.clear();
    auto opened = Spool::open(
        disk_, options_, stats_,
        [&](const RecordHeader& header, RecordLocation at) {
          EXPECT_TRUE(seen_.emplace(header.nonce, at).second) << "twice";
        },
        nullptr);
    if (!opened.ok()) return opened.status();
    spool_ = std::move(opened).value();
    return {};
  }

  void expect_promises_kept(std::string_view what, std::uint64_t k) {
    for (const auto& [nonce, item] : must_)
      EXPECT_TRUE(seen_.contains(nonce)) << what << ' ' << k << ": lost record " << nonce;
    for (const auto& [nonce, at] : seen_) {
      EXPECT_TRUE(must_.contains(nonce) || may_.contains(nonce) || released_.contains(nonce));
      const auto it = must_.find(nonce);
      if (it == must_.end()) continue;
      std::vector<std::byte> bytes(it->second.slot.size());
      EXPECT_TRUE(spool_->read(at, bytes).ok());
      EXPECT_EQ(bytes, it->second.slot);
    }
  }

  SimulatedStorage disk_;
  std::unique_ptr<Spool> spool_;

 private:
  bool sealed_;
  RoundKeys keys_;
  SpoolOptions options_;
  Stats stats_;
  std::map<std::uint64_t, Item> must_;
  std::map<std::uint64_t, Item> may_;
  std::set<std::uint64_t> released_;
  std::map<std::uint64_t, RecordLocation> seen_;
  std::uint64_t nonce_ = 0;
};

std::uint64_t calls_of_script() {
  Script script(1);
  EXPECT_TRUE(script.run().ok());
  return script.disk_.calls();
}

TEST(SpoolFaults, AFailureOfAnyCallLosesNothingThatWasAcknowledged) {
  const std::uint64_t calls = calls_of_script();
  EXPECT_GT(calls, 500u);
  for (std::uint64_t k = 1; k <= calls; ++k) {
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
      Script script(seed * 1000 + k);
      script.disk_.set_plan({.fail_call = k});
      ASSERT_FALSE(script.run().ok()) << "call " << k << " failed and nobody said so";
      if (script.spool_ != nullptr) {
        EXPECT_EQ(script.commit_group(90).reason(), "spool_fault");
        EXPECT_EQ(script.spool_->release_round(1, 90).reason(), "spool_fault");
      }
      // The process restarts on what the cache shows; later the power goes.
      if (seed % 2 == 0) {
        ASSERT_TRUE(script.open().ok());
        script.expect_promises_kept("restart after call", k);
        ASSERT_TRUE(script.commit_group(91).ok());
      }
      script.disk_.power_cycle();
      ASSERT_TRUE(script.open().ok());
      script.expect_promises_kept("power loss after call", k);
    }
  }
}

TEST(SpoolFaults, PowerLossAtAnyCallLosesNothingThatWasAcknowledged) {
  const std::uint64_t calls = calls_of_script();
  for (std::uint64_t k = 1; k <= calls; ++k) {
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
      Script script(seed * 1000 + k);
      script.disk_.set_plan({.crash_call = k});
      ASSERT_FALSE(script.run().ok());
      script.disk_.power_cycle();
      // The power goes a second time while recovery is at work.
      script.disk_.set_plan({.crash_call = seed});
      if (!script.open().ok() || script.disk_.crashed()) {
        script.disk_.power_cycle();
        ASSERT_TRUE(script.open().ok());
      }
      script.expect_promises_kept("call", k);
    }
  }
}

TEST(SpoolFaults, AFullDiskIsRefusalAtAnyCapacity) {
  for (std::uint64_t capacity = 0; capacity < 260 * 1024; capacity += 1000) {
    Script script(capacity + 1);
    script.disk_.set_plan({.capacity_bytes = capacity});
    const Status status = script.run();
    if (!status.ok()) {
      EXPECT_EQ(status.reason(), "disk_full");
      script.disk_.set_plan({});
      EXPECT_TRUE(script.commit_group(92).ok()) << "space came back";
    }
    script.disk_.power_cycle();
    ASSERT_TRUE(script.open().ok());
    script.expect_promises_kept("capacity", capacity);
  }
}

}  // namespace
}  // namespace muster::ingest::test
