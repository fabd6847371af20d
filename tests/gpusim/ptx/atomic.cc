// atom and red.
#include <bit>
#include <cstring>

#include "tests/gpusim/ptx/operations.h"
#include "tests/gpusim/ptx/small_float.h"

namespace gpusim {
namespace {

enum class Op : std::uint8_t {
  kAdd,
  kMin,
  kMax,
  kAnd,
  kOr,
  kXor,
  kExchange,
  kCompare,
  kIncrement,
  kDecrement
};

template <class T, Op kOp>
T updated(T old, T a, T b) {
  switch (kOp) {
    case Op::kAdd:
      return static_cast<T>(old + a);
    case Op::kMin:
      return a < old ? a : old;
    case Op::kMax:
      return old < a ? a : old;
    case Op::kExchange:
      return a;
    case Op::kCompare:
      return old == a ? b : old;
    default:
      break;
  }
  if constexpr (std::is_unsigned_v<T>) {
    switch (kOp) {
      case Op::kAnd:
        return old & a;
      case Op::kOr:
        return old | a;
      case Op::kXor:
        return old ^ a;
      case Op::kIncrement:
        return old >= a ? T{0} : static_cast<T>(old + 1);
      case Op::kDecrement:
        return old == 0 || old > a ? a : static_cast<T>(old - 1);
      default:
        break;
    }
  }
  return old;
}

// rows: 0 the old value, 1 the address, 2 and 3 the operands. variant bit 0: the old value is
// wanted, bit 1: the atomic releases. Lanes go one after another, as they may.
template <class T, Op kOp>
void run_atomic(Warp& warp, const Instruction& instruction, Mask active) {
  Access access;
  access.kind = Access::Kind::kAtomic;
  access.bytes = sizeof(T);
  access.lanes = active;
  access.space = instruction.space;
  for_lanes(active, [&](int l) {
    const std::uint64_t address =
        instruction.flag ? warp.row<std::uint32_t>(instruction.rows[1])[l] +
                               static_cast<std::uint32_t>(instruction.immediate)
                         : warp.row<std::uint64_t>(instruction.rows[1])[l] + instruction.immediate;
    access.address[static_cast<std::size_t>(l)] = address;
  });
  warp.block.reach(warp, access);
  const auto* a = warp.row<Stored<T>>(instruction.rows[2]);
  const auto* b = warp.row<Stored<T>>(instruction.rows[3]);
  auto* d = warp.row<Stored<T>>(instruction.rows[0]);
  for (Mask left = active; left != 0; left &= left - 1) {
    const int l = first_lane(left);
    std::byte* const host = access.host[static_cast<std::size_t>(l)];
    T old;
    std::memcpy(&old, host, sizeof(T));
    const T now = updated<T, kOp>(old, static_cast<T>(a[l]), static_cast<T>(b[l]));
    std::memcpy(host, &now, sizeof(T));
    if ((instruction.variant & 1) != 0) d[l] = stored<T>(old);
  }
  warp.block.order(warp, access, (instruction.variant & 2) != 0);
}

template <Op kOp>
Handler by_type(const Type& type) {
  constexpr bool kBitwise = kOp == Op::kAnd || kOp == Op::kOr || kOp == Op::kXor ||
                            kOp == Op::kExchange || kOp == Op::kCompare || kOp == Op::kIncrement ||
                            kOp == Op::kDecrement;
  if (type.is_float()) {
    if constexpr (kOp == Op::kAdd) {
      if (type.bits == 32) return run_atomic<float, kOp>;
      if (type.bits == 64) return run_atomic<double, kOp>;
    }
    throw DecodeError("this atomic of floats");
  }
  if constexpr (kBitwise || kOp == Op::kAdd) {
    return for_bits(type, []<class T>() -> Handler { return run_atomic<T, kOp>; });
  } else {
    return for_integer(type, []<class T>() -> Handler { return run_atomic<T, kOp>; });
  }
}

Handler pick(const Form& form, const Type& type) {
  switch (form.which({"add", "min", "max", "and", "or", "xor", "exch", "cas", "inc", "dec"})) {
    case 0:
      return by_type<Op::kAdd>(type);
    case 1:
      return by_type<Op::kMin>(type);
    case 2:
      return by_type<Op::kMax>(type);
    case 3:
      return by_type<Op::kAnd>(type);
    case 4:
      return by_type<Op::kOr>(type);
    case 5:
      return by_type<Op::kXor>(type);
    case 6:
      return by_type<Op::kExchange>(type);
    case 7:
      return by_type<Op::kCompare>(type);
    case 8:
      return by_type<Op::kIncrement>(type);
    case 9:
      return by_type<Op::kDecrement>(type);
    default:
      throw DecodeError("an unknown operation");
  }
}

Space space_of(const Form& form) {
  if (form.has("shared::cluster")) throw DecodeError("memory of another block");
  if (form.has("shared") || form.has("shared::cta")) return Space::kShared;
  return form.has("global") ? Space::kGlobal : Space::kGeneric;
}

}  // namespace

bool decode_atomic(Decoder& decoder, const Form& form, Instruction* instruction) {
  const bool returns = form.opcode() == "atom";
  if (!returns && form.opcode() != "red") return false;
  if (form.has("async") || form.has("v2") || form.has("v4")) throw DecodeError("this form");
  const Type type = form.type();
  const std::size_t first = returns ? 1 : 0;
  instruction->space = space_of(form);
  decoder.address(form.operand(first), instruction, 1);
  instruction->rows[0] = returns ? decoder.target(form.operand(0), type) : 0;
  instruction->rows[2] = decoder.source(form.operand(first + 1), type);
  instruction->rows[3] = form.count() > first + 2 ? decoder.source(form.operand(first + 2), type)
                                                  : instruction->rows[2];
  instruction->variant = static_cast<std::uint8_t>(
      (returns ? 1 : 0) | (form.which({"release", "acq_rel"}) >= 0 ? 2 : 0));
  instruction->run = pick(form, type);
  return true;
}

}  // namespace gpusim
