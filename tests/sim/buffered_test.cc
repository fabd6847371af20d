// Buffered tasks: late updates count in later rounds, once, at a weight that falls with staleness.
#include <gtest/gtest.h>

#include <cmath>

#include "base/log.h"
#include "server/safetensors.h"
#include "tests/sim/sim_node.h"

namespace muster::sim {
namespace {

constexpr std::size_t kDimension = 1000;

SimOptions options_with(std::uint32_t max_staleness) {
  SimOptions options;
  options.config.data_dir = "data";
  auto task = server::parse_task(
      "name = \"t\"\ndimension = 1000\ncodec = \"f32\"\nchunk_coordinates = 512\n"
      "rule = \"mean\"\nmode = \"buffered\"\ntarget_cohort = 2\nminimum_cohort = 1\n"
      "over_selection = 10\nrounds = 4\nmax_weight = 4\nmax_staleness = " +
          std::to_string(max_staleness) + "\n",
      "test");
  EXPECT_TRUE(task.ok()) << task.status().to_string();
  options.config.tasks.push_back(*task);
  return options;
}

/// All coordinates `value`, in two chunks.
SimUpdate constant_update(float value, std::uint64_t nonce) {
  SimUpdate update;
  update.nonce = nonce;
  for (const std::size_t d : {std::size_t{512}, kDimension - 512}) {
    std::vector<std::byte> payload(4 * d);
    for (std::size_t k = 0; k < d; ++k) store(payload, 4 * k, value);
    update.chunks.push_back(std::move(payload));
  }
  return update;
}

class BufferedTask : public testing::Test {
 protected:
  void SetUp() override { log_setup(LogFormat::kAuto, LogLevel::kError); }

  void boot(const SimOptions& options) {
    node_.reset();
    auto node = SimNode::boot(storage_, options, clock_);
    ASSERT_TRUE(node.ok()) << node.status().to_string();
    node_ = std::move(*node);
  }
  void power_cut(const SimOptions& options) {
    node_.reset();
    storage_.power_cycle();
    boot(options);
  }

  wire::Assignment check_in(std::uint32_t device) {
    wire::Message message;
    message.body = wire::CheckIn{"t", 0};
    const auto reply = node_->send(device, message);
    EXPECT_TRUE(reply && std::holds_alternative<wire::Assignment>(reply->message.body));
    return std::get<wire::Assignment>(reply->message.body);
  }

  /// Sends one chunk; the direct reply, if any.
  std::optional<ingest::Reply> send(std::uint32_t device, const wire::Assignment& assignment,
                                    const SimUpdate& update, std::uint32_t chunk) {
    return node_->send(device, submit_message(assignment, update, chunk), update.chunks[chunk]);
  }

  /// Sends a whole update; the round its receipt names, 0 for none.
  RoundNumber submit(std::uint32_t device, const wire::Assignment& assignment,
                     const SimUpdate& update) {
    RoundNumber round = 0;
    for (std::uint32_t chunk = 0; chunk < 2; ++chunk)
      if (const auto reply = send(device, assignment, update, chunk)) note(*reply, round);
    const auto replies = node_->commit();
    EXPECT_TRUE(replies.ok());
    for (const auto& reply : *replies) note(reply, round);
    const Status settled = node_->settle();
    EXPECT_TRUE(settled.ok()) << settled.to_string();
    return round;
  }

  float first_coordinate(ModelVersion version) {
    server::ModelStore models(storage_, "data/models");
    const auto bytes = read_file(
        storage_, "data/models/t/v0000000" + std::to_string(version) + ".safetensors", 1 << 20);
    EXPECT_TRUE(bytes.ok()) << bytes.status().to_string();
    const auto file = server::parse_safetensors(*bytes);
    EXPECT_TRUE(file.ok());
    return file->values[0];
  }

  SimulatedStorage storage_{7};
  ManualClock clock_;
  std::unique_ptr<SimNode> node_;

