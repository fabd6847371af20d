// The life of a control store as a list of steps, and what it shows after each: the same script for
// the plain tests, the power cuts and the full disks.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "server/control_store.h"

namespace muster::server {

struct LifecycleStep {
  std::string name;
  std::function<Status(ControlStore&)> run;
};

/// Every method that writes, through two rounds of one task and an abandoned one of another.
std::vector<LifecycleStep> lifecycle();

/// Everything a store shows but the node's own secrets, as text.
std::string show(ControlStore& store);

ingest::PublicKey test_key(std::uint8_t number);
RoundRow test_round(TaskId task, RoundNumber number);
std::vector<UpdateId> test_ids(std::size_t count);
Sha256 test_hash(std::uint8_t number);

}  // namespace muster::server
