// A PTX module as its text says it, before any register or address is assigned.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace gpusim {

struct Type {
  enum class Kind : std::uint8_t { kBits, kUnsigned, kSigned, kFloat, kBrainFloat, kPredicate };
  Kind kind = Kind::kBits;
  int bits = 32;        // of one element
  bool packed = false;  // two elements in 32 bits: f16x2, bf16x2

  std::size_t bytes() const { return static_cast<std::size_t>(bits) / 8 * (packed ? 2 : 1); }
  bool is_signed() const { return kind == Kind::kSigned; }
  bool is_float() const { return kind == Kind::kFloat || kind == Kind::kBrainFloat; }
  bool is_predicate() const { return kind == Kind::kPredicate; }
};

// "u32", "f16x2", "pred", ... without the dot. False if it names no type.
bool parse_type(std::string_view text, Type* type);

enum class Space : std::uint8_t { kGeneric, kGlobal, kShared, kLocal, kParam, kConst };

struct Operand {
  enum class Kind : std::uint8_t { kNone, kName, kInteger, kFloat32, kFloat64, kMemory, kList };
  Kind kind = Kind::kNone;
  bool negated = false;       // !%p1
  std::string name;           // a register, symbol or label; the base of a memory operand
  std::uint64_t bits = 0;     // of a number; the offset of a memory operand
  std::vector<Operand> list;  // {a, b} and (a, b)
};

struct Statement {
  std::string opcode;                 // "ld"
  std::vector<std::string> suffixes;  // {"global", "v4", "f32"}
  std::string guard;                  // empty: always
  bool guard_negated = false;
  std::vector<Operand> operands;
  Operand pair;      // what follows the bar in %r1|%p1
  std::string text;  // for reports
  int site = -1;     // index into Syntax::sites, -1 without -lineinfo

  bool has(std::string_view suffix) const;
};

struct Registers {
  std::string name;  // "%r", or the whole name if count is -1
  Type type;
  int count = -1;
};

struct Variable {
  Space space = Space::kGlobal;
  std::string name;
  std::size_t align = 1, bytes = 0;
  bool external = false;  // .extern .shared: dynamic shared memory
  std::size_t element_bytes = 1;
  // One per element; a name stands for the address of that variable plus bits.
  std::vector<Operand> initialiser;
};

struct Label {
  std::string name;
};

struct BranchTable {
  std::string name;
  std::vector<std::string> labels;
};

struct ScopeMark {
  bool opens = false;
};

using Item = std::variant<Statement, Registers, Variable, Label, BranchTable, ScopeMark>;

struct Function {
  std::string name;
  bool is_entry = false;
  std::vector<Variable> results, parameters;
  std::size_t max_threads = 1024;
  std::vector<Item> body;  // empty for a declaration
};

// A .loc: a line, and the site it was inlined at.
struct Site {
  int file = 0, line = 0;
  int inlined_at = -1;
};

struct Syntax {
  std::map<std::string, Function, std::less<>> functions;
  std::vector<Variable> variables;
  std::map<int, std::string> files;
  std::vector<Site> sites;

  // The line a reader wants: of the innermost site that is not a header of the toolkit.
  std::pair<std::string, int> line_of(int site) const;
};

}  // namespace gpusim
