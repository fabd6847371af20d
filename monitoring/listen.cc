#include "monitoring/listen.h"

#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

namespace muster::monitoring {
namespace {

constexpr int kBacklog = 512;
constexpr std::string_view kUnixPrefix = "unix:";

Status failed(const std::string& what) {
  const int error = errno;
  return Status(Code::kUnavailable, error == EADDRINUSE ? "listen_in_use" : "listen_failed",
                what + ": " + std::strerror(error));
}

Status bad_address(const std::string& listen, const std::string& why) {
  return Status(Code::kInvalid, "listen_address",
                "cannot listen on '" + listen + "': " + why +
                    "; write host:port, [v6-address]:port or unix:/path");
}

/// Owns a descriptor until it is released to the ListenSocket.
struct Descriptor {
  int value = -1;
  explicit Descriptor(int fd) : value(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (value >= 0) ::close(value);
  }
  int release() { return std::exchange(value, -1); }
};

/// Whether a process accepts connections at `address`.
bool answers(const sockaddr_un& address) {
  Descriptor probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return probe.value >= 0 &&
         ::connect(probe.value, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

/// Makes room at `path`: nothing there, or the socket of a server that died.
Status clear_stale(const std::string& path, const sockaddr_un& address) {
  struct stat found {};
  if (::lstat(path.c_str(), &found) != 0)
    return errno == ENOENT ? Status() : failed("cannot look at " + path);
  if (!S_ISSOCK(found.st_mode))
    return Status(Code::kUnavailable, "listen_in_use", path + " exists and is not a socket");
  if (answers(address))
    return Status(Code::kUnavailable, "listen_in_use", "another server answers at " + path);
  return ::unlink(path.c_str()) == 0 ? Status() : failed("cannot remove the stale " + path);
}

std::string real_address(int descriptor) {
  sockaddr_storage name{};
  socklen_t length = sizeof name;
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  auto* generic = reinterpret_cast<sockaddr*>(&name);
  if (::getsockname(descriptor, generic, &length) != 0 ||
      ::getnameinfo(generic, length, host.data(), host.size(), port.data(), port.size(),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return {};
  const std::string numeric = host.data();
  return (name.ss_family == AF_INET6 ? "[" + numeric + "]" : numeric) + ":" + port.data();
}

}  // namespace

ListenSocket::ListenSocket(int descriptor, std::string address, std::string path)
    : descriptor_(descriptor), address_(std::move(address)), path_(std::move(path)) {
  struct stat made {};
  if (!path_.empty() && ::lstat(path_.c_str(), &made) == 0) {
    device_ = made.st_dev;
    inode_ = made.st_ino;
  }
}

ListenSocket::ListenSocket(ListenSocket&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      address_(std::move(other.address_)),
      path_(std::exchange(other.path_, {})),
      device_(other.device_),
      inode_(other.inode_) {}

ListenSocket::~ListenSocket() {
  if (descriptor_ >= 0) ::close(descriptor_);
  struct stat found {};
  if (!path_.empty() && ::lstat(path_.c_str(), &found) == 0 && found.st_dev == device_ &&
      found.st_ino == inode_)
    ::unlink(path_.c_str());
}

Result<ListenSocket> ListenSocket::open(const std::string& listen) {
  if (listen.starts_with(kUnixPrefix)) return open_unix(listen.substr(kUnixPrefix.size()));
  return open_tcp(listen);
}

Result<ListenSocket> ListenSocket::open_unix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty()) return bad_address("unix:", "the path is empty");
  if (path.size() >= sizeof address.sun_path)
    return bad_address("unix:" + path, "the path has " + std::to_string(path.size()) +
                                           " bytes, the system takes " +
                                           std::to_string(sizeof address.sun_path - 1));
  std::memcpy(address.sun_path, path.data(), path.size());
  MUSTER_TRY(clear_stale(path, address));

  Descriptor made(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (made.value < 0) return failed("cannot make a Unix socket");
  if (::bind(made.value, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return failed("cannot bind " + path);
  ListenSocket socket(made.release(), "unix:" + path, path);
  // Nobody can connect before listen(), so the mode is right from the first connection on.
  if (::chmod(path.c_str(), 0660) != 0) return failed("cannot set the mode of " + path);
  if (::listen(socket.descriptor_, kBacklog) != 0) return failed("cannot listen on " + path);
  return socket;
}

Result<ListenSocket> ListenSocket::open_tcp(const std::string& listen) {
  const std::size_t colon = listen.rfind(':');
  if (colon == std::string::npos) return bad_address(listen, "the port is missing");
  std::string host = listen.substr(0, colon);
  const std::string port = listen.substr(colon + 1);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  if (host.empty()) return bad_address(listen, "the host is missing");
  if (port.empty() || port.size() > 5 ||
      port.find_first_not_of("0123456789") != std::string::npos || std::stoul(port) > 65'535)
    return bad_address(listen, "the port is not a number from 0 to 65535");

  addrinfo hints{};
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &list); error != 0)
    return bad_address(listen, ::gai_strerror(error));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> found(list, &::freeaddrinfo);

  Descriptor made(
      ::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP));
  if (made.value < 0) return failed("cannot make a socket for " + listen);
  const int on = 1;
  ::setsockopt(made.value, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(made.value, found->ai_addr, found->ai_addrlen) != 0)
    return failed("cannot bind " + listen);
  if (::listen(made.value, kBacklog) != 0) return failed("cannot listen on " + listen);
  std::string address = real_address(made.value);
  return ListenSocket(made.release(), std::move(address), {});
}

}  // namespace muster::monitoring
