#include "tests/gpusim/ptx/decoder.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "tests/gpusim/ptx/block.h"

namespace gpusim {
namespace {

constexpr std::size_t kRedZone = 32;  // bytes between shared arrays that no thread may touch
constexpr std::size_t kDynamicAlign = 128;

Special special_of(std::string_view name) {
  static constexpr std::pair<std::string_view, Special> kNames[] = {
      {"%tid.x", Special::kTidX},
      {"%tid.y", Special::kTidY},
      {"%tid.z", Special::kTidZ},
      {"%ntid.x", Special::kNtidX},
      {"%ntid.y", Special::kNtidY},
      {"%ntid.z", Special::kNtidZ},
      {"%ctaid.x", Special::kCtaidX},
      {"%ctaid.y", Special::kCtaidY},
      {"%ctaid.z", Special::kCtaidZ},
      {"%nctaid.x", Special::kNctaidX},
      {"%nctaid.y", Special::kNctaidY},
      {"%nctaid.z", Special::kNctaidZ},
      {"%laneid", Special::kLaneId},
      {"%warpid", Special::kWarpId},
      {"%nwarpid", Special::kWarpCount},
      {"%lanemask_eq", Special::kMaskEq},
      {"%lanemask_lt", Special::kMaskLt},
      {"%lanemask_le", Special::kMaskLe},
      {"%lanemask_gt", Special::kMaskGt},
      {"%lanemask_ge", Special::kMaskGe},
      {"%smid", Special::kSmId},
      {"%nsmid", Special::kSmCount},
      {"%gridid", Special::kGridId},
      {"%dynamic_smem_size", Special::kDynamicShared},
      {"%total_smem_size", Special::kTotalShared},
      {"%envreg0", Special::kEnvReg0}};
  for (const auto& [text, special] : kNames) {
    if (text == name) return special;
  }
  return Special::kNone;
}

[[noreturn]] void complain(std::string_view what, std::string_view detail) {
  std::string text(what);
  throw DecodeError(text.append(" ").append(detail));
}

void run_unsupported(Warp&, const Instruction&, Mask active) {
  fail(Fault::kUnsupported, first_lane(active), "");  // the machine adds what the decoder said
}

void run_assert(Warp&, const Instruction&, Mask active) {
  fail(Fault::kTrap, first_lane(active), "assertion failed");
}

void run_nothing(Warp&, const Instruction&, Mask) {}

void run_not(Warp& warp, const Instruction& instruction, Mask) {
  warp.predicate(instruction.rows[0]) = ~warp.predicate(instruction.rows[1]);
}

std::size_t row_bytes(const Type& type) {
  if (type.is_predicate()) return sizeof(Mask);
  return kLanes * (type.bits == 64 ? 8 : 4);
}

}  // namespace

Form::Form(const Statement& s) : statement(s) {
  for (const std::string& suffix : s.suffixes) {
    Type type;
    if (parse_type(suffix, &type)) types.push_back(type);
  }
}

const Type& Form::type(std::size_t i) const {
  if (i >= types.size()) complain("a type is missing", "");
  return types[i];
}

const Operand& Form::operand(std::size_t i) const {
  if (i >= count()) complain("an operand is missing", "");
  return statement.operands[i];
}

int Form::which(std::initializer_list<std::string_view> words) const {
  int index = 0;
  for (const std::string_view word : words) {
    if (has(word)) return index;
    ++index;
  }
  return -1;
}

Decoder::Decoder(const Syntax& syntax, const Function& entry, Kernel* kernel)
    : syntax_(syntax), entry_(entry), kernel_(*kernel) {}

void Decoder::run() {
  kernel_.name = entry_.name;
  kernel_.max_threads = entry_.max_threads;
  Type pair;
  pair.bits = 64;
  sink_ = allocate(pair);
  predicate_sink_ = allocate(Type{Type::Kind::kPredicate, 1});
  carry_ = allocate(Type{Type::Kind::kPredicate, 1});
  Frame& frame = frames_.emplace_back(Frame{&entry_, {Scope{}}, {}, {}, {}, {}});
  for (const Variable& parameter : entry_.parameters) {
    std::size_t& space = kernel_.parameter_space;
    space = (space + parameter.align - 1) / parameter.align * parameter.align;
    kernel_.parameter_offsets.push_back(space);
    kernel_.parameter_bytes.push_back(parameter.bytes);
    Symbol symbol{Symbol::Kind::kParameter, {}, 0, 0, 0, space};
    frame.scopes[0][parameter.name] = symbol;
    space += parameter.bytes;
  }
  body(entry_);
  Instruction end;  // a body may end without ret
  end.flow = Flow::kExit;
  Statement text;
  text.text = "end of the kernel";
  emit(end, text);
  finish(frame);
  kernel_.shared_space = (kernel_.shared_space + kDynamicAlign - 1) / kDynamicAlign * kDynamicAlign;
  frames_.clear();
}

void Decoder::body(const Function& function) {
  for (const Item& item : function.body) {
    Frame& frame = frames_.back();
    if (const auto* mark = std::get_if<ScopeMark>(&item)) {
      mark->opens ? void(frame.scopes.emplace_back()) : frame.scopes.pop_back();
    } else if (const auto* registers = std::get_if<Registers>(&item)) {
      declare(*registers);
    } else if (const auto* variable = std::get_if<Variable>(&item)) {
      declare(*variable);
    } else if (const auto* label = std::get_if<Label>(&item)) {
      frame.labels[label->name] = static_cast<std::uint32_t>(kernel_.code.size());
    } else if (const auto* table = std::get_if<BranchTable>(&item)) {
      const std::uint32_t index = table_of(table->name);
      kernel_.tables[index].resize(table->labels.size());
    } else {
      statement(std::get<Statement>(item));
    }
  }
}

// Labels are known: branches get their targets.
void Decoder::finish(Frame& frame) {
  const auto place = [&](const std::string& label) {
    const auto found = frame.labels.find(label);
    if (found == frame.labels.end()) complain("unknown label", label);
    return found->second;
  };
  for (const auto& [instruction, label] : frame.branches)
    kernel_.code[instruction].target = place(label);
  for (const Item& item : frame.function->body) {
    const auto* table = std::get_if<BranchTable>(&item);
    if (table == nullptr) continue;
    std::vector<std::uint32_t>& targets = kernel_.tables[frame.tables[table->name]];
    std::transform(table->labels.begin(), table->labels.end(), targets.begin(), place);
  }
  for (const std::uint32_t instruction : frame.returns) {
    kernel_.code[instruction].target = static_cast<std::uint32_t>(kernel_.code.size());
  }
}

Row Decoder::allocate(const Type& type) {
  const std::size_t bytes = row_bytes(type);
  std::size_t& used = kernel_.register_bytes;
  used = (used + 7) / 8 * 8;
  const Row row = static_cast<Row>(used);
  used += bytes;
  return row;
}

void Decoder::declare(const Registers& registers) {
  if (registers.type.bits > 64) complain("unsupported register type", registers.name);
  Symbol symbol{registers.count < 0 ? Symbol::Kind::kRegister : Symbol::Kind::kRegisters,
                registers.type,
                0,
                0,
                registers.count,
                0};
  symbol.row = allocate(registers.type);
  symbol.pitch = static_cast<std::uint32_t>((row_bytes(registers.type) + 7) / 8 * 8);
  for (int i = 1; i < registers.count; ++i) allocate(registers.type);
  frames_.back().scopes.back()[registers.name] = symbol;
}

Decoder::Symbol Decoder::place_shared(const Variable& variable) {
  if (variable.bytes == 0) return Symbol{Symbol::Kind::kDynamicShared, {}, 0, 0, 0, 0};
  std::size_t& space = kernel_.shared_space;
  space = (space + variable.align - 1) / variable.align * variable.align;
  const Symbol symbol{Symbol::Kind::kShared, {}, 0, 0, 0, space};
  kernel_.shared_variables.emplace_back(space, variable.bytes);
  kernel_.shared_bytes += variable.bytes;
  space += variable.bytes + kRedZone;
  return symbol;
}

void Decoder::declare(const Variable& variable) {
  Scope& scope = frames_.back().scopes.back();
  switch (variable.space) {
    case Space::kShared:
      scope[variable.name] = place_shared(variable);
      return;
    case Space::kLocal:
    case Space::kParam: {  // .param inside a body: an argument or result of a call
      std::size_t& space = kernel_.local_space;
      space = (space + variable.align - 1) / variable.align * variable.align;
      scope[variable.name] = Symbol{Symbol::Kind::kLocal, {}, 0, 0, 0, space};
      space += variable.bytes;
      return;
    }
    default:
      complain("a variable in a function:", variable.name);
  }
}

const Decoder::Symbol* Decoder::find(std::string_view name, Symbol* one_of_many) const {
  const std::size_t digits = name.find_last_not_of("0123456789") + 1;
  const std::vector<Scope>& scopes = frames_.back().scopes;
  for (auto scope = scopes.rbegin(); scope != scopes.rend(); ++scope) {
    if (const auto found = scope->find(name); found != scope->end()) return &found->second;
    if (digits == name.size()) continue;
    const auto set = scope->find(name.substr(0, digits));
    if (set == scope->end() || set->second.kind != Symbol::Kind::kRegisters) continue;
    const int index = std::atoi(std::string(name.substr(digits)).c_str());
    if (index >= set->second.count) continue;
    *one_of_many = set->second;
    one_of_many->kind = Symbol::Kind::kRegister;
    one_of_many->row += static_cast<Row>(index) * set->second.pitch;
    return one_of_many;
  }
  return nullptr;
}

const Decoder::Symbol* Decoder::module_shared(std::string_view name) {
  if (const auto found = module_shared_.find(name); found != module_shared_.end())
    return &found->second;
  for (const Variable& variable : syntax_.variables) {
    if (variable.space != Space::kShared || variable.name != name) continue;
    return &module_shared_.emplace(name, place_shared(variable)).first->second;
  }
  return nullptr;
}

int Decoder::register_bits(const Operand& operand) const {
  Symbol one;
  const Symbol* symbol = operand.kind == Operand::Kind::kName ? find(operand.name, &one) : nullptr;
  return symbol != nullptr && symbol->kind == Symbol::Kind::kRegister ? symbol->type.bits : 0;
}

Row Decoder::constant(std::uint64_t value, std::size_t bytes) {
  if (bytes < 8) value &= 0xffff'ffff;
  const auto [entry, is_new] = constants_.try_emplace({value, bytes}, 0);
  if (!is_new) return entry->second;
  entry->second = kSharedByWarps | static_cast<Row>(kernel_.constants.size() * 8);
  kernel_.constants.insert(kernel_.constants.end(), kLanes * bytes / 8,
                           bytes == 8 ? value : value << 32 | value);
  return entry->second;
}

// A row shared by warps that is filled at a launch.
Row Decoder::late_row(std::size_t bytes) {
  const Row row = kSharedByWarps | static_cast<Row>(kernel_.constants.size() * 8);
  kernel_.constants.insert(kernel_.constants.end(), kLanes * bytes / 8, 0);
  return row;
}

// Rows of addresses are found by name at a launch, but for shared and local memory, which are
// offsets.
Row Decoder::symbol_address(const Operand& operand, std::size_t bytes) {
  Symbol one;
  const Symbol* symbol = find(operand.name, &one);
  if (symbol == nullptr) symbol = module_shared(operand.name);
  if (symbol != nullptr) {
    if (symbol->kind == Symbol::Kind::kDynamicShared) {
      const Row row = late_row(bytes);
      kernel_.dynamic_shared_rows.emplace_back(row, bytes == 8);
      return row;
    }
    return constant(symbol->offset, bytes);
  }
  for (const Variable& variable : syntax_.variables) {
    if (variable.name != operand.name) continue;
    const auto known =
        std::find_if(kernel_.symbol_rows.begin(), kernel_.symbol_rows.end(),
                     [&](const auto& entry) { return entry.second == variable.name; });
    if (known != kernel_.symbol_rows.end()) return known->first;
    const Row row = late_row(8);
    kernel_.symbol_rows.emplace_back(row, variable.name);
    return row;
  }
  complain("unknown name", operand.name);
}

Row Decoder::source(const Operand& operand, const Type& type) {
  const std::size_t bytes = type.bits == 64 ? 8 : 4;
  switch (operand.kind) {
    case Operand::Kind::kInteger: {
      const std::uint64_t kept =
          type.bits < 32 && !type.packed ? (std::uint64_t{1} << type.bits) - 1 : ~std::uint64_t{0};
      return constant(operand.bits & kept, bytes);
    }
    case Operand::Kind::kFloat32:
    case Operand::Kind::kFloat64:
      if ((operand.kind == Operand::Kind::kFloat64) != (bytes == 8))
        complain("a number of another type", "");
      return constant(operand.bits, bytes);
    case Operand::Kind::kName:
      break;
    default:
      complain("unknown operand", "");
  }
  Symbol one;
  if (const Symbol* symbol = find(operand.name, &one);
      symbol != nullptr && symbol->kind == Symbol::Kind::kRegister) {
    const int held = std::max(symbol->type.bits, 32);
    // A narrower read of a wider register is legal for a few instructions, which ask for its own
    // type.
    if (held != static_cast<int>(bytes) * 8) complain("a register of another size:", operand.name);
    return symbol->row;
  }
  if (operand.name[0] != '%') return symbol_address(operand, bytes);
  const Special special = special_of(operand.name);
  if (special == Special::kNone) complain("unsupported special register", operand.name);
  const auto [entry, is_new] = specials_.try_emplace({static_cast<int>(special), bytes}, 0);
  if (!is_new) return entry->second;
  const bool by_lane = special <= Special::kTidZ || special == Special::kLaneId ||
                       special == Special::kWarpId ||
                       (special >= Special::kMaskEq && special <= Special::kMaskGe);
  entry->second =
      by_lane ? allocate(Type{Type::Kind::kBits, static_cast<int>(bytes) * 8}) : late_row(bytes);
  kernel_.specials.push_back({special, entry->second, bytes == 8});
  return entry->second;
}

Row Decoder::target(const Operand& operand, const Type& type) {
  if (operand.kind == Operand::Kind::kName && (operand.name == "_" || operand.name == "%_"))
    return sink_;
  Symbol one;
  const Symbol* symbol = operand.kind == Operand::Kind::kName ? find(operand.name, &one) : nullptr;
  if (symbol == nullptr || symbol->kind != Symbol::Kind::kRegister)
    complain("not a register:", operand.name);
  if (std::max(symbol->type.bits, 32) != std::max(type.bits * (type.packed ? 2 : 1), 32)) {
    complain("a register of another size:", operand.name);
  }
  return symbol->row;
}

Row Decoder::predicate_target(const Operand& operand) {
  if (operand.kind == Operand::Kind::kNone) return predicate_sink_;
  if (operand.kind == Operand::Kind::kName && (operand.name == "_" || operand.name == "%_"))
    return predicate_sink_;
  Symbol one;
  const Symbol* symbol = find(operand.name, &one);
  if (symbol == nullptr || !symbol->type.is_predicate()) complain("not a predicate:", operand.name);
  return symbol->row;
}

Row Decoder::predicate_scratch() { return allocate(Type{Type::Kind::kPredicate, 1}); }

Row Decoder::predicate(const Operand& operand) {
  if (operand.kind == Operand::Kind::kInteger)
    return constant(operand.bits == 0 ? 0 : ~std::uint64_t{0}, 4);
  const Row row = predicate_target(operand);
  if (!operand.negated) return row;
  Instruction inverse;
  inverse.run = run_not;
  inverse.rows[0] = predicate_scratch();
  inverse.rows[1] = row;
  emit(inverse, *current_);
  return inverse.rows[0];
}

void Decoder::address(const Operand& operand, Instruction* instruction, std::size_t slot) {
  if (operand.kind != Operand::Kind::kMemory || !operand.list.empty())
    complain("not an address", "");
  instruction->immediate = operand.bits;
  if (operand.name.empty()) {
    instruction->rows[slot] = constant(0, 8);
    return;
  }
  Operand base;
  base.kind = Operand::Kind::kName;
  base.name = operand.name;
  Symbol one;
  const Symbol* symbol = find(operand.name, &one);
  const int bits = register_bits(base);
  if (symbol != nullptr && symbol->kind == Symbol::Kind::kLocal) instruction->space = Space::kLocal;
  instruction->rows[slot] = source(base, Type{Type::Kind::kBits, bits == 32 ? 32 : 64});
  instruction->flag = bits == 32;  // a 32-bit base, as of shared memory
}

bool Decoder::parameter(const Operand& operand, std::size_t bytes, int target_bits,
                        bool sign_extended, Row* row) {
  Symbol one;
  const Symbol* symbol = operand.name.empty() ? nullptr : find(operand.name, &one);
  if (symbol == nullptr || symbol->kind != Symbol::Kind::kParameter) return false;
  const std::size_t offset = symbol->offset + operand.bits;
  if (offset + bytes > kernel_.parameter_space) complain("beyond the parameters:", operand.name);
  const bool wide = target_bits == 64;
  *row = late_row(wide ? 8 : 4);
  kernel_.parameter_rows.push_back({*row, offset, bytes, wide, sign_extended, target_bits});
  return true;
}

Row Decoder::carry() { return carry_; }

void Decoder::branch_to(const std::string& label) {
  frames_.back().branches.emplace_back(static_cast<std::uint32_t>(kernel_.code.size()), label);
}

std::uint32_t Decoder::table_of(const std::string& name) {
  const auto [entry, is_new] =
      frames_.back().tables.try_emplace(name, static_cast<std::uint32_t>(kernel_.tables.size()));
  if (is_new) kernel_.tables.emplace_back();
  return entry->second;
}

void Decoder::emit(const Instruction& instruction, const Statement& statement) {
  kernel_.code.push_back(instruction);
  auto [file, line] = syntax_.line_of(statement.site);
  kernel_.origins.push_back(Origin{statement.text, std::move(file), line, {}});
}

void Decoder::statement(const Statement& statement) {
  using Family = bool (*)(Decoder&, const Form&, Instruction*);
  static constexpr Family kFamilies[] = {
      decode_integer, decode_bits,   decode_float,  decode_compare, decode_move,
      decode_convert, decode_memory, decode_atomic, decode_warp,    decode_control};
  current_ = &statement;
  const Form form(statement);
  Instruction instruction;
  std::string complaint;
  try {
    if (!statement.guard.empty()) {
      Operand guard;
      guard.kind = Operand::Kind::kName;
      guard.name = statement.guard;
      instruction.guarded = true;
      instruction.guard_negated = statement.guard_negated;
      instruction.guard = predicate_target(guard);
    }
    if (form.opcode() == "call") return call(form);
    const bool returns = form.opcode() == "ret" && frames_.size() > 1;
    if (returns) {
      instruction.flow = Flow::kBranch;
      frames_.back().returns.push_back(static_cast<std::uint32_t>(kernel_.code.size()));
    } else if (!std::any_of(std::begin(kFamilies), std::end(kFamilies),
                            [&](Family family) { return family(*this, form, &instruction); })) {
      complaint = "unknown instruction " + statement.opcode;
    }
  } catch (const DecodeError& error) {
    complaint = statement.opcode;
    complaint.append(": ").append(error.what());
  }
  if (!complaint.empty()) {
    instruction.run = run_unsupported;
    instruction.flow = Flow::kNext;
  }
  emit(instruction, statement);
  kernel_.origins.back().complaint = std::move(complaint);
}

// A call is expanded in place: the callee's body with registers and variables of its own.
void Decoder::call(const Form& form) {
  constexpr std::size_t kDeepest = 32;
  std::vector<Operand> operands = form.statement.operands;
  std::vector<Operand> results, arguments;
  if (!operands.empty() && operands[0].kind == Operand::Kind::kList) {
    results = operands[0].list;
    operands.erase(operands.begin());
  }
  if (operands.empty()) complain("no function", "");
  if (operands.size() > 1) arguments = operands[1].list;
  const std::string& name = operands[0].name;
  const auto found = syntax_.functions.find(name);
  Instruction instruction;
  if (!form.statement.guard.empty()) complain("a conditional call of", name);
  if (name == "__assertfail") instruction.run = run_assert;
  if (name == "vprintf") instruction.run = run_nothing;  // the text is not printed
  if (instruction.run != nullptr) return emit(instruction, form.statement);
  if (found == syntax_.functions.end() || found->second.body.empty())
    complain("a function without a body:", name);
  if (frames_.size() > kDeepest) complain("recursion:", name);
  const Function& callee = found->second;
  if (results.size() != callee.results.size() || arguments.size() != callee.parameters.size()) {
    complain("arguments do not fit:", name);
  }
  Scope formals;
  const auto bind = [&](const Variable& formal, const Operand& actual) {
    Symbol one;
    const Symbol* symbol = find(actual.name, &one);
    if (symbol == nullptr || symbol->kind != Symbol::Kind::kLocal)
      complain("an argument that is no variable:", name);
    formals[formal.name] = *symbol;
  };
  for (std::size_t i = 0; i < results.size(); ++i) bind(callee.results[i], results[i]);
  for (std::size_t i = 0; i < arguments.size(); ++i) bind(callee.parameters[i], arguments[i]);
  frames_.push_back(Frame{&callee, {std::move(formals)}, {}, {}, {}, {}});
  body(callee);
  finish(frames_.back());
  frames_.pop_back();
}

}  // namespace gpusim
