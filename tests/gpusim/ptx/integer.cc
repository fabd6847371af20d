// Integer arithmetic: add, sub, mul, mad, div, rem, min, max, abs, neg, sad, dp4a, dp2a, carries.
#include <algorithm>
#include <type_traits>

#include "tests/gpusim/ptx/operations.h"

namespace gpusim {
namespace {

template <class T>
using Wider =
    std::conditional_t<sizeof(T) == 2,
                       std::conditional_t<std::is_signed_v<T>, std::int32_t, std::uint32_t>,
                       std::conditional_t<std::is_signed_v<T>, std::int64_t, std::uint64_t>>;

template <class T>
T high_half(T a, T b) {
  if constexpr (sizeof(T) == 8) {
    using Double = std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>;
    return static_cast<T>((static_cast<Double>(a) * b) >> 64);
  } else {
    return static_cast<T>((static_cast<Wider<T>>(a) * b) >> (8 * sizeof(T)));
  }
}

// A division by zero gives all ones, as on the device; the most negative number over -1 wraps.
template <class T>
T quotient(T a, T b) {
  if (b == 0) return static_cast<T>(~T{0});
  if constexpr (std::is_signed_v<T>) {
    if (b == -1)
      return static_cast<T>(std::make_unsigned_t<T>{0} - static_cast<std::make_unsigned_t<T>>(a));
  }
  return static_cast<T>(a / b);
}

template <class T>
T remainder(T a, T b) {
  if (b == 0) return a;
  if constexpr (std::is_signed_v<T>) {
    if (b == -1) return 0;
  }
  return static_cast<T>(a % b);
}

// d = a * b (+ c) in twice the bits.
template <class T, bool kAdds>
void run_wide(Warp& warp, const Instruction& instruction, Mask active) {
  using W = Wider<T>;
  auto* d = warp.row<Stored<W>>(instruction.rows[0]);
  const auto* a = warp.row<Stored<T>>(instruction.rows[1]);
  const auto* b = warp.row<Stored<T>>(instruction.rows[2]);
  const auto* c = warp.row<Stored<W>>(instruction.rows[3]);
  for_lanes(active, [=](int l) {
    const W product = static_cast<W>(static_cast<W>(static_cast<T>(a[l])) * static_cast<T>(b[l]));
    d[l] = stored<W>(product) + (kAdds ? c[l] : 0);
  });
}

// variant: bit 0 subtracts, bit 1 takes the carry, bit 2 sets it. A borrow is kept as its
// complement.
template <class T>
void run_carry(Warp& warp, const Instruction& instruction, Mask active) {
  auto* d = warp.row<Stored<T>>(instruction.rows[0]);
  const auto* a = warp.row<Stored<T>>(instruction.rows[1]);
  const auto* b = warp.row<Stored<T>>(instruction.rows[2]);
  Mask& carry = warp.predicate(instruction.rows[3]);
  const bool subtracts = instruction.variant & 1, takes = instruction.variant & 2,
             sets = instruction.variant & 4;
  Mask out = carry;
  for_lanes(active, [&](int l) {
    const T y = static_cast<T>(subtracts ? ~b[l] : b[l]);
    const bool in = takes ? (carry & lane_bit(l)) != 0 : subtracts;
    const unsigned __int128 sum =
        static_cast<unsigned __int128>(static_cast<T>(a[l])) + y + (in ? 1 : 0);
    d[l] = static_cast<T>(sum);
    out = (sum >> (8 * sizeof(T))) != 0 ? out | lane_bit(l) : out & ~lane_bit(l);
  });
  if (sets) carry = out;
}

// dp4a and dp2a: variant bit 0: a is signed, bit 1: b is; flag: dp2a, bit 2: of its high half.
template <int kParts>
void run_dot(Warp& warp, const Instruction& instruction, Mask active) {
  auto* d = warp.row<std::uint32_t>(instruction.rows[0]);
  const auto* a = warp.row<std::uint32_t>(instruction.rows[1]);
  const auto* b = warp.row<std::uint32_t>(instruction.rows[2]);
  const auto* c = warp.row<std::uint32_t>(instruction.rows[3]);
  const std::uint8_t variant = instruction.variant;
  for_lanes(active, [=](int l) {
    const auto part = [](std::uint32_t word, int bits, int index, bool is_signed) {
      const std::uint32_t top = word << (32 - bits * (index + 1));
      return is_signed ? static_cast<std::int32_t>(top) >> (32 - bits)
                       : static_cast<std::int32_t>(top >> (32 - bits));
    };
    std::uint32_t sum = c[l];
    for (int i = 0; i < kParts; ++i) {
      const int index = i + ((variant & 4) != 0 ? 2 : 0);
      sum += static_cast<std::uint32_t>(part(a[l], 32 / kParts, i, (variant & 1) != 0) *
                                        part(b[l], 8, index, (variant & 2) != 0));
    }
    d[l] = sum;
  });
}

Handler pick(const Form& form, const Type& type) {
  const std::string_view op = form.opcode();
  if (op == "add")
    return for_bits(
        type, []<class T>() -> Handler { return run_binary<T, [](T a, T b) { return a + b; }>; });
  if (op == "sub")
    return for_bits(
        type, []<class T>() -> Handler { return run_binary<T, [](T a, T b) { return a - b; }>; });
  if (op == "mul" && form.has("hi"))
    return for_integer(type, []<class T>() -> Handler { return run_binary<T, high_half<T>>; });
  if (op == "mul") {
    return for_bits(type, []<class T>() -> Handler {
      return run_binary<T, [](T a, T b) { return 1U * a * b; }>;
    });
  }
  if (op == "mad" && form.has("hi")) {
    return for_integer(type, []<class T>() -> Handler {
      return run_ternary<T, [](T a, T b, T c) {
        return static_cast<std::uint64_t>(high_half<T>(a, b)) + static_cast<std::uint64_t>(c);
      }>;
    });
  }
  if (op == "mad") {
    return for_bits(type, []<class T>() -> Handler {
      return run_ternary<T, [](T a, T b, T c) { return 1U * a * b + c; }>;
    });
  }
  if (op == "div")
    return for_integer(type, []<class T>() -> Handler { return run_binary<T, quotient<T>>; });
  if (op == "rem")
    return for_integer(type, []<class T>() -> Handler { return run_binary<T, remainder<T>>; });
  if (op == "min")
    return for_integer(type, []<class T>() -> Handler {
      return run_binary<T, [](T a, T b) { return b < a ? b : a; }>;
    });
  if (op == "max")
    return for_integer(type, []<class T>() -> Handler {
      return run_binary<T, [](T a, T b) { return a < b ? b : a; }>;
    });
  if (op == "neg")
    return for_bits(
        type, []<class T>() -> Handler { return run_unary<T, [](T a) { return T{0} - a; }>; });
  if (op == "abs") {
    return for_integer(type, []<class T>() -> Handler {
      return run_unary<T, [](T a) {
        return a < 0 ? std::uint64_t{0} - static_cast<std::uint64_t>(a)
                     : static_cast<std::uint64_t>(a);
      }>;
    });
  }
  if (op == "sad") {
    return for_integer(type, []<class T>() -> Handler {
      return run_ternary<T, [](T a, T b, T c) {
        const auto x = static_cast<std::uint64_t>(a), y = static_cast<std::uint64_t>(b);
        return static_cast<std::uint64_t>(c) + (a < b ? y - x : x - y);
      }>;
    });
  }
  return nullptr;
}

void decode_wide(Decoder& decoder, const Form& form, const Type& type, Instruction* instruction) {
  Type wide = type;
  wide.bits *= 2;
  const bool adds = form.opcode() == "mad";
  instruction->rows[0] = decoder.target(form.operand(0), wide);
  instruction->rows[1] = decoder.source(form.operand(1), type);
  instruction->rows[2] = decoder.source(form.operand(2), type);
  if (adds) instruction->rows[3] = decoder.source(form.operand(3), wide);
  if (type.bits == 64) throw DecodeError("128-bit products");
  instruction->run = for_integer(
      type, [adds]<class T>() -> Handler { return adds ? run_wide<T, true> : run_wide<T, false>; });
}

}  // namespace

bool decode_integer(Decoder& decoder, const Form& form, Instruction* instruction) {
  const std::string_view op = form.opcode();
  if (op == "dp4a" || op == "dp2a") {
    plain_rows(decoder, form, 3, Type{Type::Kind::kBits, 32}, instruction);
    instruction->variant =
        static_cast<std::uint8_t>((form.type(0).is_signed() ? 1 : 0) |
                                  (form.type(1).is_signed() ? 2 : 0) | (form.has("hi") ? 4 : 0));
    instruction->run = op == "dp4a" ? run_dot<4> : run_dot<2>;
    return true;
  }
  if (form.types.empty() || form.type().is_float() || form.type().is_predicate()) return false;
  const Type type = form.type();
  const bool takes_carry = op == "addc" || op == "subc";
  if (takes_carry || ((op == "add" || op == "sub") && form.has("cc"))) {
    plain_rows(decoder, form, 2, type, instruction);
    instruction->rows[3] = decoder.carry();
    instruction->variant = static_cast<std::uint8_t>(
        (op[0] == 's' ? 1 : 0) | (takes_carry ? 2 : 0) | (form.has("cc") ? 4 : 0));
    instruction->run = for_bits(type, []<class T>() -> Handler { return run_carry<T>; });
    return true;
  }
  if ((op == "mul" || op == "mad") && form.has("wide")) {
    decode_wide(decoder, form, type, instruction);
    return true;
  }
  instruction->run = pick(form, type);
  if (instruction->run == nullptr) return false;
  if (form.has("sat")) {
    if (op != "add" || type.bits != 32) throw DecodeError("saturation");
    instruction->run = run_binary<std::int32_t, [](std::int32_t a, std::int32_t b) {
      return std::clamp<std::int64_t>(std::int64_t{a} + b, INT32_MIN, INT32_MAX);
    }>;
  }
  if (form.has("cc")) throw DecodeError("a carry of this instruction");
  plain_rows(decoder, form, form.count() - 1, type, instruction);
  return true;
}

}  // namespace gpusim
