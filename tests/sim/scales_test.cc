// Shared scales that follow the updates, through the whole server: each round's devices are told
// where the codes of the last round say their deltas lie, over restarts and whatever hostile
// devices send.
#include <gtest/gtest.h>

#include <cmath>

#include "base/log.h"
#include "client/client.h"
#include "client/random.h"
#include "tests/sim/sim_node.h"

namespace muster::sim {
namespace {

constexpr std::uint32_t kDevices = 7;
constexpr std::size_t kDimension = 600, kBlock = 64;
constexpr std::size_t kBlocks = 10;

SimOptions options_with(const std::string& keys) {
  SimOptions options;
  options.config.data_dir = "data";
  const auto task = server::parse_task(
      "name = 't'\ndimension = 600\nblock = 64\nscale_exponent = -6\nscales = 'adaptive'\n"
      "chunk_coordinates = 256\ntarget_cohort = 7\nminimum_cohort = 7\nover_selection = 1.0\n"
      "rounds = 14\n" +
          keys,
      "test");
  EXPECT_TRUE(task.ok()) << task.status().to_string();
  options.config.tasks.push_back(*task);
  return options;
}

/// Deltas grow from block to block, by a factor of 4.
std::vector<float> delta_of(std::uint32_t device) {
  client::Random random(device);
  std::vector<float> delta(kDimension);
  for (std::size_t k = 0; k < kDimension; ++k)
    delta[k] = static_cast<float>(
        std::ldexp(random.uniform() - 0.5, 2 * static_cast<int>(k / kBlock) - 16));
  return delta;
}

class AdaptiveScales : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override { log_setup(LogFormat::kAuto, LogLevel::kError); }

  void boot() {
    node_.reset();
    auto node = SimNode::boot(storage_, options_, clock_);
    ASSERT_TRUE(node.ok()) << node.status().to_string();
    node_ = std::move(*node);
  }
  wire::Assignment check_in(std::uint32_t device) {
    wire::Message message;
    message.body = wire::CheckIn{"t", 0};
    const auto reply = node_->send(device, message);
    EXPECT_TRUE(reply && std::holds_alternative<wire::Assignment>(reply->message.body));
    return std::get<wire::Assignment>(reply->message.body);
  }
  void submit(std::uint32_t device, bool hostile = false) {
    const wire::Assignment assignment = check_in(device);
    std::vector<float> delta = delta_of(device);
    if (hostile) std::fill(delta.begin(), delta.end(), 15.0f);
    SimUpdate update;
    update.nonce = 100 * assignment.round + device + 1;
    update.chunks = client::encode(assignment, delta, device)->chunks;
    for (std::uint32_t c = 0; c < update.chunks.size(); ++c)
      EXPECT_FALSE(node_->send(device, submit_message(assignment, update, c), update.chunks[c]));
    ASSERT_TRUE(node_->commit().ok());
    ASSERT_TRUE(node_->settle().ok());
  }

  SimulatedStorage storage_{5};
  ManualClock clock_;
  SimOptions options_ = options_with(GetParam());
  std::unique_ptr<SimNode> node_;
};

TEST_P(AdaptiveScales, FollowTheUpdatesBlockByBlockOverRestarts) {
  boot();
  EXPECT_EQ(check_in(0).scale_exponents, std::vector<std::int8_t>(kBlocks, -6));
  std::vector<std::int8_t> exponents;
  for (int round = 0; round < 14; ++round) {
    for (std::uint32_t device = 0; device < kDevices; ++device) {
      submit(device, device >= 5);
      if (device != 3) continue;
      // A restart in the middle of a round, and of what was told to its devices.
      const auto told = check_in(5).scale_exponents;
      storage_.power_cycle();
      boot();
      EXPECT_EQ(check_in(5).scale_exponents, told);
    }
    if (round == 12) exponents = check_in(0).scale_exponents;
  }
  ASSERT_EQ(exponents.size(), kBlocks);
  // Two of seven devices sent the most their codes can say; every block fits the honest five.
  const bool wide = std::string_view(GetParam()).find("i8s") != std::string_view::npos;
  for (std::size_t b = 0; b < kBlocks; ++b) {
    const double peak = std::ldexp(0.5, 2 * static_cast<int>(b) - 16 - exponents[b]);
    EXPECT_GT(peak, wide ? 24 : 1.0) << b;
    EXPECT_LT(peak, wide ? 127 : 8.0) << b;
  }
}

INSTANTIATE_TEST_SUITE_P(Codecs, AdaptiveScales,
                         testing::Values("codec = 'i8s'\nrule = 'mean'\n",
                                         "codec = 'i8s'\nrule = 'mean'\nentropy = 'zstd'\n",
                                         "codec = 'i8s'\nrule = 'median'\n",
                                         "codec = 'i4s'\nrule = 'trimmed_mean'\nf = 2\n",
                                         "codec = 'i8s'\nrule = 'krum'\nf = 2\n"));

TEST(AdaptiveScalesConfiguration, IsRefusedWhereNoScaleIsShared) {
  const auto refusal = [](const std::string& keys) {
    return std::string(
        server::parse_task("name = 't'\ndimension = 10\nscales = 'adaptive'\n" + keys, "test")
            .status()
            .message());
  };
  EXPECT_NE(refusal("codec = 'i8b'\n").find("i8b has no scales that a round shares"),
            std::string::npos);
  EXPECT_NE(refusal("codec = 'i8s'\nmode = 'buffered'\n").find("must share scales"),
            std::string::npos);
}

}  // namespace
}  // namespace muster::sim
