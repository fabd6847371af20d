#include <gmock/gmock.h>
#include <sys/stat.h>

#include "base/metrics.h"
#include "cli/key_file.h"
#include "cli_fixture.h"

namespace muster::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const std::string kKey = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";
const std::string kDashKey = "-q:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";
const std::string kListKey = "[q:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8.yf]";

json keyboard() {
  return {{"id", 1},           {"name", "keyboard"}, {"rule", "krum"},
          {"state", "open"},   {"round", 12},        {"cohort", 73},
          {"target", 100},     {"minimum", 10},      {"model_version", 11},
          {"rounds_done", 11}, {"dimension", 52650}, {"codec", "i8b"}};
}

json round_12() {
  return {{"round", 12},
          {"state", "released"},
          {"model_version", 11},
          {"cohort", 100},
          {"n", 98},
          {"f", 20},
          {"invalid", 2},
          {"seconds", 1.234567},
          {"model_sha256", "ab12"},
          {"opened_ms", 1'764'000'000'000},
          {"closed_ms", 1'764'000'001'234},
          {"record", {{"divisor", 98}}}};
}

TEST_F(CliTest, StatusShowsServerAndTasks) {
  answer("GET /v1/status", {{"version", "0.1.0"},
                            {"backend", "cpu (avx2)"},
                            {"server_key", kKey},
                            {"endpoints", {"tcp://127.0.0.1:7400"}},
                            {"metrics", "127.0.0.1:9400"},
                            {"data_dir", "/data"},
                            {"ready", true},
                            {"tasks", {keyboard()}}});
  const Ran text = muster({"status"});
  EXPECT_EQ(text.code, 0);
  for (const char* part : {"muster 0.1.0, ready", "cpu (avx2)", "tcp://127.0.0.1:7400",
                           "http://127.0.0.1:9400/status", "keyboard", "krum", "73"})
    EXPECT_THAT(text.out, HasSubstr(part));
  EXPECT_THAT(text.out, HasSubstr(kKey));
  EXPECT_EQ(text.err, "");
  const json document = muster({"status", "--json"}).document();
  EXPECT_EQ(document["schema"], 1);
  EXPECT_EQ(document["tasks"][0]["name"], "keyboard");
}

TEST_F(CliTest, TaskCreateSendsTheFileAndTheAbsoluteModel) {
  answer("POST /v1/tasks", keyboard());
  const std::string path = write("keyboard.toml", "name = \"keyboard\"\n");
  const Ran text = muster({"task", "create", path, "--model", "start.safetensors"});
  EXPECT_EQ(text.code, 0);
  EXPECT_EQ(text.out, "created task keyboard (krum, 52650 coordinates)\n");
  const json sent = bodies("POST /v1/tasks").at(0);
  EXPECT_EQ(sent["toml"], "name = \"keyboard\"\n");
  EXPECT_EQ(sent["file"], path);
  EXPECT_TRUE(sent["model"].get<std::string>().starts_with("/"));
  EXPECT_EQ(muster({"--json", "task", "create", path}).document()["name"], "keyboard");
  EXPECT_EQ(bodies("POST /v1/tasks").at(1)["model"], "");
}

TEST_F(CliTest, TaskCreatePassesEveryConfigurationErrorOnWith78) {
  answer("POST /v1/tasks",
         {{"error", {{"code", "config_invalid"}, {"message", "t.toml:1:1: one\nt.toml:2:1: two"}}}},
         400);
  const Ran text = muster({"task", "create", write("t.toml", "x")});
  EXPECT_EQ(text.code, 78);
  EXPECT_EQ(text.out, "");
  EXPECT_THAT(text.err, HasSubstr("t.toml:1:1: one"));
  EXPECT_THAT(text.err, HasSubstr("t.toml:2:1: two"));
}

TEST_F(CliTest, TaskCreateWithoutItsFileIs66) {
  EXPECT_EQ(muster({"task", "create", file("absent.toml")}).code, 66);
}

