#include "tests/cuda_server/round.h"

#include <sodium.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "base/check.h"
#include "base/log.h"
#include "client/client.h"

namespace muster::sim {
namespace {

constexpr std::uint64_t kSeed = 20'261'129;
/// In which every chunk finds a slot.
constexpr int kPasses = 50;

// Secrets drawn from a seed: what depends on the round's secret (ties, sketches, rotations, noise)
// is then the same in every node of a test.
std::mt19937_64 secrets;
std::uint32_t next_word() { return static_cast<std::uint32_t>(secrets()); }
void fill(void* target, std::size_t bytes) {
  auto* const out = static_cast<unsigned char*>(target);
  for (std::size_t i = 0; i < bytes; ++i) out[i] = static_cast<unsigned char>(secrets());
}
const char* name() { return "of a test"; }

std::vector<float> delta_of(std::uint64_t dimension, std::uint32_t device, RoundNumber round) {
  std::mt19937_64 random(kSeed + 1000 * round + device);
  std::normal_distribution<float> normal(0.01f, 0.02f);
  std::vector<float> delta(dimension);
  for (float& x : delta) x = normal(random);
  return delta;
}

/// What the first device is told that still has something to do.
std::optional<wire::Assignment> check_in(SimNode& node, std::uint32_t devices) {
  for (std::uint32_t device = 0; device < devices; ++device) {
    wire::Message message;
    message.body = wire::CheckIn{"t", 0};
    const auto answer = node.send(device, message);
    if (answer && std::holds_alternative<wire::Assignment>(answer->message.body))
      return std::get<wire::Assignment>(answer->message.body);
  }
  return std::nullopt;
}

}  // namespace

void seed_secrets(std::uint64_t seed) {
  static randombytes_implementation source{name, next_word, nullptr, nullptr, fill, nullptr};
  MUSTER_CHECK(sodium_init() >= 0);  // draws, the first time
  secrets.seed(seed);
  randombytes_set_implementation(&source);
}

SimOptions options_of(const Work& work, const std::string& backend, unsigned rounds) {
  SimOptions options;
  options.backend = backend;
  options.slots = 24;
  options.config.data_dir = "data";
  std::string text = "name = \"t\"\ndimension = " + std::to_string(work.dimension) +
                     "\nchunk_coordinates = " + std::to_string(work.chunk) + "\nblock = 64\n" +
                     work.lines + "\ntarget_cohort = " + std::to_string(work.devices) +
                     "\nminimum_cohort = " + std::to_string(work.devices) +
                     "\nover_selection = 1.0\nmax_weight = " + std::to_string(work.max_weight) +
                     "\nrounds = " + std::to_string(rounds) + "\n";
  if (work.privacy != nullptr)
    text +=
        "[privacy]\npopulation = 'people'\nbudget_epsilon = 900\ndelta = 1e-6\n"
        "participations = " +
        std::to_string(rounds) + "\nallow_small_cohort = true\n" + work.privacy + "\n";
  auto task = server::parse_task(text, "test");
  EXPECT_TRUE(task.ok()) << task.status().to_string();
  if (task.ok()) options.config.tasks.push_back(*task);
  return options;
}

Status play(SimNode& node, std::uint64_t seed) {
  const server::TaskConfig& task = node.task().config();
  const std::uint32_t devices = task.target_cohort;
  std::mt19937_64 random(seed);
  for (;;) {
    const std::optional<wire::Assignment> got = check_in(node, devices);
    if (!got) return {};  // the task has made all its rounds
    const wire::Assignment& assignment = *got;
    const std::uint64_t before = node.task().status().rounds_done;
    std::vector<std::pair<std::uint32_t, std::uint32_t>> order;
    std::vector<SimUpdate> updates(devices);
    for (std::uint32_t device = 0; device < devices; ++device) {
      MUSTER_ASSIGN(
          auto encoded,
          client::encode(assignment, delta_of(assignment.dimension, device, assignment.round),
                         device + 1));
      updates[device].nonce = 1 + device + 100 * assignment.round;
      updates[device].chunks = std::move(encoded.chunks);
      for (std::uint32_t chunk = 0; chunk < updates[device].chunks.size(); ++chunk)
        order.emplace_back(device, chunk);
    }
    std::shuffle(order.begin(), order.end(), random);
    const auto commit = [&]() -> Status {
      MUSTER_ASSIGN([[maybe_unused]] const auto replies, node.commit());
      return node.settle();
    };
    // Where the slots are all on their way, a chunk is refused and sent again.
    const auto ended = [&] { return node.task().status().rounds_done != before; };
    for (int pass = 0; pass < kPasses && !ended(); ++pass) {
      for (const auto& [device, chunk] : order) {
        [[maybe_unused]] const auto reply = node.send(
            device,
            submit_message(assignment, updates[device], chunk, 1 + device % task.max_weight),
            updates[device].chunks[chunk]);
        if (random() % 3 == 0) MUSTER_TRY(commit());
        if (ended()) break;
      }
      MUSTER_TRY(commit());
    }
    if (!ended())
      return Status(Code::kInternal, "round_stays_open", "every device sent, and yet it is open");
  }
}

Sha256 release_of(SimNode& node, unsigned rounds) {
  const auto hash = node.model_hash(rounds);
  EXPECT_TRUE(hash.ok()) << hash.status().to_string();
  return hash.ok() ? *hash : Sha256{};
}

Sha256 undisturbed_release(const SimOptions& options, std::uint64_t seed, unsigned rounds) {
  log_setup(LogFormat::kAuto, LogLevel::kError);
  seed_secrets(kSeed);
  SimulatedStorage storage(1);
  ManualClock clock;
  auto node = SimNode::boot(storage, options, clock);
  EXPECT_TRUE(node.ok()) << node.status().to_string();
  if (!node.ok()) return {};
  const Status status = play(**node, seed);
  EXPECT_TRUE(status.ok()) << status.to_string();
  return release_of(**node, rounds);
}

}  // namespace muster::sim
