#include "tests/spool/world.h"

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "base/simulated_storage.h"
#include "ingest/segment.h"
#include "tests/spool/items.h"

namespace muster::ingest::test {
namespace {

constexpr std::uint64_t kSegmentBytes = 8 * kBlockBytes;
constexpr TaskId kTasks = 2;
// Its records are encrypted on disk, in one seed of four: encryption costs the others' time.
constexpr TaskId kSealedTask = 2;
const std::string kDirectory = "data/spool";

struct Violation {
  std::string what;
};

/// A record that was handed to commit(); what became of it.
struct Known {
  Item item;
  std::uint64_t commit = 0;
  bool must = false;  ///< acknowledged, or reported by a recovery; and its round not released
  bool live = false;  ///< counted by live_bytes()
  bool released = false;
};

class World {
 public:
  World(std::uint64_t seed, Mutation mutation, Totals& totals)

      : random_(seed),
        seals_(seed % 4 == 0),
        disk_(seed ^ 0xD15C),
        mutant_(mutate(disk_, mutation)),
        totals_(totals) {
    options_.directory = kDirectory;
    options_.segment_bytes = kSegmentBytes;
    options_.low_water_bytes = 2 * kSegmentBytes;
    options_.keys = &keys_;
  }

  void run() {
    reopen();
    const std::uint64_t steps = 10 + pick(40);
    for (std::uint64_t i = 0; i < steps; ++i) step();
    settle();
    if (chance(30)) flip_a_bit();
    // Whatever happened: a recovery of a recovery finds the same.
    restart(chance(50));
    restart(chance(50));
  }

 private:
  std::uint64_t pick(std::uint64_t bound) { return random_() % bound; }
  bool chance(std::uint64_t percent) { return pick(100) < percent; }
  static void require(bool kept, const std::string& what) {
    if (!kept) throw Violation{what};
  }

  void step() {
    if (chance(12)) plan_trouble();
    const std::uint64_t dice = pick(100);
    if (dice < 72) {
      commit_something();
    } else if (dice < 84) {
      release_something();
    } else if (dice < 90) {
      restart(chance(50));
    } else if (dice < 94) {
      ++round_;
    } else {
      read_something();
    }
    require_live_bytes();
  }

  void plan_trouble() {
    FaultPlan plan;
    if (chance(45)) plan.fail_call = 1 + pick(14);
    if (chance(45)) plan.crash_call = 1 + pick(14);
    if (chance(20)) plan.capacity_bytes = (1 + pick(8)) * kSegmentBytes;
    set_plan(plan);
  }
  void set_plan(const FaultPlan& plan) {
    plan_ = plan;
    disk_.set_plan(plan);
  }
  /// True where the plan has made some call fail that nobody answered for yet.
  bool trouble_struck() const {
    return disk_.crashed() || (plan_.fail_call > 0 && disk_.calls() >= plan_.fail_call);
  }

  void commit_something() {
    const std::uint64_t count = chance(5) ? 20 + pick(20) : 1 + pick(6);
    std::vector<Item> items;
    for (std::uint64_t i = 0; i < count; ++i) {
      items.push_back(make_item(++nonce_, 1 + static_cast<TaskId>(pick(kTasks)),
                                round_ - (round_ > 1 ? pick(2) : 0),
                                static_cast<std::uint32_t>(chance(10) ? pick(9000) : pick(2500))));
      const RecordHeader header = items.back().header();
      if (header.task != kSealedTask || !seals_) continue;
      items.back() = seal(std::move(items.back()));
      if (!keys_.has(header.task, header.round)) put_key(keys_, header.task, header.round);
    }
    const Status status = commit(*spool_, items);
    ++totals_.commits;
    // "disk_full" means that nothing was written: these records are never seen again.
    if (status.reason() == "disk_full") {
      ++totals_.refused_for_space;
      if (chance(50)) set_plan({});
      return;
    }
    for (Item& item : items) {
      const std::uint64_t nonce = item.header().nonce;
      Known known{std::move(item), nonce_, status.ok(), status.ok(), false};
      // A late record of a released round is live for the spool until the next release.
      known_.emplace(nonce, std::move(known));
      if (status.ok()) last_group_ = {nonce_, known_.at(nonce).item.location.segment};
    }
    if (!status.ok()) recover_from(status);
  }

