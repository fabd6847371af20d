// A canary's membership guessed from what a server publishes. Every run is a round of a server of
// its own: updates on the wire, spool, ledger, noise, model file, release record. The attacker
// takes the model and the record, and knows every update but whether each canary was in.
//
// The same guesses are made with the noise taken away, in part or whole: this test holds the master
// secret and read the round's own secret before it was wiped, so it can draw the noise again.
#include <gtest/gtest.h>
#include <sodium.h>

#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <random>

#include "base/log.h"
#include "privacy/apply.h"
#include "privacy/keys.h"
#include "server/model_store.h"
#include "tests/privacy/attack.h"
#include "tests/sim/private_fixture.h"

namespace muster::sim {
namespace {

using privacy::Observed;
using privacy::Shown;

constexpr std::size_t kRuns = 200;  ///< of each canary, in each world
constexpr float kLong = 0.1f;       ///< scale of a canary's block: 25 times the clip norm

std::uint64_t test_seed() {
  const char* text = std::getenv("MUSTER_TEST_SEED");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : kSeed;
}

/// The secrets that servers draw, repeatable while this lives: what an attack shows is a matter of
/// luck, and a test that fails once in a hundred runs says nothing.
class SeededSecrets {
 public:
  explicit SeededSecrets(std::uint64_t seed) {
    random().seed(seed);
    static randombytes_implementation seeded = {
        .implementation_name = [] { return "seeded"; },
        .random = [] { return static_cast<std::uint32_t>(random()()); },
        .stir = nullptr,
        .uniform = nullptr,
        .buf =
            [](void* target, std::size_t bytes) {
              auto* const out = static_cast<unsigned char*>(target);
              for (std::size_t i = 0; i < bytes; ++i)
                out[i] = static_cast<unsigned char>(random()());
            },
        .close = nullptr};
    randombytes_set_implementation(&seeded);
  }
  ~SeededSecrets() { randombytes_set_implementation(&randombytes_sysrandom_implementation); }
  SeededSecrets(const SeededSecrets&) = delete;
  SeededSecrets& operator=(const SeededSecrets&) = delete;

