// top, doctor and bundle.
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <set>

#include "cli/doctor_checks.h"
#include "cli/top_frame.h"
#include "cli_fixture.h"
#include "tests/monitoring/raw_http.h"

namespace muster::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

json status_of_a_busy_server() {
  return {{"version", "0.1.0"},
          {"backend", "cpu, avx512, 2 threads"},
          {"ready", true},
          {"causes", json::array()},
          {"updates_accepted", 1200},
          {"bytes_received", 10 << 20},
          {"connections", 14},
          {"spool_bytes", 256 << 20},
          {"spool_free_bytes", std::uint64_t{20} << 30},
          {"slab", {{"bytes", 64 << 20}, {"used", 16 << 20}}},
          {"memory", {{"budget", 512 << 20}, {"resident", 128 << 20}}},
          {"refused", {{"duplicate", 3}, {"scale_invalid", 41}}},
          {"wall_ms", 1'764'417'904'000},
          {"tasks",
           {{{"name", "keyboard"},
             {"rule", "multi_krum"},
             {"round", 7},
             {"state", "open"},
             {"cohort", 60},
             {"target", 100},
             {"deadline_s", 75.0},
             {"model_version", 6},
             {"privacy", {{"epsilon_spent", 1.25}, {"epsilon_limit", 8.0}, {"delta", 1e-6}}}}}}};
}

TEST(Top, AFrameShowsTheServerIn80Columns) {
  json before = status_of_a_busy_server(), now = before;
  before["wall_ms"] = now["wall_ms"].get<std::int64_t>() - 2000;
  before["updates_accepted"] = 1000;
  before["bytes_received"] = 6 << 20;
  const TopRates rates = top_rates(before, now);
  EXPECT_EQ(rates.updates_per_second, 100);
  EXPECT_EQ(rates.bytes_per_second, 2 << 20);
  const std::string frame = top_frame(now, rates, false);
  for (const char* part :
       {"muster 0.1.0  ready  cpu, avx512, 2 threads  2025-11-29 12:05:04Z",
        "updates 1200  100.0/s  2.0 MiB/s  connections 14",
        "memory [####............] 128 MiB of 512 MiB", "slots  [####............]",
        "spool  256 MiB, 20.0 GiB free", "keyboard  multi_krum      7  open   60/100", "1 min 15 s",
        "1.25/8.00", "          41  scale_invalid\n           3  duplicate"})
    EXPECT_THAT(frame, HasSubstr(part));
  std::istringstream lines(frame);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80u) << line;
}

TEST(Top, SaysWhyAServerIsNotReadyAndSurvivesAnOddOne) {
  json status = status_of_a_busy_server();
  status["ready"] = false;
  status["causes"] = {"disk_low"};
  status["tasks"][0]["name"] = std::string(300, 'x') + "\x1b[2J";
  const std::string frame = top_frame(status, {}, false);
  EXPECT_THAT(frame, HasSubstr("NOT READY disk_low"));
  EXPECT_THAT(frame, Not(HasSubstr("\x1b")));
  EXPECT_THAT(top_frame(json::object(), {}, false), HasSubstr("no tasks"));
  EXPECT_THAT(top_frame({{"tasks", 3}, {"memory", "much"}}, {}, false), HasSubstr("no tasks"));
}

TEST_F(CliTest, TopServesScriptsAndEndsAfterItsFrames) {
  answer("GET /v1/status", status_of_a_busy_server());
  const Ran once = muster({"top", "--once", "--interval", "0.1"});
  EXPECT_EQ(once.code, 0);
  EXPECT_THAT(once.out, HasSubstr("keyboard"));
  const json document = muster({"top", "--json", "--interval", "0.1"}).document();
  EXPECT_EQ(document["updates_per_second"], 0.0);
  EXPECT_EQ(document["tasks"][0]["privacy"]["epsilon_spent"], 1.25);
  const Ran frames = muster({"top", "--frames", "3", "--interval", "0.1"});
  EXPECT_EQ(frames.code, 0);
  std::size_t shown = 0;
  for (std::size_t at = 0; (at = frames.out.find("muster 0.1.0", at)) != std::string::npos; ++at)
    ++shown;
  EXPECT_EQ(shown, 3u);
  EXPECT_EQ(muster_bare({"--socket", file("nobody.sock"), "top", "--once"}).code, 69);
}