TEST_F(CliTest, TaskLsAlignsItsTable) {
  json wide = keyboard();
  wide["name"] = "a-much-longer-name";
  answer("GET /v1/tasks", {{"tasks", {keyboard(), wide}}});
  const Ran text = muster({"task", "ls"});
  EXPECT_EQ(text.code, 0);
  std::istringstream lines(text.out);
  std::vector<std::size_t> columns;
  for (std::string line; std::getline(lines, line);)
    columns.push_back(std::min(line.find("krum"), line.find("RULE")));
  EXPECT_EQ(columns, std::vector<std::size_t>(3, columns.at(0)));
  EXPECT_EQ(muster({"task", "ls", "--json"}).document()["tasks"].size(), 2U);
}

TEST_F(CliTest, TaskShowPrintsPlanAndConfiguration) {
  json task = keyboard();
  task["plan"] = "peak 12 MiB";
  task["terms"] = "beef";
  task["toml"] = "rule = \"krum\"";
  answer("GET /v1/tasks/keyboard", task);
  const Ran text = muster({"task", "show", "keyboard"});
  EXPECT_EQ(text.code, 0);
  for (const char* part : {"peak 12 MiB", "beef", "rule = \"krum\"", "73 of 100 (minimum 10)"})
    EXPECT_THAT(text.out, HasSubstr(part));
  EXPECT_EQ(muster({"task", "show", "keyboard", "--json"}).document()["terms"], "beef");
}

TEST_F(CliTest, TaskNamesCannotReachOtherPaths) {
  EXPECT_EQ(muster({"task", "show", "../keys?x=1"}).code, 1);
  EXPECT_EQ(queries("GET /v1/keys").size(), 0U);
  EXPECT_EQ(queries("GET /v1/tasks/../keys?x=1").size(), 1U);
}

TEST_F(CliTest, RoundLsPassesTheLimit) {
  answer("GET /v1/tasks/keyboard/rounds", {{"rounds", {round_12()}}});
  const Ran text = muster({"round", "ls", "keyboard", "--limit", "5"});
  EXPECT_EQ(text.code, 0);
  for (const char* part : {"12", "released", "98", "1.235", "2025-11-24 16:00:00Z"})
    EXPECT_THAT(text.out, HasSubstr(part));
  EXPECT_EQ(queries("GET /v1/tasks/keyboard/rounds").at(0).at("limit"), "5");
  EXPECT_EQ(muster({"round", "ls", "keyboard", "--json"}).document()["rounds"][0]["n"], 98);
}

TEST_F(CliTest, RoundShowPrintsTheRecord) {
  answer("GET /v1/tasks/keyboard/rounds/12", round_12());
  const Ran text = muster({"round", "show", "keyboard", "12"});
  EXPECT_EQ(text.code, 0);
  EXPECT_THAT(text.out, HasSubstr("\"divisor\": 98"));
  EXPECT_EQ(muster({"round", "show", "keyboard", "12", "--json"}).document()["f"], 20);
}

TEST_F(CliTest, RoundCloseTakesTheOpenOneOrANumber) {
  const json closed{{"task", "keyboard"}, {"round", 12}, {"state", "sealed"}};
  answer("POST /v1/tasks/keyboard/rounds/current/close", closed);
  answer("POST /v1/tasks/keyboard/rounds/12/close", closed);
  EXPECT_EQ(muster({"round", "close", "keyboard"}).out, "round 12 of keyboard is sealed\n");
  EXPECT_EQ(muster({"round", "close", "keyboard", "12", "--json"}).document()["state"], "sealed");
}

TEST_F(CliTest, RoundNumbersAreNumbers) {
  EXPECT_EQ(muster({"round", "close", "keyboard", "last"}).code, 2);
  EXPECT_EQ(muster({"round", "show", "keyboard", "-1"}).code, 2);
  EXPECT_EQ(muster({"round", "ls", "keyboard", "--limit", "0"}).code, 2);
}

TEST_F(CliTest, ModelExportCopiesTheFile) {
  const std::string stored = write("stored", "tensors");
  answer("GET /v1/tasks/keyboard/model",
         {{"version", 12}, {"sha256", "ab12"}, {"file", stored}, {"dimension", 1}});
  const Ran text = muster({"model", "export", "keyboard", "--version", "12", "--out", file("out")});
  EXPECT_EQ(text.code, 0) << text.err;
  EXPECT_EQ(read(file("out")), "tensors");
  EXPECT_THAT(text.out, HasSubstr("version 12, sha256 ab12"));
  EXPECT_EQ(queries("GET /v1/tasks/keyboard/model").at(0).at("version"), "12");
  const json document =
      muster({"model", "export", "keyboard", "--out", file("out2"), "--json"}).document();
  EXPECT_EQ(document["out"], file("out2"));
  EXPECT_EQ(queries("GET /v1/tasks/keyboard/model").at(1).count("version"), 0U);
}

