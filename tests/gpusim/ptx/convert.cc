// cvt: between integers, between floats, and between the two.
#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/gpusim/ptx/operations.h"
#include "tests/gpusim/ptx/rounding.h"
#include "tests/gpusim/ptx/small_float.h"

namespace gpusim {
namespace {

// Everything a conversion may ask for; instruction.variant has it.
enum Mode : std::uint8_t {
  kNearest = 0,
  kZero = 1,
  kDown = 2,
  kUp = 3,
  kRoundMask = 3,
  kToInteger = 4,
  kSaturate = 8,
  kFlush = 16,
  kRelu = 32
};

double to_integer(double value, std::uint8_t mode) {
  switch (mode & kRoundMask) {
    case kZero:
      return std::trunc(value);
    case kDown:
      return std::floor(value);
    case kUp:
      return std::ceil(value);
    default:
      return std::nearbyint(value);
  }
}

// Integer to integer: extended by the source's sign, cut to the target.
template <class D, class S>
void run_cut(Warp& warp, const Instruction& instruction, Mask active) {
  auto* d = warp.row<Stored<D>>(instruction.rows[0]);
  const auto* a = warp.row<Stored<S>>(instruction.rows[1]);
  for_lanes(active, [=](int l) { d[l] = stored<D>(static_cast<D>(static_cast<S>(a[l]))); });
}

// As above, with saturation, and for 8-bit targets, whose register has more bits: D is the target,
// R what its register holds.
template <class D, class R, class S>
void run_saturate(Warp& warp, const Instruction& instruction, Mask active) {
  auto* d = warp.row<Stored<R>>(instruction.rows[0]);
  const auto* a = warp.row<Stored<S>>(instruction.rows[1]);
  const bool saturates = (instruction.variant & kSaturate) != 0;
  for_lanes(active, [=](int l) {
    const __int128 value = static_cast<S>(a[l]);
    const __int128 kept =
        std::clamp<__int128>(value, std::numeric_limits<D>::min(), std::numeric_limits<D>::max());
    d[l] = stored<R>(static_cast<R>(static_cast<D>(saturates ? kept : value)));
  });
}

// F is float or double; 16-bit floats go through float.
template <class F, class S>
void run_from_integer(Warp& warp, const Instruction& instruction, Mask active) {
  auto* d = warp.row<F>(instruction.rows[0]);
  const auto* a = warp.row<Stored<S>>(instruction.rows[1]);
  for_lanes(active, [=](int l) { d[l] = static_cast<F>(static_cast<S>(a[l])); });
}

struct FromFloat {
  using Row = float;
  static double get(Row value) { return value; }
  static constexpr bool kIsDouble = false;
};
struct FromDouble {
  using Row = double;
  static double get(Row value) { return value; }
  static constexpr bool kIsDouble = true;
};
template <class T>
struct FromSmall {
  using Row = std::uint32_t;
  static double get(Row value) { return widen(T{static_cast<std::uint16_t>(value)}); }
  static constexpr bool kIsDouble = false;
};

// Out of range is clamped. What is no number is 0, or the middle of the range where 64 bits take
// part.
template <class D, class From>
void run_to_integer(Warp& warp, const Instruction& instruction, Mask active) {
  using R =
      std::conditional_t<sizeof(D) == 1,
                         std::conditional_t<std::is_signed_v<D>, std::int16_t, std::uint16_t>, D>;
  auto* d = warp.row<Stored<R>>(instruction.rows[0]);
  const auto* a = warp.row<typename From::Row>(instruction.rows[1]);
  const std::uint8_t mode = instruction.variant;
  constexpr bool kMiddle = sizeof(D) == 8 || From::kIsDouble;
  const double low = static_cast<double>(std::numeric_limits<D>::min());
  const double beyond = std::ldexp(1.0, std::numeric_limits<D>::digits);
  for_lanes(active, [=](int l) {
    double value = From::get(a[l]);
    if ((mode & kFlush) != 0 && std::fabs(value) < std::numeric_limits<float>::min()) value = 0;
    value = to_integer(value, mode);
    D out;
    if (std::isnan(value)) {
      out = kMiddle ? static_cast<D>(std::make_unsigned_t<D>{1} << (8 * sizeof(D) - 1)) : D{0};
    } else {
      out = value <= low      ? std::numeric_limits<D>::min()
            : value >= beyond ? std::numeric_limits<D>::max()
                              : static_cast<D>(value);
    }
    d[l] = stored<R>(static_cast<R>(out));
  });
}

double shaped(double value, std::uint8_t mode) {
  if ((mode & kToInteger) != 0) value = to_integer(value, mode);
  if ((mode & kSaturate) != 0) value = value > 0 ? std::min(value, 1.0) : 0.0;
  if ((mode & kRelu) != 0 && value < 0) value = 0;
  return value;
}

template <class F, class From>
void run_to_float(Warp& warp, const Instruction& instruction, Mask active) {
  auto* d = warp.row<F>(instruction.rows[0]);
  const auto* a = warp.row<typename From::Row>(instruction.rows[1]);
  const std::uint8_t mode = instruction.variant;
  for_lanes(active, [=](int l) {
    F value = static_cast<F>(shaped(From::get(a[l]), mode));
    if ((mode & kFlush) != 0 && std::fabs(value) < std::numeric_limits<float>::min())
      value = std::copysign(F{0}, value);
    d[l] = value;
  });
}

std::uint32_t narrowed(double value, std::uint8_t mode, bool brain) {
  const bool toward_zero = (mode & kRoundMask) == kZero && (mode & kToInteger) == 0;
  value = shaped(value, mode);
  return brain ? narrow_brain(value, toward_zero).bits : narrow_half(value, toward_zero).bits;
}

// flag: to bf16 rather than f16.
template <class From>
void run_to_small(Warp& warp, const Instruction& instruction, Mask active) {
  auto* d = warp.row<std::uint32_t>(instruction.rows[0]);
  const auto* a = warp.row<typename From::Row>(instruction.rows[1]);
  for_lanes(active, [&](int l) {
    d[l] = narrowed(From::get(a[l]), instruction.variant, instruction.flag);
  });
}

template <class S>
void run_small_from_integer(Warp& warp, const Instruction& instruction, Mask active) {
  auto* d = warp.row<std::uint32_t>(instruction.rows[0]);
  const auto* a = warp.row<Stored<S>>(instruction.rows[1]);
  for_lanes(active, [&](int l) {
    d[l] =
        narrowed(static_cast<double>(static_cast<S>(a[l])), instruction.variant, instruction.flag);
  });
}

// cvt.f16x2.f32 d, high, low.
void run_to_pair(Warp& warp, const Instruction& instruction, Mask active) {
  auto* d = warp.row<std::uint32_t>(instruction.rows[0]);
  const auto* high = warp.row<float>(instruction.rows[1]);
  const auto* low = warp.row<float>(instruction.rows[2]);
  for_lanes(active, [&](int l) {
    const std::uint32_t top = narrowed(high[l], instruction.variant, instruction.flag);
    d[l] = top << 16 | narrowed(low[l], instruction.variant, instruction.flag);
  });
}

template <class Make>
Handler for_any_integer(const Type& type, Make make) {
  if (type.bits == 8) {
    return type.is_signed() ? make.template operator()<std::int8_t>()
                            : make.template operator()<std::uint8_t>();
  }
  return for_integer(type, make);
}

template <class Make>
Handler for_float(const Type& type, Make make) {
  if (type.bits == 64) return make.template operator()<FromDouble>();
  if (type.bits == 32) return make.template operator()<FromFloat>();
  return type.kind == Type::Kind::kFloat ? make.template operator()<FromSmall<Half>>()
                                         : make.template operator()<FromSmall<BrainFloat>>();
}

Handler integer_to_integer(const Type& to, const Type& from, int register_bits, bool saturates) {
  return for_any_integer(from, [&]<class S>() -> Handler {
    if (to.bits == 8) {
      const bool wide = register_bits == 32;
      if (to.is_signed())
        return wide ? run_saturate<std::int8_t, std::int32_t, S>
                    : run_saturate<std::int8_t, std::int16_t, S>;
      return run_saturate<std::uint8_t, std::uint32_t, S>;
    }
    return for_integer(to, [&]<class D>() -> Handler {
      return saturates ? run_saturate<D, D, S> : run_cut<D, S>;
    });
  });
}

Handler float_to_float(const Type& to, const Type& from) {
  return for_float(from, [&]<class From>() -> Handler {
    if (to.bits == 64) return run_to_float<double, From>;
    return to.bits == 32 ? run_to_float<float, From> : run_to_small<From>;
  });
}

std::uint8_t mode_of(const Form& form) {
  static constexpr std::uint8_t kModes[] = {kNearest | kToInteger,
                                            kZero | kToInteger,
                                            kDown | kToInteger,
                                            kUp | kToInteger,
                                            kNearest,
                                            kZero,
                                            kDown,
                                            kUp};
  const int rounding = form.which({"rni", "rzi", "rmi", "rpi", "rn", "rz", "rm", "rp"});
  std::uint8_t mode = rounding < 0 ? std::uint8_t{kNearest} : kModes[rounding];
  if (form.has("sat")) mode |= kSaturate;
  if (form.has("ftz")) mode |= kFlush;
  if (form.has("relu")) mode |= kRelu;
  return mode;
}

}  // namespace

bool decode_convert(Decoder& decoder, const Form& form, Instruction* instruction) {
  if (form.opcode() != "cvt") return false;
  const Type to = form.type(0);
  const Type from = form.type(1);
  if (form.has("satfinite") || form.has("rs") || form.has("rna"))
    throw DecodeError("this rounding");
  instruction->wide_conversion =
      (to.bits == 64 || from.bits == 64) && (to.is_float() || from.is_float());
  instruction->variant = mode_of(form);
  instruction->flag = to.kind == Type::Kind::kBrainFloat;
  if (to.packed) {
    if (from.packed || from.bits != 32) throw DecodeError("this pair");
    plain_rows(decoder, form, 0, to, instruction);
    instruction->rows[1] = decoder.source(form.operand(1), from);
    instruction->rows[2] = decoder.source(form.operand(2), from);
    instruction->run = run_to_pair;
    return true;
  }
  // A narrow source may lie in a wider register, a narrow target in one of 16 or 32 bits.
  const Operand& source = form.operand(1);
  Type held = from;
  held.bits = std::max(from.bits, decoder.register_bits(source));
  const bool in_wide_register = from.bits < 64 && held.bits == 64;
  instruction->rows[0] = decoder.target(form.operand(0), to);
  instruction->rows[1] = decoder.source(source, held);
  if (in_wide_register) throw DecodeError("a narrow value in a 64-bit register");
  if (!to.is_float() && !from.is_float()) {
    instruction->run =
        integer_to_integer(to, from, decoder.register_bits(form.operand(0)), form.has("sat"));
  } else if (!to.is_float()) {
    instruction->run = for_float(from, [&]<class From>() -> Handler {
      return for_any_integer(to, []<class D>() -> Handler { return run_to_integer<D, From>; });
    });
  } else if (!from.is_float()) {
    instruction->run = for_any_integer(from, [&]<class S>() -> Handler {
      if (to.bits == 16) return run_small_from_integer<S>;
      return to.bits == 64 ? run_from_integer<double, S> : run_from_integer<float, S>;
    });
    if (to.bits > 16) apply_rounding(form, instruction);
  } else {
    instruction->run = float_to_float(to, from);
    if (to.bits == 16 && form.which({"rm", "rp"}) >= 0)
      throw DecodeError("this rounding of 16-bit floats");
    if (to.bits == 32 && from.bits == 64 && form.which({"rni", "rzi", "rmi", "rpi"}) < 0)
      apply_rounding(form, instruction);
  }
  return true;
}

}  // namespace gpusim
