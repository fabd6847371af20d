// Floating-point arithmetic of f16, bf16, f32, f64 and the packed halves. The approximations
// (rcp.approx, ex2, sin, ...) are computed in double and rounded: closer than a device's, not equal
// to them.
#include <bit>
#include <cmath>
#include <limits>
#include <type_traits>

#include "tests/gpusim/ptx/operations.h"
#include "tests/gpusim/ptx/rounding.h"
#include "tests/gpusim/ptx/small_float.h"

namespace gpusim {
namespace {

// How a number is kept in a row, and what it is computed in.
template <class T>
struct Number {
  using Row = T;
  using Value = T;
  static T get(Row row) { return row; }
  static Row put(T value) { return value; }
};
template <>
struct Number<Half> {
  using Row = std::uint32_t;
  using Value = float;
  static float get(Row row) { return widen(Half{static_cast<std::uint16_t>(row)}); }
  static Row put(double value) { return narrow_half(value).bits; }
};
template <>
struct Number<BrainFloat> {
  using Row = std::uint32_t;
  using Value = float;
  static float get(Row row) { return widen(BrainFloat{static_cast<std::uint16_t>(row)}); }
  static Row put(double value) { return narrow_brain(value).bits; }
};

enum Modifier : std::uint8_t { kFlush = 1, kSaturate = 2, kRelu = 4, kNan = 8 };

template <class V>
V flushed(V value) {
  return std::fabs(value) < std::numeric_limits<V>::min() ? std::copysign(V{0}, value) : value;
}

template <class V>
V modified(V value, std::uint8_t modifiers) {
  if ((modifiers & kFlush) != 0) value = flushed(value);
  if ((modifiers & kSaturate) != 0) value = value > 0 ? (value < 1 ? value : V{1}) : V{0};
  if ((modifiers & kRelu) != 0 && value < 0) value = 0;
  return value;
}

// F(a, b, c) of values; kParts 2 for packed halves. Without modifiers the loop vectorises.
template <class T, auto F, int kOperands, bool kModified, int kParts>
void run_float(Warp& warp, const Instruction& instruction, Mask active) {
  using N = Number<T>;
  using V = typename N::Value;
  auto* d = warp.row<typename N::Row>(instruction.rows[0]);
  const auto* a = warp.row<typename N::Row>(instruction.rows[1]);
  const auto* b = warp.row<typename N::Row>(instruction.rows[kOperands > 1 ? 2 : 1]);
  const auto* c = warp.row<typename N::Row>(instruction.rows[kOperands > 2 ? 3 : 1]);
  const std::uint8_t modifiers = instruction.variant;
  const auto one = [=](auto x, auto y, auto z) {
    V p = N::get(x), q = N::get(y), r = N::get(z);
    if (kModified && (modifiers & kFlush) != 0) p = flushed(p), q = flushed(q), r = flushed(r);
    const auto result = F(p, q, r);
    return N::put(kModified ? modified(result, modifiers) : result);
  };
  for_lanes(active, [=](int l) {
    if constexpr (kParts == 1) {
      d[l] = one(a[l], b[l], c[l]);
    } else {
      const std::uint32_t low = one(a[l], b[l], c[l]);
      d[l] = low | one(a[l] >> 16, b[l] >> 16, c[l] >> 16) << 16;
    }
  });
}

template <class V>
V smaller(V a, V b) {
  if (std::isnan(a)) return b;
  if (std::isnan(b)) return a;
  return a == b ? (std::signbit(a) ? a : b) : (a < b ? a : b);
}

template <class V>
V larger(V a, V b) {
  if (std::isnan(a)) return b;
  if (std::isnan(b)) return a;
  return a == b ? (std::signbit(a) ? b : a) : (a > b ? a : b);
}

template <class V>
V nan_or(V a, V b, V otherwise) {
  return std::isnan(a) || std::isnan(b) ? std::numeric_limits<V>::quiet_NaN() : otherwise;
}

// The handler of one operation for the type of a form; F takes three values, of float or double.
template <auto F, int kOperands>
Handler choose(const Type& type, bool is_modified) {
  const auto make = [&]<class T, int kParts>() -> Handler {
    return is_modified ? run_float<T, F, kOperands, true, kParts>
                       : run_float<T, F, kOperands, false, kParts>;
  };
  if (type.bits == 32) return make.template operator()<float, 1>();
  if (type.bits == 64) return make.template operator()<double, 1>();
  if (type.kind == Type::Kind::kFloat) {
    return type.packed ? make.template operator()<Half, 2>() : make.template operator()<Half, 1>();
  }
  return type.packed ? make.template operator()<BrainFloat, 2>()
                     : make.template operator()<BrainFloat, 1>();
}

// Of 16-bit floats: see fused_for_narrowing.
template <class V>
V fused(V a, V b, V c) {
  return std::fma(a, b, c);
}
template <class T, int kParts>
void run_small_fma(Warp& warp, const Instruction& instruction, Mask active) {
  using N = Number<T>;
  auto* d = warp.row<std::uint32_t>(instruction.rows[0]);
  const auto* a = warp.row<std::uint32_t>(instruction.rows[1]);
  const auto* b = warp.row<std::uint32_t>(instruction.rows[2]);
  const auto* c = warp.row<std::uint32_t>(instruction.rows[3]);
  const std::uint8_t modifiers = instruction.variant;
  for_lanes(active, [=](int l) {
    std::uint32_t out = 0;
    for (int shift = 0; shift < 16 * kParts; shift += 16) {
      const double sum =
          fused_for_narrowing(N::get(a[l] >> shift), N::get(b[l] >> shift), N::get(c[l] >> shift));
      out |= N::put(modified(sum, modifiers)) << shift;
    }
    d[l] = out;
  });
}

template <auto F>
Handler choose_binary(const Type& type, bool is_modified) {
  return choose<F, 2>(type, is_modified);
}

Handler pick_binary(const Form& form, const Type& type, bool is_modified) {
  const std::string_view op = form.opcode();
  if (op == "add")
    return choose_binary<[](auto a, auto b, auto) { return a + b; }>(type, is_modified);
  if (op == "sub")
    return choose_binary<[](auto a, auto b, auto) { return a - b; }>(type, is_modified);
  if (op == "mul")
    return choose_binary<[](auto a, auto b, auto) { return a * b; }>(type, is_modified);
  if (op == "div")
    return choose_binary<[](auto a, auto b, auto) { return a / b; }>(type, is_modified);
  if (op == "min" && form.has("NaN")) {
    return choose_binary<[](auto a, auto b, auto) { return nan_or(a, b, smaller(a, b)); }>(
        type, is_modified);
  }
  if (op == "max" && form.has("NaN")) {
    return choose_binary<[](auto a, auto b, auto) { return nan_or(a, b, larger(a, b)); }>(
        type, is_modified);
  }
  if (op == "min")
    return choose_binary<[](auto a, auto b, auto) { return smaller(a, b); }>(type, is_modified);
  if (op == "max")
    return choose_binary<[](auto a, auto b, auto) { return larger(a, b); }>(type, is_modified);
  return nullptr;
}

Handler pick_unary(const Form& form, const Type& type, bool is_modified) {
  const std::string_view op = form.opcode();
  const auto with = [&]<auto F>() { return choose<F, 1>(type, is_modified); };
  if (op == "rcp") return with.template operator()<[](auto a, auto, auto) { return 1 / a; }>();
  if (op == "sqrt")
    return with.template operator()<[](auto a, auto, auto) { return std::sqrt(a); }>();
  if (op == "rsqrt") {
    return with.template operator()<[](auto a, auto, auto) {
      return static_cast<decltype(a)>(1 / std::sqrt(static_cast<double>(a)));
    }>();
  }
  if (op == "ex2") {
    return with.template operator()<[](auto a, auto, auto) {
      return static_cast<decltype(a)>(std::exp2(static_cast<double>(a)));
    }>();
  }
  if (op == "lg2") {
    return with.template operator()<[](auto a, auto, auto) {
      return static_cast<decltype(a)>(std::log2(static_cast<double>(a)));
    }>();
  }
  if (op == "sin") {
    return with.template operator()<[](auto a, auto, auto) {
      return static_cast<decltype(a)>(std::sin(static_cast<double>(a)));
    }>();
  }
  if (op == "cos") {
    return with.template operator()<[](auto a, auto, auto) {
      return static_cast<decltype(a)>(std::cos(static_cast<double>(a)));
    }>();
  }
  if (op == "tanh") {
    return with.template operator()<[](auto a, auto, auto) {
      return static_cast<decltype(a)>(std::tanh(static_cast<double>(a)));
    }>();
  }
  return nullptr;
}

Handler pick_fma(const Type& type, bool is_modified) {
  if (type.bits != 16)
    return choose<[](auto a, auto b, auto c) { return fused(a, b, c); }, 3>(type, is_modified);
  if (type.kind == Type::Kind::kFloat)
    return type.packed ? run_small_fma<Half, 2> : run_small_fma<Half, 1>;
  return type.packed ? run_small_fma<BrainFloat, 2> : run_small_fma<BrainFloat, 1>;
}

// abs and neg touch the sign alone: bits to clear and bits to flip. Immediate: their masks.
template <class T>
void run_sign(Warp& warp, const Instruction& instruction, Mask active) {
  auto* d = warp.row<T>(instruction.rows[0]);
  const auto* a = warp.row<T>(instruction.rows[1]);
  const T mask = static_cast<T>(instruction.immediate);
  const bool clears = instruction.flag;
  for_lanes(active, [=](int l) { d[l] = clears ? a[l] & ~mask : a[l] ^ mask; });
}

// The sign of the first operand, the rest of the second.
template <class T>
void run_copysign(Warp& warp, const Instruction& instruction, Mask active) {
  auto* d = warp.row<T>(instruction.rows[0]);
  const auto* a = warp.row<T>(instruction.rows[1]);
  const auto* b = warp.row<T>(instruction.rows[2]);
  constexpr T kSign = T{1} << (8 * sizeof(T) - 1);
  for_lanes(active, [=](int l) { d[l] = (a[l] & kSign) | (b[l] & ~kSign); });
}

// testp: variant 0 finite, 1 infinite, 2 number, 3 notanumber, 4 normal, 5 subnormal.
template <class T>
void run_test(Warp& warp, const Instruction& instruction, Mask active) {
  const auto* a = warp.row<T>(instruction.rows[1]);
  Mask holds = 0;
  for_lanes(active, [&](int l) {
    const T x = a[l];
    const bool answers[] = {std::isfinite(x), std::isinf(x),    !std::isnan(x),
                            std::isnan(x),    std::isnormal(x), std::fpclassify(x) == FP_SUBNORMAL};
    if (answers[instruction.variant]) holds |= lane_bit(l);
  });
  Mask& d = warp.predicate(instruction.rows[0]);
  d = (d & ~active) | holds;
}

bool decode_special(Decoder& decoder, const Form& form, const Type& type,
                    Instruction* instruction) {
  const std::string_view op = form.opcode();
  if (op == "abs" || op == "neg") {
    plain_rows(decoder, form, 1, type, instruction);
    instruction->flag = op == "abs";
    instruction->immediate = type.packed ? 0x8000'8000 : std::uint64_t{1} << (type.bits - 1);
    instruction->run = type.bits == 64 ? run_sign<std::uint64_t> : run_sign<std::uint32_t>;
  } else if (op == "copysign") {
    plain_rows(decoder, form, 2, type, instruction);
    instruction->run = type.bits == 64 ? run_copysign<std::uint64_t> : run_copysign<std::uint32_t>;
  } else if (op == "testp") {
    instruction->rows[0] = decoder.predicate_target(form.operand(0));
    instruction->rows[1] = decoder.source(form.operand(1), type);
    const int test =
        form.which({"finite", "infinite", "number", "notanumber", "normal", "subnormal"});
    if (test < 0 || type.bits < 32) throw DecodeError("an unknown test");
    instruction->variant = static_cast<std::uint8_t>(test);
    instruction->run = type.bits == 64 ? run_test<double> : run_test<float>;
  } else {
    return false;
  }
  return true;
}

}  // namespace

bool decode_float(Decoder& decoder, const Form& form, Instruction* instruction) {
  if (form.types.empty() || !form.type().is_float()) return false;
  const Type type = form.type();
  if (decode_special(decoder, form, type, instruction)) return true;
  instruction->variant =
      static_cast<std::uint8_t>((form.has("ftz") ? kFlush : 0) | (form.has("sat") ? kSaturate : 0) |
                                (form.has("relu") ? kRelu : 0));
  const bool is_modified = instruction->variant != 0;
  std::size_t operands = 2;
  instruction->run = pick_binary(form, type, is_modified);
  if (instruction->run == nullptr && (form.opcode() == "fma" || form.opcode() == "mad")) {
    operands = 3;
    instruction->run = pick_fma(type, is_modified);
  }
  if (instruction->run == nullptr) {
    operands = 1;
    instruction->run = pick_unary(form, type, is_modified);
  }
  if (instruction->run == nullptr) return false;
  if (type.bits == 16 && form.which({"rz", "rm", "rp"}) >= 0)
    throw DecodeError("this rounding of 16-bit floats");
  plain_rows(decoder, form, operands, type, instruction);
  apply_rounding(form, instruction);
  return true;
}

}  // namespace gpusim
