// What a disk thief finds (reliability.md, S14): markers planted in updates, searched in every file
// of the data directory before and after their round is shredded; and what verify says of it.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/log.h"
#include "server/spool_verify.h"
#include "tests/sim/sim_node.h"

namespace muster::sim {
namespace {

constexpr std::uint32_t kDevices = 6;

// Trimmed mean: its codes are read back from the spool at the close.
constexpr char kPlain[] = "byzantine_share = 0.2\n";
constexpr char kPrivate[] =
    "f = 1\n[privacy]\nclip_norm = 1.0\nnoise_multiplier = 1.0\npopulation = \"people\"\n"
    "budget_epsilon = 900\ndelta = 1e-6\nparticipations = 2\nallow_small_cohort = true\n";

SimOptions options_of(const std::string& encrypt, const std::string& more = kPlain) {
  SimOptions options;
  options.config.data_dir = "data";
  options.config.spool.encrypt = encrypt;
  auto task = server::parse_task(
      "name = \"t\"\ndimension = 1000\ncodec = \"i8b\"\nblock = 64\nchunk_coordinates = 384\n"
      "rule = \"trimmed_mean\"\ntarget_cohort = 6\nminimum_cohort = 6\nover_selection = 1.0\n"
      "rounds = 2\n" +
          more,
      "test");
  EXPECT_TRUE(task.ok()) << task.status().to_string();
  if (task.ok()) options.config.tasks.push_back(std::move(*task));
  return options;
}

/// The updates of one round, which are the markers.
std::vector<SimUpdate> updates_of(std::uint64_t round) {
  ingest::RoundSpec plan;
  plan.dimension = 1000;
  plan.chunk_coordinates = 384;
  plan.chunk_count = 3;
  plan.format = {Codec::kI8B, 6};
  std::vector<SimUpdate> updates;
  for (std::uint32_t i = 0; i < kDevices; ++i)
    updates.push_back(random_update(plan, 1000 * round + i));
  return updates;
}

class AtRest : public testing::Test {
 protected:
  void boot(const std::string& encrypt, const std::string& more = kPlain) {
    log_setup(LogFormat::kAuto, LogLevel::kError);
    node_.reset();
    auto node = SimNode::boot(storage_, options_of(encrypt, more), clock_);
    ASSERT_TRUE(node.ok()) << node.status().to_string();
    node_ = std::move(*node);
  }
  /// Devices [first, last) send all they have.
  void submit(const std::vector<SimUpdate>& updates, std::uint32_t first, std::uint32_t last) {
    for (std::uint32_t device = first; device < last; ++device) {
      wire::Message message;
      message.body = wire::CheckIn{"t", 0};
      const auto reply = node_->send(device, message);
      ASSERT_TRUE(reply && std::holds_alternative<wire::Assignment>(reply->message.body));
      const auto assignment = std::get<wire::Assignment>(reply->message.body);
      for (std::uint32_t chunk = 0; chunk < 3; ++chunk)
        (void)node_->send(device, submit_message(assignment, updates[device], chunk),
                          updates[device].chunks[chunk]);
    }
    ASSERT_TRUE(node_->commit().ok());
    const Status settled = node_->settle();
    ASSERT_TRUE(settled.ok()) << settled.to_string();
  }
  /// Chunks of these updates that lie readable anywhere under data/.
  std::size_t found(const std::vector<SimUpdate>& updates) {
    std::size_t count = 0;
    for (const std::string folder : {"data", "data/spool", "data/models", "data/models/t"}) {
      const auto names = storage_.list(folder);
      if (!names.ok()) continue;
      for (const std::string& name : *names) {
        const auto bytes = read_file(storage_, folder + "/" + name, std::size_t{64} << 20).value();
        for (const SimUpdate& update : updates)
          for (const auto& chunk : update.chunks)
            count += !std::ranges::search(bytes, ConstBytes(chunk).last(32)).empty();
      }
    }
    return count;
  }
  server::SpoolVerdict verify(const std::string& encrypt) {
    node_.reset();
    auto verdict = server::verify_spool(storage_, options_of(encrypt).config);
    EXPECT_TRUE(verdict.ok()) << verdict.status().to_string();
    return verdict.ok() ? *verdict : server::SpoolVerdict{};
  }

