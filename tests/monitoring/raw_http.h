// A bare HTTP/1.1 client for tests: sends exactly the bytes it is given.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

namespace muster::monitoring {

/// A connected socket; -1 inside where connecting failed.
class RawConnection {
 public:
  /// `address` as HttpServer::address() gives it.
  explicit RawConnection(const std::string& address) {
    if (address.starts_with("unix:")) {
      sockaddr_un name{};
      name.sun_family = AF_UNIX;
      std::strncpy(name.sun_path, address.c_str() + 5, sizeof name.sun_path - 1);
      open(AF_UNIX, reinterpret_cast<sockaddr*>(&name), sizeof name);
    } else {
      sockaddr_in name{};
      name.sin_family = AF_INET;
      name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      name.sin_port =
          htons(static_cast<std::uint16_t>(std::stoul(address.substr(address.rfind(':') + 1))));
      open(AF_INET, reinterpret_cast<sockaddr*>(&name), sizeof name);
    }
  }
  RawConnection(RawConnection&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  RawConnection& operator=(RawConnection&&) = delete;
  ~RawConnection() {
    if (fd_ >= 0) ::close(fd_);
  }

  bool connected() const { return fd_ >= 0; }
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  /// Everything until the other side closes; gives up after `seconds` of silence.
  std::string read_all(int seconds) {
    const timeval limit{seconds, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    std::string text;
    std::array<char, 4096> piece{};
    for (;;) {
      const ssize_t got = ::recv(fd_, piece.data(), piece.size(), 0);
      if (got <= 0) return text;
      text.append(piece.data(), static_cast<std::size_t>(got));
    }
  }

 private:
  void open(int family, const sockaddr* name, socklen_t length) {
    fd_ = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd_ >= 0 && ::connect(fd_, name, length) != 0) {
      ::close(fd_);
      fd_ = -1;
    }
  }
  int fd_ = -1;
};

struct RawReply {
  int status = 0;  ///< 0: no answer
  std::string head, body;
};

inline RawReply send_raw(const std::string& address, const std::string& request, int seconds = 10) {
  RawConnection connection(address);
  if (!connection.connected() || !connection.send(request)) return {};
  const std::string text = connection.read_all(seconds);
  const std::size_t end = text.find("\r\n\r\n");
  if (end == std::string::npos || text.size() < 12) return {};
  return {std::stoi(text.substr(9, 3)), text.substr(0, end), text.substr(end + 4)};
}

inline RawReply call(const std::string& address, const std::string& method,
                     const std::string& target, const std::string& body = {}) {
  std::string request = method + " " + target + " HTTP/1.1\r\nHost: test\r\nConnection: close\r\n";
  if (!body.empty()) request += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  return send_raw(address, request + "\r\n" + body);
}

}  // namespace muster::monitoring
