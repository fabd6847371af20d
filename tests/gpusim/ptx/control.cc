// Branches, ends, barriers of the block, fences, traps, and what has no effect here.
#include <algorithm>
#include <iterator>

#include "tests/gpusim/ptx/operations.h"

namespace gpusim {
namespace {

void run_fence(Warp& warp, const Instruction&, Mask active) {
  for_lanes(active, [&](int l) { warp.block.launch().races->fence(Party{warp.index, l}); });
}

void run_trap(Warp&, const Instruction&, Mask active) {
  fail(Fault::kTrap, first_lane(active), "the kernel stopped itself");
}

void run_nothing(Warp&, const Instruction&, Mask) {}

// bar.sync 0, and its reductions; a count of threads or another barrier is not for this
// interpreter.
void decode_barrier(Decoder& decoder, const Form& form, Instruction* instruction) {
  instruction->flow = Flow::kBarrier;
  if (form.has("arrive")) throw DecodeError("a barrier that does not wait");
  std::size_t number = 0;
  if (form.has("red")) {
    const int how = form.which({"and", "or", "popc"});
    if (how < 0) throw DecodeError("an unknown reduction");
    instruction->variant = static_cast<std::uint8_t>(1 + how);
    instruction->rows[0] = how == 2 ? decoder.target(form.operand(0), Type{Type::Kind::kBits, 32})
                                    : decoder.predicate_target(form.operand(0));
    instruction->rows[1] = decoder.predicate(form.operand(form.count() - 1));
    number = 1;
  }
  const std::size_t operands = number + 1 + (form.has("red") ? 1 : 0);
  const bool plain =
      form.operand(number).kind == Operand::Kind::kInteger && form.operand(number).bits == 0;
  if (!plain || form.count() > operands) throw DecodeError("a barrier of a part of the block");
}

}  // namespace

bool decode_control(Decoder& decoder, const Form& form, Instruction* instruction) {
  static constexpr std::string_view kNoEffect[] = {"nanosleep", "prefetch",      "prefetchu",
                                                   "discard",   "applypriority", "griddepcontrol",
                                                   "setmaxnreg"};
  const std::string_view op = form.opcode();
  if (op == "bra") {
    instruction->flow = Flow::kBranch;
    decoder.branch_to(form.operand(0).name);
  } else if (op == "brx") {
    instruction->flow = Flow::kSwitch;
    instruction->rows[0] = decoder.source(form.operand(0), Type{Type::Kind::kUnsigned, 32});
    instruction->target = decoder.table_of(form.operand(1).name);
  } else if (op == "ret" || op == "exit") {
    instruction->flow = Flow::kExit;
  } else if (op == "bar" || op == "barrier") {
    if (form.has("cluster")) throw DecodeError("clusters");
    decode_barrier(decoder, form, instruction);
  } else if (op == "membar" || op == "fence") {
    if (form.which({"proxy", "mbarrier_init"}) >= 0) throw DecodeError("this fence");
    instruction->run = run_fence;
  } else if (op == "trap" || op == "brkpt") {
    instruction->run = run_trap;
  } else if (std::find(std::begin(kNoEffect), std::end(kNoEffect), op) != std::end(kNoEffect)) {
    instruction->run = run_nothing;
  } else {
    return false;
  }
  return true;
}

}  // namespace gpusim