 private:
  static std::mt19937_64& random() {
    static std::mt19937_64 generator;
    return generator;
  }
};

/// An update with nothing in it but one coordinate, far longer than the clip norm; or nothing.
SimUpdate one_coordinate(std::uint32_t device, std::optional<std::uint32_t> coordinate) {
  SimUpdate update = random_update(chunk_plan(), kSeed + device);
  const auto plan = chunk_plan();
  for (std::uint32_t c = 0; c < plan.chunk_count; ++c) {
    const std::size_t scales = scale_count(plan.format, plan.coordinates_of(c));
    std::fill(update.chunks[c].begin() + static_cast<std::ptrdiff_t>(4 * scales),
              update.chunks[c].end(), std::byte{0});
    if (c > 0 || !coordinate) continue;
    store(update.chunks[0], 0, kLong);
    update.chunks[0][4 * scales + *coordinate] = std::byte{127};
  }
  return update;
}

struct Release {
  std::vector<double> published;         ///< of each canary, in units of what one device may move
  std::vector<double> noise;             ///< in it
  double epsilon = 0, delta = 0, z = 0;  ///< as the record prints them
};

/// One round of a new server.
Release release_of(const SimOptions& options, privacy::Roles roles, const std::vector<bool>& in) {
  Release out;
  SimulatedStorage storage(1);
  ManualClock clock;
  auto node = SimNode::boot(storage, options, clock);
  EXPECT_TRUE(node.ok()) << node.status().to_string();
  if (!node.ok()) return out;
  const TaskId task = (*node)->task().row().id;
  const auto opened = (*node)->control().latest_round(task).value().value();

  Fleet fleet(1);
  for (std::uint32_t i = 0; i < kDevices; ++i) {
    const std::uint32_t canary = roles.canary_of(i);
    const bool there = !roles.is_canary(i) || in[canary];
    fleet.update(i) = one_coordinate(i, there ? std::optional(canary) : std::nullopt);
  }
  std::mt19937_64 order(1);
  const Status sent = fleet.submit(**node, order);
  EXPECT_TRUE(sent.ok()) << sent.to_string();
  EXPECT_EQ(fleet.receipts(), kDevices);

  // What everybody may read.
  const auto hash = (*node)->model_hash(1);
  EXPECT_TRUE(hash.ok()) << hash.status().to_string();
  if (!hash.ok()) return out;
  server::ModelStore models(storage, "data");
  const auto record = nlohmann::json::parse(models.record("t", 1));
  out.epsilon = record["epsilon"];
  out.delta = record["delta"];
  out.z = record["noise_multiplier"];
  const std::vector<float> model = models.load("t", 1, *hash).value().state.values;
  const double step = record["grid_step"], divisor = record["divisor"], norm = record["clip_norm"];

  // What only this test can.
  const privacy::Secret master = privacy::read_master_secret(storage, "data/master.key").value();
  const auto sealed = (*node)->control().round(task, opened.round).value().value();
  const privacy::Secret key =
      privacy::noise_key(master, {task, opened.round, std::span<const std::byte, 32>(opened.secret),
                                  std::span<const std::byte, 32>(sealed.sealed_hash)})
          .value();
  privacy::NoiseGrid grid;
  grid.log2_sigma = record["log2_noise_steps"];
  std::vector<std::int64_t> noise(model.size());
  privacy::add_noise((*node)->backend(), key, privacy::kReleaseVector, grid, noise.data(),
                     noise.size());
  for (std::uint32_t c = 0; c < in.size(); ++c) {
    out.published.push_back(model[c] * divisor / norm);
    out.noise.push_back(static_cast<double>(noise[c]) * step / norm);
    // Every canary moves its coordinate by the whole bound, and there is nothing but noise else.
    EXPECT_NEAR(out.published[c] - out.noise[c], in[c] ? 1 : 0, 2e-5);
  }
  return out;
}

class ServerCanary : public testing::TestWithParam<std::pair<Case, std::uint32_t>> {};

TEST_P(ServerCanary, IsHiddenInReleasesAndFoundWhereAQuarterOfTheNoiseIsTakenAway) {
  log_setup(LogFormat::kAuto, LogLevel::kError);
  const Case& with = GetParam().first;
  const std::uint32_t trim = GetParam().second;
  const SimOptions options = options_for(with);
  const privacy::Roles roles{trim};
  const std::uint32_t canaries = roles.canaries(kDevices);
  const std::uint64_t seed = test_seed();
  const SeededSecrets secrets(seed);
  privacy::Worlds worlds(seed + 1);

  std::vector<std::pair<std::vector<bool>, Release>> releases;
  for (std::size_t run = 0; run < 2 * kRuns; ++run) {
    std::vector<bool> in = worlds.next(canaries);
    releases.emplace_back(in, release_of(options, roles, in));
    ASSERT_FALSE(HasFailure()) << "seed " << seed << ", run " << run;
  }
  const Release& first = releases.front().second;
  const double mu = 1 / first.z;
  const privacy::Attack attack(mu, kRuns * canaries, first.delta);
  const auto shows = [&](double kept, const char* what) {
    Observed seen;
    for (const auto& [in, release] : releases)
      for (std::uint32_t c = 0; c < canaries; ++c)
        seen.add(release.published[c] - (1 - kept) * release.noise[c], in[c]);
    std::printf("seed %llu, %s, %u canaries, record: epsilon %.3f at %g; %s: %s\n",
                static_cast<unsigned long long>(seed), with.name, canaries, first.epsilon,
                first.delta, what, attack.say(seen.with, seen.without).c_str());
    return attack.shows(seen.with, seen.without);
  };
  for (const auto& [in, release] : releases) EXPECT_EQ(release.epsilon, first.epsilon);

  const Shown released = shows(1, "as released");
  EXPECT_LT(released.epsilon, first.epsilon);
  EXPECT_LT(privacy::gaussian_epsilon(released.mu, first.delta), first.epsilon);
  EXPECT_GT(released.mu, 0.6 * mu) << "an attack that finds nothing proves nothing";
  EXPECT_GT(
      privacy::gaussian_epsilon(shows(0.75, "a quarter of the noise taken away").mu, first.delta),
      first.epsilon);
  EXPECT_GT(privacy::gaussian_epsilon(shows(0.5, "half of it").mu, first.delta), first.epsilon);
  EXPECT_GT(shows(0, "all of it").epsilon, first.epsilon);
}

constexpr char kNoise[] = "noise_multiplier = 1.0\nclip_norm = 0.5\n";

INSTANTIATE_TEST_SUITE_P(
    Rules, ServerCanary,
    testing::Values(std::pair(Case{"Mean", "rule = 'clipped_mean'\n", kNoise}, 0u),
                    std::pair(Case{"Trimmed", "rule = 'trimmed_mean'\nf = 1\n", kNoise}, 1u),
                    std::pair(Case{"Centred", "rule = 'centred_clipping'\n", kNoise}, 0u)),
    [](const auto& instance) { return std::string(instance.param.first.name); });

}  // namespace
}  // namespace muster::sim
