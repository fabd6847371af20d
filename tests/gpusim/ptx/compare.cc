// setp, set, selp, slct: comparisons and choices.
#include <cmath>
#include <type_traits>

#include "tests/gpusim/ptx/operations.h"
#include "tests/gpusim/ptx/small_float.h"

namespace gpusim {
namespace {

enum class Order : std::uint8_t { kEq, kNe, kLt, kLe, kGt, kGe, kNum, kNan };

// A comparison of floats is false if one is not a number; its unordered form is then true.
template <Order kOrder, bool kUnordered, class T>
bool holds(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    const bool nan = std::isnan(a) || std::isnan(b);
    if constexpr (kOrder == Order::kNum) return !nan;
    if constexpr (kOrder == Order::kNan) return nan;
    if (nan) return kUnordered;
  }
  switch (kOrder) {
    case Order::kEq:
      return a == b;
    case Order::kNe:
      return a != b;
    case Order::kLt:
      return a < b;
    case Order::kLe:
      return a <= b;
    case Order::kGt:
      return a > b;
    default:
      return a >= b;
  }
}

// Where comparisons leave their result.
enum Join : std::uint8_t { kPlain, kAnd, kOr, kXor };

// Where the operands come from.
template <class T>
struct Plain {
  using Row = Stored<T>;
  static T get(Row value) { return static_cast<T>(value); }
};
template <class T>
struct Small {
  using Row = std::uint32_t;
  static float get(Row value) { return widen(T{static_cast<std::uint16_t>(value)}); }
};

// rows: result, complement, a, b, predicate to join with. variant: Join.
template <class From, Order kOrder, bool kUnordered>
void run_setp(Warp& warp, const Instruction& instruction, Mask active) {
  const auto* a = warp.row<typename From::Row>(instruction.rows[2]);
  const auto* b = warp.row<typename From::Row>(instruction.rows[3]);
  Mask yes = 0;
  for_lanes(active, [&](int l) {
    const bool is = holds<kOrder, kUnordered>(From::get(a[l]), From::get(b[l]));
    yes |= static_cast<Mask>(is) << l;
  });
  Mask no = ~yes;
  if (instruction.variant != kPlain) {
    const Mask other = warp.predicate(instruction.rows[4]);
    const auto join = [&](Mask m) {
      return instruction.variant == kAnd  ? m & other
             : instruction.variant == kOr ? m | other
                                          : m ^ other;
    };
    yes = join(yes);
    no = join(no);
  }
  Mask& result = warp.predicate(instruction.rows[0]);
  result = (result & ~active) | (yes & active);
  Mask& complement = warp.predicate(instruction.rows[1]);
  complement = (complement & ~active) | (no & active);
}

template <class From>
Handler by_order(Order order, bool unordered) {
  switch (order) {
    case Order::kEq:
      return unordered ? run_setp<From, Order::kEq, true> : run_setp<From, Order::kEq, false>;
    case Order::kNe:
      return unordered ? run_setp<From, Order::kNe, true> : run_setp<From, Order::kNe, false>;
    case Order::kLt:
      return unordered ? run_setp<From, Order::kLt, true> : run_setp<From, Order::kLt, false>;
    case Order::kLe:
      return unordered ? run_setp<From, Order::kLe, true> : run_setp<From, Order::kLe, false>;
    case Order::kGt:
      return unordered ? run_setp<From, Order::kGt, true> : run_setp<From, Order::kGt, false>;
    case Order::kGe:
      return unordered ? run_setp<From, Order::kGe, true> : run_setp<From, Order::kGe, false>;
    case Order::kNum:
      return run_setp<From, Order::kNum, false>;
    case Order::kNan:
      return run_setp<From, Order::kNan, false>;
  }
  return nullptr;
}

struct Comparison {
  Order order;
  bool unordered;
  bool as_unsigned;
};

Comparison comparison_of(std::string_view name) {
  static constexpr std::pair<std::string_view, Comparison> kNames[] = {
      {"eq", {Order::kEq, false, false}},   {"ne", {Order::kNe, false, false}},
      {"lt", {Order::kLt, false, false}},   {"le", {Order::kLe, false, false}},
      {"gt", {Order::kGt, false, false}},   {"ge", {Order::kGe, false, false}},
      {"lo", {Order::kLt, false, true}},    {"ls", {Order::kLe, false, true}},
      {"hi", {Order::kGt, false, true}},    {"hs", {Order::kGe, false, true}},
      {"equ", {Order::kEq, true, false}},   {"neu", {Order::kNe, true, false}},
      {"ltu", {Order::kLt, true, false}},   {"leu", {Order::kLe, true, false}},
      {"gtu", {Order::kGt, true, false}},   {"geu", {Order::kGe, true, false}},
      {"num", {Order::kNum, false, false}}, {"nan", {Order::kNan, false, false}}};
  for (const auto& [text, comparison] : kNames) {
    if (text == name) return comparison;
  }
  throw DecodeError("an unknown comparison");
}

Handler compare(const Form& form, Type type) {
  if (form.statement.suffixes.empty()) throw DecodeError("no comparison");
  const Comparison how = comparison_of(form.statement.suffixes[0]);
  if (type.packed) throw DecodeError("packed comparisons");
  if (how.as_unsigned) type.kind = Type::Kind::kUnsigned;
  const auto order = [&]<class From>() -> Handler {
    return by_order<From>(how.order, how.unordered);
  };
  if (!type.is_float()) {
    return for_integer(type,
                       [&]<class T>() -> Handler { return order.template operator()<Plain<T>>(); });
  }
  if (type.bits == 64) return order.template operator()<Plain<double>>();
  if (type.bits == 32) return order.template operator()<Plain<float>>();
  return type.kind == Type::Kind::kFloat ? order.template operator()<Small<Half>>()
                                         : order.template operator()<Small<BrainFloat>>();
}

// set: the predicate of a setp as all ones or 1.0 (immediate). rows: 7 the result, 0 the predicate.
void run_set(Warp& warp, const Instruction& instruction, Mask active) {
  instruction.inner(warp, instruction, active);
  const Mask yes = warp.predicate(instruction.rows[0]);
  auto* d = warp.row<std::uint32_t>(instruction.rows[7]);
  const auto value = static_cast<std::uint32_t>(instruction.immediate);
  for_lanes(active, [=](int l) { d[l] = (yes >> l & 1) != 0 ? value : 0; });
}

template <class T>
void run_select(Warp& warp, const Instruction& instruction, Mask active) {
  auto* d = warp.row<T>(instruction.rows[0]);
  const auto* a = warp.row<T>(instruction.rows[1]);
  const auto* b = warp.row<T>(instruction.rows[2]);
  const Mask choice = warp.predicate(instruction.rows[3]);
  for_lanes(active, [=](int l) { d[l] = (choice >> l & 1) != 0 ? a[l] : b[l]; });
}

// slct: a where c >= 0, else b. C is a signed integer or a float.
template <class T, class C>
void run_slct(Warp& warp, const Instruction& instruction, Mask active) {
  auto* d = warp.row<T>(instruction.rows[0]);
  const auto* a = warp.row<T>(instruction.rows[1]);
  const auto* b = warp.row<T>(instruction.rows[2]);
  const auto* c = warp.row<C>(instruction.rows[3]);
  for_lanes(active, [=](int l) { d[l] = c[l] >= 0 ? a[l] : b[l]; });
}

void comparison_rows(Decoder& decoder, const Form& form, const Type& type,
                     Instruction* instruction) {
  instruction->rows[2] = decoder.source(form.operand(1), type);
  instruction->rows[3] = decoder.source(form.operand(2), type);
  const int join = form.which({"and", "or", "xor"});
  if (join < 0) return;
  instruction->variant = static_cast<std::uint8_t>(kAnd + join);
  instruction->rows[4] = decoder.predicate(form.operand(3));
}

}  // namespace

