#include <gmock/gmock.h>

#include "cli/exit_code.h"
#include "cli_fixture.h"

namespace muster::cli {
namespace {

using ::testing::HasSubstr;

std::size_t widest_line(const std::string& text) {
  std::istringstream lines(text);
  std::size_t widest = 0;
  for (std::string line; std::getline(lines, line);) widest = std::max(widest, line.size());
  return widest;
}

/// The words that reach `app` and every command below it.
void collect(const CLI::App& app, std::vector<std::string> words,
             std::vector<std::vector<std::string>>& all) {
  all.push_back(words);
  for (const CLI::App* child : app.get_subcommands([](const CLI::App*) { return true; })) {
    auto longer = words;
    longer.push_back(child->get_name());
    collect(*child, longer, all);
  }
}

TEST_F(CliTest, HelpOfEveryCommandFits80ColumnsAndHasAnExample) {
  std::ostringstream ignored;
  Session session({ignored, ignored, "", false});
  std::vector<std::vector<std::string>> commands;
  collect(*build_app(session), {}, commands);
  EXPECT_GE(commands.size(), 20U);
  for (auto words : commands) {
    words.emplace_back("--help");
    const Ran ran = muster_bare(words);
    const std::string name = ::testing::PrintToString(words);
    EXPECT_EQ(ran.code, 0) << name;
    EXPECT_LE(widest_line(ran.out), 80U) << name << "\n" << ran.out;
    EXPECT_THAT(ran.out, HasSubstr("Example")) << name;
    EXPECT_THAT(ran.out, HasSubstr("  muster ")) << name;
    EXPECT_EQ(ran.err, "") << name;
  }
}

TEST_F(CliTest, PrintsItsVersion) {
  EXPECT_EQ(muster_bare({"--version"}).out, "muster " MUSTER_VERSION "\n");
}

TEST_F(CliTest, UsageErrorsAre2AndGoToStderr) {
  for (const std::vector<std::string>& words : {std::vector<std::string>{},
                                                {"keys"},
                                                {"nonsense"},
                                                {"task", "show"},
                                                {"status", "--odd"}}) {
    const Ran ran = muster(words);
    EXPECT_EQ(ran.code, 2) << ::testing::PrintToString(words);
    EXPECT_EQ(ran.out, "");
    EXPECT_NE(ran.err, "");
  }
}

TEST_F(CliTest, ConnectionRefusedIs69WithARemedy) {
  const std::string absent = file("nobody.sock");
  const Ran text = muster_bare({"--socket", absent, "status"});
  EXPECT_EQ(text.code, 69);
  EXPECT_THAT(text.err, HasSubstr("no server answers at " + absent));
  EXPECT_THAT(text.err, HasSubstr("Start musterd"));
  const Ran ran = muster_bare({"status", "--json", "--socket", absent});
  EXPECT_EQ(ran.code, 69);
  EXPECT_EQ(ran.document()["error"]["code"], "server_unreachable");
  EXPECT_THAT(ran.document()["error"]["remedy"].get<std::string>(), HasSubstr("Start musterd"));
}

TEST_F(CliTest, TakesTheSocketFromTheEnvironment) {
  answer("GET /v1/tasks", {{"tasks", json::array()}});
  ::setenv("MUSTER_SOCKET", file("admin.sock").c_str(), 1);
  const Ran found = muster_bare({"task", "ls"});
  ::unsetenv("MUSTER_SOCKET");
  EXPECT_EQ(found.code, 0) << found.err;
}

TEST_F(CliTest, ServerErrorsKeepCodeMessageAndRemedy) {
  answer_error("GET /v1/tasks", 409, "round_closed");
  const Ran text = muster({"task", "ls"});
  EXPECT_EQ(text.code, 1);
  EXPECT_EQ(text.out, "");
  EXPECT_EQ(text.err, "error: it failed [round_closed]\n  do better\n");
  EXPECT_EQ(
      muster({"task", "ls", "--json"}).document(),
      json({{"schema", 1},
            {"error",
             {{"code", "round_closed"}, {"message", "it failed"}, {"remedy", "do better"}}}}));
}

TEST_F(CliTest, ExitCodesFollowTheServersStatus) {
  const std::map<int, int> expected{
      {400, kExitData},      {403, kExitPermission}, {404, kExitFailure},
      {409, kExitFailure},   {410, kExitFailure},    {413, kExitData},
      {429, kExitTemporary}, {500, kExitInternal},   {503, kExitUnavailable}};
  for (const auto& [status, code] : expected) {
    answer_error("GET /v1/tasks", status, "some_code");
    EXPECT_EQ(muster({"task", "ls"}).code, code) << status;
  }
}

TEST_F(CliTest, AnswersThatAreNotMustersAre70) {
  answer("GET /v1/tasks", json::array({1}));
  EXPECT_EQ(muster({"task", "ls"}).code, kExitInternal);
  answer("GET /v1/tasks", {{"odd", true}}, 500);
  EXPECT_EQ(muster({"task", "ls"}).code, kExitInternal);
}

TEST_F(CliTest, AnswersWithOddTypesAreAFailureNotACrash) {
  for (const json& tasks : {json("none"), json({1, 2}), json()}) {
    answer("GET /v1/tasks", {{"tasks", tasks}});
    EXPECT_EQ(muster({"task", "ls"}).code, kExitInternal) << tasks;
  }
  answer("GET /v1/keys", {{"keys", {{{"revoked", "perhaps"}}}}});
  EXPECT_EQ(muster({"keys", "ls"}).code, kExitInternal);
}

}  // namespace
}  // namespace muster::cli