TEST_F(CliTest, ModelExportReplacesOnlyWhenForced) {
  answer("GET /v1/tasks/keyboard/model",
         {{"version", 12}, {"sha256", "ab12"}, {"file", write("stored", "tensors")}});
  write("out", "precious");
  EXPECT_EQ(muster({"model", "export", "keyboard", "--out", file("out")}).code, 73);
  EXPECT_EQ(read(file("out")), "precious");
  EXPECT_EQ(muster({"model", "export", "keyboard", "--out", file("out"), "--force"}).code, 0);
  EXPECT_EQ(read(file("out")), "tensors");
  EXPECT_EQ(muster({"model", "export", "keyboard", "--out", file("no/such/dir")}).code, 73);
}

TEST_F(CliTest, ModelExportOfAnUnreadableFileIs77) {
  answer("GET /v1/tasks/keyboard/model", {{"version", 12}, {"file", file("absent")}});
  EXPECT_EQ(muster({"model", "export", "keyboard", "--out", file("out")}).code, 77);
}

TEST_F(CliTest, ModelImportNamesTheAbsoluteFile) {
  answer("POST /v1/tasks/keyboard/model", {{"version", 13}, {"sha256", "cd34"}});
  const std::string path = write("in", "tensors");
  EXPECT_THAT(muster({"model", "import", "keyboard", path}).out, HasSubstr("as version 13"));
  EXPECT_EQ(bodies("POST /v1/tasks/keyboard/model").at(0)["file"], path);
  EXPECT_EQ(muster({"model", "import", "keyboard", path, "--json"}).document()["version"], 13);
  EXPECT_EQ(muster({"model", "import", "keyboard", file("absent")}).code, 66);
}

