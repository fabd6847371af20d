// The updates of a fleet that does not train: a few hundred known rows, encoded once for a round
// and sent by many devices, so that the simulator can tell what must come of them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "base/hash.h"
#include "client/client.h"
#include "loadtest/load_plan.h"

namespace muster::loadtest {

/// An encoded update with the checksum of each chunk.
struct PooledUpdate {
  std::vector<std::vector<std::byte>> chunks;
  std::vector<Hash128> checksums;
};

/// The updates of one round: `distinct` honest ones, then those of each attack of the plan.
class UpdatePool {
 public:
  /// Everything follows from the plan and the assignment. Fails as client::encode() does.
  static Result<std::shared_ptr<const UpdatePool>> make(const LoadPlan& plan,
                                                        const wire::Assignment& assignment);
  std::uint32_t size() const { return static_cast<std::uint32_t>(updates_.size()); }
  const PooledUpdate& update(std::uint32_t index) const { return updates_[index]; }
  /// Whether the server has to refuse this one.
  bool impossible(std::uint32_t index) const { return impossible_[index]; }
  std::uint32_t honest_index(std::uint64_t draw) const {
    return static_cast<std::uint32_t>(draw % distinct_);
  }
  std::uint32_t hostile_index(RowAttack attack, std::uint64_t draw) const;

 private:
  std::uint32_t distinct_ = 0;
  std::map<RowAttack, std::uint32_t> first_of_;  ///< kVariants each
  std::vector<PooledUpdate> updates_;
  std::vector<bool> impossible_;
};

/// What a worker needs to take part in a round.
struct RoundWork {
  wire::Assignment assignment;
  std::uint32_t chunk_count = 0;
  std::shared_ptr<const UpdatePool> pool;
};

/// The rounds all workers of a load test see; pools are shared as long as encoding does not change.
/// Thread-safe.
class WorkBook {
 public:
  explicit WorkBook(const LoadPlan& plan) : plan_(plan) {}
  Result<std::shared_ptr<const RoundWork>> work(const wire::Assignment& assignment);
  /// Of a round that work() was asked for; null otherwise.
  std::shared_ptr<const RoundWork> find(TaskId task, RoundNumber round) const;

 private:
  const LoadPlan& plan_;
  // A mutex outside base/: taken when a worker meets a round for the first time.
  mutable std::mutex mutex_;
  std::map<std::pair<TaskId, RoundNumber>, std::shared_ptr<const RoundWork>> rounds_;
};

}  // namespace muster::loadtest
