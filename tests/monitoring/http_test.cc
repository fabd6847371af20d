#include "monitoring/http.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "raw_http.h"

namespace muster::monitoring {
namespace {

/// Answers with what it was asked; "/throw" throws.
HttpResponse echo(const HttpRequest& request) {
  if (request.path == "/throw") throw std::runtime_error("a handler failed");
  if (request.path == "/throw-int") throw 7;
  HttpResponse response;
  response.content_type = "text/plain";
  response.body = request.method + " " + request.path + " [" + request.body + "]";
  for (const auto& [name, value] : request.query) response.body += " " + name + "=" + value;
  if (request.peer_uid) response.body += " uid=" + std::to_string(*request.peer_uid);
  return response;
}

std::unique_ptr<HttpServer> start(HttpOptions options = {}, HttpServer::Handler handler = echo) {
  if (options.listen == HttpOptions().listen) options.listen = "127.0.0.1:0";
  auto server = HttpServer::start(options, std::move(handler));
  EXPECT_TRUE(server.ok()) << server.status().to_string();
  return std::move(server).value();
}

class Folder {
 public:
  Folder() {
    std::string pattern = std::filesystem::temp_directory_path() / "muster_http_XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

std::size_t open_descriptors() {
  const std::filesystem::directory_iterator entries("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
}

TEST(HttpServer, NamesTheRealPort) {
  const auto server = start();
  EXPECT_TRUE(server->address().starts_with("127.0.0.1:"));
  EXPECT_FALSE(server->address().ends_with(":0"));
}

TEST(HttpServer, HandsOverMethodDecodedPathQueryAndBody) {
  const auto server = start();
  EXPECT_EQ(call(server->address(), "POST", "/a%20b?x=1&y=%2F&z", "hello").body,
            "POST /a b [hello] x=1 y=/ z=");
}

TEST(HttpServer, HasNoPeerOnTcp) {
  const auto server = start();
  EXPECT_EQ(call(server->address(), "GET", "/").body, "GET / []");
}

TEST(HttpServer, SendsHeadersOfTheResponse) {
  const auto server = start({}, [](const HttpRequest&) {
    return HttpResponse{302, "text/plain", "", {{"Location", "/there"}}};
  });
  const RawReply reply = call(server->address(), "GET", "/");
  EXPECT_EQ(reply.status, 302);
  EXPECT_NE(reply.head.find("Location: /there"), std::string::npos) << reply.head;
}

TEST(HttpServer, TurnsAnExceptionIntoA500AndGoesOn) {
  const auto server = start();
  for (const char* path : {"/throw", "/throw-int"}) {
    const RawReply reply = call(server->address(), "GET", path);
    EXPECT_EQ(reply.status, 500);
    EXPECT_EQ(reply.body.find("a handler failed"), std::string::npos) << "leaks the cause";
  }
  EXPECT_EQ(call(server->address(), "GET", "/after").status, 200);
}

TEST(HttpServer, TakesABodyOfExactlyTheLimit) {
  HttpOptions options;
  options.body_bytes = 1000;
  const auto server = start(options);
  const RawReply reply = call(server->address(), "POST", "/", std::string(1000, 'x'));
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "POST / [" + std::string(1000, 'x') + "]");
}

TEST(HttpServer, RefusesALongerBodyWith413) {
  HttpOptions options;
  options.body_bytes = 1000;
  const auto server = start(options);
  EXPECT_EQ(call(server->address(), "POST", "/", std::string(1001, 'x')).status, 413);
  EXPECT_EQ(call(server->address(), "POST", "/", std::string(500'000, 'x')).status, 413);
}

TEST(HttpServer, RefusesAHugeAnnouncedBodyBeforeItComes) {
  const auto server = start();
  const RawReply reply = send_raw(
      server->address(),
      "POST / HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 99999999999\r\n\r\n");
  EXPECT_EQ(reply.status, 413);
}

TEST(HttpServer, RefusesALongChunkedBody) {
  HttpOptions options;
  options.body_bytes = 10;
  const auto server = start(options);
  const RawReply reply = send_raw(server->address(),
                                  "POST / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n"
                                  "Transfer-Encoding: chunked\r\n\r\n"
                                  "8\r\naaaaaaaa\r\n8\r\nbbbbbbbb\r\n0\r\n\r\n");
  EXPECT_EQ(reply.status, 413);
}

TEST(HttpServer, SurvivesGarbage) {
  const auto server = start();
  for (const std::string& bytes :
       {std::string("\x16\x03\x01\x02\r\n\r\n"), std::string(100'000, 'A'),
        std::string("GET / HTTP/1.1\r\nHost: x\r\n") + std::string(100'000, 'h') + "\r\n\r\n"}) {
    RawConnection connection(server->address());
    connection.send(bytes);
    connection.read_all(10);
  }
  EXPECT_EQ(call(server->address(), "GET", "/after").status, 200);
}

TEST(HttpServer, AnswersBeside200HalfOpenConnections) {
  const auto server = start();
  std::vector<RawConnection> silent;
  for (int i = 0; i < 200; ++i) {
    silent.emplace_back(server->address());
    ASSERT_TRUE(silent.back().connected());
    ASSERT_TRUE(silent.back().send("GET /metr"));
  }
  const auto before = std::chrono::steady_clock::now();
  const RawReply reply = call(server->address(), "GET", "/");
  const auto took = std::chrono::steady_clock::now() - before;
  EXPECT_EQ(reply.status, 200);
  EXPECT_LT(took, std::chrono::seconds(4)) << "waited for the half-open ones to time out";
  RecordProperty(
      "microseconds",
      static_cast<int>(std::chrono::duration_cast<std::chrono::microseconds>(took).count()));
}

TEST(HttpServer, ClosesHalfOpenConnectionsAfterTheTimeout) {
  HttpOptions options;
  options.timeout_s = 1;
  const auto server = start(options);
  RawConnection connection(server->address());
  ASSERT_TRUE(connection.send("GET / HT"));
  const auto before = std::chrono::steady_clock::now();
  connection.read_all(30);
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(20));
}

TEST(HttpServer, KnowsThePeerOnAUnixSocket) {
  const Folder folder;
  HttpOptions options;
  options.listen = "unix:" + folder.file("admin.sock");
  const auto server = start(options);
  EXPECT_EQ(server->address(), options.listen);
  EXPECT_EQ(call(server->address(), "GET", "/").body, "GET / [] uid=" + std::to_string(::getuid()));
}

TEST(HttpServer, LetsOnlyOwnerAndGroupUseItsUnixSocket) {
  const Folder folder;
  HttpOptions options;
  options.listen = "unix:" + folder.file("admin.sock");
  const auto server = start(options);
  struct stat found {};
  ASSERT_EQ(::stat(folder.file("admin.sock").c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0660U);
}

TEST(HttpServer, TakesOverTheUnixSocketOfADeadServer) {
  const Folder folder;
  const std::string path = folder.file("admin.sock");
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  path.copy(name.sun_path, sizeof name.sun_path - 1);
  const int dead = ::socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(::bind(dead, reinterpret_cast<sockaddr*>(&name), sizeof name), 0);
  ::close(dead);

  HttpOptions options;
  options.listen = "unix:" + path;
  const auto server = start(options);
  EXPECT_EQ(call(server->address(), "GET", "/").status, 200);
}

TEST(HttpServer, LeavesTheUnixSocketOfALiveServerAlone) {
  const Folder folder;
  HttpOptions options;
  options.listen = "unix:" + folder.file("admin.sock");
  const auto server = start(options);
  const auto second = HttpServer::start(options, echo);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().reason(), "listen_in_use");
  EXPECT_EQ(call(server->address(), "GET", "/").status, 200);
}

TEST(HttpServer, LeavesAFileAtItsUnixPathAlone) {
  const Folder folder;
  std::ofstream(folder.file("admin.sock")) << "precious";
  HttpOptions options;
  options.listen = "unix:" + folder.file("admin.sock");
  const auto server = HttpServer::start(options, echo);
  ASSERT_FALSE(server.ok());
  EXPECT_EQ(server.status().reason(), "listen_in_use");
  EXPECT_EQ(std::filesystem::file_size(folder.file("admin.sock")), 8U);
}

TEST(HttpServer, RemovesItsUnixSocketAndClosesEverythingAtTheEnd) {
  const Folder folder;
  HttpOptions options;
  options.listen = "unix:" + folder.file("admin.sock");
  const std::size_t before = open_descriptors();
  {
    const auto server = start(options);
    EXPECT_EQ(call(server->address(), "GET", "/").status, 200);
    EXPECT_GT(open_descriptors(), before);
  }
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_FALSE(std::filesystem::exists(folder.file("admin.sock")));
}

TEST(HttpServer, RefusesATakenPort) {
  const auto server = start();
  HttpOptions options;
  options.listen = server->address();
  const auto second = HttpServer::start(options, echo);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().reason(), "listen_in_use");
}

TEST(HttpServer, RefusesAddressesItCannotRead) {
  for (const std::string& listen :
       {std::string("127.0.0.1"), std::string(":9400"), std::string("127.0.0.1:http"),
        std::string("127.0.0.1:70000"), std::string("127.0.0.1:"), std::string("unix:"),
        "unix:/" + std::string(200, 'x')}) {
    HttpOptions options;
    options.listen = listen;
    const auto server = HttpServer::start(options, echo);
    ASSERT_FALSE(server.ok()) << listen;
    EXPECT_EQ(server.status().reason(), "listen_address") << listen;
  }
}

}  // namespace
}  // namespace muster::monitoring
