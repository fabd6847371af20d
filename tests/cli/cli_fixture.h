// Runs `muster` in this process against a fake admin server on a Unix socket.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/commands.h"
#include "monitoring/http.h"

namespace muster::cli {

using nlohmann::json;

/// What one run gave back.
struct Ran {
  int code = -1;
  std::string out, err;
  json document() const {
    json parsed = json::parse(out, nullptr, false);
    EXPECT_FALSE(parsed.is_discarded()) << "not one JSON document: " << out;
    return parsed;
  }
};

class CliTest : public ::testing::Test {
 protected:
  CliTest() {
    std::string pattern = std::filesystem::temp_directory_path() / "muster_cli_XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
    monitoring::HttpOptions options;
    options.listen = "unix:" + file("admin.sock");
    auto server = monitoring::HttpServer::start(
        options, [this](const monitoring::HttpRequest& request) { return serve(request); });
    EXPECT_TRUE(server.ok()) << server.status().to_string();
    server_ = std::move(server).value();
  }
  ~CliTest() override {
    server_.reset();
    std::filesystem::remove_all(folder_);
  }

  std::string file(const std::string& name) const { return folder_ + "/" + name; }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(file(name), std::ios::binary) << text;
    return file(name);
  }
  static std::string read(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  /// From now on `method path` gets this answer.
  void answer(const std::string& request, json body, int status = 200) {
    const std::lock_guard lock(mutex_);
    answers_[request] = {status, "application/json", body.dump()};
  }
  void answer_error(const std::string& request, int status, const std::string& code) {
    answer(request,
           {{"error", {{"code", code}, {"message", "it failed"}, {"remedy", "do better"}}}},
           status);
  }
  /// Bodies that came for `method path`, in order.
  std::vector<json> bodies(const std::string& request) {
    const std::lock_guard lock(mutex_);
    return bodies_[request];
  }
  /// The queries that came for `method path`, in order.
  std::vector<std::map<std::string, std::string>> queries(const std::string& request) {
    const std::lock_guard lock(mutex_);
    return queries_[request];
  }

  /// `muster ARGUMENTS` with the fake server's socket.
  Ran muster(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--socket", file("admin.sock")});
    return muster_bare(arguments);
  }
  Ran muster_bare(const std::vector<std::string>& arguments) const {
    std::ostringstream out, err;
    const int code = run(arguments, {out, err, folder_, false});
    return {code, out.str(), err.str()};
  }

 private:
  monitoring::HttpResponse serve(const monitoring::HttpRequest& request) {
    const std::lock_guard lock(mutex_);
    const std::string name = request.method + " " + request.path;
    queries_[name].push_back(request.query);
    if (!request.body.empty()) bodies_[name].push_back(json::parse(request.body));
    const auto found = answers_.find(name);
    if (found != answers_.end()) return found->second;
    return {404, "application/json",
            R"({"error":{"code":"not_found","message":"no answer for )" + name + R"("}})"};
  }

  std::string folder_;
  std::mutex mutex_;  // the fake server's threads and the test share the maps below
  std::map<std::string, monitoring::HttpResponse> answers_;
  std::map<std::string, std::vector<json>> bodies_;
  std::map<std::string, std::vector<std::map<std::string, std::string>>> queries_;
  std::unique_ptr<monitoring::HttpServer> server_;
};

}  // namespace muster::cli
