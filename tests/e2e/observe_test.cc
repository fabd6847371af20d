// What an SRE sees of a real server: metrics, audit, log, bundle.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>

#include "base/hex.h"
#include "server/node.h"
#include "tests/e2e/served.h"

namespace muster::e2e {
namespace {

TEST(Observe, TheCatalogueIsWhatARealServerExportsBothWays) {
  Served server(task("krum", "rule = \"multi_krum\"\nf = 1\ntarget_cohort = 7\nrounds = 1\n", 5));
  ASSERT_TRUE(server.is_up());
  for (std::uint32_t device = 1; device <= 7; ++device)
    ASSERT_TRUE(server.submit(device, "krum", 0.01f * static_cast<float>(device)).ok());
  ASSERT_TRUE(eventually([&] { return total(scrape(server.http()), "muster_rounds_total") == 1; }));
  const auto samples = scrape(server.http());

  std::map<std::string_view, const Metric*> known;
  for (const Metric& metric : metric_catalogue()) known[metric.name] = &metric;
  std::set<std::string_view> seen;
  for (const Sample& sample : samples) {
    const auto found = known.find(sample.family);
    ASSERT_NE(found, known.end()) << sample.family << " is not in the catalogue";
    seen.insert(found->first);
    std::size_t labels = sample.labels.size() - sample.labels.count("le");
    EXPECT_EQ(labels, found->second->labels.size()) << sample.family;
    for (const MetricLabel& label : found->second->labels) {
      ASSERT_TRUE(sample.labels.contains(std::string(label.name))) << sample.family;
      const std::string& value = sample.labels.at(std::string(label.name));
      if (!label.values.empty()) {
        EXPECT_NE(std::ranges::find(label.values, value), label.values.end())
            << sample.family << " " << label.name << "=" << value;
      }
    }
  }
  for (const auto& [name, metric] : known) {
    if (metric->group == "privacy") continue;  // of private tasks only
    EXPECT_TRUE(seen.contains(name)) << name << " is in the catalogue and not exported";
  }
  EXPECT_LE(samples.size(), 1'500u);
  std::printf("series of a server with one task after a round: %zu of 1500\n", samples.size());

  // And the values are those of what happened.
  EXPECT_EQ(total(samples, "muster_updates_accepted_total"), 7);
  EXPECT_EQ(total(samples, "muster_updates_received_total"), 7);
  EXPECT_GT(total(samples, "muster_ingest_bytes_total"), 7 * 256);
  EXPECT_EQ(total(samples, "muster_tasks"), 1);
  EXPECT_EQ(total(samples, "muster_unready"), 0);
  EXPECT_NEAR(total(samples, "muster_robust_assumed_byzantine_ratio"), 1.0 / 7, 1e-9);
  EXPECT_EQ(total(samples, "muster_robust_excluded_total"), 3);  // m = n - f - 2 = 4 are kept
  EXPECT_EQ(total(samples, "muster_model_version"), 1);
  EXPECT_GT(total(samples, "muster_memory_budget_bytes"), 1e6);
  EXPECT_GT(total(samples, "muster_audit_records_total"), 2);
  const auto count_of = [&](const std::string& family, const std::string& label = {}) {
    double counts = 0;
    for (const Sample& sample : samples)
      if (sample.family == family && sample.labels.contains("le") &&
          sample.labels.at("le") == "+Inf" &&
          (label.empty() || std::ranges::any_of(sample.labels, [&](const auto& pair) {
             return pair.second == label;
           })))
        counts += sample.value;
    return counts;
  };
  EXPECT_EQ(count_of("muster_receipt_duration_seconds"), 7);
  EXPECT_EQ(count_of("muster_ingest_queue_duration_seconds"), 7);
  EXPECT_GE(count_of("muster_spool_commit_duration_seconds"), 1);
  EXPECT_EQ(count_of("muster_round_duration_seconds", "aggregate"), 1);
  EXPECT_GE(count_of("muster_kernel_duration_seconds", "gram"), 1);
  EXPECT_GE(count_of("muster_kernel_duration_seconds", "step"), 1);
}

TEST(Observe, NormsAndClippingAreMeasuredWhereTheRuleTakesThem) {
  Served server(
      task("clip", "rule = \"clipped_mean\"\nclip_norm = 1\ntarget_cohort = 4\nrounds = 1\n"));
  ASSERT_TRUE(server.is_up());
  // Norms 16 * value: three are longer than 1.
  for (const float value : {0.03f, 0.1f, 0.2f, 0.5f})
    ASSERT_TRUE(server.submit(static_cast<std::uint32_t>(value * 1000), "clip", value).ok());
  ASSERT_TRUE(eventually([&] { return total(scrape(server.http()), "muster_rounds_total") == 1; }));
  const auto samples = scrape(server.http());
  EXPECT_EQ(total(samples, "muster_clip_ratio"), 0.75);
  std::map<std::string, double> buckets;
  for (const Sample& sample : samples)
    if (sample.family == "muster_update_norm" && sample.labels.contains("le"))
      buckets[sample.labels.at("le")] = sample.value;
  EXPECT_EQ(buckets["0.3"], 0);
  EXPECT_EQ(buckets["1"], 1);
  EXPECT_EQ(buckets["3"], 2);
  EXPECT_EQ(buckets["10"], 4);
}

TEST(Observe, AScrapeIsQuickBeside200HalfOpenConnections) {
  Served server(task("t", "target_cohort = 4\n"));
  ASSERT_TRUE(server.is_up());
  std::vector<monitoring::RawConnection> silent;
  for (int i = 0; i < 200; ++i) {
    silent.emplace_back(server.http());
    ASSERT_TRUE(silent.back().connected());
    ASSERT_TRUE(silent.back().send("GET /metr"));
  }
  std::vector<double> took;
  for (int i = 0; i < 9; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    ASSERT_EQ(call(server.http(), "GET", "/metrics").status, 200);
    took.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  std::ranges::sort(took);
  std::printf("scrape beside 200 half-open connections: median %.1f ms, worst %.1f ms of 9\n",
              took[4] * 1e3, took[8] * 1e3);
  EXPECT_LT(took[4], 1.0) << "waited for the half-open ones";
}

TEST(Observe, LogAndAuditSayWhatHappened) {
  Served server(task("t", "target_cohort = 3\nrounds = 1\n"));
  ASSERT_TRUE(server.is_up());
  const std::string admin = "unix:" + server.data() + "/admin.sock";
  const client::Identity device = client::new_identity();
  ASSERT_EQ(call(admin, "POST", "/v1/keys",
                 json{{"keys", {{{"key", device.public_key}, {"label", "planted-name"}}}}}.dump())
                .status,
            200);
  ASSERT_EQ(call(admin, "POST", "/v1/keys/revoke", json{{"key", device.public_key}}.dump()).status,
            200);
  for (std::uint32_t i = 1; i <= 3; ++i) ASSERT_TRUE(server.submit(i, "t", 0.5f).ok());
  ASSERT_TRUE(eventually([&] { return !server.logged("task_finished").empty(); }));
  server.process().signal(SIGTERM);
  EXPECT_EQ(server.process().wait(), 0);

  for (const json& line : Served::lines_of(server.log()))
    for (const char* field : {"time", "level", "component", "event", "message"})
      EXPECT_TRUE(line.contains(field)) << line.dump();
  const json opened = server.logged("round_opened").at(0),
             released = server.logged("round_released").at(0);
  EXPECT_EQ(opened["trace_id"], released["trace_id"]);
  EXPECT_EQ(released["trace_id"].get<std::string>().size(), 32u);

  std::vector<std::string> told;
  std::uint64_t sequence = 0;
  for (const json& record : Served::lines_of(server.data() + "/audit.log")) {
    EXPECT_EQ(record["sequence"], ++sequence);
    told.push_back(record["kind"].get<std::string>() + " " + record["action"].get<std::string>());
    if (record["kind"] == "operator") {
      EXPECT_EQ(record["uid"], ::getuid());
    }
  }
  EXPECT_EQ(told, (std::vector<std::string>{"server started", "operator request", "key enrolled",
                                            "operator request", "key revoked", "round closed",
                                            "release released", "server stopped"}));
  for (const std::string& file : {server.log(), server.data() + "/audit.log"}) {
    std::ifstream stream(file);
    const std::string text{std::istreambuf_iterator<char>(stream), {}};
    EXPECT_EQ(text.find("planted-name"), std::string::npos) << file;
    EXPECT_EQ(text.find(device.public_key), std::string::npos) << file;
    EXPECT_EQ(text.find(device.secret_key), std::string::npos) << file;
  }
}

/// Ends the program's output line; runs `muster ARGUMENTS` of the build.
int muster(const std::string& arguments) {
  const int state = std::system((std::string(MUSTER_BIN_DIR) + "/muster " + arguments).c_str());
  return WIFEXITED(state) ? WEXITSTATUS(state) : -1;
}

TEST(Observe, ABundleHoldsNoSecret) {
  const std::string label = "planted-label-7f3a";
  Served server(task("t", "target_cohort = 3\nrounds = 1\n"));
  ASSERT_TRUE(server.is_up());
  const std::string admin = "unix:" + server.data() + "/admin.sock";
  const client::Identity device = client::new_identity();
  ASSERT_EQ(call(admin, "POST", "/v1/keys",
                 json{{"keys", {{{"key", device.public_key}, {"label", label}}}}}.dump())
                .status,
            200);
  // A payload whose bytes are known: every coordinate is full scale.
  for (std::uint32_t i = 1; i <= 3; ++i) ASSERT_TRUE(server.submit(i, "t", 0.5f).ok());
  ASSERT_TRUE(eventually([&] { return !server.logged("task_finished").empty(); }));
  const std::string archive = server.folder() + "/bundle.tar.gz", folder = server.folder() + "/out";
  ASSERT_EQ(muster("--socket " + server.data() + "/admin.sock bundle --out " + archive +
                   " --config " + server.config() + " >/dev/null"),
            0);
  // A second one does not replace it.
  EXPECT_NE(muster("--socket " + server.data() + "/admin.sock bundle --out " + archive +
                   " >/dev/null 2>&1"),
            0);
  std::filesystem::create_directory(folder);
  ASSERT_EQ(std::system(("tar -xzf " + archive + " -C " + folder).c_str()), 0);

  // Every secret this server has, raw and in the ways it could have been written.
  server.process().signal(SIGTERM);
  EXPECT_EQ(server.process().wait(), 0);
  std::map<std::string, std::string> secrets = {{"label", label},
                                                {"device key", device.public_key},
                                                {"device secret", device.secret_key},
                                                {"gateway key", server.gateway().public_key},
                                                {"gateway secret", server.gateway().secret_key}};
  PosixStorage storage;
  auto control = server::ControlStore::open(storage, server.data() + "/control.db");
  ASSERT_TRUE(control.ok());
  const auto add = [&](const std::string& name, ConstBytes bytes) {
    secrets[name + " raw"] = std::string(as_text(bytes));
    secrets[name + " hex"] = hex(bytes);
  };
  add("server secret key", object_bytes((*control)->server_key().secret_key));
  add("server public key", object_bytes((*control)->server_key().public_key));
  secrets["server public key z85"] = ingest::key_text((*control)->server_key().public_key);
  add("node secret", object_bytes((*control)->node_secret()));
  const auto rounds = (*control)->rounds(1, 10);
  ASSERT_TRUE(rounds.ok());
  for (const auto& round : *rounds) add("round secret", object_bytes(round.secret));
  secrets["payload"] = std::string(64, '\x7f');

  std::size_t files = 0, bytes = 0;
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream stream(entry.path(), std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(stream), {}};
    ++files;
    bytes += text.size();
    names.insert(entry.path().filename());
    for (const auto& [what, secret] : secrets)
      EXPECT_EQ(text.find(secret), std::string::npos) << entry.path() << " holds the " << what;
  }
  EXPECT_EQ(names,
            (std::set<std::string>{"bundle.json", "config.json", "doctor.json", "log.jsonl",
                                   "machine.json", "metrics.txt", "rounds-t.json", "status.json"}));
  std::printf("%zu planted secrets, %zu files, %zu bytes: none found\n", secrets.size(), files,
              bytes);
}

}  // namespace
}  // namespace muster::e2e
