// The dynamic program behind tree_sensitivity_squared().
#include <algorithm>
#include <bit>
#include <unordered_map>

#include "privacy/correlated.h"

namespace muster::privacy {
namespace {

/// Steps of the program before it is given up: about a second.
constexpr std::uint64_t kMaxSteps = 2'000'000;
constexpr std::int64_t kImpossible = -1;

/// Complete trees of 2^height leaves whose participations lie at offsets in [from, to].
class TreeProgram {
 public:
  explicit TreeProgram(const Participation& limit)
      : apart_(std::max<std::uint32_t>(1, limit.separation)) {}

  bool too_long() const { return steps_ > kMaxSteps; }

  /// Best sum over the nodes of one complete tree with exactly `count` participations.
  std::int64_t best(int height, std::int64_t count, std::int64_t from, std::int64_t to) {
    from = std::max<std::int64_t>(from, 0);
    to = std::min(to, (std::int64_t{1} << height) - 1);
    if (count == 0) return 0;
    if (to < from || (to - from) / apart_ + 1 < count) return kImpossible;
    if (count == 1) return height + 1;
    const Key key{height, count, from, to};
    if (const auto found = known_.find(key); found != known_.end()) return found->second;
    const std::int64_t half = std::int64_t{1} << (height - 1);
    std::int64_t below = kImpossible;
    for (std::int64_t left = 0; left <= count && !too_long(); ++left)
      below = std::max(below, split(height - 1, half, left, count - left, from, to));
    const std::int64_t value = below == kImpossible ? kImpossible : below + count * count;
    known_.emplace(key, value);
    return value;
  }

 private:
  struct Key {
    std::int64_t height, count, from, to;
    bool operator==(const Key&) const = default;
  };
  struct Hash {
    std::size_t operator()(const Key& key) const {
      std::uint64_t h = 0;
      for (const std::int64_t v : {key.height, key.count, key.from, key.to})
        h = (h ^ static_cast<std::uint64_t>(v)) * 0x9E3779B97F4A7C15u;
      return h ^ (h >> 29);
    }
  };

  /// `left` participations in the left half and `right` in the right one.
  std::int64_t split(int height, std::int64_t half, std::int64_t left, std::int64_t right,
                     std::int64_t from, std::int64_t to) {
    if (left == 0) return best(height, right, from - half, to - half);
    if (right == 0) return best(height, left, from, to);
    std::int64_t value = kImpossible;
    // The last one on the left at `last` or before keeps the right half free from last + apart.
    const std::int64_t earliest = from + (left - 1) * apart_;
    const std::int64_t latest = std::min(half - 1, to - right * apart_);
    for (std::int64_t last = earliest; last <= latest && ++steps_ <= kMaxSteps; ++last) {
      const std::int64_t a = best(height, left, from, last);
      const std::int64_t b = best(height, right, last + apart_ - half, to - half);
      if (a != kImpossible && b != kImpossible) value = std::max(value, a + b);
      if (last + apart_ <= half) last = std::max(last, std::min(latest, half - apart_) - 1);
    }
    return value;
  }

  std::int64_t apart_;
  std::uint64_t steps_ = 0;
  std::unordered_map<Key, std::int64_t, Hash> known_;
};

}  // namespace

Result<std::uint64_t> tree_sensitivity_squared(const Participation& limit, std::uint64_t rounds) {
  // After `rounds` leaves the tree is a forest: one complete tree for each set bit, largest first.
  const std::int64_t apart = std::max<std::uint32_t>(1, limit.separation);
  const auto most = static_cast<std::int64_t>(participations_possible(limit, rounds));
  TreeProgram program(limit);
  // states[c] -> (earliest next participation, best sum) pairs that no other pair dominates.
  struct State {
    std::int64_t next, value;
  };
  std::vector<std::vector<State>> states(static_cast<std::size_t>(most) + 1);
  states[0].push_back({0, 0});
  std::int64_t start = 0;
  for (int height = static_cast<int>(std::bit_width(rounds)) - 1; height >= 0; --height) {
    const std::int64_t size = std::int64_t{1} << height;
    if ((rounds & static_cast<std::uint64_t>(size)) == 0) continue;
    auto grown = states;
    for (std::int64_t before = 0; before <= most; ++before) {
      for (const State& state : states[static_cast<std::size_t>(before)]) {
        const std::int64_t from = std::max<std::int64_t>(0, state.next - start);
        for (std::int64_t here = 1; here + before <= most; ++here) {
          std::int64_t last_value = kImpossible;
          for (std::int64_t last = from + (here - 1) * apart; last < size; ++last) {
            const std::int64_t value = program.best(height, here, from, last);
            if (program.too_long())
              return Status(Code::kInvalid, "tree_too_large",
                            "this separation leaves too many patterns of participation to search; "
                            "raise the separation, restart the tree, or use BLT noise");
            if (value <= last_value) continue;
            last_value = value;
            grown[static_cast<std::size_t>(before + here)].push_back(
                {start + last + apart, state.value + value});
          }
        }
      }
    }
    for (auto& list : grown) {  // keep what is better the later it ends
      std::sort(list.begin(), list.end(), [](const State& a, const State& b) {
        return a.next != b.next ? a.next < b.next : a.value > b.value;
      });
      std::int64_t best = kImpossible;
      std::erase_if(list, [&](const State& s) {
        if (s.value <= best) return true;
        best = s.value;
        return false;
      });
    }
    states = std::move(grown);
    start += size;
  }
  std::int64_t best = 0;
  for (const auto& list : states)
    for (const State& state : list) best = std::max(best, state.value);
  return static_cast<std::uint64_t>(best);
}

}  // namespace muster::privacy
