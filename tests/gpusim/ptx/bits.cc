// Logic, shifts and bit fields.
#include <algorithm>
#include <type_traits>

#include "tests/gpusim/ptx/operations.h"

namespace gpusim {
namespace {

template <class T>
constexpr int kBits = 8 * static_cast<int>(sizeof(T));

// Shifts of the width or more give 0, or the sign.
template <class T, bool kLeft>
void run_shift(Warp& warp, const Instruction& instruction, Mask active) {
  auto* d = warp.row<Stored<T>>(instruction.rows[0]);
  const auto* a = warp.row<Stored<T>>(instruction.rows[1]);
  const auto* b = warp.row<std::uint32_t>(instruction.rows[2]);
  for_lanes(active, [=](int l) {
    const T value = static_cast<T>(a[l]);
    if constexpr (std::is_signed_v<T>) {
      d[l] = stored<T>(static_cast<T>(value >> std::min<std::uint32_t>(b[l], kBits<T> - 1)));
    } else {
      const std::uint32_t by = b[l] & (kBits<T> - 1);
      const T moved = static_cast<T>(kLeft ? value << by : value >> by);
      d[l] = b[l] < kBits<T> ? moved : T{0};
    }
  });
}

// The count of a 64-bit value is a 32-bit number.
template <class T, auto F>
void run_count(Warp& warp, const Instruction& instruction, Mask active) {
  auto* d = warp.row<std::uint32_t>(instruction.rows[0]);
  const auto* a = warp.row<Stored<T>>(instruction.rows[1]);
  for_lanes(active, [=](int l) { d[l] = static_cast<std::uint32_t>(F(static_cast<T>(a[l]))); });
}

template <class T>
int leading_zeros(T value) {
  if (value == 0) return kBits<T>;
  return sizeof(T) == 8 ? __builtin_clzll(value) : __builtin_clz(static_cast<std::uint32_t>(value));
}

// Position of the most significant bit that is not the sign; all ones if there is none.
template <class T, bool kShift>
std::uint32_t find_bit(T value) {
  using U = std::make_unsigned_t<T>;
  const U bits = static_cast<U>(value < 0 ? ~value : value);
  if (bits == 0) return ~std::uint32_t{0};
  const int zeros = leading_zeros<U>(bits);
  return static_cast<std::uint32_t>(kShift ? zeros : kBits<T> - 1 - zeros);
}

template <class T>
T reversed(T value) {
  T out = 0;
  for (int i = 0; i < kBits<T>; ++i)
    out |= static_cast<T>(((value >> i) & 1) << (kBits<T> - 1 - i));
  return out;
}

// Field of `length` bits at `position`; a signed one repeats its top bit, also from beyond the
// value.
template <class T>
void run_extract(Warp& warp, const Instruction& instruction, Mask active) {
  using U = std::make_unsigned_t<T>;
  auto* d = warp.row<Stored<T>>(instruction.rows[0]);
  const auto* a = warp.row<Stored<T>>(instruction.rows[1]);
  const auto* position = warp.row<std::uint32_t>(instruction.rows[2]);
  const auto* length = warp.row<std::uint32_t>(instruction.rows[3]);
  for_lanes(active, [=](int l) {
    const int p = position[l] & 255, n = length[l] & 255;
    const T value = static_cast<T>(a[l]);
    const T filler = static_cast<T>(value < 0 ? ~T{0} : T{0});
    if (n == 0) {
      d[l] = 0;
    } else if (p >= kBits<T>) {
      d[l] = stored<T>(filler);
    } else if (p + n >= kBits<T>) {
      d[l] = stored<T>(static_cast<T>(value >> p));
    } else {
      const int unused = kBits<T> - n;
      d[l] =
          stored<T>(static_cast<T>(static_cast<T>(static_cast<U>(value >> p) << unused) >> unused));
    }
  });
}

template <class T>
void run_insert(Warp& warp, const Instruction& instruction, Mask active) {
  auto* d = warp.row<Stored<T>>(instruction.rows[0]);
  const auto* a = warp.row<Stored<T>>(instruction.rows[1]);
  const auto* b = warp.row<Stored<T>>(instruction.rows[2]);
  const auto* position = warp.row<std::uint32_t>(instruction.rows[3]);
  const auto* length = warp.row<std::uint32_t>(instruction.rows[4]);
  for_lanes(active, [=](int l) {
    const int p = position[l] & 255, n = length[l] & 255;
    const T ones = n >= kBits<T> ? static_cast<T>(~T{0}) : static_cast<T>((T{1} << n) - 1);
    const T field = p >= kBits<T> ? T{0} : static_cast<T>(ones << p);
    const T moved = p >= kBits<T> ? T{0} : static_cast<T>(a[l] << p);
    d[l] = static_cast<T>((b[l] & ~field) | (moved & field));
  });
}

template <bool kWrap>
std::uint32_t bit_mask(std::uint32_t position, std::uint32_t length) {
  if (kWrap) position &= 31, length &= 31;
  if (position >= 32) return 0;
  return (length >= 32 ? ~std::uint32_t{0} : (std::uint32_t{1} << length) - 1) << position;
}

// Four bytes chosen from eight; bit 3 of a selector repeats the byte's sign.
std::uint32_t permute(std::uint32_t a, std::uint32_t b, std::uint32_t selectors) {
  const std::uint64_t bytes = std::uint64_t{b} << 32 | a;
  std::uint32_t out = 0;
  for (int i = 0; i < 4; ++i) {
    const std::uint32_t selector = selectors >> (4 * i) & 15;
    std::uint32_t byte = bytes >> (8 * (selector & 7)) & 255;
    if ((selector & 8) != 0) byte = (byte & 128) != 0 ? 255 : 0;
    out |= byte << (8 * i);
  }
  return out;
}

template <bool kLeft, bool kWrap>
std::uint32_t funnel(std::uint32_t low, std::uint32_t high, std::uint32_t by) {
  const std::uint32_t count = kWrap ? by & 31 : std::min(by, 32U);
  const std::uint64_t both = std::uint64_t{high} << 32 | low;
  return static_cast<std::uint32_t>(kLeft ? both << count >> 32 : both >> count);
}

// Any function of three bits, as a table of eight: rows a, b, c; immediate: the table.
void run_lop3(Warp& warp, const Instruction& instruction, Mask active) {
  auto* d = warp.row<std::uint32_t>(instruction.rows[0]);
  const auto* a = warp.row<std::uint32_t>(instruction.rows[1]);
  const auto* b = warp.row<std::uint32_t>(instruction.rows[2]);
  const auto* c = warp.row<std::uint32_t>(instruction.rows[3]);
  std::uint32_t take[8];
  for (int i = 0; i < 8; ++i) take[i] = (instruction.immediate >> i & 1) != 0 ? ~0U : 0U;
  for_lanes(active, [=](int l) {
    const std::uint32_t x = a[l], y = b[l], z = c[l];
    d[l] = (take[0] & ~x & ~y & ~z) | (take[1] & ~x & ~y & z) | (take[2] & ~x & y & ~z) |
           (take[3] & ~x & y & z) | (take[4] & x & ~y & ~z) | (take[5] & x & ~y & z) |
           (take[6] & x & y & ~z) | (take[7] & x & y & z);
  });
}

// Predicates are masks: variant 0 and, 1 or, 2 xor, 3 not.
void run_predicate(Warp& warp, const Instruction& instruction, Mask active) {
  const Mask a = warp.predicate(instruction.rows[1]), b = warp.predicate(instruction.rows[2]);
  const Mask values[] = {a & b, a | b, a ^ b, ~a};
  Mask& d = warp.predicate(instruction.rows[0]);
  d = (d & ~active) | (values[instruction.variant] & active);
}

Handler pick_logic(std::string_view op, const Type& type) {
  if (op == "and")
    return for_bits(
        type, []<class T>() -> Handler { return run_binary<T, [](T a, T b) { return a & b; }>; });
  if (op == "or")
    return for_bits(
        type, []<class T>() -> Handler { return run_binary<T, [](T a, T b) { return a | b; }>; });
  if (op == "xor")
    return for_bits(
        type, []<class T>() -> Handler { return run_binary<T, [](T a, T b) { return a ^ b; }>; });
  if (op == "not")
    return for_bits(type,
                    []<class T>() -> Handler { return run_unary<T, [](T a) { return ~a; }>; });
  if (op == "cnot")
    return for_bits(type, []<class T>() -> Handler {
      return run_unary<T, [](T a) { return a == 0 ? 1 : 0; }>;
    });
  if (op == "brev")
    return for_bits(type, []<class T>() -> Handler { return run_unary<T, reversed<T>>; });
  return nullptr;
}

Handler pick_count(const Form& form, const Type& type) {
  const std::string_view op = form.opcode();
  if (op == "popc")
    return for_bits(type, []<class T>() -> Handler {
      return run_count<T, [](T a) { return __builtin_popcountll(a); }>;
    });
  if (op == "clz")
    return for_bits(type, []<class T>() -> Handler { return run_count<T, leading_zeros<T>>; });
  if (op != "bfind") return nullptr;
  const bool shift = form.has("shiftamt");
  return for_integer(type, [shift]<class T>() -> Handler {
    return shift ? run_count<T, find_bit<T, true>> : run_count<T, find_bit<T, false>>;
  });
}

Handler pick_word(const Form& form) {
  const std::string_view op = form.opcode();
  using U = std::uint32_t;
  if (op == "bmsk")
    return form.has("wrap") ? run_binary<U, bit_mask<true>> : run_binary<U, bit_mask<false>>;
  if (op == "prmt" && form.statement.suffixes.size() == 1) return run_ternary<U, permute>;
  if (op != "shf") return nullptr;
  const bool wrap = form.has("wrap");
  if (form.has("l"))
    return wrap ? run_ternary<U, funnel<true, true>> : run_ternary<U, funnel<true, false>>;
  return wrap ? run_ternary<U, funnel<false, true>> : run_ternary<U, funnel<false, false>>;
}

}  // namespace

bool decode_bits(Decoder& decoder, const Form& form, Instruction* instruction) {
  const std::string_view op = form.opcode();
  if (form.types.empty()) return false;
  const Type type = form.type();
  constexpr Type kWord{Type::Kind::kBits, 32};
  if (type.is_predicate()) {
    static constexpr std::string_view kOps[] = {"and", "or", "xor", "not"};
    const auto found = std::find(std::begin(kOps), std::end(kOps), op);
    if (found == std::end(kOps)) return false;
    instruction->variant = static_cast<std::uint8_t>(found - std::begin(kOps));
    instruction->rows[0] = decoder.predicate_target(form.operand(0));
    instruction->rows[1] = decoder.predicate(form.operand(1));
    instruction->rows[2] =
        instruction->variant == 3 ? instruction->rows[1] : decoder.predicate(form.operand(2));
    instruction->run = run_predicate;
    return true;
  }
  if (const Handler run = pick_logic(op, type)) {
    plain_rows(decoder, form, form.count() - 1, type, instruction);
    instruction->run = run;
  } else if (const Handler count = pick_count(form, type)) {
    instruction->rows[0] = decoder.target(form.operand(0), kWord);
    instruction->rows[1] = decoder.source(form.operand(1), type);
    instruction->run = count;
  } else if (const Handler word = pick_word(form)) {
    plain_rows(decoder, form, form.count() - 1, kWord, instruction);
    instruction->run = word;
  } else if (op == "shl" || op == "shr") {
    instruction->rows[0] = decoder.target(form.operand(0), type);
    instruction->rows[1] = decoder.source(form.operand(1), type);
    instruction->rows[2] = decoder.source(form.operand(2), kWord);
    instruction->run =
        op == "shl" ? for_bits(type, []<class T>() -> Handler { return run_shift<T, true>; })
                    : for_integer(type, []<class T>() -> Handler { return run_shift<T, false>; });
  } else if (op == "bfe" || op == "bfi") {
    const std::size_t values = op == "bfe" ? 1 : 2;
    plain_rows(decoder, form, values, type, instruction);
    instruction->rows[values + 1] = decoder.source(form.operand(values + 1), kWord);
    instruction->rows[values + 2] = decoder.source(form.operand(values + 2), kWord);
    instruction->run = op == "bfe"
                           ? for_integer(type, []<class T>() -> Handler { return run_extract<T>; })
                           : for_bits(type, []<class T>() -> Handler { return run_insert<T>; });
  } else if (op == "lop3") {
    plain_rows(decoder, form, 3, kWord, instruction);
    if (form.operand(4).kind != Operand::Kind::kInteger || form.count() != 5)
      throw DecodeError("a table that is no number");
    instruction->immediate = form.operand(4).bits;
    instruction->run = run_lop3;
  } else {
    return false;
  }
  return true;
}

}  // namespace gpusim
