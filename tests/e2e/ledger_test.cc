// A real server whose privacy ledger was lost: it does not start, says why and what to do, and goes
// on where the operator has decided.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/e2e/served.h"

namespace muster::e2e {
namespace {

using testing::HasSubstr;

constexpr char kPrivate[] =
    "rule = \"clipped_mean\"\nrounds = 1\ntarget_cohort = 1\n[task.privacy]\nclip_norm = "
    "0.5\nnoise_multiplier = 1\n"
    "population = \"people\"\nbudget_epsilon = 20\ndelta = 1e-6\nparticipations = 1\n"
    "allow_small_cohort = true\n";

std::string text_of(const std::string& file) {
  std::stringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

/// musterd with these arguments, to its end: the exit code, and all it said.
int run_musterd(const std::string& arguments, const std::string& log, std::string* said) {
  std::filesystem::remove(log);
  const int status = std::system(
      (std::string(MUSTER_BIN_DIR) + "/musterd " + arguments + " > " + log + " 2>&1").c_str());
  *said = text_of(log);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(LostLedger, KeepsTheServerFromStartingUntilAnOperatorBeginsAnew) {
  Served served(task("kept", kPrivate, 1));
  ASSERT_TRUE(served.is_up());
  ASSERT_TRUE(served.submit(1, "kept", 0.01f).ok());
  const std::string ledger = served.data() + "/ledgers/people.ledger";
  const auto models = [&] { return served.status()["tasks"][0]["rounds_done"] == 1; };
  ASSERT_TRUE(eventually(models)) << served.status();
  served.process().signal(SIGTERM);
  ASSERT_EQ(served.process().wait(), 0) << text_of(served.log());

  std::filesystem::rename(ledger, served.folder() + "/kept.ledger");
  const std::string log = served.folder() + "/said", config = "--config " + served.config();
  std::string said;
  EXPECT_EQ(run_musterd(config, log, &said), 65) << said;
  EXPECT_THAT(said, HasSubstr("ledger_missing"));
  EXPECT_THAT(said, HasSubstr("people.ledger"));
  EXPECT_THAT(said, HasSubstr("--recover-ledger people --assume-spent"));

  EXPECT_EQ(run_musterd(config + " --recover-ledger people", log, &said), 78) << said;
  EXPECT_THAT(said, HasSubstr("assume_spent_missing"));
  EXPECT_FALSE(std::filesystem::exists(ledger));
  EXPECT_EQ(run_musterd(config + " --recover-ledger strangers --assume-spent", log, &said), 65)
      << said;
  EXPECT_THAT(said, HasSubstr("ledger_unknown"));
  EXPECT_EQ(run_musterd(config + " --recover-ledger people --assume-spent", log, &said), 0) << said;
  EXPECT_TRUE(std::filesystem::exists(ledger));
  // Who reads the audit stream sees that it was asked for, in vain or not.
  std::vector<std::string> asked;
  for (const json& line : Served::lines_of(served.data() + "/audit.log"))
    if (line["action"] == "ledger_recovery") asked.push_back(line["population"]);
  EXPECT_THAT(asked, testing::ElementsAre("strangers", "people"));

  served.start();
  EXPECT_TRUE(served.is_up()) << text_of(served.log());
}

}  // namespace
}  // namespace muster::e2e