  void release_something() {
    const TaskId task = 1 + static_cast<TaskId>(pick(kTasks));
    const RoundNumber round = 1 + pick(round_);
    if (round_ - round < 2 && chance(80)) return;
    const Status status = spool_->release_round(task, round);
    for (auto& [nonce, known] : known_) {
      const RecordHeader header = known.item.header();
      if (header.task != task || header.round != round) continue;
      known.must = known.live = false;
      known.released = true;
    }
    if (!status.ok()) recover_from(status);
  }

  void read_something() {
    for (const auto& [nonce, known] : known_) {
      if (!known.must || !chance(20)) continue;
      require_readable(known);
    }
    if (trouble_struck()) restart(true);
  }

  /// A call failed. It must have been planned, and everything must fail from then on.
  void recover_from(const Status& status) {
    require(trouble_struck(), "a call failed without cause: " + status.to_string());
    require(status.reason() == "spool_fault", "a fault is called " + status.to_string());
    Item item = make_item(++nonce_, 1, 1, 10);
    require(commit(*spool_, {&item, 1}).reason() == "spool_fault", "a commit after a fault");
    ++totals_.faults;
    restart(disk_.crashed() || chance(50));
  }

  /// Leaves no trouble behind that could still come.
  void settle() {
    if (disk_.crashed()) restart(true);
    set_plan({});
  }

  void restart(bool power) {
    spool_.reset();
    if (power || disk_.crashed()) {
      disk_.power_cycle();
      set_plan({});
      ++totals_.power_cycles;
      if (chance(20)) plan_trouble();  // meets the recovery
    } else {
      ++totals_.restarts;
    }
    reopen();
  }

  void reopen() {
    while (!try_open()) {
      ++totals_.faults_in_recovery;
      if (disk_.crashed() || chance(50)) disk_.power_cycle();
      set_plan({});
      if (chance(20)) plan_trouble();
    }
  }

  bool try_open() {
    last_group_ = {};
    std::map<std::uint64_t, RecordLocation> seen;
    RecoveryReport report;
    auto opened = open_spool(seen, report);
    if (!opened.ok()) {
      // Only setting damage aside needs space.
      const bool full = options_.accept_quarantine && opened.status().reason() == "disk_full";
      require(trouble_struck() || full,
              "open failed without cause: " + opened.status().to_string());
      return false;
    }
    spool_ = std::move(opened).value();
    if (disk_.crashed()) return false;
    totals_.truncations += report.truncated_bytes > 0;
    totals_.segments += report.segments;
    require(report.records == seen.size(), "the report counts other records");
    judge(seen);
    return true;
  }

  Result<std::unique_ptr<Spool>> open_spool(std::map<std::uint64_t, RecordLocation>& seen,
                                            RecoveryReport& report) {
    spool_.reset();
    const auto visitor = [&](const RecordHeader& header, RecordLocation location) {
      require(seen.emplace(header.nonce, location).second, "a record is there twice");
    };
    return Spool::open(*mutant_, options_, stats_, visitor, &report);
  }

  /// Compares what a recovery reported with what must and may be there, and believes it.
  void judge(const std::map<std::uint64_t, RecordLocation>& seen) {
    for (auto& [nonce, location] : seen) {
      const auto it = known_.find(nonce);
      require(it != known_.end(),
              "a record that was never written, nonce " + std::to_string(nonce));
      const RecordLocation expected = it->second.item.location;
      require(location.segment == expected.segment && location.offset == expected.offset,
              "a record lies where it was never written");
      require_readable(it->second);
    }
    for (auto& [nonce, known] : known_) {
      const bool here = seen.contains(nonce);
      require(here || !known.must, "an acknowledged record is lost, nonce " +
                                       std::to_string(nonce) + " of " +
                                       segment_name(known.item.location.segment));
      if (here && !known.must)
        ++(known.released ? totals_.released_came_back : totals_.unacknowledged_recovered);
      // What a recovery reported gets a receipt: from now on it must stay.
      known.must = known.live = here;
    }
    require_live_bytes();
  }