bool decode_compare(Decoder& decoder, const Form& form, Instruction* instruction) {
  const std::string_view op = form.opcode();
  if (op == "setp") {
    const Type type = form.type();
    instruction->rows[0] = decoder.predicate_target(form.operand(0));
    instruction->rows[1] = decoder.predicate_target(form.statement.pair);
    comparison_rows(decoder, form, type, instruction);
    instruction->run = compare(form, type);
  } else if (op == "set") {
    const Type result = form.type(0), type = form.type(1);
    if (result.bits != 32 || type.bits < 32) throw DecodeError("these sizes");
    instruction->rows[7] = decoder.target(form.operand(0), result);
    instruction->rows[0] = decoder.predicate_scratch();
    instruction->rows[1] = decoder.predicate_target(Operand{});
    comparison_rows(decoder, form, type, instruction);
    instruction->immediate = result.is_float() ? 0x3f80'0000 : 0xffff'ffff;
    instruction->inner = compare(form, type);
    instruction->run = run_set;
  } else if (op == "selp") {
    const Type type = form.type();
    plain_rows(decoder, form, 2, type, instruction);
    instruction->rows[3] = decoder.predicate(form.operand(3));
    instruction->run = type.bits == 64 ? run_select<std::uint64_t> : run_select<std::uint32_t>;
  } else if (op == "slct") {
    const Type type = form.type(0), chooser = form.type(1);
    plain_rows(decoder, form, 2, type, instruction);
    instruction->rows[3] = decoder.source(form.operand(3), chooser);
    const bool wide = type.bits == 64;
    if (chooser.is_float()) {
      instruction->run = wide ? run_slct<std::uint64_t, float> : run_slct<std::uint32_t, float>;
    } else {
      instruction->run =
          wide ? run_slct<std::uint64_t, std::int32_t> : run_slct<std::uint32_t, std::int32_t>;
    }
  } else {
    return false;
  }
  return true;
}

}  // namespace gpusim
