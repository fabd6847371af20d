// Data races by what orders two accesses, not by what happened to come first.
//
// Time inside a launch is counted in eras: each block starts one (blocks run one after another) and
// each block-wide barrier starts the next. Inside an era a warp counts its __syncwarp()s in stamps.
// Two accesses are ordered if they belong to one thread; or to one block and different eras; or to
// one warp and a __syncwarp that named both came between; or to different blocks and a fence and an
// atomic handed the first over to the second. Shuffles and votes order nothing.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tests/gpusim/ptx/lanes.h"

namespace gpusim {

// The lanes of one warp that accessed a cell in one era.
struct Mark {
  static constexpr std::uint16_t kManyWarps = 0xffff;

  std::uint32_t era = 0;  // 0: never
  std::uint32_t stamp = 0;
  Mask lanes = 0;
  std::uint16_t warp = 0;
  bool atomic : 1 = false;   // of a write
  bool others : 1 = false;   // an unordered access of another block was here before
  bool copying : 1 = false;  // of a write: a cp.async that was not waited for
};

struct Cell {
  Mark write, read;
};

// The cells of 1 KiB of memory. A cell covers 1 to 16 bytes: as many as the narrowest access so
// far.
class ShadowPage {
 public:
  static constexpr std::size_t kBytes = 1024;

  // First of the cells under [offset, offset + bytes), and their number. The range is aligned to
  // its size, a power of two. Cells of an older launch may be forgotten.
  Cell* cells(std::size_t offset, std::size_t bytes, std::uint32_t launch, std::size_t* count) {
    if (launch != launch_ || bytes >> granule_log2_ == 0) refine(bytes, launch);
    *count = std::max<std::size_t>(bytes >> granule_log2_, 1);
    return &cells_[offset >> granule_log2_];
  }

 private:
  void refine(std::size_t bytes, std::uint32_t launch);

  std::unique_ptr<Cell[]> cells_;
  int granule_log2_ = 4;
  std::uint32_t launch_ = 0;
};

// Who accesses: thread `lane` of warp `warp` of the running block.
struct Party {
  int warp = 0, lane = 0;
};

class RaceChecker {
 public:
  void begin_launch();
  void begin_block(std::uint32_t block, std::size_t threads);

  // The number of this launch, for shadow pages.
  std::uint32_t launch() const { return launch_; }

  // All threads of the block met.
  void barrier();
  // The lanes met at __syncwarp.
  void warp_sync(int warp, Mask lanes);
  void fence(Party who);
  // An atomic on this address: what its earlier atomics released is acquired; what the party fenced
  // (or everything, if the atomic itself releases) is released.
  void synchronise(std::uint64_t address, Party who, bool releases);

  // Whether the running block wrote the cell; only for shared memory, which each block finds
  // unwritten.
  bool written_in_block(const Cell& cell) const { return cell.write.era >= block_start_; }
  void mark_written(Cell& cell) const { cell.write.era = now_; }

  enum class Where : std::uint8_t { kShared, kGlobal };
  // Each throws a Failure if the access races with one the cell remembers, and then remembers it.
  void read(Cell& cell, Party who, Where where, std::uint64_t address);
  void write(Cell& cell, Party who, Where where, std::uint64_t address);
  void atomic(Cell& cell, Party who, Where where, std::uint64_t address);
  // A cp.async into a cell of shared memory begins; its wait ends it.
  void begin_copy(Cell& cell, Party who, std::uint64_t address);
  void end_copy(Cell& cell, Party who);

 private:
  // What one block's thread handed over: its own accesses up to `era`, its block's before `era`.
  struct Token {
    std::uint32_t block, era;
    Party owner;
    std::uint32_t taken_era;  // when the running block acquired it, and who
    Party taken_by;
  };
  struct WarpTime {
    std::uint32_t stamp = 1;      // of accesses from now on
    std::uint32_t all_known = 1;  // every lane knows every lane's accesses with a smaller stamp
    // known[a * 32 + b]: lane a knows lane b's accesses with a smaller stamp. Empty until a
    // __syncwarp names a part of the warp.
    std::vector<std::uint32_t> known;
  };

