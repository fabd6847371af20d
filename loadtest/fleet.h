// Phones that really train: each with a key, a connection and a shard of text of its own, run on a
// few threads. Some may be hostile.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/queue.h"
#include "base/status.h"
#include "client/client.h"
#include "loadtest/attacks.h"
#include "loadtest/text.h"
#include "loadtest/trainer.h"

namespace muster::loadtest {

struct FleetOptions {
  ModelShape shape;
  TrainOptions training;
  std::uint64_t seed = 1;
  /// Phones busy at once. More than cores: most of a phone's time passes on the network and in the
  /// server's syncs.
  std::uint32_t threads = 8;
  /// Of one join; a round must open within it.
  Nanoseconds patience = 60 * kSecond;
  const std::atomic<bool>* stop = nullptr;  ///< set: phones not yet busy are left out; may be null
};

/// What the phones do in one round.
struct RoundPlan {
  std::string task;
  double hostile_share = 0;  ///< that share of all phones, spread evenly
  Attack attack = Attack::kMixed;
};

struct RoundReport {
  std::uint32_t submitted = 0;                    ///< receipts
  std::map<std::string, std::uint32_t> refusals;  ///< reason token -> phones
  std::uint32_t refused() const;
};

class Fleet {
 public:
  /// One phone for each shard of `corpus`, which must outlive the fleet, with fresh keys.
  Fleet(const FleetOptions& options, const Corpus& corpus);
  ~Fleet();

  std::size_t size() const { return phones_.size(); }
  std::vector<std::string> public_keys() const;
  /// Connects every phone. Call once, before run_round().
  Status connect(const std::string& endpoint, const std::string& server_key);
  /// Every phone joins, fetches, trains and submits; colluders meet before they submit. `progress`
  /// is called on this thread with the number of phones done.
  RoundReport run_round(const RoundPlan& plan, const std::function<void(std::size_t)>& progress);

 private:
  struct Phone;
  struct Errand;

  Phone& phone(std::size_t index) { return *phones_[index]; }
  bool stopped() const { return options_.stop != nullptr && options_.stop->load(); }
  /// Joins, fetches and trains: the phone's delta of this round.
  Result<Errand> learn(std::size_t index, Trainer& trainer, const std::string& task,
                       bool flips_labels = false);
  Status submit(std::size_t index, const Errand& errand);
  /// learn() and submit() with what a lone attacker does between them.
  Status take_part(std::size_t index, Trainer& trainer, const RoundPlan& plan, bool hostile);
  /// The colluders' round: all learn, then all submit the one vector they agree on.
  /// They know how many attackers there are in all.
  void collude(const std::vector<std::size_t>& members, std::size_t attackers,
               const RoundPlan& plan, BoundedQueue<Status>& outcomes);
  /// Runs `body(index, trainer)` for every index on the fleet's threads; returns when all are done.
  void for_each(const std::vector<std::size_t>& indices,
                const std::function<void(std::size_t, Trainer&)>& body);

  FleetOptions options_;
  const Corpus& corpus_;
  std::unique_ptr<client::Transport> transport_;
  std::vector<std::unique_ptr<Phone>> phones_;
  std::vector<Trainer> trainers_;  ///< one a thread
};

/// Whether phone `index` of `n` is among the `f` hostile ones: evenly spread.
bool is_hostile(std::size_t index, std::size_t n, std::size_t f);

}  // namespace muster::loadtest
