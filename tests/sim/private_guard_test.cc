// What a private task refuses and hides: broken ledgers, spent budgets, devices that took part,
// terms of other rounds, and everything that depends on single updates.
#include <gtest/gtest.h>

#include <limits>
#include <regex>
#include <thread>

#include "base/log.h"
#include "client/client.h"
#include "server/admin.h"
#include "server/audit.h"
#include "server/private_ledgers.h"
#include "tests/sim/private_fixture.h"

namespace muster::sim {
namespace {

const Case kMean{"Mean", "rule = 'clipped_mean'\n",
                 "noise_multiplier = 1.0\nclip_norm = 0.5\nparticipations = 5\n"};

std::unique_ptr<SimNode> boot(Storage& storage, const SimOptions& options, ManualClock& clock) {
  auto node = SimNode::boot(storage, options, clock);
  EXPECT_TRUE(node.ok()) << node.status().to_string();
  return node.ok() ? std::move(*node) : nullptr;
}

void submit_all(SimNode& node, Fleet fleet = Fleet(1)) {
  std::mt19937_64 random(1);
  const Status status = fleet.submit(node, random);
  EXPECT_TRUE(status.ok()) << status.to_string();
  EXPECT_EQ(fleet.receipts(), kDevices);
}

class BrokenLedger : public testing::Test {
 protected:
  void SetUp() override {
    log_setup(LogFormat::kAuto, LogLevel::kError);
    ManualClock clock;
    auto node = boot(disk_, options_, clock);
    submit_all(*node);
    node.reset();
    bytes_ = *read_file(disk_, kLedger, 1 << 20);
    contents_ = *privacy::parse_ledger(bytes_);
    ASSERT_EQ(contents_.entries.size(), 1u);
  }
  void replace(ConstBytes bytes) { ASSERT_TRUE(write_file(disk_, kLedger, bytes).ok()); }

  /// The node says this, with the file's name before and the last way out behind, and does not
  /// start; recovery goes on with everything spent.
  void expect_refused(const std::string& reason, const std::string& what) {
    ManualClock clock;
    EXPECT_EQ(SimNode::boot(disk_, options_, clock).status().to_string(),
              reason + ": task t: population people: data/ledgers/people.ledger: " + what +
                  ". Where it is lost for good, begin anew with everything spent: musterd --config "
                  "FILE --recover-ledger people --assume-spent");
    recover(reason);
  }
  void recover(const std::string& reason) {
    ManualClock clock;
    {
      auto control = server::ControlStore::open(disk_, "data/control.db");
      ASSERT_TRUE(control.ok());
      server::PrivateLedgers ledgers(disk_, **control, "data/ledgers");
      const Status recovered = ledgers.recover("people", 5);
      ASSERT_TRUE(recovered.ok()) << recovered.to_string();
    }
    auto again = boot(disk_, options_, clock);
    ASSERT_NE(again, nullptr);
    const auto after = *privacy::read_ledger(disk_, kLedger);
    ASSERT_EQ(after.entries.size(), 1u);
    EXPECT_EQ(after.entries[0].charge.task, "recovered");
    EXPECT_NE(after.entries[0].charge.statement.find(reason), std::string::npos);
    EXPECT_TRUE(after.spent() == contents_.spent());
    submit_all(*again);
    EXPECT_EQ(charges(disk_), 2u);
  }

  std::string cut_to(std::size_t bytes) const {
    return "the privacy ledger has " + std::to_string(bytes) + " bytes and had " +
           std::to_string(bytes_.size()) +
           ": it was cut, or an older copy was put in its place; restore the newest copy";
  }
  static constexpr char kForked[] =
      "the privacy ledger is whole, but its history is not the one that was charged; restore the "
      "true copy";

