// What /metrics says of a round while its engine stands still, and once no further round opens.
#include <gtest/gtest.h>

#include <functional>

#include "base/log.h"
#include "server/task_metrics.h"
#include "tests/sim/fleet.h"

namespace muster::sim {
namespace {

/// A disk on which a rename takes as long as a test wants.
class SlowDisk final : public Storage {
 public:
  std::function<void(const std::string& to)> on_rename = [](const auto&) {};

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override {
    return disk_.open(path, mode);
  }
  Status rename(const std::string& from, const std::string& to) override {
    on_rename(to);
    return disk_.rename(from, to);
  }
  Status remove(const std::string& path) override { return disk_.remove(path); }
  Status sync_directory(const std::string& directory) override {
    return disk_.sync_directory(directory);
  }
  Status make_directory(const std::string& directory) override {
    return disk_.make_directory(directory);
  }
  Result<std::vector<std::string>> list(const std::string& directory) override {
    return disk_.list(directory);
  }
  bool exists(const std::string& path) override { return disk_.exists(path); }
  Result<std::uint64_t> free_bytes(const std::string& directory) override {
    return disk_.free_bytes(directory);
  }
  Result<std::unique_ptr<File>> lock(const std::string& path) override { return disk_.lock(path); }

 private:
  SimulatedStorage disk_{1};
};

SimOptions one_round() {
  SimOptions options;
  options.config.data_dir = "data";
  const auto task = server::parse_task(
      "name = \"t\"\ndimension = 1000\ncodec = \"i8b\"\nblock = 64\nchunk_coordinates = 384\n"
      "rule = \"mean\"\ntarget_cohort = 12\nminimum_cohort = 12\nover_selection = 1.0\n"
      "rounds = 1\nmax_weight = 4\n",
      "test");
  EXPECT_TRUE(task.ok()) << task.status().to_string();
  options.config.tasks.push_back(*task);
  return options;
}

double age(SimNode& node) { return node.stats().total("muster_round_age_seconds"); }

/// The one state that the metrics show.
std::string state(SimNode& node) {
  std::string shown;
  for (const std::string_view name : server::kRoundStates)
    if (node.stats()
            .gauge("muster_round_state", {{"task", "t"}, {"state", std::string(name)}})
            .value() != 0)
      shown += name;
  return shown;
}

TEST(RoundMetrics, TheAgeNeedsNoTurnOfTheEngine) {
  log_setup(LogFormat::kAuto, LogLevel::kError);
  const SimOptions options = one_round();
  SlowDisk disk;
  ManualClock clock;
  auto booted = SimNode::boot(disk, options, clock);
  ASSERT_TRUE(booted.ok()) << booted.status().to_string();
  SimNode& node = **booted;
  EXPECT_EQ(age(node), 0);
  clock.advance(90 * kSecond);
  EXPECT_EQ(age(node), 90);
  EXPECT_EQ(state(node), "open");

  // The model file of the release: the engine is in the hands of the disk.
  std::vector<std::pair<std::string, double>> seen;
  disk.on_rename = [&](const std::string& to) {
    if (to.find("models/") == std::string::npos) return;
    clock.advance(1000 * kSecond);
    seen.emplace_back(state(node), age(node));
  };
  std::mt19937_64 random(1);
  ASSERT_TRUE(Fleet().submit(node, random).ok());
  ASSERT_FALSE(seen.empty());
  EXPECT_EQ(seen.front(), (std::pair<std::string, double>("releasing", 1090)));

  // No round is left to grow old.
  EXPECT_EQ(state(node), "finished");
  const double last = age(node);
  EXPECT_GE(last, 1090);
  clock.advance(1000 * kSecond);
  ASSERT_TRUE(node.settle().ok());
  EXPECT_EQ(age(node), last);
}

}  // namespace
}  // namespace muster::sim
