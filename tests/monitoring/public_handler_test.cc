#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>

#include "monitoring/exporter.h"
#include "raw_http.h"

namespace muster::monitoring {
namespace {

HttpRequest get(const std::string& path, const std::string& method = "GET") {
  HttpRequest request;
  request.method = method;
  request.path = path;
  return request;
}

class PublicHandler : public ::testing::Test {
 protected:
  Stats stats_;
  std::vector<std::string> causes_;
  HttpServer::Handler handler_ = public_handler(
      stats_, [this] { return causes_; }, [] { return std::string(R"({"version":"1"})"); });
};

TEST_F(PublicHandler, IsScrapedOverASocket) {
  stats_.counter("muster_updates_received_total").add(3);
  HttpOptions options;
  options.listen = "127.0.0.1:0";
  const auto server = HttpServer::start(options, handler_);
  ASSERT_TRUE(server.ok());
  const RawReply reply = call(server.value()->address(), "GET", "/metrics");
  EXPECT_EQ(reply.status, 200);
  EXPECT_NE(reply.head.find("text/plain; version=0.0.4"), std::string::npos) << reply.head;
  EXPECT_NE(reply.body.find("\nmuster_updates_received_total 3\n"), std::string::npos);
  const RawReply head = call(server.value()->address(), "HEAD", "/metrics");
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.body, "");
}

TEST_F(PublicHandler, LivesEvenWhenNotReady) {
  causes_ = {"draining"};
  EXPECT_EQ(handler_(get("/livez")).status, 200);
}

TEST_F(PublicHandler, IsReadyWithoutCauses) {
  const HttpResponse response = handler_(get("/readyz"));
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(nlohmann::json::parse(response.body),
            nlohmann::json::parse(R"({"ready": true, "causes": []})"));
}

TEST_F(PublicHandler, ListsWhyItIsNotReady) {
  causes_ = {"disk_low", "a \"quoted\" cause"};
  const HttpResponse response = handler_(get("/readyz"));
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(
      nlohmann::json::parse(response.body),
      nlohmann::json::parse(R"({"ready": false, "causes": ["disk_low", "a \"quoted\" cause"]})"));
}

TEST_F(PublicHandler, PassesTheStatusOn) {
  const HttpResponse response = handler_(get("/status.json"));
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.content_type, "application/json");
  EXPECT_EQ(response.body, R"({"version":"1"})");
}

TEST_F(PublicHandler, SendsTheRootToTheStatusPage) {
  const HttpResponse response = handler_(get("/"));
  EXPECT_EQ(response.status, 302);
  EXPECT_EQ(response.headers.at("Location"), "/status");
}

TEST_F(PublicHandler, ShowsAPageWithoutOutsideAssets) {
  const HttpResponse response = handler_(get("/status"));
  EXPECT_EQ(response.status, 200);
  EXPECT_TRUE(response.body.starts_with("<!doctype html>"));
  EXPECT_TRUE(response.body.ends_with("</html>\n"));
  EXPECT_EQ(response.body.find("//"), std::string::npos) << "an address of another server";
  EXPECT_NE(response.body.find("width=device-width"), std::string::npos);
  EXPECT_EQ(response.headers.at("Content-Security-Policy").rfind("default-src 'none'", 0), 0U);
}

TEST_F(PublicHandler, RefersToElementsThatThePageHas) {
  const std::string page = handler_(get("/status")).body;
  const std::regex used("byId\\(\"([a-z-]+)\"\\)");
  int count = 0;
  for (std::sregex_iterator at(page.begin(), page.end(), used), end; at != end; ++at, ++count)
    EXPECT_NE(page.find("id=\"" + (*at)[1].str() + "\""), std::string::npos) << (*at)[1];
  EXPECT_GT(count, 10);
}

TEST_F(PublicHandler, KnowsNoOtherPath) {
  for (const char* path :
       {"", "/metrics/", "/Metrics", "/../etc/passwd", "/v1/status", "/favicon"}) {
    const HttpResponse response = handler_(get(path));
    EXPECT_EQ(response.status, 404) << path;
    EXPECT_EQ(nlohmann::json::parse(response.body)["error"]["code"], "not_found");
  }
}

TEST_F(PublicHandler, TakesNothing) {
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS"}) {
    const HttpResponse response = handler_(get("/metrics", method));
    EXPECT_EQ(response.status, 405) << method;
    EXPECT_EQ(response.headers.at("Allow"), "GET, HEAD");
  }
}

}  // namespace
}  // namespace muster::monitoring
