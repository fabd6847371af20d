// A block while it runs: its warps with their registers and paths, its shared and local memory, and
// the way every load, store and atomic takes to memory through the checks.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/gpusim/ptx/failure.h"
#include "tests/gpusim/ptx/lanes.h"
#include "tests/gpusim/ptx/machine.h"
#include "tests/gpusim/ptx/memory.h"
#include "tests/gpusim/ptx/program.h"
#include "tests/gpusim/ptx/race.h"

namespace gpusim {

class Block;

// Generic addresses of shared, local and parameter memory lie in windows no host address falls
// into.
inline constexpr std::uint64_t kWindowMask = 0xffff'0000'0000'0000;
inline constexpr std::uint64_t kSharedWindow = 0x7ff0'0000'0000'0000;
inline constexpr std::uint64_t kLocalWindow = 0x7ff1'0000'0000'0000;
inline constexpr std::uint64_t kParamWindow = 0x7ff2'0000'0000'0000;

// Lanes of a warp that are at the same instruction.
struct Path {
  std::uint32_t pc = 0;
  Mask lanes = 0;
  enum class State : std::uint8_t { kRuns, kAtBarrier, kAtCollective } state = State::kRuns;
};

class Warp {
 public:
  Warp(Block& owner, int number, int lanes)
      : block(owner), index(number), exists(lanes == kLanes ? kAllLanes : lane_bit(lanes) - 1) {}

  template <class T>
  T* row(Row row) {
    return reinterpret_cast<T*>(base[row >> 31] + (row & ~kSharedByWarps));
  }
  Mask& predicate(Row r) { return *row<Mask>(r); }
  int thread(int lane) const { return index * kLanes + lane; }

  Block& block;
  int index;
  Mask exists;    // fewer than 32 lanes in the last warp of some blocks
  Mask live = 0;  // did not exit
  std::array<std::byte*, 2> base{};
  std::vector<Path> paths;  // of all live lanes

  // cp.async: what each lane asked for and did not yet wait for.
  struct Copy {
    std::uint64_t target, source;
    std::uint32_t bytes, source_bytes;
  };
  struct Copies {
    std::vector<Copy> open;
    std::vector<std::vector<Copy>> groups;
  };
  std::array<Copies, kLanes>& copies() {
    if (copies_.empty()) copies_.resize(1);
    return copies_[0];
  }
  bool has_copies() const { return !copies_.empty(); }
  void drop_copies() { copies_.clear(); }

 private:
  std::vector<std::array<Copies, kLanes>> copies_;  // none, or one
};

// One memory instruction of one warp.
struct Access {
  enum class Kind : std::uint8_t { kRead, kWrite, kAtomic };
  Kind kind = Kind::kRead;
  Space space = Space::kGeneric;
  std::uint32_t bytes = 4;  // of all elements of a lane
  bool ordering = false;    // .relaxed, .acquire, .release: races with no atomic
  Mask lanes = 0;
  std::array<std::uint64_t, kLanes> address;
  std::array<std::byte*, kLanes> host;  // filled by Block::reach
};

// What all blocks of a launch share.
struct LaunchState {
  const Kernel* kernel = nullptr;
  const Options* options = nullptr;
  Memory* memory = nullptr;
  RaceChecker* races = nullptr;
  Dim3 grid, block;
  std::size_t dynamic_shared = 0;
  int device = 0;
  std::vector<std::uint64_t> constants;  // rows shared by warps
  std::vector<std::byte> parameters;
  std::vector<Counts> counts;  // per instruction; empty unless options->traffic
  std::uint64_t steps = 0, random = 1;
};

class Block {
 public:
  explicit Block(LaunchState& launch);

  // Runs the block with this linear number to its end. Throws Failure; where() then says where.
  void run(std::uint32_t number);

  struct Place {
    std::uint32_t pc;
    Dim3 block, thread;
  };
  Place where(int lane) const;

  // Checks the access and finds the host addresses of its lanes.
  void reach(Warp& warp, Access& access);
  // What an atomic, an acquire or a release does to the order of accesses (see
  // RaceChecker::synchronise).
  void order(Warp& warp, const Access& access, bool releases);
  // cp.async: starts and ends writing [target, target + bytes) of shared memory.
  void begin_copy(Warp& warp, int lane, const Warp::Copy& copy);
  void end_copy(Warp& warp, int lane, const Warp::Copy& copy);

  LaunchState& launch() { return launch_; }
  // Counters of the instruction that runs; null unless traffic is counted.
  Counts* counts() { return launch_.counts.empty() ? nullptr : &launch_.counts[pc_]; }

 private:
  void start(std::uint32_t number);
  void fill_specials(Warp& warp);
  void run_warp(Warp& warp, std::uint64_t quantum);
  std::size_t pick_path(Warp& warp, std::uint32_t* stop);
  void run_path(Warp& warp, std::size_t path, std::uint32_t stop, std::uint64_t& quantum);
  void split(Warp& warp, std::size_t path, Path other);
  void jump(Warp& warp, std::size_t path, const Instruction& instruction, Mask taken);
  void collective(Warp& warp, std::size_t path, const Instruction& instruction, Mask active);
  bool release_barrier();
  void check_exits();
  void reduce_at_barrier(const Instruction& instruction);
  [[noreturn]] void report_deadlock();
  std::uint64_t random();

  Space space_of(const Access& access) const;
  void reach_global(Warp& warp, Access& access);
  void reach_shared(Warp& warp, Access& access);
  void reach_private(Warp& warp, Access& access);
  std::byte* shared_bytes(int lane, std::uint64_t offset, std::uint32_t bytes);
  Allocation& find_global(const Access& access, int lane) const;
  Cell* shared_cells(std::uint64_t offset, std::uint32_t bytes, std::size_t* count);
  void count(const Access& access);

  LaunchState& launch_;
  const Kernel& kernel_;
  std::uint32_t number_ = 0;
  Dim3 index_;
  std::vector<Warp> warps_;
  std::vector<std::uint64_t> registers_;
  std::vector<std::uint64_t> shared_, local_;
  std::vector<ShadowPage> shared_shadow_;
  std::vector<std::uint8_t> shared_exists_;  // per byte: 0 in red zones
  std::size_t local_pitch_ = 0;
  Warp* warp_ = nullptr;  // that runs
  std::uint32_t pc_ = 0;  // of the instruction that runs
};

}  // namespace gpusim
