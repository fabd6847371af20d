// How a block runs: which warp, which path of it, where paths part and meet. Memory is in reach.cc.
#include "tests/gpusim/ptx/block.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace gpusim {
namespace {

constexpr std::size_t kRedZone = 32;  // after shared memory, so that a page never ends with it

// The special rows that do not change while a block runs, except those of threads.
std::uint32_t block_value(Special special, const LaunchState& launch, Dim3 index,
                          std::uint32_t number, std::uint32_t warps) {
  constexpr std::uint32_t kMultiprocessors = 132;
  switch (special) {
    case Special::kNtidX:
      return launch.block.x;
    case Special::kNtidY:
      return launch.block.y;
    case Special::kNtidZ:
      return launch.block.z;
    case Special::kCtaidX:
      return index.x;
    case Special::kCtaidY:
      return index.y;
    case Special::kCtaidZ:
      return index.z;
    case Special::kNctaidX:
      return launch.grid.x;
    case Special::kNctaidY:
      return launch.grid.y;
    case Special::kNctaidZ:
      return launch.grid.z;
    case Special::kWarpCount:
      return warps;
    case Special::kSmId:
      return number % kMultiprocessors;
    case Special::kSmCount:
      return kMultiprocessors;
    case Special::kDynamicShared:
      return static_cast<std::uint32_t>(launch.dynamic_shared);
    case Special::kTotalShared:
      return static_cast<std::uint32_t>(launch.dynamic_shared + launch.kernel->shared_bytes);
    case Special::kEnvReg0:
      return launch.options->envreg0;
    default:
      return 0;
  }
}

std::uint32_t lane_value(Special special, const Dim3& block, int warp, int lane) {
  const auto thread = static_cast<std::uint32_t>(warp * kLanes + lane);
  switch (special) {
    case Special::kTidX:
      return thread % block.x;
    case Special::kTidY:
      return thread / block.x % block.y;
    case Special::kTidZ:
      return thread / (block.x * block.y);
    case Special::kLaneId:
      return static_cast<std::uint32_t>(lane);
    case Special::kWarpId:
      return static_cast<std::uint32_t>(warp);
    case Special::kMaskEq:
      return lane_bit(lane);
    case Special::kMaskLt:
      return lane_bit(lane) - 1;
    case Special::kMaskLe:
      return lane_bit(lane) | (lane_bit(lane) - 1);
    case Special::kMaskGt:
      return ~(lane_bit(lane) | (lane_bit(lane) - 1));
    case Special::kMaskGe:
      return ~(lane_bit(lane) - 1);
    default:
      return 0;
  }
}

bool differs_by_lane(Special special) {
  return special <= Special::kTidZ || special == Special::kLaneId || special == Special::kWarpId ||
         (special >= Special::kMaskEq && special <= Special::kMaskGe);
}

}  // namespace

Block::Block(LaunchState& launch) : launch_(launch), kernel_(*launch.kernel) {
  const std::size_t threads = std::size_t{launch.block.x} * launch.block.y * launch.block.z;
  const std::size_t warps = (threads + kLanes - 1) / kLanes;
  const std::size_t pitch = (kernel_.register_bytes + 7) / 8;
  registers_.resize(warps * pitch);
  for (std::size_t i = 0; i < warps; ++i) {
    const std::size_t lanes = std::min<std::size_t>(threads - i * kLanes, kLanes);
    Warp& warp = warps_.emplace_back(*this, static_cast<int>(i), static_cast<int>(lanes));
    warp.base[0] = reinterpret_cast<std::byte*>(registers_.data() + i * pitch);
    warp.base[1] = reinterpret_cast<std::byte*>(launch.constants.data());
  }
  local_pitch_ = (kernel_.local_space + 15) / 16 * 2;
  local_.resize(threads * local_pitch_);
  const std::size_t shared = kernel_.shared_space + launch.dynamic_shared;
  shared_.resize((shared + kRedZone) / 8 + 1);
  shared_shadow_.resize((shared + kRedZone) / ShadowPage::kBytes + 1);
  shared_exists_.assign(shared + kRedZone, 0);
  for (const auto& [offset, bytes] : kernel_.shared_variables) {
    std::fill_n(shared_exists_.begin() + static_cast<std::ptrdiff_t>(offset), bytes, 1);
  }
  std::fill_n(shared_exists_.begin() + static_cast<std::ptrdiff_t>(kernel_.shared_space),
              launch.dynamic_shared, 1);
}

