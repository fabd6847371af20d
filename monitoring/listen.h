// Opens the listening sockets of the HTTP server: TCP by address, Unix by path.
#pragma once

#include <string>

#include "base/status.h"

namespace muster::monitoring {

/// A listening socket and what must go with it. Closed by its destructor, which also removes the
/// path of a Unix socket if it still is this socket.
class ListenSocket {
 public:
  /// `listen` as in HttpOptions. A Unix path left by a dead server is taken over; one that answers,
  /// or that is not a socket, is "listen_in_use".
  static Result<ListenSocket> open(const std::string& listen);

  ListenSocket(ListenSocket&& other) noexcept;
  ListenSocket& operator=(ListenSocket&&) = delete;
  ~ListenSocket();

  int descriptor() const { return descriptor_; }
  /// The descriptor has another owner from now on; the path stays ours.
  void release_descriptor() { descriptor_ = -1; }
  bool is_unix() const { return !path_.empty(); }
  /// As HttpServer::address().
  const std::string& address() const { return address_; }

 private:
  ListenSocket(int descriptor, std::string address, std::string path);
  static Result<ListenSocket> open_unix(const std::string& path);
  static Result<ListenSocket> open_tcp(const std::string& listen);

  int descriptor_;
  std::string address_;
  std::string path_;  ///< Unix sockets only
  unsigned long device_ = 0, inode_ = 0;
};

}  // namespace muster::monitoring