TEST_F(CliTest, KeysNewWritesFilesThatOnlyTheOwnerReads) {
  const Ran text = muster_bare({"keys", "new", "--out", file("phone")});
  EXPECT_EQ(text.code, 0) << text.err;
  struct stat found {};
  ASSERT_EQ(::stat(file("phone.key").c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0600U);
  const auto identity = read_key_file(file("phone.key"));
  ASSERT_TRUE(identity.ok()) << identity.status().to_string();
  EXPECT_EQ(text.out, identity->public_key + "\n");
  EXPECT_EQ(read(file("phone.pub")), text.out);
  EXPECT_THAT(text.out + text.err, Not(HasSubstr(identity->secret_key)));
  EXPECT_EQ(muster_bare({"keys", "new", "--out", file("phone")}).code, 73) << "overwrites a key";
  EXPECT_EQ(read_key_file(file("phone.key"))->secret_key, identity->secret_key);
}

TEST_F(CliTest, KeysMasterMakesASecretForItsOwnerAloneAndNeverTwice) {
  const Ran made = muster_bare({"keys", "master", file("master.key")});
  EXPECT_EQ(made.code, 0) << made.err;
  struct stat found {};
  ASSERT_EQ(::stat(file("master.key").c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0600U);
  EXPECT_EQ(read(file("master.key")).size(), 65u);
  const Ran again = muster_bare({"keys", "master", file("master.key")});
  EXPECT_NE(again.code, 0);
  EXPECT_THAT(again.err, HasSubstr("master_secret_exists"));
}

TEST_F(CliTest, KeysNewPrintsAPairThatIsAKeyFile) {
  const Ran text = muster_bare({"keys", "new"});
  EXPECT_TRUE(read_key_file(write("printed.key", text.out)).ok()) << text.out;
  const json document = muster_bare({"keys", "new", "--json"}).document();
  EXPECT_TRUE(is_key(document["public"].get<std::string>()));
  EXPECT_TRUE(is_key(document["secret"].get<std::string>()));
}

TEST_F(CliTest, KeysEnrollSendsRoleAndLabel) {
  answer("POST /v1/keys", {{"enrolled", 3}});
  const Ran text = muster(
      {"keys", "enroll", kKey, kDashKey, kListKey, "--role", "gateway", "--label", "ward 7"});
  EXPECT_EQ(text.code, 0) << text.err;
  EXPECT_EQ(text.out, "enrolled 3 keys\n");
  const json sent = bodies("POST /v1/keys").at(0)["keys"];
  ASSERT_EQ(sent.size(), 3U);
  EXPECT_EQ(sent[0], json({{"key", kKey}, {"role", "gateway"}, {"label", "ward 7"}}));
  EXPECT_EQ(sent[1]["key"], kDashKey);
  EXPECT_EQ(sent[2]["key"], kListKey);
}

TEST_F(CliTest, KeysEnrollReadsAListInBatches) {
  answer("POST /v1/keys", {{"enrolled", 2000}});
  std::string list = "# a fleet\n\n" + kKey + " first phone\r\n";
  for (int i = 1; i < 8000; ++i) list += kKey + "\n";
  const Ran ran = muster({"keys", "enroll", "--file", write("fleet", list), "--json"});
  EXPECT_EQ(ran.document()["enrolled"], 4000);
  const auto sent = bodies("POST /v1/keys");
  ASSERT_EQ(sent.size(), 2U);
  EXPECT_EQ(sent[0]["keys"].size() + sent[1]["keys"].size(), 8000U);
  EXPECT_EQ(sent[0]["keys"][0]["label"], "first phone");
  EXPECT_EQ(sent[0]["keys"][1]["label"], "");
}

TEST_F(CliTest, KeysEnrollNamesTheBadLine) {
  const Ran ran = muster({"keys", "enroll", "--file", write("fleet", kKey + "\nshort\n")});
  EXPECT_EQ(ran.code, 65);
  EXPECT_THAT(ran.err, HasSubstr("fleet:2: a key has 40 characters"));
  EXPECT_EQ(muster({"keys", "enroll"}).code, 2);
  EXPECT_EQ(muster({"keys", "enroll", kKey, "--role", "king"}).code, 2);
}

TEST_F(CliTest, KeysRevokeSendsTheKey) {
  answer("POST /v1/keys/revoke", {{"revoked", true}});
  EXPECT_EQ(muster({"keys", "revoke", kDashKey}).out, "revoked " + kDashKey + "\n");
  EXPECT_EQ(bodies("POST /v1/keys/revoke").at(0)["key"], kDashKey);
  EXPECT_EQ(muster({"keys", "revoke", kKey, "--json"}).document()["revoked"], true);
}

TEST_F(CliTest, KeysLsCannotSteerTheTerminal) {
  answer("GET /v1/keys", {{"keys",
                           {{{"key", kKey},
                             {"role", "device"},
                             {"revoked", true},
                             {"label", "evil\x1b[2J"},
                             {"enrolled_ms", 1'764'000'000'000}}}}});
  const Ran text = muster({"keys", "ls"});
  EXPECT_EQ(text.code, 0);
  EXPECT_THAT(text.out, HasSubstr("revoked"));
  EXPECT_THAT(text.out, HasSubstr("evil?[2J"));
  EXPECT_EQ(muster({"keys", "ls", "--json"}).document()["keys"][0]["label"], "evil\x1b[2J");
}

TEST_F(CliTest, MetricsListPrintsTheCatalogueWithoutAServer) {
  const Ran text = muster_bare({"metrics", "--list"});
  EXPECT_EQ(text.code, 0);
  const json metrics = muster_bare({"metrics", "--list", "--json"}).document()["metrics"];
  EXPECT_EQ(metrics.size(), metric_catalogue().size());
  std::map<std::string, json> by_name;
  for (const json& metric : metrics) {
    by_name[metric["name"]] = metric;
    EXPECT_THAT(text.out, HasSubstr(metric["name"].get<std::string>() + " "));
    EXPECT_THAT(text.out, HasSubstr(metric["meaning"].get<std::string>()));
  }
  const json rounds = by_name.at("muster_rounds_total");
  EXPECT_EQ(rounds["type"], "counter");
  EXPECT_EQ(rounds["unit"], "rounds");
  EXPECT_EQ(rounds["since"], "0.1.0");
  EXPECT_EQ(rounds["labels"][0], json({{"name", "task"}, {"at_most", 32}}));
  EXPECT_EQ(rounds["labels"][1]["values"], json({"released", "abandoned", "aborted"}));
  EXPECT_EQ(by_name.at("muster_update_norm")["data_dependent"], true);
}

TEST_F(CliTest, TheMetricsPageIsUpToDate) {
  EXPECT_EQ(read(MUSTER_SOURCE_DIR "/docs/metrics.md"), muster_bare({"metrics", "--markdown"}).out)
      << "build/cpu/bin/muster metrics --markdown > docs/metrics.md mends this.";
}

TEST_F(CliTest, MetricsPrintsAScrape) {
  const std::string text =
      "# HELP muster_a_total A.\n# TYPE muster_a_total counter\n"
      "muster_a_total{reason=\"a \\\"b\\\", {c}\",task=\"t\"} 3\nmuster_b +Inf\n";
  monitoring::HttpOptions options;
  options.listen = "127.0.0.1:0";
  const auto metrics = monitoring::HttpServer::start(options, [&](const auto& request) {
    return monitoring::HttpResponse{request.path == "/metrics" ? 200 : 404, "text/plain", text};
  });
  ASSERT_TRUE(metrics.ok());
  answer("GET /v1/status", {{"metrics", metrics.value()->address()}});
  EXPECT_EQ(muster({"metrics"}).out, text);
  const json samples = muster({"metrics", "--json"}).document()["samples"];
  EXPECT_EQ(samples[0], json({{"name", "muster_a_total"},
                              {"labels", {{"reason", "a \"b\", {c}"}, {"task", "t"}}},
                              {"value", 3.0}}));
  EXPECT_EQ(samples[1], json({{"name", "muster_b"}, {"value", "+Inf"}}));
}

TEST_F(CliTest, SpoolVerifyPassesTheServersVerdictOn) {
  const std::string program = write("musterd", "#!/bin/sh\necho \"$@\"\nexit 65\n");
  std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  const Ran text = muster_bare({"spool", "verify", "--config", "a.toml", "--data-dir", "d"});
  EXPECT_EQ(text.code, 65);
  EXPECT_EQ(text.out, "");
  EXPECT_EQ(text.err, "--verify-spool --config a.toml --data-dir d\n");
  EXPECT_EQ(muster_bare({"spool", "verify", "--json"}).document()["sound"], false);
}

TEST_F(CliTest, CheckConfigPassesTheServersVerdictOn) {
  const std::string program =
      write("musterd", "#!/bin/sh\necho \"$1 $2 is odd\"\necho twice >&2\nexit 78\n");
  std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  const Ran text = muster_bare({"check-config", "muster.toml"});
  EXPECT_EQ(text.code, 78);
  EXPECT_EQ(text.out, "");
  EXPECT_EQ(text.err, "--check muster.toml is odd\ntwice\n");
  const Ran ran = muster_bare({"check-config", "muster.toml", "--json"});
  EXPECT_EQ(ran.code, 78);
  EXPECT_EQ(ran.document()["valid"], false);
}

TEST_F(CliTest, CheckConfigWithoutTheServerProgramIs69) {
  const Ran text = muster_bare({"check-config", "muster.toml"});
  EXPECT_EQ(text.code, 69);
  EXPECT_THAT(text.err, HasSubstr("Install musterd"));
}

TEST_F(CliTest, DeviceNeedsKeysWhereTheServerHasOne) {
  EXPECT_EQ(muster_bare({"device"}).code, 2);
  EXPECT_EQ(muster_bare({"device", "--task", "t", "--update", "evil"}).code, 2);
  EXPECT_EQ(muster_bare({"device", "--task", "t", "--server-key", kKey}).code, 2);
  EXPECT_EQ(muster_bare({"device", "--task", "t", "--server-key", "short"}).code, 65);
  EXPECT_EQ(muster_bare({"device", "--task", "t", "--server-key", kDashKey, "--key-file",
                         write("bad.key", "public = \"x\"\n")})
                .code,
            65);
}

}  // namespace
}  // namespace muster::cli
