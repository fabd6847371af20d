// Statements to instructions. Each family of instructions decodes and runs its own, in one file;
// the Decoder gives it rows for its operands.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/gpusim/ptx/program.h"
#include "tests/gpusim/ptx/syntax.h"

namespace gpusim {

// The statement cannot be decoded: a report when it is reached.
struct DecodeError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The addresses of a module's variables on the device of a launch.
using Globals = std::map<std::string, std::uint64_t, std::less<>>;

// A statement with the types among its suffixes.
struct Form {
  explicit Form(const Statement& statement);

  const Statement& statement;
  std::vector<Type> types;

  std::string_view opcode() const { return statement.opcode; }
  bool has(std::string_view suffix) const { return statement.has(suffix); }
  std::size_t count() const { return statement.operands.size(); }
  // Throw DecodeError if there is no such type or operand.
  const Type& type(std::size_t i = 0) const;
  const Operand& operand(std::size_t i) const;
  // The first of the words that is a suffix, as its position; -1 if none is.
  int which(std::initializer_list<std::string_view> words) const;
};

class Decoder {
 public:
  Decoder(const Syntax& syntax, const Function& entry, Kernel* kernel);

  void run();

  // For the families. All throw DecodeError.
  // The row of a value of this type: a register, a number, a special register or a variable's
  // address.
  Row source(const Operand& operand, const Type& type);
  // The register an instruction writes; a row nobody reads for "_".
  Row target(const Operand& operand, const Type& type);
  // A predicate's row; a negated one is computed by an instruction before this one.
  Row predicate(const Operand& operand);
  Row predicate_target(const Operand& operand);
  Row predicate_scratch();
  // Bits of a register; 0 if the operand is none.
  int register_bits(const Operand& operand) const;
  // [base + offset]: the row of the base goes to rows[slot], the offset to immediate. May change
  // the space from .param to .local, where a caller keeps arguments.
  void address(const Operand& operand, Instruction* instruction, std::size_t slot);
  // The row of a kernel's parameter if the operand names one with a constant offset.
  bool parameter(const Operand& operand, std::size_t bytes, int target_bits, bool sign_extended,
                 Row* row);
  Row constant(std::uint64_t value, std::size_t bytes);  // 4 or 8
  Row carry();                                           // the predicate row of the carry flag
  // Branches to a label; a table of labels.
  void branch_to(const std::string& label);
  std::uint32_t table_of(const std::string& name);

 private:
  struct Symbol {
    enum class Kind : std::uint8_t {
      kRegister,
      kRegisters,
      kShared,
      kDynamicShared,
      kLocal,
      kParameter
    } kind;
    Type type;
    Row row = 0;
    std::uint32_t pitch = 0;
    int count = 0;
    std::size_t offset = 0;
  };
  using Scope = std::map<std::string, Symbol, std::less<>>;
  struct Frame {  // of the entry, or of a function called
    const Function* function;
    std::vector<Scope> scopes;
    std::map<std::string, std::uint32_t> labels;
    std::map<std::string, std::uint32_t> tables;
    std::vector<std::pair<std::uint32_t, std::string>> branches;  // instruction, label
    std::vector<std::uint32_t> returns;
  };

  void body(const Function& function);
  void finish(Frame& frame);
  void declare(const Registers& registers);
  void declare(const Variable& variable);
  void statement(const Statement& statement);
  void call(const Form& form);
  void emit(const Instruction& instruction, const Statement& statement);

  const Symbol* find(std::string_view name, Symbol* one_of_many) const;
  const Symbol& need(const Operand& operand, Symbol* one_of_many);
  const Symbol* module_shared(std::string_view name);
  Symbol place_shared(const Variable& variable);
  Row allocate(const Type& type);
  Row late_row(std::size_t bytes);
  Row symbol_address(const Operand& operand, std::size_t bytes);

  const Syntax& syntax_;
  const Function& entry_;
  Kernel& kernel_;
  std::deque<Frame> frames_;
  const Statement* current_ = nullptr;
  std::map<std::pair<std::uint64_t, std::size_t>, Row> constants_;
  std::map<std::pair<int, std::size_t>, Row> specials_;
  std::map<std::string, Symbol, std::less<>> module_shared_;
  Row sink_ = 0, predicate_sink_ = 0, carry_ = 0;
};

// Each returns false if the opcode is not of its family, and throws DecodeError if the form is one
// it does not know.
bool decode_integer(Decoder& decoder, const Form& form, Instruction* instruction);
bool decode_bits(Decoder& decoder, const Form& form, Instruction* instruction);
bool decode_float(Decoder& decoder, const Form& form, Instruction* instruction);
bool decode_compare(Decoder& decoder, const Form& form, Instruction* instruction);
bool decode_move(Decoder& decoder, const Form& form, Instruction* instruction);
bool decode_convert(Decoder& decoder, const Form& form, Instruction* instruction);
bool decode_memory(Decoder& decoder, const Form& form, Instruction* instruction);
bool decode_atomic(Decoder& decoder, const Form& form, Instruction* instruction);
bool decode_warp(Decoder& decoder, const Form& form, Instruction* instruction);
bool decode_control(Decoder& decoder, const Form& form, Instruction* instruction);

}  // namespace gpusim
