// Handlers made of one expression per lane, for the families to choose from by type.
#pragma once

#include <cstdint>

#include "tests/gpusim/ptx/block.h"
#include "tests/gpusim/ptx/decoder.h"
#include "tests/gpusim/ptx/lanes.h"

namespace gpusim {

// rows: result, then the operands. `F` is a lambda of T.
template <class T, auto F>
void run_unary(Warp& warp, const Instruction& instruction, Mask active) {
  auto* d = warp.row<Stored<T>>(instruction.rows[0]);
  const auto* a = warp.row<Stored<T>>(instruction.rows[1]);
  for_lanes(active, [=](int l) { d[l] = stored<T>(static_cast<T>(F(static_cast<T>(a[l])))); });
}

template <class T, auto F>
void run_binary(Warp& warp, const Instruction& instruction, Mask active) {
  auto* d = warp.row<Stored<T>>(instruction.rows[0]);
  const auto* a = warp.row<Stored<T>>(instruction.rows[1]);
  const auto* b = warp.row<Stored<T>>(instruction.rows[2]);
  for_lanes(active, [=](int l) {
    d[l] = stored<T>(static_cast<T>(F(static_cast<T>(a[l]), static_cast<T>(b[l]))));
  });
}

template <class T, auto F>
void run_ternary(Warp& warp, const Instruction& instruction, Mask active) {
  auto* d = warp.row<Stored<T>>(instruction.rows[0]);
  const auto* a = warp.row<Stored<T>>(instruction.rows[1]);
  const auto* b = warp.row<Stored<T>>(instruction.rows[2]);
  const auto* c = warp.row<Stored<T>>(instruction.rows[3]);
  for_lanes(active, [=](int l) {
    d[l] = stored<T>(
        static_cast<T>(F(static_cast<T>(a[l]), static_cast<T>(b[l]), static_cast<T>(c[l]))));
  });
}

// The handler `make` gives for the unsigned or signed integer of the type; 16, 32 and 64 bits.
template <class Make>
Handler for_integer(const Type& type, Make make) {
  if (type.packed) throw DecodeError("packed integers");
  switch (type.is_signed() ? -type.bits : type.bits) {
    case 16:
      return make.template operator()<std::uint16_t>();
    case 32:
      return make.template operator()<std::uint32_t>();
    case 64:
      return make.template operator()<std::uint64_t>();
    case -16:
      return make.template operator()<std::int16_t>();
    case -32:
      return make.template operator()<std::int32_t>();
    case -64:
      return make.template operator()<std::int64_t>();
    default:
      throw DecodeError("an integer of this size");
  }
}

// As for_integer, where the sign does not matter: always unsigned.
template <class Make>
Handler for_bits(const Type& type, Make make) {
  if (type.packed) throw DecodeError("packed integers");
  switch (type.bits) {
    case 16:
      return make.template operator()<std::uint16_t>();
    case 32:
      return make.template operator()<std::uint32_t>();
    case 64:
      return make.template operator()<std::uint64_t>();
    default:
      throw DecodeError("an integer of this size");
  }
}

// A result and operands, all of one type.
inline void plain_rows(Decoder& decoder, const Form& form, std::size_t operands, const Type& type,
                       Instruction* instruction) {
  instruction->rows[0] = decoder.target(form.operand(0), type);
  for (std::size_t i = 1; i <= operands; ++i) {
    instruction->rows[i] = decoder.source(form.operand(i), type);
  }
}

}  // namespace gpusim
