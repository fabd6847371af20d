// ld, st and cp.async.
#include <cstring>

#include "tests/gpusim/ptx/operations.h"

namespace gpusim {
namespace {

// rows: 0 to 7 the elements, 8 the address. flag: the address is 32 bits wide. variant bits:
enum LoadForm : std::uint8_t {
  kWideRegister = 1,
  kSignExtend = 2,
  kNarrowRegister = 4,
  kOrdering = 8,
  kAcquires = 16,
  kReleases = 32
};
constexpr std::size_t kAddressRow = 8;

void find_addresses(Warp& warp, const Instruction& instruction, Mask active, Row row,
                    Access* access) {
  const std::uint64_t offset = instruction.immediate;
  std::uint64_t* const to = access->address.data();
  if (instruction.flag) {
    const auto* base = warp.row<std::uint32_t>(row);
    const auto short_offset = static_cast<std::uint32_t>(offset);
    for_lanes(active, [=](int l) { to[l] = base[l] + short_offset; });
  } else {
    const auto* base = warp.row<std::uint64_t>(row);
    for_lanes(active, [=](int l) { to[l] = base[l] + offset; });
  }
  access->lanes = active;
  access->space = instruction.space;
}

template <class T>
void run_load(Warp& warp, const Instruction& instruction, Mask active) {
  Access access;
  access.kind = Access::Kind::kRead;
  access.bytes = static_cast<std::uint32_t>(sizeof(T)) * instruction.elements;
  access.ordering = (instruction.variant & kOrdering) != 0;
  find_addresses(warp, instruction, active, instruction.rows[kAddressRow], &access);
  warp.block.reach(warp, access);
  if ((instruction.variant & kAcquires) != 0) warp.block.order(warp, access, false);
  using S = std::make_signed_t<T>;
  for (std::size_t i = 0; i < instruction.elements; ++i) {
    const auto value = [&](int l) {
      T element;
      std::memcpy(&element, access.host[static_cast<std::size_t>(l)] + i * sizeof(T), sizeof(T));
      return element;
    };
    const Row row = instruction.rows[i];
    if ((instruction.variant & kWideRegister) != 0) {
      auto* d = warp.row<std::uint64_t>(row);
      const bool extends = (instruction.variant & kSignExtend) != 0;
      for_lanes(active, [&](int l) {
        d[l] =
            extends ? static_cast<std::uint64_t>(std::int64_t{static_cast<S>(value(l))}) : value(l);
      });
    } else {
      auto* d = warp.row<std::uint32_t>(row);
      if ((instruction.variant & kSignExtend) != 0) {
        const std::uint32_t kept = (instruction.variant & kNarrowRegister) != 0 ? 0xffff : ~0U;
        for_lanes(active, [&](int l) {
          d[l] = static_cast<std::uint32_t>(static_cast<std::int32_t>(static_cast<S>(value(l)))) &
                 kept;
        });
      } else {
        for_lanes(active, [&](int l) { d[l] = static_cast<std::uint32_t>(value(l)); });
      }
    }
  }
}

template <class T>
void run_store(Warp& warp, const Instruction& instruction, Mask active) {
  Access access;
  access.kind = Access::Kind::kWrite;
  access.bytes = static_cast<std::uint32_t>(sizeof(T)) * instruction.elements;
  access.ordering = (instruction.variant & kOrdering) != 0;
  find_addresses(warp, instruction, active, instruction.rows[kAddressRow], &access);
  warp.block.reach(warp, access);
  for (std::size_t i = 0; i < instruction.elements; ++i) {
    const bool wide = (instruction.variant & kWideRegister) != 0;
    for_lanes(active, [&](int l) {
      const std::uint64_t value = wide ? warp.row<std::uint64_t>(instruction.rows[i])[l]
                                       : warp.row<std::uint32_t>(instruction.rows[i])[l];
      const T element = static_cast<T>(value);
      std::memcpy(access.host[static_cast<std::size_t>(l)] + i * sizeof(T), &element, sizeof(T));
    });
  }
  if ((instruction.variant & kReleases) != 0) warp.block.order(warp, access, true);
}

// A parameter of the kernel is a row already.
template <class T>
void run_parameter(Warp& warp, const Instruction& instruction, Mask active) {
  auto* d = warp.row<T>(instruction.rows[0]);
  const auto* a = warp.row<T>(instruction.rows[1]);
  for_lanes(active, [=](int l) { d[l] = a[l]; });
}

// rows: 8 the target, 7 the source, 6 the source's bytes. The source's offset is second_immediate.
void run_copy(Warp& warp, const Instruction& instruction, Mask active) {
  Access target, source;
  Instruction from = instruction;
  from.immediate = instruction.second_immediate;
  from.flag = false;
  find_addresses(warp, instruction, active, instruction.rows[kAddressRow], &target);
  find_addresses(warp, from, active, instruction.rows[7], &source);
  const auto* source_bytes = warp.row<std::uint32_t>(instruction.rows[6]);
  for_lanes(active, [&](int l) {
    const auto lane = static_cast<std::size_t>(l);
    const Warp::Copy copy{target.address[lane] & ~kWindowMask, source.address[lane],
                          instruction.bytes,
                          std::min<std::uint32_t>(source_bytes[l], instruction.bytes)};
    if (copy.target % copy.bytes != 0 || copy.source % copy.bytes != 0) {
      fail(Fault::kMisaligned, l, "cp.async of " + std::to_string(copy.bytes) + " bytes");
    }
    warp.block.begin_copy(warp, l, copy);
    warp.copies()[lane].open.push_back(copy);
  });
}

void run_commit(Warp& warp, const Instruction&, Mask active) {
  for_lanes(active, [&](int l) {
    Warp::Copies& copies = warp.copies()[static_cast<std::size_t>(l)];
    copies.groups.push_back(std::move(copies.open));
    copies.open.clear();
  });
}

// All groups but the last `immediate` are done now; flag: those not committed, too.
void run_wait(Warp& warp, const Instruction& instruction, Mask active) {
  for_lanes(active, [&](int l) {
    Warp::Copies& copies = warp.copies()[static_cast<std::size_t>(l)];
    if (instruction.flag) {
      copies.groups.push_back(std::move(copies.open));
      copies.open.clear();
    }
    while (copies.groups.size() > instruction.immediate) {
      for (const Warp::Copy& copy : copies.groups.front()) warp.block.end_copy(warp, l, copy);
      copies.groups.erase(copies.groups.begin());
    }
  });
}

Space space_of(const Form& form) {
  switch (form.which({"global", "shared", "shared::cta", "local", "param", "param::entry",
                      "param::func", "const"})) {
    case 0:
      return Space::kGlobal;
    case 1:
    case 2:
      return Space::kShared;
    case 3:
      return Space::kLocal;
    case 4:
    case 5:
    case 6:
      return Space::kParam;
    case 7:
      return Space::kConst;
    default:
      return Space::kGeneric;
  }
}

template <template <class> class Run>
Handler by_bytes(int bits) {
  switch (bits) {
    case 8:
      return Run<std::uint8_t>::run;
    case 16:
      return Run<std::uint16_t>::run;
    case 32:
      return Run<std::uint32_t>::run;
    case 64:
      return Run<std::uint64_t>::run;
    default:
      throw DecodeError("elements of this size");
  }
}
template <class T>
struct Load {
  static constexpr Handler run = run_load<T>;
};
template <class T>
struct Store {
  static constexpr Handler run = run_store<T>;
};

// The registers of a load or store, and what they do to its elements.
void element_rows(Decoder& decoder, const Operand& operand, const Type& type, bool loads,
                  Instruction* instruction) {
  const bool is_list = operand.kind == Operand::Kind::kList;
  const std::size_t count = is_list ? operand.list.size() : 1;
  if (count > kAddressRow || count * type.bytes() > 32) throw DecodeError("a vector of this size");
  instruction->elements = static_cast<std::uint8_t>(count);
  for (std::size_t i = 0; i < count; ++i) {
    const Operand& element = is_list ? operand.list[i] : operand;
    Type held = type;
    const int bits = decoder.register_bits(element);
    held.bits = std::max(type.bits, bits);
    if (held.bits == 64) instruction->variant |= kWideRegister;
    if (type.is_signed()) instruction->variant |= kSignExtend;
    if (bits == 16) instruction->variant |= kNarrowRegister;
    instruction->rows[i] = loads ? decoder.target(element, held) : decoder.source(element, held);
  }
}

bool decode_parameter(Decoder& decoder, const Form& form, const Type& type,
                      Instruction* instruction) {
  const Operand& to = form.operand(0);
  const bool is_list = to.kind == Operand::Kind::kList;
  if (is_list) return false;
  Type held = type;
  held.bits = std::max(type.bits, decoder.register_bits(to));
  if (!decoder.parameter(form.operand(1), type.bytes(), held.bits, type.is_signed(),
                         &instruction->rows[1]))
    return false;
  instruction->rows[0] = decoder.target(to, held);
  instruction->run = held.bits == 64 ? run_parameter<std::uint64_t> : run_parameter<std::uint32_t>;
  return true;
}

void decode_copy(Decoder& decoder, const Form& form, Instruction* instruction) {
  if (form.has("bulk") || form.has("mbarrier") || form.has("reduce"))
    throw DecodeError("bulk copies and mbarriers");
  if (form.has("commit_group")) {
    instruction->run = run_commit;
  } else if (form.has("wait_all")) {
    instruction->flag = true;
    instruction->run = run_wait;
  } else if (form.has("wait_group")) {
    instruction->immediate = form.operand(0).bits;
    instruction->run = run_wait;
  } else {
    Instruction source;
    decoder.address(form.operand(1), &source, 7);
    decoder.address(form.operand(0), instruction, kAddressRow);
    instruction->rows[7] = source.rows[7];
    instruction->second_immediate = source.immediate;
    instruction->bytes = static_cast<std::uint8_t>(form.operand(2).bits);
    const Type word{Type::Kind::kUnsigned, 32};
    const bool shortened = form.count() > 3 && decoder.register_bits(form.operand(3)) != 64;
    instruction->rows[6] = decoder.source(form.operand(shortened ? 3 : 2), word);
    if (source.flag) throw DecodeError("a 32-bit source");
    instruction->run = run_copy;
  }
}

}  // namespace

bool decode_memory(Decoder& decoder, const Form& form, Instruction* instruction) {
  const std::string_view op = form.opcode();
  if (op == "cp") {
    decode_copy(decoder, form, instruction);
    return true;
  }
  const bool loads = op == "ld" || op == "ldu";
  if (!loads && op != "st") return false;
  const Type type = form.type();
  instruction->space = space_of(form);
  if (loads && instruction->space == Space::kParam &&
      decode_parameter(decoder, form, type, instruction))
    return true;
  decoder.address(form.operand(loads ? 1 : 0), instruction, kAddressRow);
  element_rows(decoder, form.operand(loads ? 0 : 1), type, loads, instruction);
  if (form.which({"relaxed", "acquire", "release"}) >= 0) instruction->variant |= kOrdering;
  if (form.has("acquire")) instruction->variant |= kAcquires;
  if (form.has("release")) instruction->variant |= kReleases;
  if (form.has("shared::cluster")) throw DecodeError("memory of another block");
  instruction->run = loads ? by_bytes<Load>(type.bits) : by_bytes<Store>(type.bits);
  return true;
}

}  // namespace gpusim