  SimulatedStorage storage_{11};
  ManualClock clock_;
  std::unique_ptr<SimNode> node_;
};

TEST_F(AtRest, NoUpdateIsFoundBeforeOrAfterItsRoundIsShredded) {
  const auto first = updates_of(1), second = updates_of(2);
  boot("all");
  submit(first, 0, 4);
  EXPECT_EQ(found(first), 0u);
  const server::SpoolVerdict open = verify("all");
  EXPECT_EQ(open.problem_count, 0u) << open.text();
  EXPECT_EQ(open.opened, 12u);
  EXPECT_EQ(open.plain + open.shut + open.readable, 0u);

  boot("all");
  submit(first, 4, 6);  // closes the round, whose records are read back and decrypted
  ASSERT_TRUE(node_->model_hash(1).ok());
  submit(second, 0, 3);
  EXPECT_EQ(found(first) + found(second), 0u);
  const server::SpoolVerdict shredded = verify("all");
  EXPECT_EQ(shredded.problem_count, 0u) << shredded.text();
  EXPECT_EQ(shredded.opened, 9u);
  EXPECT_GE(shredded.shut, 6u);
  EXPECT_EQ(shredded.readable, 0u);
}

TEST_F(AtRest, WithoutEncryptionTheSameSearchAndVerifyFindThem) {
  const auto first = updates_of(1), second = updates_of(2);
  boot("private");
  submit(first, 0, 4);
  EXPECT_EQ(found(first), 12u);
  boot("private");
  submit(first, 4, 6);
  submit(second, 0, 3);
  EXPECT_GE(found(first), 6u);
  const server::SpoolVerdict allowed = verify("private");
  EXPECT_EQ(allowed.problem_count, 0u) << allowed.text();
  EXPECT_EQ(allowed.plain, 9u);
  EXPECT_GE(allowed.readable, 6u);
  const server::SpoolVerdict refused = verify("all");
  EXPECT_EQ(refused.problem_count, refused.readable);
  EXPECT_NE(refused.text().find("lies readable"), std::string::npos);
}

TEST_F(AtRest, APrivateTaskIsEncryptedWhereOnlySuchTasksAre) {
  const auto first = updates_of(1), second = updates_of(2);
  boot("private", kPrivate);
  submit(first, 0, 4);
  EXPECT_EQ(found(first), 0u);
  boot("private", kPrivate);
  submit(first, 4, 6);
  ASSERT_TRUE(node_->model_hash(1).ok());
  submit(second, 0, 3);
  EXPECT_EQ(found(first) + found(second), 0u);
  const server::SpoolVerdict verdict = verify("private");
  EXPECT_EQ(verdict.problem_count, 0u) << verdict.text();
  EXPECT_EQ(verdict.opened, 9u);
  EXPECT_EQ(verdict.plain + verdict.readable, 0u);
}

/// The setting may change while a round is at work: it goes on as it began.
TEST_F(AtRest, ARoundGoesOnAsItBegan) {
  const auto first = updates_of(1);
  boot("private");
  submit(first, 0, 2);
  boot("all");
  submit(first, 2, 6);
  EXPECT_TRUE(node_->model_hash(1).ok());
  const auto second = updates_of(2);
  submit(second, 0, 2);
  EXPECT_EQ(found(second), 0u);
}

std::vector<server::WrappedKey> spool_keys(Storage& storage) {
  auto control = server::ControlStore::open(storage, "data/control.db").value();
  auto keys = control->wrapped_keys().value();
  std::erase_if(keys, [](const auto& key) { return key.purpose != server::KeyPurpose::kSpool; });
  return keys;
}

void put_keys(Storage& storage, const std::vector<server::WrappedKey>& keys) {
  auto control = server::ControlStore::open(storage, "data/control.db").value();
  ASSERT_TRUE(control->put_wrapped_keys(keys).ok());
}

TEST_F(AtRest, VerifyNamesDamageAndAKeyThatOutlivedItsRound) {
  const auto first = updates_of(1), second = updates_of(2);
  boot("all");
  submit(first, 0, 4);
  node_.reset();
  const auto keys = spool_keys(storage_);
  ASSERT_EQ(keys.size(), 1u);
  boot("all");
  submit(first, 4, 6);
  submit(second, 0, 3);
  node_.reset();
  EXPECT_EQ(spool_keys(storage_).front().round, 2u);
  // As an operator who puts an old control store back would.
  put_keys(storage_, keys);
  const server::SpoolVerdict outlived = verify("all");
  EXPECT_GE(outlived.problem_count, 7u) << outlived.text();
  EXPECT_NE(outlived.text().find("the key of round 1 of task 1 was not destroyed"),
            std::string::npos);
  EXPECT_NE(outlived.text().find("opens, and round 1 of task 1 has ended"), std::string::npos);

  const auto names = storage_.list("data/spool").value();
  const auto segment = std::ranges::find_if(
      names, [](const std::string& name) { return name.starts_with("segment-"); });
  ASSERT_NE(segment, names.end());
  storage_.flip_bit("data/spool/" + *segment, std::uint64_t{8} * 4200);
  const server::SpoolVerdict damaged = verify("all");
  EXPECT_NE(damaged.text().find(*segment + " is damaged at byte 4096"), std::string::npos)
      << damaged.text();
}

TEST_F(AtRest, AWrappedKeyOpensForItsRoundOnly) {
  boot("all");
  node_.reset();
  auto keys = spool_keys(storage_);
  ASSERT_EQ(keys.size(), 1u);
  keys.front().round += 7;
  put_keys(storage_, keys);
  EXPECT_EQ(server::verify_spool(storage_, options_of("all").config).status().reason(),
            "master_secret_wrong");
}

}  // namespace
}  // namespace muster::sim
