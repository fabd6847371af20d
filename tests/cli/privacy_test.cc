#include <gmock/gmock.h>

#include "base/hex.h"
#include "cli_fixture.h"
#include "privacy/ledger.h"

namespace muster::cli {
namespace {

using ::testing::HasSubstr;

const std::vector<std::string> kPlan = {"privacy",          "plan", "--clients", "10000",
                                        "--rounds",         "200",  "--delta",   "1e-6",
                                        "--participations", "10"};

std::vector<std::string> with(std::vector<std::string> words, std::vector<std::string> more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

TEST_F(CliTest, PrivacyPlanMeetsItsTargetAndDrawsIt) {
  const json found = muster_bare(with(kPlan, {"--epsilon", "8", "--json"})).document();
  EXPECT_LE(found["epsilon"], 8);
  EXPECT_GT(found["epsilon"], 7.99);
  EXPECT_EQ(found["tightest_accountant"], "gaussian");
  EXPECT_EQ(found["grid_log2"], 24);
  const Ran text = muster_bare(with(kPlan, {"--noise", "4"}));
  EXPECT_EQ(text.code, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("epsilon 3.74"));  // ten participations at z = 4
  EXPECT_THAT(text.out, HasSubstr("####"));
  const json poisson =
      muster_bare({"privacy", "plan", "--clients", "100000", "--cohort", "1000", "--rounds", "100",
                   "--delta", "1e-6", "--noise", "1", "--sampling", "poisson", "--json"})
          .document();
  EXPECT_NEAR(poisson["tightest_epsilon"], .9542, 1e-3);
  EXPECT_GE(poisson["epsilon"], 1.5);
}

TEST_F(CliTest, PrivacyPlanRefusesHalfAQuestion) {
  EXPECT_EQ(muster_bare(kPlan).code, 2);
  EXPECT_EQ(muster_bare(with(kPlan, {"--epsilon", "1", "--noise", "1"})).code, 2);
  EXPECT_EQ(muster_bare(with(kPlan, {"--epsilon", "1", "--sampling", "poisson"})).code, 2);
}

TEST_F(CliTest, LedgerIsShownVerifiedAndExported) {
  PosixStorage storage;
  privacy::Anchor first, last;
  {
    auto ledger = privacy::Ledger::create(storage, file("a.ledger"), {"watches", 8, 1e-6, {}});
    ASSERT_TRUE(ledger.ok());
    first = (*ledger)->anchor();
    privacy::Charge charge;
    charge.task = "steps";
    charge.round = 1;
    charge.amounts = *privacy::cost({4, {}, privacy::CheckIn{}, 1}, 1000, 20);
    last = (*ledger)->charge(charge)->anchor;
  }
  const std::string anchor = std::to_string(last.bytes) + ":" + hex(last.head);
  const Ran shown = muster_bare({"ledger", "show", file("a.ledger")});
  EXPECT_EQ(shown.code, 0) << shown.err;
  for (const char* part : {"watches", "steps", "1.06", anchor.c_str()})
    EXPECT_THAT(shown.out, HasSubstr(part));
  EXPECT_EQ(muster_bare({"ledger", "verify", file("a.ledger"), "--anchor", anchor}).code, 0);
  EXPECT_EQ(muster_bare({"ledger", "export", file("a.ledger")}).document()["charges"].size(), 1u);
  std::string bytes = read(file("a.ledger"));
  bytes.resize(first.bytes);
  write("old.ledger", bytes);
  const Ran old = muster_bare({"ledger", "verify", file("old.ledger"), "--anchor", anchor});
  EXPECT_EQ(old.code, 65);
  EXPECT_EQ(old.err, "error: " + file("old.ledger") + ": the privacy ledger has " +
                         std::to_string(first.bytes) + " bytes and had " +
                         std::to_string(last.bytes) +
                         ": it was cut, or an older copy was put in its place; restore the newest "
                         "copy [ledger_rolled_back]\n");
  bytes = read(file("a.ledger"));
  bytes.back() ^= 1;
  write("bad.ledger", bytes);
  const Ran bad = muster_bare({"ledger", "verify", file("bad.ledger")});
  EXPECT_EQ(bad.code, 65);
  EXPECT_EQ(bad.err, "error: " + file("bad.ledger") +
                         ": record 1 of the privacy ledger does not continue the chain; restore an "
                         "undamaged copy [ledger_corrupt]\n");
  const Ran none = muster_bare({"ledger", "verify", file("none")});
  EXPECT_EQ(none.code, 66);
  EXPECT_EQ(none.err, "error: " + file("none") +
                          ": there is no privacy ledger, and what was spent must not be forgotten; "
                          "restore the newest copy [ledger_missing]\n");
}

}  // namespace
}  // namespace muster::cli
