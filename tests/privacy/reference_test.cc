// Against dp-accounting on 200 random configurations (tests/privacy/reference says what coincides).
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <sstream>

#include "privacy/accountant.h"

namespace muster::privacy {
namespace {

struct Row {
  std::string kind;
  double noise_multiplier = 0, q = 0, delta = 0, epsilon = 0;
  std::uint64_t rounds = 0, population = 0, cohort = 0;
};

std::vector<Row> read_rows() {
  std::ifstream file(MUSTER_SOURCE_DIR "/tests/privacy/reference/configurations.csv");
  std::vector<Row> rows;
  std::string line;
  std::getline(file, line);
  EXPECT_EQ(line, "kind,noise_multiplier,rounds,q,population,cohort,delta,epsilon");
  while (std::getline(file, line)) {
    std::replace(line.begin(), line.end(), ',', ' ');
    std::istringstream fields(line);
    Row row;
    fields >> row.kind >> row.noise_multiplier >> row.rounds >> row.q >> row.population >>
        row.cohort >> row.delta >> row.epsilon;
    EXPECT_TRUE(fields) << line;
    rows.push_back(row);
  }
  return rows;
}

/// The same run and accountant in our words.
std::pair<Schedule, Accountant> ours(const Row& row) {
  Schedule run{row.noise_multiplier, Adjacency::kAddRemove, CheckIn{}, row.rounds};
  if (row.kind == "gaussian" || row.kind == "rdp") {
    run.sampling = CheckIn{{static_cast<std::uint32_t>(row.rounds), 1}};
    return {run, row.kind == "rdp" ? Accountant::kRdp : Accountant::kGaussian};
  }
  if (row.kind == "tree") {
    run.sampling = Tree{{}, row.population};
    run.rounds *= row.population;
    return {run, Accountant::kRdp};
  }
  if (row.kind == "fixed") {
    run.adjacency = Adjacency::kReplaceOne;
    run.sampling = FixedSize{row.population, row.cohort};
    return {run, Accountant::kRdp};
  }
  run.sampling = Poisson{row.q, row.population, row.cohort};
  if (row.kind == "replace") run.adjacency = Adjacency::kReplaceOne;
  return {run, row.kind == "poisson" ? Accountant::kRdp : Accountant::kPld};
}

TEST(Reference, TwoHundredConfigurationsAreNeverBelowAndHardlyAbove) {
  const auto rows = read_rows();
  ASSERT_EQ(rows.size(), 200u);
  std::map<std::string, double> lowest, highest;
  for (const Row& row : rows) {
    const auto [run, accountant] = ours(row);
    const auto found = epsilon(run, row.delta, accountant);
    ASSERT_TRUE(found.ok()) << row.kind << ' ' << found.status().to_string();
    std::ostringstream what;
    what << row.kind << " z " << row.noise_multiplier << " rounds " << row.rounds << " q " << row.q
         << " of " << row.population << " at most " << row.cohort << " delta " << row.delta << ": "
         << *found << " against " << row.epsilon;
    // Where the reference says 0 to rounding, so do we.
    EXPECT_GE(*found, row.epsilon * (1 - 1e-6) - 1e-12) << what.str();
    EXPECT_LE(*found, row.epsilon * 1.01 + 1e-12) << what.str();
    if (row.epsilon == 0) continue;
    const double ratio = *found / row.epsilon - 1;
    lowest[row.kind] = std::min(lowest.contains(row.kind) ? lowest[row.kind] : 1, ratio);
    highest[row.kind] = std::max(highest[row.kind], ratio);
  }
  for (const auto& [kind, low] : lowest)
    std::printf("%-9s from %+.1e to %+.1e of the reference\n", kind.c_str(), low, highest[kind]);
}

}  // namespace
}  // namespace muster::privacy