void Block::start(std::uint32_t number) {
  number_ = number;
  index_ = Dim3{number % launch_.grid.x, number / launch_.grid.x % launch_.grid.y,
                number / (launch_.grid.x * launch_.grid.y)};
  launch_.races->begin_block(number,
                             std::size_t{launch_.block.x} * launch_.block.y * launch_.block.z);
  // What nobody wrote holds a pattern that is wrong in every type.
  std::memset(registers_.data(), 0x5a, registers_.size() * 8);
  std::memset(shared_.data(), 0xa5, shared_.size() * 8);
  for (const Kernel::SpecialRow& row : kernel_.specials) {
    if (differs_by_lane(row.special)) continue;
    const std::uint32_t value = block_value(row.special, launch_, index_, number,
                                            static_cast<std::uint32_t>(warps_.size()));
    auto* shared_row = warps_[0].row<std::uint32_t>(row.row);
    auto* wide_row = warps_[0].row<std::uint64_t>(row.row);
    for (int lane = 0; lane < kLanes; ++lane) {
      row.wide ? void(wide_row[lane] = value) : void(shared_row[lane] = value);
    }
  }
  for (Warp& warp : warps_) {
    warp.live = warp.exists;
    warp.paths.assign(1, Path{0, warp.exists});
    warp.drop_copies();
    fill_specials(warp);
  }
}

void Block::fill_specials(Warp& warp) {
  for (const Kernel::SpecialRow& row : kernel_.specials) {
    if (!differs_by_lane(row.special)) continue;
    for (int lane = 0; lane < kLanes; ++lane) {
      const std::uint32_t value = lane_value(row.special, launch_.block, warp.index, lane);
      row.wide ? void(warp.row<std::uint64_t>(row.row)[lane] = value)
               : void(warp.row<std::uint32_t>(row.row)[lane] = value);
    }
  }
}

std::uint64_t Block::random() {
  std::uint64_t& state = launch_.random;
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

void Block::run(std::uint32_t number) {
  start(number);
  const std::uint32_t seed = launch_.options->seed;
  for (;;) {
    const std::uint64_t steps = launch_.steps;
    const std::size_t first = seed > 1 ? random() % warps_.size() : 0;
    for (std::size_t i = 0; i < warps_.size(); ++i) {
      const std::size_t turn = (first + i) % warps_.size();
      Warp& warp = warps_[seed % 2 == 1 ? warps_.size() - 1 - turn : turn];
      // Other seeds stop a warp anywhere, now and then.
      run_warp(warp, seed > 1 ? 1 + random() % 64 : std::numeric_limits<std::uint64_t>::max());
    }
    const bool done =
        std::all_of(warps_.begin(), warps_.end(), [](const Warp& w) { return w.live == 0; });
    if (done) return;
    if (launch_.steps == steps && !release_barrier()) report_deadlock();
  }
}

std::size_t Block::pick_path(Warp& warp, std::uint32_t* stop) {
  constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();
  std::vector<Path>& paths = warp.paths;
  std::size_t best = kNone, runnable = 0;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    if (paths[i].state != Path::State::kRuns) continue;
    for (std::size_t j = i + 1; j < paths.size();) {  // paths that met go on as one
      if (paths[j].pc != paths[i].pc || paths[j].state != Path::State::kRuns) {
        ++j;
        continue;
      }
      paths[i].lanes |= paths[j].lanes;
      paths.erase(paths.begin() + static_cast<std::ptrdiff_t>(j));
    }
    ++runnable;
    if (best == kNone || paths[i].pc < paths[best].pc) best = i;
  }
  // The path that is furthest behind, so that the others are met; some seeds now and then take
  // another.
  if (launch_.options->seed > 1 && runnable > 1 && random() % 8 == 0) {
    std::size_t skip = random() % runnable;
    for (std::size_t i = 0; i < paths.size(); ++i) {
      if (paths[i].state == Path::State::kRuns && skip-- == 0) best = i;
    }
  }
  *stop = std::numeric_limits<std::uint32_t>::max();
  for (const Path& path : paths) {
    if (best != kNone && path.state == Path::State::kRuns && path.pc > paths[best].pc) {
      *stop = std::min(*stop, path.pc);
    }
  }
  return best;
}

