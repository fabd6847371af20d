// Wrong, missing, exposed and changed master secrets: what the operator is told, and that keys of
// rounds survive a change.
#include "server/secrets.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/simulated_storage.h"
#include "privacy/keys.h"
#include "tests/server/control_store_lifecycle.h"

namespace muster::server {
namespace {

namespace fs = std::filesystem;

class SecretsTest : public testing::Test {
 protected:
  SecretsTest() {
    EXPECT_TRUE(storage_.make_directory("data").ok());
    EXPECT_TRUE(storage_.make_directory("keys").ok());
    config_.data_dir = "data";
    control_ = ControlStore::open(storage_, "data/control.db").value();
    EXPECT_EQ(control_->create_task("task", "text", 5).value(), 1u);
  }
  std::string make_secret(const std::string& name) {
    EXPECT_TRUE(privacy::create_master_secret(storage_, "keys/" + name).ok());
    return "keys/" + name;
  }
  Status open(std::vector<std::string> paths) {
    config_.secrets.master = std::move(paths);
    auto masters = open_master_keys(storage_, config_, *control_);
    if (!masters.ok()) return masters.status();
    ingest::RoundKeys keys;
    MUSTER_TRY(load_round_keys(*masters, *control_, keys));
    masters_ = std::move(*masters);
    has_key_ = keys.has(1, 1);
    key_.clear();
    keys.with(1, 1, [&](ingest::RoundKey key) { key_.assign(key.begin(), key.end()); });
    return {};
  }
  void open_round() {
    ingest::RoundKeys keys;
    RoundRow row = test_round(1, 1);
    row.spool_key = new_round_key(*masters_, 1, 1, keys).value();
    ASSERT_TRUE(control_->open_round(row).ok());
    keys.with(1, 1, [&](ingest::RoundKey key) { made_.assign(key.begin(), key.end()); });
  }

  SimulatedStorage storage_{3};
  Config config_;
  std::unique_ptr<ControlStore> control_;
  std::optional<privacy::MasterKeys> masters_;
  bool has_key_ = false;
  std::vector<std::byte> key_, made_;
};

TEST_F(SecretsTest, TheFirstStartMakesOneBesideTheDataAndOnlyTheFirst) {
  ASSERT_TRUE(open({}).ok());
  EXPECT_TRUE(storage_.exists("data/master.key"));
  open_round();
  ASSERT_TRUE(open({}).ok());
  EXPECT_EQ(key_, made_);
  ASSERT_TRUE(storage_.remove("data/master.key").ok());
  const Status status = open({});
  EXPECT_EQ(status.reason(), "master_secret_missing");
  EXPECT_NE(status.message().find("data/master.key"), std::string::npos);
  EXPECT_FALSE(storage_.exists("data/master.key"));
}

TEST_F(SecretsTest, AConfiguredOneIsNeverMade) {
  const Status status = open({"keys/absent"});
  EXPECT_EQ(status.reason(), "master_secret_missing");
  EXPECT_NE(status.message().find("muster keys master FILE"), std::string::npos);
}

TEST_F(SecretsTest, AnotherOneIsToldApartBeforeAnythingIsRead) {
  ASSERT_TRUE(open({make_secret("a")}).ok());
  const Status status = open({make_secret("b")});
  EXPECT_EQ(status.reason(), "master_secret_wrong");
  EXPECT_NE(status.message().find("list the former one behind the new one"), std::string::npos);
  // Also after the node has no rounds any more.
  EXPECT_TRUE(open({"keys/a"}).ok());
}

TEST_F(SecretsTest, ARotationKeepsTheRoundsAndLetsTheFormerOneGo) {
  ASSERT_TRUE(open({make_secret("a")}).ok());
  open_round();
  ASSERT_TRUE(open({make_secret("b"), "keys/a"}).ok());
  EXPECT_EQ(key_, made_);
  ASSERT_TRUE(open({"keys/b"}).ok());
  EXPECT_EQ(key_, made_);
  EXPECT_EQ(open({"keys/a"}).reason(), "master_secret_wrong");
}

TEST_F(SecretsTest, APowerCutAtAnyCallOfARotationLosesNoKey) {
  ASSERT_TRUE(open({make_secret("a")}).ok());
  open_round();
  make_secret("b");
  for (std::uint64_t k = 1;; ++k) {
    storage_.set_plan({.crash_call = storage_.calls() + k});
    const Status status = open({"keys/b", "keys/a"});
    const bool crashed = storage_.crashed();
    control_.reset();
    storage_.power_cycle();
    storage_.set_plan({});
    control_ = ControlStore::open(storage_, "data/control.db").value();
    ASSERT_TRUE(open({"keys/b", "keys/a"}).ok()) << "call " << k;
    ASSERT_EQ(key_, made_) << "call " << k;
    ASSERT_TRUE(open({"keys/b"}).ok()) << "call " << k;
    if (!crashed) break;
    ASSERT_TRUE(open({"keys/a", "keys/b"}).ok());  // and back, to be cut again
  }
}

TEST_F(SecretsTest, SomethingElseInTheFileIsNamed) {
  ASSERT_TRUE(write_file(storage_, "keys/short", as_bytes("abcdef")).ok());
  EXPECT_EQ(open({"keys/short"}).reason(), "master_secret_invalid");
}

TEST(SecretsOnDisk, FilesThatOthersMayReadAreRefusedAndCredentialsAreFound) {
  std::string folder = (fs::temp_directory_path() / "muster-XXXXXX").string();
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  PosixStorage storage;
  const std::string path = folder + "/secret";
  ASSERT_TRUE(privacy::create_master_secret(storage, path).ok());
  ASSERT_TRUE(storage.make_directory(folder + "/data").ok());
  auto control = ControlStore::open(storage, folder + "/data/control.db").value();
  Config config;
  config.data_dir = folder + "/data";
  const auto refusal = [&](const std::string& wish) {
    config.secrets.master = {wish};
    return open_master_keys(storage, config, *control).status();
  };
  EXPECT_TRUE(refusal(path).ok());
  fs::permissions(path, fs::perms::owner_read | fs::perms::group_read);
  const Status exposed = refusal(path);
  EXPECT_EQ(exposed.reason(), "master_secret_exposed");
  EXPECT_NE(exposed.message().find("mode 0440"), std::string::npos) << exposed.message();
  EXPECT_NE(exposed.message().find("chmod 600"), std::string::npos);

  ::unsetenv("CREDENTIALS_DIRECTORY");
  EXPECT_EQ(refusal("credential:secret").reason(), "credential_unknown");
  ::setenv("CREDENTIALS_DIRECTORY", folder.c_str(), 1);
  EXPECT_TRUE(refusal("credential:secret").ok());  // its group bits are systemd's access list
  EXPECT_EQ(refusal("credential:../secret").reason(), "credential_unknown");
  fs::permissions(path, fs::perms::owner_read | fs::perms::others_read);
  EXPECT_EQ(refusal("credential:secret").reason(), "master_secret_exposed");
  ::unsetenv("CREDENTIALS_DIRECTORY");
  control.reset();
  fs::remove_all(folder);
}

}  // namespace
}  // namespace muster::server