  SimOptions options_ = options_for(kMean, 3);
  SimulatedStorage disk_{11};
  std::vector<std::byte> bytes_;
  privacy::LedgerContents contents_;
};

TEST_F(BrokenLedger, MissingIsRefused) {
  ASSERT_TRUE(disk_.remove(kLedger).ok());
  expect_refused(
      "ledger_missing",
      "there is no privacy ledger, and what was spent must not be forgotten; restore the "
      "newest copy");
}
TEST_F(BrokenLedger, RolledBackIsRefused) {
  replace(ConstBytes(bytes_).first(contents_.opened.bytes));
  expect_refused("ledger_rolled_back", cut_to(contents_.opened.bytes));
}
TEST_F(BrokenLedger, TruncatedIsRefused) {
  replace(ConstBytes(bytes_).first(bytes_.size() - 5));
  expect_refused("ledger_rolled_back", cut_to(bytes_.size() - 5));
}
TEST_F(BrokenLedger, ForkedIsRefused) {
  privacy::Charge other = contents_.entries[0].charge;
  other.binding[0] ^= std::byte{1};
  std::vector<std::byte> fork = privacy::encode_budget(contents_.budget);
  const auto record = privacy::encode_charge(other, 1, contents_.opened);
  fork.insert(fork.end(), record.begin(), record.end());
  ASSERT_EQ(fork.size(), bytes_.size());
  replace(fork);
  expect_refused("ledger_forked", kForked);
}
TEST_F(BrokenLedger, OneOfAnotherPopulationIsRefused) {
  privacy::Budget budget = contents_.budget;
  budget.population = "others";
  std::vector<std::byte> swapped = privacy::encode_budget(budget);
  const auto record =
      privacy::encode_charge(contents_.entries[0].charge, 1, privacy::anchor_after({}, swapped));
  swapped.insert(swapped.end(), record.begin(), record.end());
  replace(swapped);
  expect_refused("ledger_forked", kForked);
}
TEST_F(BrokenLedger, ADamagedBitIsRefused) {
  bytes_[contents_.opened.bytes + 40] ^= std::byte{4};
  replace(bytes_);
  expect_refused("ledger_corrupt",
                 "record 1 of the privacy ledger does not continue the chain; restore an undamaged "
                 "copy");
}
TEST_F(BrokenLedger, ADamagedBeginningIsRefused) {
  bytes_[0] ^= std::byte{1};
  replace(bytes_);
  expect_refused("ledger_corrupt",
                 "record 0 of the privacy ledger does not begin like one; restore an undamaged "
                 "copy");
}
TEST_F(BrokenLedger, OneThatTheStoreKnowsNothingOfIsRefused) {
  SimulatedStorage fresh(3);
  ASSERT_TRUE(fresh.make_directory("data/ledgers").ok());
  ASSERT_TRUE(write_file(fresh, kLedger, bytes_).ok());
  ManualClock clock;
  EXPECT_EQ(SimNode::boot(fresh, options_, clock).status().to_string(),
            "ledger_exists: population people: data/ledgers/people.ledger: the control "
            "store knows nothing of this privacy ledger; restore the control store that it belongs "
            "to, or name another population");
}
TEST_F(BrokenLedger, ASoundOneIsNotRecovered) {
  auto control = server::ControlStore::open(disk_, "data/control.db");
  ASSERT_TRUE(control.ok());
  server::PrivateLedgers ledgers(disk_, **control, "data/ledgers");
  EXPECT_EQ(ledgers.recover("people", 5).to_string(),
            "ledger_sound: the ledger of population people is whole: there is nothing to recover");
  EXPECT_EQ(ledgers.recover("nobody", 5).to_string(),
            "ledger_unknown: no task of this node ever charged population nobody");
}
TEST_F(BrokenLedger, AnotherBudgetForThePopulationIsRefused) {
  const SimOptions other = options_for(kMean, 3, "800");
  ManualClock clock;
  auto node = boot(disk_, options_, clock);
  server::TaskConfig task = other.config.tasks[0];
  task.name = "u";
  EXPECT_EQ(node->engine().create_task(task).status().to_string(),
            "budget_differs: population people has a budget of epsilon 900 at delta 1e-06, "
            "zero-out; every task that learns from it must name the same, and it cannot be changed "
            "later");
}

TEST(PrivateBudget, TheTaskStopsBeforeItIsExceededAndSaysWhy) {
  log_setup(LogFormat::kAuto, LogLevel::kError);
  // Two rounds at z = 1 cost 7.29 at delta 1e-6, three 9.2: the third never opens.
  const SimOptions options = options_for(kMean, 0, "8");
  SimulatedStorage storage(5);
  ManualClock clock;
  auto node = boot(storage, options, clock);
  submit_all(*node);
  EXPECT_EQ(node->task().status().stopped, "");
  submit_all(*node);
  for (int restart = 0; restart < 2; ++restart) {
    const server::TaskStatus status = node->task().status();
    EXPECT_EQ(status.state, "stopped");
    EXPECT_EQ(status.stopped,
              "one more round would bring population people to epsilon 9.25427 at delta 1e-06; its "
              "budget is 8 and 7.28608 is spent: the task has ended");
    ASSERT_TRUE(status.privacy);
    EXPECT_NEAR(status.privacy->epsilon_spent, 7.286, 2e-3);
    EXPECT_EQ(status.privacy->releases, 2u);
    EXPECT_EQ(charges(storage), 2u);
    for (const char* state : {"finished", "stopped"})
      EXPECT_EQ(
          node->stats().gauge("muster_round_state", {{"task", "t"}, {"state", state}}).value(),
          state == status.state ? 1 : 0)
          << state;
    wire::Message message;
    message.body = wire::CheckIn{"t", 0};
    const auto reply = node->send(40, message);
    ASSERT_TRUE(reply);
    if (restart == 0) {
      EXPECT_EQ(std::get<wire::RetryAfter>(reply->message.body).reason, wire::Reason::kNoOpenRound);
      node.reset();
      node = boot(storage, options, clock);
    }
  }
}

TEST(PrivateBudget, IsSharedByTheTasksOfAPopulation) {
  log_setup(LogFormat::kAuto, LogLevel::kError);
  const SimOptions options = options_for(kMean, 0, "6");
  SimulatedStorage storage(5);
  ManualClock clock;
  auto node = boot(storage, options, clock);
  server::TaskConfig second = options.config.tasks[0];
  second.name = "u";
  second.text.replace(second.text.find("name = \"t\""), 10, "name = \"u\"");
  auto created = node->engine().create_task(second);
  ASSERT_TRUE(created.ok()) << created.status().to_string();
  // One round of "t" (4.887) leaves too little for one of "u".
  submit_all(*node);
  EXPECT_EQ(node->task().status().state, "stopped");
  node.reset();
  node = boot(storage, options, clock);
  const server::TaskStatus status = node->engine().find("u")->status();
  EXPECT_EQ(status.state, "open") << "what was open before stays open";
  EXPECT_NEAR(status.privacy->epsilon_spent, 4.887, 2e-3);
  EXPECT_EQ(status.privacy->releases, 0u);
}

std::optional<wire::Reason> answer_to_check_in(SimNode& node, std::uint32_t device) {
  wire::Message message;
  message.body = wire::CheckIn{"t", 0};
  const auto reply = node.send(device, message);
  if (!reply) return std::nullopt;
  if (const auto* later = std::get_if<wire::RetryAfter>(&reply->message.body)) return later->reason;
  if (const auto* refusal = std::get_if<wire::Refusal>(&reply->message.body))
    return refusal->reason;
  return wire::Reason::kOk;
}

TEST(PrivateParticipation, IsLimitedByIdentityAcrossRoundsAndRestarts) {
  log_setup(LogFormat::kAuto, LogLevel::kError);
  const Case twice{"", "rule = 'clipped_mean'\n",
                   "noise_multiplier = 4\nclip_norm = 0.5\nparticipations = 2\nseparation = 2\n"};
  const SimOptions options = options_for(twice, 0);
  SimulatedStorage storage(5);
  ManualClock clock;
  auto node = boot(storage, options, clock);
  const auto restart = [&] {
    node.reset();
    storage.power_cycle();
    node = boot(storage, options, clock);
  };
  submit_all(*node, Fleet(1));
  for (int i = 0; i < 2; ++i, restart()) {
    EXPECT_EQ(answer_to_check_in(*node, 0), wire::Reason::kParticipationTooSoon);
    EXPECT_EQ(answer_to_check_in(*node, 12), wire::Reason::kOk);
  }
  // Without asking for an assignment first: the door is at the submission too.
  wire::Message check_in;
  check_in.body = wire::CheckIn{"t", 0};
  const auto reply = node->send(12, check_in);
  const auto& assignment = std::get<wire::Assignment>(reply->message.body);
  Fleet sly(1);
  const auto refused =
      node->send(0, submit_message(assignment, sly.update(0), 0), sly.update(0).chunks[0]);
  ASSERT_TRUE(refused);
  EXPECT_EQ(std::get<wire::Refusal>(refused->message.body).reason,
            wire::Reason::kParticipationTooSoon);
  EXPECT_GT(std::get<wire::Refusal>(refused->message.body).retry_ms, 0u);

  submit_all(*node, Fleet(1, 12));
  EXPECT_EQ(answer_to_check_in(*node, 0), wire::Reason::kOk);
  submit_all(*node, Fleet(1));
  for (int i = 0; i < 2; ++i, restart())
    EXPECT_EQ(answer_to_check_in(*node, 0), wire::Reason::kParticipationsSpent);
  EXPECT_EQ(answer_to_check_in(*node, 12), wire::Reason::kOk);
}

TEST(PrivateParticipation, NobodyNewIsTakenWhereNoMoreCanBeRemembered) {
  log_setup(LogFormat::kAuto, LogLevel::kError);
  const Case few{"", "rule = 'clipped_mean'\n",
                 "noise_multiplier = 4\nclip_norm = 0.5\nparticipations = 9\nmax_devices = 12\n"};
  SimulatedStorage storage(5);
  ManualClock clock;
  auto node = boot(storage, options_for(few, 0), clock);
  submit_all(*node, Fleet(1));
  EXPECT_EQ(answer_to_check_in(*node, 30), wire::Reason::kCohortFull);
  EXPECT_EQ(answer_to_check_in(*node, 3), wire::Reason::kOk);
}

TEST(PrivateTerms, OfAnEarlierLedgerHeadAreRefused) {
  log_setup(LogFormat::kAuto, LogLevel::kError);
  SimulatedStorage storage(5);
  ManualClock clock;
  auto node = boot(storage, options_for(kMean, 0), clock);
  wire::Message check_in;
  check_in.body = wire::CheckIn{"t", 0};
  const Sha256 before = std::get<wire::Assignment>(node->send(0, check_in)->message.body).terms;
  submit_all(*node);
  auto assignment = std::get<wire::Assignment>(node->send(0, check_in)->message.body);
  EXPECT_NE(assignment.terms, before);
  assignment.terms = before;
  Fleet fleet(1);
  const auto reply =
      node->send(0, submit_message(assignment, fleet.update(0), 0), fleet.update(0).chunks[0]);
  EXPECT_EQ(std::get<wire::Refusal>(reply->message.body).reason, wire::Reason::kTermsMismatch);
}

/// Receipts of one round, as devices get them.
std::vector<wire::Receipt> receipts_of(SimNode& node, Fleet& fleet) {
  wire::Message check_in;
  check_in.body = wire::CheckIn{"t", 0};
  const auto reply = node.send(0, check_in);
  const auto assignment = std::get<wire::Assignment>(reply->message.body);
  std::vector<wire::Receipt> receipts;
  for (std::uint32_t device = 0; device < kDevices; ++device)
    for (std::uint32_t chunk = 0; chunk < 3; ++chunk) {
      auto answer = node.send(device, submit_message(assignment, fleet.update(device), chunk),
                              fleet.update(device).chunks[chunk]);
      EXPECT_FALSE(answer)
          << wire::describe(std::get<wire::Refusal>(answer->message.body).reason).sentence;
    }
  const auto replies = node.commit();
  EXPECT_TRUE(replies.ok());
  for (const auto& each : *replies) receipts.push_back(std::get<wire::Receipt>(each.message.body));
  EXPECT_TRUE(node.settle().ok());
  return receipts;
}

LedgerHead head_of(const privacy::Anchor& anchor) { return {anchor.bytes, anchor.head}; }

client::Receipt client_receipt(const wire::Receipt& receipt) {
  return {receipt.round, receipt.entries[0].update, receipt.ledger};
}

TEST(PrivateReceipts, NameTheLedgerSoThatDevicesSeeItPutBack) {
  log_setup(LogFormat::kAuto, LogLevel::kError);
  const SimOptions options = options_for(kMean, 0);
  SimulatedStorage storage(5);
  ManualClock clock;
  auto node = boot(storage, options, clock);
  client::LedgerWatch watch;
  std::vector<wire::Receipt> first;
  Fleet fleet(1);
  for (RoundNumber round = 1; round <= 3; ++round) {
    const auto receipts = receipts_of(*node, fleet);
    if (round == 1) first = receipts;
    ASSERT_EQ(receipts.size(), kDevices);
    // As it was when the round opened: every charge of the rounds before is in it.
    const auto ledger = *privacy::read_ledger(storage, kLedger);
    ASSERT_EQ(ledger.entries.size(), round);
    const privacy::Anchor at =
        round == 1 ? ledger.opened : ledger.entries[static_cast<std::size_t>(round) - 2].after;
    for (const wire::Receipt& receipt : receipts) {
      EXPECT_EQ(receipt.round, round);
      EXPECT_EQ(receipt.ledger, head_of(at));
    }
    EXPECT_TRUE(watch.note(client_receipt(receipts[0])).ok());
    EXPECT_EQ(watch.newest(), head_of(at));
  }
  // Whoever has a copy of the ledger can hold it against what a device kept.
  const auto ledger = *privacy::read_ledger(storage, kLedger);
  EXPECT_TRUE(
      privacy::verify(ledger, ledger.end().bytes, {watch.newest()->bytes, watch.newest()->chain})
          .ok());
  // The same receipt again after a restart, from the round's ids.
  node.reset();
  storage.power_cycle();
  node = boot(storage, options, clock);
  wire::Message query;
  query.body = wire::QueryMissing{first[0].task, 3, 0, fleet.update(0).nonce};
  const auto again = node->send(0, query);
  EXPECT_EQ(std::get<wire::Receipt>(again->message.body).ledger, watch.newest());
  EXPECT_TRUE(watch.note(client_receipt(std::get<wire::Receipt>(again->message.body))).ok());
  EXPECT_TRUE(watch.note(client_receipt(first[0])).ok()) << "late, and of an earlier round";

  // A node that was put back to the time before its first round, ledger and control store both, so
  // that it sees nothing wrong itself.
  SimulatedStorage old(6);
  auto rewound = boot(old, options, clock);
  Fleet others(1);
  for (RoundNumber round = 1; round <= 3; ++round) {
    const auto receipts = receipts_of(*rewound, others);
    const LedgerHead seen = *receipts[0].ledger, kept = *watch.newest();
    const Status said = watch.note(client_receipt(receipts[0]));
    if (round < 3) {
      EXPECT_TRUE(said.ok()) << "rounds that the device has seen already";
      continue;
    }
    EXPECT_EQ(seen.bytes, kept.bytes);
    EXPECT_EQ(said.to_string(),
              "ledger_went_back: the server's privacy ledger was at " + client::anchor_text(kept) +
                  " in round 3 and at " + client::anchor_text(seen) +
                  " in round 3: what was spent may be spent again. Ask the operator before taking "
                  "part again");
  }
}

/// Everything a person or a scrape can see of the node.
std::string observe(SimNode& node) {
  std::string all;
  SimulatedStorage audit_storage(1);
  const ManualClock audit_clock;
  Stats audit_stats;
  const auto audit = server::Audit::open(audit_storage, "audit.log", audit_clock, audit_stats);
  server::Admin admin(node.engine(), node.stats(), **audit, {},
                      [] { return std::vector<std::string>(); });
  const auto handler = monitoring::public_handler(
      node.stats(), [] { return std::vector<std::string>(); }, [&] { return admin.status_json(); });
  std::atomic<bool> done{false};
  std::thread reader([&] {
    for (const char* path : {"/metrics", "/status.json"}) {
      monitoring::HttpRequest request;
      request.method = "GET";
      request.path = path;
      all += handler(request).body + "\n";
    }
    for (const char* path : {"/v1/tasks", "/v1/tasks/t", "/v1/tasks/t/rounds",
                             "/v1/tasks/t/rounds/1", "/v1/tasks/t/model"}) {
      monitoring::HttpRequest request;
      request.method = "GET";
      request.path = path;
      all += admin.handle(request).body + "\n";
    }
    done = true;
  });
  while (!done) EXPECT_TRUE(node.engine().turn(kMillisecond).ok());
  reader.join();
  return all;
}

/// Without what stands for the released model itself, the machine, and the time.
std::string public_part(std::string text) {
  text = std::regex_replace(text, std::regex("\"resident\":[0-9]+"), "");
  text = std::regex_replace(text, std::regex("(model_)?sha256[\"=: ]+[0-9a-f]{64}"), "");
  text = std::regex_replace(text, std::regex("\"?[a-z_]+_ms\"?: ?[0-9]+"), "");
  text = std::regex_replace(
      text, std::regex("muster_(recovery|spool_sync)_duration_seconds[^\n]*\n"), "");
  return std::regex_replace(text, std::regex("[0-9-]{10}[T ][0-9:.]+Z"), "");
}

/// The same round but for one device's update: whatever it holds, all that can be seen of the task
/// is the same. Only the noised model differs.
TEST(PrivateSecrecy, NothingButTheReleaseDependsOnAnUpdate) {
  const SimOptions options = options_for(kMean, 1);
  SimulatedStorage begun(7);
  ManualClock clock;
  log_setup(LogFormat::kJson, LogLevel::kInfo);
  testing::internal::CaptureStderr();
  boot(begun, options, clock).reset();
  testing::internal::GetCapturedStderr();

  struct Seen {
    std::string outside, log;
    Sha256 model;
  };
  const auto run = [&](const std::function<void(SimUpdate&)>& change) {
    SimulatedStorage storage(1);
    copy(begun, storage);
    testing::internal::CaptureStderr();
    auto node = boot(storage, options, clock);
    Fleet fleet(1);
    change(fleet.update(3));
    submit_all(*node, std::move(fleet));
    Seen seen;
    seen.outside = public_part(observe(*node));
    seen.model = *node->model_hash(1);
    seen.log = public_part(testing::internal::GetCapturedStderr());
    return seen;
  };
  const auto set_scale = [](float scale) {
    return [scale](SimUpdate& update) {
      for (auto& chunk : update.chunks) store(chunk, 0, scale);
    };
  };
  const Seen plain = run([](SimUpdate&) {});
  EXPECT_NE(plain.outside.find("muster_privacy_epsilon_spent{task=\"t\"} 4.88"), std::string::npos)
      << plain.outside;
  EXPECT_NE(plain.log.find("round_released"), std::string::npos);
  for (const char* word :
       {"muster_updates_invalid_total{", "muster_robust_excluded_total{", "muster_update_norm_",
        "muster_clip_ratio_", "\"invalid\"", "\"selected\"", "\"clipped\"", "\"f\":"}) {
    EXPECT_EQ(plain.outside.find(word), std::string::npos) << word;
    EXPECT_EQ(plain.log.find(word), std::string::npos) << word;
  }
  const std::vector<std::pair<const char*, std::function<void(SimUpdate&)>>> changes = {
      {"longer than the clip norm", set_scale(0.1f)},
      {"out of bound", set_scale(1000.0f)},
      {"not finite", set_scale(std::numeric_limits<float>::quiet_NaN())},
      {"infinite", set_scale(std::numeric_limits<float>::infinity())},
      {"a negative scale", set_scale(-1.0f)},
      {"zero",
       [](SimUpdate& update) {
         for (auto& chunk : update.chunks) std::ranges::fill(chunk, std::byte{0});
       }},
  };
  for (const auto& [what, change] : changes) {
    SCOPED_TRACE(what);
    const Seen other = run(change);
    EXPECT_EQ(other.outside, plain.outside);
    EXPECT_EQ(other.log, plain.log);
    EXPECT_NE(other.model, plain.model);
  }
}

}  // namespace
}  // namespace muster::sim
