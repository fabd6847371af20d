// What the lanes of a warp do together: shfl, vote, match, redux, bar.warp.sync; and activemask.
#include <algorithm>

#include "tests/gpusim/ptx/operations.h"

namespace gpusim {
namespace {

// All rows: 0 the result, 1 the value; 9 the mask, which the scheduler has checked.
enum class Shuffle : std::uint8_t { kUp, kDown, kButterfly, kIndex };

// rows: 2 a predicate, 3 the distance or index, 4 the clamp and segment.
template <Shuffle kShuffle>
void run_shuffle(Warp& warp, const Instruction& instruction, Mask mask) {
  const auto* a = warp.row<std::uint32_t>(instruction.rows[1]);
  const auto* b = warp.row<std::uint32_t>(instruction.rows[3]);
  const auto* c = warp.row<std::uint32_t>(instruction.rows[4]);
  std::uint32_t out[kLanes];
  Mask in_range = 0;
  for_lanes(mask, [&](int l) {
    const auto lane = static_cast<std::uint32_t>(l);
    const std::uint32_t by = b[l] & 31, segment = c[l] >> 8 & 31, clamp = c[l] & 31;
    const std::uint32_t least = lane & segment, most = least | (clamp & ~segment);
    std::uint32_t from = lane;
    bool inside = false;
    switch (kShuffle) {
      case Shuffle::kUp:
        from = lane - by;
        inside = lane >= by && from >= most;
        break;
      case Shuffle::kDown:
        from = lane + by;
        inside = from <= most;
        break;
      case Shuffle::kButterfly:
        from = lane ^ by;
        inside = from <= most;
        break;
      case Shuffle::kIndex:
        from = least | (by & ~segment);
        inside = from <= most;
        break;
    }
    if (!inside) from = lane;
    if ((mask & lane_bit(static_cast<int>(from))) == 0) {
      fail(Fault::kWarpMask, l,
           "the shuffle reads lane " + std::to_string(from) + ", which the mask does not name");
    }
    out[l] = a[from];
    if (inside) in_range |= lane_bit(l);
  });
  auto* d = warp.row<std::uint32_t>(instruction.rows[0]);
  for_lanes(mask, [&](int l) { d[l] = out[l]; });
  Mask& p = warp.predicate(instruction.rows[2]);
  p = (p & ~mask) | in_range;
}

void run_ballot(Warp& warp, const Instruction& instruction, Mask mask) {
  const Mask value = warp.predicate(instruction.rows[1]) & mask;
  auto* d = warp.row<std::uint32_t>(instruction.rows[0]);
  for_lanes(mask, [=](int l) { d[l] = value; });
}

// variant 0 all, 1 any, 2 uni.
void run_vote(Warp& warp, const Instruction& instruction, Mask mask) {
  const Mask value = warp.predicate(instruction.rows[1]) & mask;
  const bool answers[] = {value == mask, value != 0, value == mask || value == 0};
  Mask& d = warp.predicate(instruction.rows[0]);
  d = answers[instruction.variant] ? d | mask : d & ~mask;
}

// flag: match.all, which also says in rows[2] whether all are equal.
template <class T>
void run_match(Warp& warp, const Instruction& instruction, Mask mask) {
  const auto* a = warp.row<T>(instruction.rows[1]);
  auto* d = warp.row<std::uint32_t>(instruction.rows[0]);
  Mask equal[kLanes];
  for_lanes(mask, [&](int l) {
    equal[l] = 0;
    for_lanes(mask, [&](int other) { equal[l] |= a[other] == a[l] ? lane_bit(other) : 0; });
  });
  const bool all = equal[first_lane(mask)] == mask;
  for_lanes(mask, [&](int l) { d[l] = instruction.flag ? (all ? mask : 0) : equal[l]; });
  Mask& p = warp.predicate(instruction.rows[2]);
  if (instruction.flag) p = all ? p | mask : p & ~mask;
}

// variant 0 add, 1 min, 2 max, 3 and, 4 or, 5 xor.
template <class T>
void run_redux(Warp& warp, const Instruction& instruction, Mask mask) {
  const auto* a = warp.row<std::uint32_t>(instruction.rows[1]);
  T result = static_cast<T>(a[first_lane(mask)]);
  for_lanes(mask & (mask - 1), [&](int l) {
    const T value = static_cast<T>(a[l]);
    switch (instruction.variant) {
      case 0:
        result =
            static_cast<T>(static_cast<std::uint32_t>(result) + static_cast<std::uint32_t>(value));
        break;
      case 1:
        result = std::min(result, value);
        break;
      case 2:
        result = std::max(result, value);
        break;
      case 3:
        result &= value;
        break;
      case 4:
        result |= value;
        break;
      default:
        result ^= value;
        break;
    }
  });
  auto* d = warp.row<std::uint32_t>(instruction.rows[0]);
  for_lanes(mask, [=](int l) { d[l] = static_cast<std::uint32_t>(result); });
}

// The only one that orders memory.
void run_sync(Warp& warp, const Instruction&, Mask mask) {
  // Lanes that do not exist have nothing to say: a whole warp has met.
  const Mask whole = mask == warp.exists ? kAllLanes : mask;
  warp.block.launch().races->warp_sync(warp.index, whole);
}

void run_active(Warp& warp, const Instruction& instruction, Mask active) {
  auto* d = warp.row<std::uint32_t>(instruction.rows[0]);
  for_lanes(active, [=](int l) { d[l] = active; });
}

Handler pick_shuffle(const Form& form) {
  switch (form.which({"up", "down", "bfly", "idx"})) {
    case 0:
      return run_shuffle<Shuffle::kUp>;
    case 1:
      return run_shuffle<Shuffle::kDown>;
    case 2:
      return run_shuffle<Shuffle::kButterfly>;
    case 3:
      return run_shuffle<Shuffle::kIndex>;
    default:
      throw DecodeError("an unknown mode");
  }
}

}  // namespace

bool decode_warp(Decoder& decoder, const Form& form, Instruction* instruction) {
  const std::string_view op = form.opcode();
  constexpr Type kWord{Type::Kind::kBits, 32};
  if (op == "activemask") {
    instruction->rows[0] = decoder.target(form.operand(0), kWord);
    instruction->run = run_active;
    return true;
  }
  const bool is_barrier = (op == "bar" || op == "barrier") && form.has("warp");
  const bool is_other = op == "shfl" || op == "vote" || op == "match" || op == "redux";
  if (!is_barrier && !is_other) return false;
  if (!form.has("sync")) throw DecodeError("a warp operation without a mask");
  instruction->flow = Flow::kCollective;
  instruction->rows[9] = decoder.source(form.operand(form.count() - 1), kWord);
  if (is_barrier) {
    instruction->run = run_sync;
  } else if (op == "vote" && !form.has("ballot")) {
    const int how = form.which({"all", "any", "uni"});
    if (how < 0) throw DecodeError("an unknown vote");
    instruction->rows[0] = decoder.predicate_target(form.operand(0));
    instruction->rows[1] = decoder.predicate(form.operand(1));
    instruction->variant = static_cast<std::uint8_t>(how);
    instruction->run = run_vote;
  } else {
    instruction->rows[0] = decoder.target(form.operand(0), kWord);
    instruction->rows[2] = decoder.predicate_target(form.statement.pair);
    if (op == "vote") {
      instruction->rows[1] = decoder.predicate(form.operand(1));
      instruction->run = run_ballot;
    } else if (op == "shfl") {
      plain_rows(decoder, form, 1, kWord, instruction);
      instruction->rows[3] = decoder.source(form.operand(2), kWord);
      instruction->rows[4] = decoder.source(form.operand(3), kWord);
      instruction->run = pick_shuffle(form);
    } else if (op == "match") {
      const Type type = form.type();
      instruction->rows[1] = decoder.source(form.operand(1), type);
      instruction->flag = form.has("all");
      instruction->run = type.bits == 64 ? run_match<std::uint64_t> : run_match<std::uint32_t>;
    } else {
      const int how = form.which({"add", "min", "max", "and", "or", "xor"});
      if (how < 0 || form.type().is_float()) throw DecodeError("an unknown reduction");
      instruction->rows[1] = decoder.source(form.operand(1), form.type());
      instruction->variant = static_cast<std::uint8_t>(how);
      instruction->run =
          form.type().is_signed() ? run_redux<std::int32_t> : run_redux<std::uint32_t>;
    }
  }
  return true;
}

}  // namespace gpusim