DoctorFacts sound_facts() {
  DoctorFacts facts;
  facts.config = {{"backend.kind", "auto"},        {"ingest.max_connections", "1000"},
                  {"ingest.slab", "67108864B"},    {"spool.low_water", "536870912B"},
                  {"spool.segment", "268435456B"}, {"data_dir", "d"}};
  facts.descriptors = 4096;
  facts.memlock_bytes = std::uint64_t{1} << 30;
  facts.free_bytes = std::uint64_t{100} << 30;
  facts.sync_ms = 2.0;
  facts.clock_synchronised = true;
  facts.wall_ms = 1'764'417'904'000;
  facts.gpu_there = facts.plugin_there = true;
  facts.avx2 = facts.sse42 = true;
  facts.secret_modes = {{"d/control.db", 0600}};
  facts.ports = {{"127.0.0.1:7400", ""}, {"127.0.0.1:9400", ""}};
  return facts;
}

Finding finding_of(const DoctorFacts& facts, const std::string& name) {
  for (const CheckResult& result : judge(facts))
    if (result.name == name) {
      EXPECT_EQ(result.remedy.empty(), result.finding == Finding::kPass) << name;
      EXPECT_FALSE(result.what.empty()) << name;
      return result.finding;
    }
  ADD_FAILURE() << "no check " << name;
  return Finding::kPass;
}

TEST(Doctor, PassesASoundMachine) {
  for (const CheckResult& result : judge(sound_facts()))
    EXPECT_EQ(result.finding, Finding::kPass) << result.name << ": " << result.what;
}

TEST(Doctor, EveryCheckCanFail) {
  struct Broken {
    const char* check;
    Finding finding;
    void (*harm)(DoctorFacts&);
  };
  const Broken table[] = {
      {"config", Finding::kFail,
       [](DoctorFacts& f) {
         f.config_exit = 78;
         f.config_text = "muster.toml:1:1: key 'x': there is no such key.";
       }},
      {"descriptors", Finding::kFail, [](DoctorFacts& f) { f.descriptors = 1024; }},
      {"memlock", Finding::kWarn, [](DoctorFacts& f) { f.memlock_bytes = 8 << 20; }},
      {"disk_space", Finding::kFail, [](DoctorFacts& f) { f.free_bytes = 600 << 20; }},
      {"disk_space", Finding::kWarn,
       [](DoctorFacts& f) { f.free_bytes = std::uint64_t{1200} << 20; }},
      {"disk_space", Finding::kFail, [](DoctorFacts& f) { f.free_bytes.reset(); }},
      {"disk_sync", Finding::kFail, [](DoctorFacts& f) { f.sync_ms = 800; }},
      {"disk_sync", Finding::kWarn, [](DoctorFacts& f) { f.sync_ms = 60; }},
      {"disk_sync", Finding::kFail, [](DoctorFacts& f) { f.sync_ms.reset(); }},
      {"clock", Finding::kWarn, [](DoctorFacts& f) { f.clock_synchronised = false; }},
      {"clock", Finding::kFail, [](DoctorFacts& f) { f.wall_ms = 0; }},
      {"gpu", Finding::kWarn, [](DoctorFacts& f) { f.gpu_problem = "no driver"; }},
      {"gpu", Finding::kFail,
       [](DoctorFacts& f) {
         f.config["backend.kind"] = "cuda";
         f.gpu_problem = "no driver";
       }},
      {"gpu", Finding::kFail,
       [](DoctorFacts& f) {
         f.config["backend.kind"] = "cuda";
         f.plugin_there = false;
       }},
      {"cpu", Finding::kWarn, [](DoctorFacts& f) { f.avx2 = false; }},
      {"cpu", Finding::kFail, [](DoctorFacts& f) { f.sse42 = false; }},
      {"secrets", Finding::kFail, [](DoctorFacts& f) { f.secret_modes["d/master.key"] = 0640; }},
      {"ports", Finding::kFail,
       [](DoctorFacts& f) { f.ports[1].problem = "Address already in use"; }},
  };
  std::set<std::string> harmed;
  for (const Broken& broken : table) {
    DoctorFacts facts = sound_facts();
    broken.harm(facts);
    EXPECT_EQ(finding_of(facts, broken.check), broken.finding) << broken.check;
    harmed.insert(broken.check);
    // Only the check it is about changes its mind.
    for (const CheckResult& result : judge(facts))
      if (result.name != broken.check) {
        EXPECT_EQ(result.finding, Finding::kPass) << broken.check << " also moved " << result.name;
      }
  }
  for (const CheckResult& result : judge(sound_facts()))
    EXPECT_TRUE(harmed.contains(result.name)) << result.name << " was never made to fail";
}

