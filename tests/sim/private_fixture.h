// Private tasks on the simulated server.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "privacy/ledger.h"
#include "tests/sim/fleet.h"

namespace muster::sim {

inline constexpr char kLedger[] = "data/ledgers/people.ledger";

/// A private task: twelve devices make a round.
struct Case {
  const char* name;
  const char* task;     ///< keys of the task
  const char* privacy;  ///< and of [privacy]
  std::uint32_t weights = 1;
};

inline SimOptions options_for(const Case& with, int rounds = 1, const std::string& budget = "900") {
  SimOptions options;
  options.config.data_dir = "data";
  const std::string text =
      std::string("name = \"t\"\ndimension = 1000\ncodec = \"i8b\"\nblock = 64\n") +
      "chunk_coordinates = 384\ntarget_cohort = 12\nminimum_cohort = 12\nover_selection = 1.0\n" +
      "rounds = " + std::to_string(rounds) + "\nmax_weight = " + std::to_string(with.weights) +
      "\n" + with.task + "[privacy]\npopulation = 'people'\nbudget_epsilon = " + budget +
      "\ndelta = 1e-6\n" + with.privacy;
  auto task = server::parse_task(text, "test");
  EXPECT_TRUE(task.ok()) << task.status().to_string();
  if (task.ok()) options.config.tasks.push_back(*task);
  return options;
}

/// Everything on `from`, durable, on another disk.
inline void copy(Storage& from, Storage& to) {
  for (const std::string folder : {"data", "data/spool", "data/models", "data/models/t",
                                   "data/ledgers", "data/noise", "data/noise/t"}) {
    ASSERT_TRUE(to.make_directory(folder).ok());
    ASSERT_TRUE(from.make_directory(folder).ok());
    const auto names = from.list(folder);
    if (!names.ok()) continue;
    for (const std::string& name : *names) {
      const auto bytes = read_file(from, folder + "/" + name, 1 << 24);
      ASSERT_TRUE(bytes.ok()) << bytes.status().to_string();
      ASSERT_TRUE(write_file(to, folder + "/" + name, *bytes).ok());
    }
  }
  for (const char* folder : {".", "data"}) ASSERT_TRUE(to.sync_directory(folder).ok());
}

inline std::size_t charges(Storage& storage) {
  const auto ledger = privacy::read_ledger(storage, kLedger);
  EXPECT_TRUE(ledger.ok()) << ledger.status().to_string();
  return ledger.ok() ? ledger->entries.size() : 0;
}

}  // namespace muster::sim
