#include "tests/gpusim/ptx/race.h"

#include <algorithm>
#include <bit>
#include <string>

#include "tests/gpusim/ptx/failure.h"

namespace gpusim {

void ShadowPage::refine(std::size_t bytes, std::uint32_t launch) {
  const int wanted = std::countr_zero(std::min<std::size_t>(bytes, 16));
  if (launch != launch_) {
    // Nothing of an older launch matters; a granule that fits the first access is a guess at the
    // rest.
    launch_ = launch;
    if (cells_ != nullptr && granule_log2_ == wanted) return;
    granule_log2_ = wanted;
    cells_ = std::make_unique<Cell[]>(kBytes >> wanted);
    return;
  }
  auto finer = std::make_unique<Cell[]>(kBytes >> wanted);
  for (std::size_t i = 0; i < kBytes >> wanted; ++i)
    finer[i] = cells_[i >> (granule_log2_ - wanted)];
  cells_ = std::move(finer);
  granule_log2_ = wanted;
}

std::uint32_t RaceChecker::next_era() { return ++era_; }

void RaceChecker::begin_launch() {
  ++launch_;
  launch_start_ = era_ + 1;
  block_starts_.clear();
  released_.clear();
}

void RaceChecker::begin_block(std::uint32_t block, std::size_t threads) {
  const std::size_t warps = (threads + kLanes - 1) / kLanes;
  block_ = block;
  block_start_ = now_ = next_era();
  block_starts_.emplace_back(now_, block);
  held_.clear();
  times_.resize(warps);
  for (WarpTime& time : times_) {
    time.stamp = time.all_known = 1;
    time.known.clear();
  }
  fenced_.assign(warps * kLanes, 0);
  threads_ = threads;
  fences_ = 0;
  all_fenced_ = 0;
}

void RaceChecker::barrier() {
  now_ = next_era();
  // Each thread fenced its own and all met: one of them may publish for all.
  if (fences_ == threads_) all_fenced_ = now_;
  fences_ = 0;
}

void RaceChecker::warp_sync(int warp, Mask lanes) {
  WarpTime& time = times_[static_cast<std::size_t>(warp)];
  ++time.stamp;
  if (lanes == kAllLanes) {
    time.all_known = time.stamp;
    time.known.clear();
    return;
  }
  if (time.known.empty()) time.known.assign(kLanes * kLanes, time.all_known);
  const auto known = [&](int a, int b) -> std::uint32_t& {
    return time.known[static_cast<std::size_t>(a * kLanes + b)];
  };
  for (int other = 0; other < kLanes; ++other) {
    std::uint32_t joint = 0;
    for_lanes(lanes, [&](int lane) { joint = std::max(joint, known(lane, other)); });
    if ((lanes & lane_bit(other)) != 0) joint = time.stamp;
    for_lanes(lanes, [&](int lane) { known(lane, other) = joint; });
  }
}

bool RaceChecker::knows(const WarpTime& time, int lane, Mask others, std::uint32_t stamp) const {
  if (time.known.empty()) return stamp < time.all_known;
  for (; others != 0; others &= others - 1) {
    if (stamp >= time.known[static_cast<std::size_t>(lane * kLanes + first_lane(others))])
      return false;
  }
  return true;
}

void RaceChecker::fence(Party who) {
  std::uint32_t& last = fenced_[static_cast<std::size_t>(who.warp * kLanes + who.lane)];
  if (last != now_) ++fences_;
  last = now_;
}

void RaceChecker::synchronise(std::uint64_t address, Party who, bool releases) {
  const std::uint32_t fenced = fenced_[static_cast<std::size_t>(who.warp * kLanes + who.lane)];
  const std::uint32_t own = releases ? now_ : std::max(fenced, all_fenced_);
  const auto known = released_.find(address);
  if (known == released_.end() && own == 0) return;
  std::vector<Token>& tokens = known == released_.end() ? released_[address] : known->second;
  for (Token token : tokens) {
    if (token.block == block_) continue;
    token.taken_era = now_;
    token.taken_by = who;
    held_[token.block].push_back(token);
  }
  if (own == 0) return;
  for (const auto& [block, held] : held_) {
    // What this block acquired is handed on; the tokens this address already has are not repeated.
    for (const Token& token : held) {
      const bool there = std::any_of(tokens.begin(), tokens.end(), [&](const Token& t) {
        return t.block == token.block && t.era == token.era && t.owner.warp == token.owner.warp &&
               t.owner.lane == token.owner.lane;
      });
      if (!there) tokens.push_back(token);
    }
  }
  tokens.push_back(Token{block_, own, who, 0, {}});
}

std::uint32_t RaceChecker::block_of(std::uint32_t era) const {
  const auto next =
      std::upper_bound(block_starts_.begin(), block_starts_.end(),
                       std::pair<std::uint32_t, std::uint32_t>(era, ~std::uint32_t{0}));
  return next == block_starts_.begin() ? 0 : std::prev(next)->second;
}

bool RaceChecker::handed_over(const Mark& mark, Party who) const {
  const auto tokens = held_.find(block_of(mark.era));
  if (tokens == held_.end()) return false;
  return std::any_of(tokens->second.begin(), tokens->second.end(), [&](const Token& token) {
    const bool own = mark.era == token.era && mark.warp == token.owner.warp &&
                     mark.lanes == lane_bit(token.owner.lane);
    const bool usable = token.taken_era < now_ ||
                        (token.taken_by.warp == who.warp && token.taken_by.lane == who.lane);
    return usable && (mark.era < token.era || own);
  });
}

void RaceChecker::atomic(Cell& cell, Party who, Where where, std::uint64_t address) {
  const bool follows_atomic = cell.write.era >= first_live(where) && cell.write.atomic;
  if (!follows_atomic) {
    check_write(cell, who, where, address);
    cell.write.era = 0;
  } else if (cell.read.era >= first_live(where) &&
             (!ordered(cell.read, who, where) || others_unordered(cell.read))) {
    report("write after an unordered read", cell.read, who, where, address);
  }
  remember(cell.write, who, where);
  cell.write.atomic = true;
}

void RaceChecker::begin_copy(Cell& cell, Party who, std::uint64_t address) {
  write(cell, who, Where::kShared, address);
  cell.write.copying = true;
}

void RaceChecker::end_copy(Cell& cell, Party who) { set_write(cell, who); }

void RaceChecker::report(std::string_view what, const Mark& mark, Party who, Where where,
                         std::uint64_t address) const {
  std::string text(what);
  if (text.ends_with("unordered")) text.append(mark.atomic ? " atomic" : " write");
  text.append(" of ").append(where == Where::kShared ? "shared" : "global").append(" address ");
  text.append(hex(address)).append(" by ");
  const std::uint32_t block = block_of(mark.era);
  if (block != block_) text.append("block ").append(std::to_string(block)).append(", ");
  if (mark.warp == Mark::kManyWarps) {
    text.append("several warps");
  } else {
    Mask others = mark.lanes;
    if (block == block_ && mark.warp == who.warp) others &= ~lane_bit(who.lane);
    if (others == 0)  // the mark kept no more than the warp
      text.append("warp ").append(std::to_string(mark.warp));
    else
      text.append("thread ").append(std::to_string(mark.warp * kLanes + first_lane(others)));
    if (count_lanes(others) > 1) text.append(" and others of its warp");
  }
  fail(Fault::kRace, who.lane, std::move(text));
}

void RaceChecker::report_copy(const Mark& mark, Party who) const {
  std::string text("the target of a cp.async that thread ");
  text.append(std::to_string(mark.warp * kLanes + first_lane(mark.lanes)));
  text.append(" did not wait for is used");
  fail(Fault::kMissingWait, who.lane, std::move(text));
}

}  // namespace gpusim
