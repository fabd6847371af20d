// A server in a child process that may die of its GPU, on a real disk that outlives it.
#pragma once

#include <functional>
#include <string>

namespace muster::sim {

/// A folder of its own, removed with the object.
class Folder {
 public:
  Folder();
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct ChildEnd {
  int status = -1;     ///< exit status; -1: a signal
  std::string output;  ///< stderr
  std::size_t count(std::string_view line_part) const;
};

/// Runs `body` in a fork; what it returns is the exit status. This process must have one thread.
ChildEnd in_child(const std::function<int()>& body);

}  // namespace muster::sim
