// mov in all its forms, cvta and isspacep.
#include "tests/gpusim/ptx/operations.h"

namespace gpusim {
namespace {

template <class T>
void run_move(Warp& warp, const Instruction& instruction, Mask active) {
  auto* d = warp.row<T>(instruction.rows[0]);
  const auto* a = warp.row<T>(instruction.rows[1]);
  for_lanes(active, [=](int l) { d[l] = a[l]; });
}

void run_move_predicate(Warp& warp, const Instruction& instruction, Mask active) {
  Mask& d = warp.predicate(instruction.rows[0]);
  d = (d & ~active) | (warp.predicate(instruction.rows[1]) & active);
}

// {parts...} = whole, and whole = {parts...}: rows: whole, parts; elements, bytes of one.
template <class W>
void run_split(Warp& warp, const Instruction& instruction, Mask active) {
  const auto* whole = warp.row<W>(instruction.rows[0]);
  const int bits = 8 * instruction.bytes;
  for (int i = 0; i < instruction.elements; ++i) {
    auto* part = warp.row<std::uint32_t>(instruction.rows[static_cast<std::size_t>(1 + i)]);
    const auto kept = static_cast<std::uint32_t>((std::uint64_t{1} << bits) - 1);
    for_lanes(active,
              [=](int l) { part[l] = static_cast<std::uint32_t>(whole[l] >> (bits * i)) & kept; });
  }
}

template <class W>
void run_join(Warp& warp, const Instruction& instruction, Mask active) {
  auto* whole = warp.row<W>(instruction.rows[0]);
  const int bits = 8 * instruction.bytes;
  for_lanes(active, [&](int l) {
    W value = 0;
    for (int i = 0; i < instruction.elements; ++i) {
      value |= static_cast<W>(
                   warp.row<std::uint32_t>(instruction.rows[static_cast<std::size_t>(1 + i)])[l])
               << (bits * i);
    }
    whole[l] = value;
  });
}

// %clock and its like: instructions run so far. flag: 64 bits.
void run_clock(Warp& warp, const Instruction& instruction, Mask active) {
  const std::uint64_t now = warp.block.launch().steps;
  for_lanes(active, [&](int l) {
    instruction.flag
        ? void(warp.row<std::uint64_t>(instruction.rows[0])[l] = now)
        : void(warp.row<std::uint32_t>(instruction.rows[0])[l] = static_cast<std::uint32_t>(now));
  });
}

// Between a space's own addresses and generic ones: immediate is added.
void run_shift_window(Warp& warp, const Instruction& instruction, Mask active) {
  auto* d = warp.row<std::uint64_t>(instruction.rows[0]);
  const auto* a = warp.row<std::uint64_t>(instruction.rows[1]);
  const std::uint64_t distance = instruction.immediate;
  for_lanes(active, [=](int l) { d[l] = a[l] + distance; });
}

std::uint64_t window_of(Space space) {
  switch (space) {
    case Space::kShared:
      return kSharedWindow;
    case Space::kLocal:
      return kLocalWindow;
    case Space::kParam:
      return kParamWindow;
    default:
      return 0;
  }
}

void run_in_window(Warp& warp, const Instruction& instruction, Mask active) {
  const auto* a = warp.row<std::uint64_t>(instruction.rows[1]);
  Mask yes = 0;
  for_lanes(active, [&](int l) {
    const std::uint64_t window = a[l] & kWindowMask;
    const bool windowed =
        window == kSharedWindow || window == kLocalWindow || window == kParamWindow;
    if (instruction.immediate == 0 ? !windowed : window == instruction.immediate)
      yes |= lane_bit(l);
  });
  Mask& d = warp.predicate(instruction.rows[0]);
  d = (d & ~active) | yes;
}

Space space_of(const Form& form) {
  const int space = form.which({"shared", "shared::cta", "local", "param", "const", "global"});
  if (space < 0) throw DecodeError("this address space");
  return space <= 1   ? Space::kShared
         : space == 2 ? Space::kLocal
         : space == 3 ? Space::kParam
                      : Space::kGlobal;
}

void decode_list(Decoder& decoder, const Operand& whole, const Operand& list, bool splits,
                 const Type& type, Instruction* instruction) {
  const std::size_t parts = list.list.size();
  if (parts < 2 || parts > 8 || (type.bits != 32 && type.bits != 64))
    throw DecodeError("this list");
  Type part = type;
  part.kind = Type::Kind::kBits;
  part.bits = type.bits / static_cast<int>(parts);
  instruction->rows[0] = splits ? decoder.source(whole, type) : decoder.target(whole, type);
  for (std::size_t i = 0; i < parts; ++i) {
    instruction->rows[1 + i] =
        splits ? decoder.target(list.list[i], part) : decoder.source(list.list[i], part);
  }
  instruction->elements = static_cast<std::uint8_t>(parts);
  instruction->bytes = static_cast<std::uint8_t>(part.bits / 8);
  const bool wide = type.bits == 64;
  if (splits) {
    instruction->run = wide ? run_split<std::uint64_t> : run_split<std::uint32_t>;
  } else {
    instruction->run = wide ? run_join<std::uint64_t> : run_join<std::uint32_t>;
  }
}

}  // namespace

bool decode_move(Decoder& decoder, const Form& form, Instruction* instruction) {
  const std::string_view op = form.opcode();
  if (op == "mov") {
    const Type type = form.type();
    const Operand& to = form.operand(0);
    const Operand& from = form.operand(1);
    if (type.is_predicate()) {
      instruction->rows[0] = decoder.predicate_target(to);
      instruction->rows[1] = decoder.predicate(from);
      instruction->run = run_move_predicate;
    } else if (to.kind == Operand::Kind::kList) {
      decode_list(decoder, from, to, true, type, instruction);
    } else if (from.kind == Operand::Kind::kList) {
      decode_list(decoder, to, from, false, type, instruction);
    } else if (from.name == "%clock" || from.name == "%clock64" || from.name == "%globaltimer") {
      instruction->rows[0] = decoder.target(to, type);
      instruction->flag = type.bits == 64;
      instruction->run = run_clock;
    } else {
      plain_rows(decoder, form, 1, type, instruction);
      instruction->run = type.bits == 64 ? run_move<std::uint64_t> : run_move<std::uint32_t>;
    }
  } else if (op == "cvta") {
    const Type type = form.type();
    if (type.bits != 64) throw DecodeError("32-bit addresses");
    plain_rows(decoder, form, 1, type, instruction);
    const std::uint64_t window = window_of(space_of(form));
    instruction->immediate = form.has("to") ? std::uint64_t{0} - window : window;
    instruction->run = run_shift_window;
  } else if (op == "isspacep") {
    instruction->rows[0] = decoder.predicate_target(form.operand(0));
    instruction->rows[1] = decoder.source(form.operand(1), Type{Type::Kind::kBits, 64});
    instruction->immediate = window_of(space_of(form));
    instruction->run = run_in_window;
  } else {
    return false;
  }
  return true;
}

}  // namespace gpusim
