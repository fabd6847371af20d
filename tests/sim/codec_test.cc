// A round of every codec through the whole server: check in, encode with the device library, half
// of the updates before a power cut and half after it, release. The model is the mean of what the
// payloads say.
#include <gtest/gtest.h>

#include <cmath>

#include "base/codec_random.h"
#include "base/log.h"
#include "client/client.h"
#include "tests/codecs/decode.h"
#include "tests/codecs/samples.h"
#include "tests/sim/sim_node.h"

namespace muster::sim {
namespace {

using muster::testing::decode;
using muster::testing::draw;
using muster::testing::Law;

constexpr std::uint32_t kDevices = 6;
constexpr std::size_t kDimension = 1000;

struct Case {
  const char* name;
  const char* keys;
  const char* rule = "rule = 'mean'";
};
void PrintTo(const Case& codec, std::ostream* out) { *out << codec.name; }

/// Two rounds: the second one serves the model of the first.
SimOptions options_for(const Case& codec) {
  SimOptions options;
  options.config.data_dir = "data";
  const auto task = server::parse_task(
      std::string("name = 't'\ndimension = 1000\nblock = 64\nrotation = 256\nscale_exponent = -4\n"
                  "chunk_coordinates = 384\ntarget_cohort = 6\nminimum_cohort = 6\n"
                  "over_selection = 1.0\nrounds = 2\n") +
          codec.rule + "\n" + codec.keys,
      "test");
  EXPECT_TRUE(task.ok()) << task.status().to_string();
  options.config.tasks.push_back(*task);
  return options;
}

class CodecRound : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override { log_setup(LogFormat::kAuto, LogLevel::kError); }

  wire::Assignment check_in(SimNode& node, std::uint32_t device) {
    wire::Message message;
    message.body = wire::CheckIn{"t", 0};
    const auto reply = node.send(device, message);
    EXPECT_TRUE(reply && std::holds_alternative<wire::Assignment>(reply->message.body));
    return std::get<wire::Assignment>(reply->message.body);
  }

  /// Adds what the payloads of the device say to `sum_`.
  void submit(SimNode& node, std::uint32_t device) {
    const wire::Assignment assignment = check_in(node, device);
    const auto delta = draw(Law::kGaussian, kDimension, 50 + device, 0.1);
    SimUpdate update;
    update.nonce = device + 1;
    update.chunks = client::encode(assignment, delta, device)->chunks;
    wire::Assignment raw = assignment;
    raw.format.zstd = false;
    const auto codes = client::encode(raw, delta, device)->chunks;
    for (std::uint32_t c = 0; c < update.chunks.size(); ++c) {
      deflated_ += update.chunks[c].size() < codes[c].size();
      const auto reply =
          node.send(device, submit_message(assignment, update, c, 1), update.chunks[c]);
      EXPECT_FALSE(reply) << "refused";
      const std::size_t first = std::size_t{c} * assignment.chunk_coordinates;
      const std::size_t d = std::min<std::size_t>(384, kDimension - first);
      std::span<const std::int8_t> exponents = assignment.scale_exponents;
      if (!exponents.empty()) exponents = exponents.subspan(first / 64);
      const auto values =
          decode({raw.format, d, exponents, chunk_key(assignment.codec_seed, c)}, codes[c]);
      for (std::size_t k = 0; k < d; ++k) sum_[first + k] += values[k];
    }
    const auto replies = node.commit();
    ASSERT_TRUE(replies.ok());
    EXPECT_EQ(replies->size(), 1u) << "a receipt";
    ASSERT_TRUE(node.settle().ok());
  }

  std::vector<float> released(SimNode& node) {
    const wire::Assignment next = check_in(node, 0);
    EXPECT_EQ(next.model_version, 1u);
    std::vector<float> model;
    for (std::uint32_t chunk = 0; chunk < 3; ++chunk) {
      wire::Message message;
      message.body = wire::FetchModel{next.task, next.model_version, chunk};
      const auto reply = node.send(0, message);
      if (!reply || !std::holds_alternative<wire::ModelChunk>(reply->message.body)) break;
      for (std::size_t at = 0; at < reply->payload.size(); at += 4)
        model.push_back(load<float>(reply->payload, at));
    }
    return model;
  }

  std::vector<double> sum_ = std::vector<double>(kDimension);
  std::size_t deflated_ = 0;
};

TEST_P(CodecRound, IsReleasedAsTheMeanOfItsPayloadsOverAPowerCut) {
  const SimOptions options = options_for(GetParam());
  SimulatedStorage storage(7);
  ManualClock clock;
  auto node = SimNode::boot(storage, options, clock);
  ASSERT_TRUE(node.ok()) << node.status().to_string();
  for (std::uint32_t device = 0; device < kDevices; ++device) {
    if (device == kDevices / 2) {
      node->reset();
      storage.power_cycle();
      node = SimNode::boot(storage, options, clock);
      ASSERT_TRUE(node.ok()) << node.status().to_string();
    }
    submit(**node, device);
  }
  const std::vector<float> model = released(**node);
  ASSERT_EQ(model.size(), kDimension);
  for (std::size_t k = 0; k < kDimension; ++k)
    ASSERT_NEAR(static_cast<double>(model[k]), sum_[k] / kDevices, 1e-6) << k;
  const bool zstd = std::string(GetParam().name).find("Zstd") != std::string::npos;
  EXPECT_EQ(deflated_ > 0, zstd);
}

// Trimming nobody is the mean, by the way of rules that keep the codes of all updates.
constexpr const char* kTrimNone = "rule = 'trimmed_mean'\nf = 0";

INSTANTIATE_TEST_SUITE_P(
    Codecs, CodecRound,
    ::testing::Values(Case{"F32", "codec = 'f32'"}, Case{"I8s", "codec = 'i8s'"},
                      Case{"I4b", "codec = 'i4b'"}, Case{"I4s", "codec = 'i4s'"},
                      Case{"Sign1", "codec = 'sign1'"}, Case{"TopK", "codec = 'topk'\nkeep = 0.1"},
                      Case{"TopKFew", "codec = 'topk'\nkeep = 0.02"},
                      Case{"TopKHalf", "codec = 'topk'\nkeep = 0.5\nbits = 16"},
                      Case{"RandK", "codec = 'randk'\nkeep = 0.25"},
                      Case{"RandKKept", "codec = 'randk'\nkeep = 0.25", kTrimNone},
                      Case{"Eden", "codec = 'eden'\nbits = 3"},
                      Case{"EdenKept", "codec = 'eden'\nbits = 1", kTrimNone},
                      Case{"Hsq", "codec = 'hsq'\nbits = 5"},
                      Case{"HsqKept", "codec = 'hsq'", kTrimNone},
                      Case{"I8sZstd", "codec = 'i8s'\nentropy = 'zstd'"},
                      Case{"I8sZstdKept", "codec = 'i8s'\nentropy = 'zstd'", kTrimNone}),
    [](const auto& instance) { return std::string(instance.param.name); });

}  // namespace
}  // namespace muster::sim