void Block::run_warp(Warp& warp, std::uint64_t quantum) {
  warp_ = &warp;
  while (quantum > 0) {
    std::uint32_t stop = 0;
    const std::size_t path = pick_path(warp, &stop);
    if (path >= warp.paths.size()) return;
    run_path(warp, path, stop, quantum);
  }
}

// Runs the path up to the instruction `stop`, where it meets another one, or until it parts or
// waits.
void Block::run_path(Warp& warp, std::size_t index, std::uint32_t stop, std::uint64_t& quantum) {
  const Instruction* const code = kernel_.code.data();
  Path* const path = &warp.paths[index];
  std::uint64_t steps = launch_.steps;
  const std::uint64_t last_step = launch_.options->max_steps;
  for (; quantum > 0; --quantum) {
    const Instruction& instruction = code[path->pc];
    pc_ = path->pc;
    Mask active = path->lanes;
    if (instruction.guarded) {
      const Mask guard = warp.predicate(instruction.guard);
      active &= instruction.guard_negated ? ~guard : guard;
    }
    launch_.steps = ++steps;
    if (steps > last_step) fail(Fault::kStepLimit, first_lane(path->lanes), "endless loop?");
    if (Counts* count = counts()) {
      ++count->warp_instructions;
      count->lane_instructions += static_cast<std::uint64_t>(count_lanes(active));
      if (instruction.wide_conversion)
        count->wide_conversions += static_cast<std::uint64_t>(count_lanes(active));
    }
    if (active == 0) {
      ++path->pc;
    } else if (instruction.flow == Flow::kNext) {
      instruction.run(warp, instruction, active);
      ++path->pc;
    } else if (instruction.flow == Flow::kBranch && active == path->lanes) {
      path->pc = instruction.target;
    } else {
      --quantum;
      return jump(warp, index, instruction, active);
    }
    if (path->pc >= stop) {
      --quantum;
      return;
    }
  }
}

// Lanes of `other` leave the path; what is left of it goes on with the next instruction.
void Block::split(Warp& warp, std::size_t index, Path other) {
  Path& path = warp.paths[index];
  path.lanes &= ~other.lanes;
  if (path.lanes == 0) {
    path = other;
    return;
  }
  ++path.pc;
  warp.paths.push_back(other);
}

void Block::jump(Warp& warp, std::size_t index, const Instruction& instruction, Mask active) {
  switch (instruction.flow) {
    case Flow::kBranch:
      return split(warp, index, Path{instruction.target, active});
    case Flow::kSwitch: {
      const std::vector<std::uint32_t>& table = kernel_.tables[instruction.target];
      const auto* choice = warp.row<std::uint32_t>(instruction.rows[0]);
      const Mask rest = warp.paths[index].lanes & ~active;
      std::vector<Path> targets;
      for_lanes(active, [&](int lane) {
        if (choice[lane] >= table.size()) fail(Fault::kTrap, lane, "switch beyond its table");
        targets.push_back(Path{table[choice[lane]], lane_bit(lane)});
      });
      if (rest != 0) targets.push_back(Path{pc_ + 1, rest});
      warp.paths.erase(warp.paths.begin() + static_cast<std::ptrdiff_t>(index));
      warp.paths.insert(warp.paths.end(), targets.begin(), targets.end());
      return;
    }
    case Flow::kExit:
      warp.live &= ~active;
      warp.paths[index].lanes &= ~active;
      if (warp.paths[index].lanes != 0) {
        ++warp.paths[index].pc;
      } else {
        warp.paths.erase(warp.paths.begin() + static_cast<std::ptrdiff_t>(index));
      }
      return;
    case Flow::kBarrier:
      return split(warp, index, Path{pc_, active, Path::State::kAtBarrier});
    case Flow::kCollective:
      return collective(warp, index, instruction, active);
    case Flow::kNext:
      break;
  }
}