  std::uint32_t next_era();
  std::uint32_t block_of(std::uint32_t era) const;
  bool knows(const WarpTime& time, int lane, Mask others, std::uint32_t stamp) const;
  bool handed_over(const Mark& mark, Party who) const;
  bool ordered(const Mark& mark, Party who, Where where) const {
    if (mark.era < first_live(where)) return true;
    if (mark.era < now_) return mark.era >= block_start_ || handed_over(mark, who);
    if (mark.warp != who.warp) return false;
    const Mask others = mark.lanes & ~lane_bit(who.lane);
    return others == 0 ||
           knows(times_[static_cast<std::size_t>(who.warp)], who.lane, others, mark.stamp);
  }
  // Marks of an earlier era belong to another launch, or in shared memory to another block.
  std::uint32_t first_live(Where where) const {
    return where == Where::kShared ? block_start_ : launch_start_;
  }
  void remember(Mark& mark, Party who, Where where);
  // Which of several blocks' accesses a hand-over covered is not remembered: any hand-over will do.
  bool others_unordered(const Mark& mark) const { return mark.others && held_.empty(); }
  void set_write(Cell& cell, Party who) {
    const std::uint32_t stamp = times_[static_cast<std::size_t>(who.warp)].stamp;
    cell.write = Mark{now_, stamp, lane_bit(who.lane), static_cast<std::uint16_t>(who.warp)};
    cell.read.era = 0;
  }
  void check_write(const Cell& cell, Party who, Where where, std::uint64_t address) const;
  [[noreturn]] void report(std::string_view what, const Mark& mark, Party who, Where where,
                           std::uint64_t address) const;
  [[noreturn]] void report_copy(const Mark& mark, Party who) const;

  std::uint32_t era_ = 0, now_ = 0, launch_ = 0, launch_start_ = 1, block_start_ = 1, block_ = 0;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> block_starts_;  // era, block; of this launch
  std::vector<WarpTime> times_;
  std::vector<std::uint32_t> fenced_;     // per thread: the era of its last fence, 0 for none
  std::size_t threads_ = 0, fences_ = 0;  // of the block; its threads that fenced in this era
  std::uint32_t all_fenced_ = 0;          // all threads fenced what is older than this era
  std::unordered_map<std::uint64_t, std::vector<Token>> released_;  // by address
  std::unordered_map<std::uint32_t, std::vector<Token>> held_;  // by block, of the running block
};

inline void RaceChecker::remember(Mark& mark, Party who, Where where) {
  const std::uint32_t stamp = times_[static_cast<std::size_t>(who.warp)].stamp;
  const Mask bit = lane_bit(who.lane);
  if (mark.era == now_) {
    if (mark.warp != who.warp) {
      mark.warp = Mark::kManyWarps;
    } else if (mark.stamp == stamp) {
      mark.lanes |= bit;
    } else {
      // Lanes that a __syncwarp put before this access need not be remembered: whoever is ordered
      // after this access is ordered after theirs.
      mark.lanes = ordered(mark, who, where) ? bit : mark.lanes | bit;
      mark.stamp = stamp;
    }
    return;
  }
  const bool others = mark.era >= first_live(where) && (mark.others || mark.era < block_start_);
  mark = Mark{now_, stamp, bit, static_cast<std::uint16_t>(who.warp)};
  mark.others = others;
}

inline void RaceChecker::read(Cell& cell, Party who, Where where, std::uint64_t address) {
  if (cell.write.era >= first_live(where)) {
    if (cell.write.copying) report_copy(cell.write, who);
    if (!ordered(cell.write, who, where) || others_unordered(cell.write)) {
      report("read after an unordered", cell.write, who, where, address);
    }
  }
  remember(cell.read, who, where);
}

inline void RaceChecker::write(Cell& cell, Party who, Where where, std::uint64_t address) {
  check_write(cell, who, where, address);
  set_write(cell, who);
}

inline void RaceChecker::check_write(const Cell& cell, Party who, Where where,
                                     std::uint64_t address) const {
  if (cell.write.era >= first_live(where)) {
    if (cell.write.copying) report_copy(cell.write, who);
    if (!ordered(cell.write, who, where) || others_unordered(cell.write)) {
      report("write after an unordered", cell.write, who, where, address);
    }
  }
  if (cell.read.era >= first_live(where) &&
      (!ordered(cell.read, who, where) || others_unordered(cell.read))) {
    report("write after an unordered read", cell.read, who, where, address);
  }
}

}  // namespace gpusim