  void require_readable(const Known& known) {
    std::vector<std::byte> bytes(known.item.slot.size());
    const Status status = spool_->read(known.item.location, bytes);
    if (!status.ok() && disk_.crashed()) return;
    require(status.ok(), "a live record cannot be read: " + status.to_string());
    require(bytes == known.item.slot, "a record has other bytes");
    ++totals_.records_checked;
  }

  void require_live_bytes() {
    std::uint64_t sum = 0;
    for (const auto& [nonce, known] : known_)
      if (known.live) sum += disk_bytes(known.item.header());
    require(spool_->live_bytes() == sum, "live_bytes is " + std::to_string(spool_->live_bytes()) +
                                             ", not " + std::to_string(sum));
  }

  // Damage.

  void flip_a_bit() {
    std::vector<Known*> candidates;
    for (auto& [nonce, known] : known_)
      if (known.must) candidates.push_back(&known);
    if (candidates.empty()) return;
    const Known& victim = *candidates[pick(candidates.size())];
    const RecordLocation location = victim.item.location;
    const bool in_header_block = chance(10);
    const std::uint64_t byte = in_header_block
                                   ? pick(kBlockBytes)
                                   : location.offset + pick(disk_bytes(victim.item.header()));
    const std::string path = kDirectory + "/" + segment_name(location.segment);
    const std::uint64_t bit = byte * 8 + pick(8);
    spool_.reset();
    const auto last_group = last_group_;
    disk_.flip_bit(path, bit);

    std::map<std::uint64_t, RecordLocation> seen;
    RecoveryReport report;
    auto opened = open_spool(seen, report);
    if (opened.ok()) {
      // Only in the last group of the open tail does damage look like an interrupted write.
      require(!in_header_block && last_group == std::pair(victim.commit, location.segment),
              "damage in " + segment_name(location.segment) + " was not noticed");
      for (auto& [nonce, known] : known_)
        if (known.commit == victim.commit && known.item.location.segment == location.segment &&
            known.item.location.offset >= location.offset)
          known.must = false;
      require(!seen.contains(victim.item.header().nonce), "a damaged record was used");
      spool_ = std::move(opened).value();
      ++totals_.flips_truncated;
      judge(seen);
      return;
    }
    require(opened.status().reason() == "spool_corrupt", opened.status().to_string());
    require(opened.status().message().find(path) != std::string::npos,
            "the file is not named: " + opened.status().to_string() + ", not " + path);
    if (chance(50)) {
      ++totals_.flips_refused;
      disk_.flip_bit(path, bit);
      reopen();
    } else {
      ++totals_.flips_quarantined;
      quarantine(location, in_header_block);
    }
  }

  void quarantine(RecordLocation damage, bool in_header_block) {
    for (auto& [nonce, known] : known_)
      if (known.item.location.segment == damage.segment &&
          (in_header_block || known.item.location.offset >= damage.offset))
        known.must = false;
    options_.accept_quarantine = true;
    if (chance(50)) plan_trouble();
    reopen();
    settle();
    options_.accept_quarantine = false;
    reopen();
    for (int i = 0; i < 4; ++i) commit_something();
  }

  std::mt19937_64 random_;
  bool seals_;
  SimulatedStorage disk_;
  std::unique_ptr<Storage> mutant_;
  FaultPlan plan_;
  Stats stats_;
  SpoolOptions options_;
  RoundKeys keys_;
  std::unique_ptr<Spool> spool_;
  std::map<std::uint64_t, Known> known_;
  std::pair<std::uint64_t, std::uint64_t> last_group_;  ///< of this process: commit, generation
  std::uint64_t nonce_ = 0;
  RoundNumber round_ = 1;
  Totals& totals_;
};

}  // namespace

std::string simulate(std::uint64_t seed, Mutation mutation, Totals& totals) {
  try {
    World(seed, mutation, totals).run();
  } catch (const Violation& violation) {
    return violation.what;
  }
  return {};
}

}  // namespace muster::ingest::test
