// A few honest updates for the status page: status_fleet ENDPOINT {TASK COUNT}...
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "client/client.h"

namespace {

bool submit(const std::string& endpoint, const std::string& task, std::uint64_t device) {
  muster::client::ClientOptions options;
  options.endpoint = endpoint;
  options.device = device;
  auto client = muster::client::Client::connect(options);
  if (!client.ok()) return false;
  const auto assignment = (*client)->join(task, 30 * muster::kSecond);
  if (!assignment.ok()) {
    std::fprintf(stderr, "%s\n", assignment.status().to_string().c_str());
    return false;
  }
  const std::vector<float> delta(assignment->dimension, 0.001f * static_cast<float>(device % 97));
  const auto update = muster::client::encode(*assignment, delta, device);
  return update.ok() && (*client)->submit(*assignment, *update, 1).ok();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  std::uint64_t device = 1;
  for (int at = 2; at + 1 < argc; at += 2)
    for (int i = 0; i < std::atoi(argv[at + 1]); ++i)
      if (!submit(argv[1], argv[at], device++)) return 1;
  return 0;
}
