// A kernel decoded once: every operand is the offset of a row of 32 lanes, so that an instruction
// is a function pointer and a few offsets. Immediates, parameters and special registers are rows,
// too.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/gpusim/ptx/lanes.h"
#include "tests/gpusim/ptx/syntax.h"

namespace gpusim {

class Warp;
struct Instruction;
using Handler = void (*)(Warp&, const Instruction&, Mask);

// Offset of a row in bytes: in the registers of the warp, or with the top bit in the constants that
// all warps of a launch share.
using Row = std::uint32_t;
inline constexpr Row kSharedByWarps = Row{1} << 31;

// How the scheduler goes on after an instruction.
enum class Flow : std::uint8_t {
  kNext,        // runs for the active lanes, which go on with the next one
  kBranch,      // active lanes go to `target`
  kSwitch,      // active lanes go where their table says
  kExit,        // active lanes end
  kBarrier,     // active lanes wait for the block
  kCollective,  // active lanes wait for the lanes their mask names
};

struct Instruction {
  Handler run = nullptr;
  std::array<Row, 10> rows{};  // the meaning is the handler's: results first
  Row guard = 0;
  bool guarded = false, guard_negated = false;
  Flow flow = Flow::kNext;
  std::uint8_t bytes = 0;     // of one element in memory
  std::uint8_t elements = 1;  // of a vector
  Space space = Space::kGeneric;
  std::uint8_t variant = 0;            // the handler's
  bool flag = false;                   // the handler's
  bool wide_conversion = false;        // to or from f64, or between floats and 64-bit integers
  std::uint32_t target = 0;            // a branch's instruction, a switch's table
  std::uint64_t immediate = 0;         // added to an address; else the handler's
  std::uint64_t second_immediate = 0;  // of the source of a copy
  Handler inner = nullptr;             // of a handler that wraps another one
};

// What a report says about an instruction.
struct Origin {
  std::string text;
  std::string file;
  int line = 0;
  std::string complaint;  // why it cannot run; empty if it can
};

// Rows that are filled at a launch, a block or a warp.
enum class Special : std::uint8_t {
  kTidX,
  kTidY,
  kTidZ,
  kNtidX,
  kNtidY,
  kNtidZ,
  kCtaidX,
  kCtaidY,
  kCtaidZ,
  kNctaidX,
  kNctaidY,
  kNctaidZ,
  kLaneId,
  kWarpId,
  kWarpCount,
  kMaskEq,
  kMaskLt,
  kMaskLe,
  kMaskGt,
  kMaskGe,
  kSmId,
  kSmCount,
  kGridId,
  kDynamicShared,
  kTotalShared,
  kEnvReg0,
  kNone
};

struct Kernel {
  std::string name;
  std::string undecodable;  // why it cannot be launched; empty if it can
  std::vector<Instruction> code;
  std::vector<Origin> origins;  // one per instruction
  std::vector<std::vector<std::uint32_t>> tables;

  std::size_t register_bytes = 0;        // of a warp
  std::vector<std::uint64_t> constants;  // the shared rows, as they are before a launch
  struct SpecialRow {
    Special special;
    Row row;
    bool wide;
  };
  std::vector<SpecialRow> specials;
  struct ParameterRow {
    Row row;
    std::size_t offset, bytes;
    bool wide, sign_extended;
    int register_bits;
  };
  std::vector<ParameterRow> parameter_rows;
  std::vector<std::pair<Row, bool>> dynamic_shared_rows;  // row of its offset, wide
  std::vector<std::pair<Row, std::string>> symbol_rows;   // wide rows of addresses of variables

  std::vector<std::size_t> parameter_bytes, parameter_offsets;
  std::size_t parameter_space = 0;
  std::size_t shared_bytes = 0;  // static, without the red zones
  std::size_t shared_space = 0;  // static, with the red zones; dynamic shared memory follows
  std::vector<std::pair<std::size_t, std::size_t>> shared_variables;  // offset, bytes
  std::size_t local_space = 0;                                        // of a thread
  std::size_t max_threads = 1024;
};

}  // namespace gpusim