// Lanes meet at a shuffle, vote or __syncwarp: those whose mask is complete go on.
void Block::collective(Warp& warp, std::size_t index, const Instruction& instruction, Mask active) {
  split(warp, index, Path{pc_, active, Path::State::kAtCollective});
  Mask here = 0;
  std::erase_if(warp.paths, [&](const Path& path) {
    const bool waits = path.pc == pc_ && path.state == Path::State::kAtCollective;
    if (waits) here |= path.lanes;
    return waits;
  });
  const auto* masks = warp.row<std::uint32_t>(instruction.rows[9]);
  Mask done = 0;
  for (Mask left = here; left != 0;) {
    const int lane = first_lane(left);
    const Mask mask = masks[lane] & warp.exists;
    if ((mask & lane_bit(lane)) == 0)
      fail(Fault::kWarpMask, lane, "the mask does not name the calling lane");
    if ((mask & ~warp.live) != 0) {
      fail(Fault::kWarpMask, lane,
           "the mask names lane " + std::to_string(first_lane(mask & ~warp.live)) +
               ", which has exited");
    }
    left &= ~mask;
    if ((mask & ~here) != 0) continue;
    for_lanes(mask, [&](int other) {
      if ((masks[other] & warp.exists) == mask) return;
      fail(Fault::kWarpMask, other, "lanes of one operation name different masks");
    });
    if (Counts* count = counts()) ++count->warp_operations;
    instruction.run(warp, instruction, mask);
    done |= mask;
  }
  if ((here & ~done) != 0)
    warp.paths.push_back(Path{pc_, here & ~done, Path::State::kAtCollective});
  if (done != 0) warp.paths.push_back(Path{pc_ + 1, done});
}

// All threads that live wait at one barrier: they go on. False if some do not wait.
bool Block::release_barrier() {
  const Path* reference = nullptr;
  for (Warp& warp : warps_) {
    for (const Path& path : warp.paths) {
      if (path.state != Path::State::kAtBarrier) return false;
      if (reference == nullptr) reference = &path;
      if (path.pc == reference->pc) continue;
      warp_ = &warp;
      pc_ = path.pc;
      std::string text("threads of one block wait at different barriers: others at line ");
      fail(Fault::kBarrierDivergence, first_lane(path.lanes),
           text.append(std::to_string(kernel_.origins[reference->pc].line)));
    }
  }
  pc_ = reference->pc;
  if (launch_.options->strict_exits) check_exits();
  if (Counts* count = counts()) ++count->barriers;
  launch_.races->barrier();
  reduce_at_barrier(kernel_.code[pc_]);
  for (Warp& warp : warps_) {
    if (warp.live != 0) warp.paths.assign(1, Path{pc_ + 1, warp.live});
  }
  return true;
}

void Block::check_exits() {
  for (Warp& warp : warps_) {
    if (warp.live == warp.exists) continue;
    warp_ = &warp;
    fail(Fault::kBarrierDivergence, first_lane(warp.exists & ~warp.live),
         "the block waits at a barrier, but this thread has returned before it");
  }
}

// bar.red: 1 and, 2 or, 3 popc of a predicate over the block.
void Block::reduce_at_barrier(const Instruction& instruction) {
  if (instruction.variant == 0) return;
  std::uint32_t holding = 0, threads = 0;
  for (Warp& warp : warps_) {
    holding +=
        static_cast<std::uint32_t>(count_lanes(warp.predicate(instruction.rows[1]) & warp.live));
    threads += static_cast<std::uint32_t>(count_lanes(warp.live));
  }
  const bool verdict = instruction.variant == 1 ? holding == threads : holding > 0;
  for (Warp& warp : warps_) {
    if (instruction.variant == 3) {
      for_lanes(warp.live,
                [&](int lane) { warp.row<std::uint32_t>(instruction.rows[0])[lane] = holding; });
    } else {
      Mask& result = warp.predicate(instruction.rows[0]);
      result = verdict ? result | warp.live : result & ~warp.live;
    }
  }
}

void Block::report_deadlock() {
  bool at_barrier = false;
  for (const Warp& warp : warps_) {
    for (const Path& path : warp.paths) at_barrier |= path.state == Path::State::kAtBarrier;
  }
  for (Warp& warp : warps_) {
    for (const Path& path : warp.paths) {
      if (path.state != Path::State::kAtCollective) continue;
      warp_ = &warp;
      pc_ = path.pc;
      fail(Fault::kDeadlock, first_lane(path.lanes),
           at_barrier ? "a warp operation waits for lanes that are at a barrier of the block"
                      : "a warp operation waits for lanes that never come");
    }
  }
  fail(Fault::kDeadlock, 0, "no thread can go on");
}

Block::Place Block::where(int lane) const {
  const auto thread = static_cast<std::uint32_t>(warp_ == nullptr ? lane : warp_->thread(lane));
  const Dim3& size = launch_.block;
  return Place{pc_, index_,
               Dim3{thread % size.x, thread / size.x % size.y, thread / (size.x * size.y)}};
}

}  // namespace gpusim