 private:
  static void note(const ingest::Reply& reply, RoundNumber& round) {
    if (const auto* receipt = std::get_if<wire::Receipt>(&reply.message.body))
      round = receipt->round;
  }
};

wire::Reason reason_of(const std::optional<ingest::Reply>& reply) {
  if (!reply) return wire::Reason::kOk;
  const auto* refusal = std::get_if<wire::Refusal>(&reply->message.body);
  return refusal == nullptr ? wire::Reason::kOk : refusal->reason;
}

TEST_F(BufferedTask, ALateUpdateCountsOnceInTheNextRoundAtItsLowerWeight) {
  const SimOptions options = options_with(3);
  boot(options);
  const auto one = check_in(0), two = check_in(1), late = check_in(2);
  ASSERT_EQ(one.round, 1u);
  EXPECT_EQ(submit(0, one, constant_update(1, 10)), 1u);
  EXPECT_EQ(submit(1, two, constant_update(3, 11)), 1u);
  EXPECT_EQ(first_coordinate(1), 2.0f);

  const SimUpdate straggler = constant_update(8, 12);
  EXPECT_EQ(submit(2, late, straggler), 1u) << "the receipt speaks of the device's round";
  EXPECT_EQ(submit(2, late, straggler), 1u) << "sent again, it is the same update";
  EXPECT_EQ(submit(0, one, constant_update(1, 10)), 1u) << "counted before, not again";
  power_cut(options);
  EXPECT_EQ(submit(2, late, straggler), 1u);
  const auto fresh = check_in(0);
  EXPECT_EQ(fresh.round, 2u);
  EXPECT_EQ(submit(0, fresh, constant_update(4, 13)), 2u);
  // round(1024 / sqrt(2)) = 724 parts of the late one, 1024 of the fresh one.
  const double mean = (724.0 * 8 + 1024.0 * 4) / (724 + 1024);
  EXPECT_EQ(first_coordinate(2), static_cast<float>(2.0 + mean));
  EXPECT_EQ(submit(2, late, straggler), 1u) << "two rounds later it still gets its receipt";
  EXPECT_EQ(node_->task().status().cohort, 0u);
}

TEST_F(BufferedTask, AHalfSentUpdateComesAgainWhenItsRoundHasClosed) {
  boot(options_with(3));
  const auto one = check_in(0), two = check_in(1), half = check_in(2);
  const SimUpdate update = constant_update(6, 30);
  EXPECT_EQ(reason_of(send(2, half, update, 0)), wire::Reason::kOk);
  submit(0, one, constant_update(1, 31));
  submit(1, two, constant_update(1, 32));
  EXPECT_EQ(node_->task().round(), 2u);
  wire::Message query;
  query.body = wire::QueryMissing{half.task, half.round, 0, update.nonce};
  const auto reply = node_->send(2, query);
  ASSERT_TRUE(reply);
  const auto* missing = std::get_if<wire::MissingChunks>(&reply->message.body);
  ASSERT_NE(missing, nullptr);
  EXPECT_EQ(missing->bitmap[0], 0b11);
  EXPECT_EQ(submit(2, half, update), 1u);
  EXPECT_EQ(node_->task().status().cohort, 1u);
}

TEST_F(BufferedTask, AnUpdateThatIsTooLateIsRefusedForGood) {
  boot(options_with(1));
  const auto late = check_in(9);
  for (std::uint32_t round = 1; round <= 2; ++round)
    for (std::uint32_t device = 0; device < 2; ++device)
      EXPECT_EQ(submit(device, check_in(device), constant_update(1, 100 * round + device)), round);
  const auto reply = send(9, late, constant_update(5, 90), 0);
  EXPECT_EQ(reason_of(reply), wire::Reason::kModelVersionStale);
}

TEST_F(BufferedTask, AnImportedModelEndsTheLineOfLateUpdates) {
  boot(options_with(3));
  const auto late = check_in(9);
  submit(0, check_in(0), constant_update(1, 41));
  submit(1, check_in(1), constant_update(1, 42));
  server::SafetensorsFile file;
  file.layout = server::Layout::flat(kDimension);
  file.values.assign(kDimension, 0.5f);
  ASSERT_TRUE(node_->task().import_model(std::move(file)).ok());
  ASSERT_TRUE(node_->settle().ok());
  EXPECT_EQ(reason_of(send(9, late, constant_update(5, 43), 0)), wire::Reason::kModelVersionStale);
}

}  // namespace
}  // namespace muster::sim