TEST(Doctor, DoesNotMindAServerThatRunsOrAGpuNobodyWants) {
  DoctorFacts facts = sound_facts();
  facts.ports[0].problem = "Address already in use";
  facts.server_running = true;
  EXPECT_EQ(finding_of(facts, "ports"), Finding::kPass);
  facts = sound_facts();
  facts.config["backend.kind"] = "cpu";
  facts.gpu_problem = "no driver";
  EXPECT_EQ(finding_of(facts, "gpu"), Finding::kPass);
}

class DoctorTest : public CliTest {
 protected:
  /// `muster doctor` with the real musterd and this configuration.
  std::map<std::string, json> doctor(const std::string& more, int* code) {
    const std::string config = write("muster.toml", "data_dir = \"" + file("data") + "\"\n" + more);
    std::ostringstream out, err;
    *code = run({"doctor", "--json", "--config", config}, {out, err, MUSTER_BIN_DIR, false});
    std::map<std::string, json> checks;
    const json document = json::parse(out.str());
    for (const json& check : document["checks"]) checks[check["check"]] = check;
    return checks;
  }
};

TEST_F(DoctorTest, SeesWhatIsWrongWithThisMachineAndExits3) {
  std::filesystem::create_directory(file("data"));
  write("data/master.key", "secret");
  ::chmod(file("data/master.key").c_str(), 0644);
  // A port that somebody holds.
  monitoring::HttpOptions options;
  options.listen = "127.0.0.1:0";
  const auto holder = monitoring::HttpServer::start(
      options, [](const auto&) { return monitoring::HttpResponse{}; });
  ASSERT_TRUE(holder.ok());
  int code = 0;
  auto checks = doctor(
      "[ingest]\nlisten = \"tcp://127.0.0.1:*\"\nmax_connections = 10\n"
      "[spool]\nlow_water = \"0B\"\n[monitoring]\nlisten = \"" +
          (*holder)->address() + "\"\n",
      &code);
  EXPECT_EQ(code, 3);
  EXPECT_EQ(checks["config"]["finding"], "PASS");
  EXPECT_EQ(checks["descriptors"]["finding"], "PASS");
  EXPECT_EQ(checks["secrets"]["finding"], "FAIL");
  EXPECT_THAT(checks["secrets"]["what"].get<std::string>(), HasSubstr("master.key (644)"));
  EXPECT_EQ(checks["ports"]["finding"], "FAIL");
  EXPECT_EQ(checks["disk_sync"]["finding"].is_string(), true);

  ::chmod(file("data/master.key").c_str(), 0600);
  checks = doctor(
      "[ingest]\nlisten = \"tcp://127.0.0.1:*\"\nmax_connections = 10\n"
      "[monitoring]\nlisten = \"127.0.0.1:0\"\n[backend]\nkind = \"cpu\"\n",
      &code);
  for (const char* name : {"config", "secrets", "ports", "gpu"})
    EXPECT_EQ(checks[name]["finding"], "PASS") << checks[name].dump();

  checks = doctor("nonsense = 1\n", &code);
  EXPECT_EQ(code, 3);
  EXPECT_EQ(checks["config"]["finding"], "FAIL");
  EXPECT_THAT(checks["config"]["what"].get<std::string>(), HasSubstr("nonsense"));
}

}  // namespace
}  // namespace muster::cli
