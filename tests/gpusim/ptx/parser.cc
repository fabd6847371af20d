#include "tests/gpusim/ptx/parser.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <tuple>
#include <utility>

#include "tests/gpusim/ptx/lexer.h"

namespace gpusim {
namespace {

class Parser {
 public:
  explicit Parser(std::string_view text) : lexer_(text) {}

  Syntax module() {
    while (lexer_.peek().kind != Token::Kind::kEnd) top_level();
    return std::move(syntax_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    std::string message = "PTX line ";
    message.append(std::to_string(lexer_.peek().line)).append(": ").append(what);
    message.append(" at \"").append(lexer_.peek().text).append("\"");
    throw ParseError(message);
  }

  void expect(std::string_view text) {
    if (!lexer_.accept(text)) fail(std::string("expected ").append(text));
  }

  std::string word() {
    if (!lexer_.peek().is_word()) fail("expected a name");
    return std::string(lexer_.take().text);
  }

  std::uint64_t number() {
    const bool minus = lexer_.accept("-");
    const std::string digits = word();
    char* end = nullptr;
    const std::uint64_t value = std::strtoull(digits.c_str(), &end, 0);
    if (end == digits.c_str() || (*end != '\0' && std::string_view(end) != "U"))
      fail("expected a number");
    return minus ? std::uint64_t{0} - value : value;
  }

  void skip() {
    if (lexer_.take().kind == Token::Kind::kEnd) fail("unexpected end");
  }

  void skip_line() {
    const int line = lexer_.peek().line;
    while (lexer_.peek().line == line && lexer_.peek().kind != Token::Kind::kEnd) lexer_.take();
  }

  void skip_block() {
    expect("{");
    for (int depth = 1; depth > 0;) {
      if (lexer_.peek().kind == Token::Kind::kEnd) fail("unbalanced braces");
      const Token token = lexer_.take();
      depth += token.is("{") ? 1 : token.is("}") ? -1 : 0;
    }
  }

  void top_level() {
    const Token token = lexer_.peek();
    if (token.is(".version") || token.is(".target") || token.is(".address_size"))
      return skip_line();
    if (token.is(".file")) return file();
    if (token.is(".section")) {
      while (!lexer_.peek().is("{")) skip();
      return skip_block();
    }
    if (lexer_.accept(";")) return;
    bool external = false;
    while (lexer_.peek().is(".visible") || lexer_.peek().is(".weak") ||
           lexer_.peek().is(".extern") || lexer_.peek().is(".common")) {
      external |= lexer_.take().is(".extern");
    }
    if (lexer_.peek().is(".entry") || lexer_.peek().is(".func")) return function();
    if (lexer_.accept(".alias")) return skip_line();
    std::vector<Variable> variables = declaration();
    for (Variable& variable : variables) {
      variable.external = external;
      syntax_.variables.push_back(std::move(variable));
    }
  }

  void file() {
    const int line = lexer_.take().line;
    const int index = static_cast<int>(number());
    if (lexer_.peek().kind != Token::Kind::kString) fail("expected a file name");
    syntax_.files[index] = std::string(lexer_.take().text);
    while (lexer_.peek().line == line && lexer_.peek().kind != Token::Kind::kEnd) lexer_.take();
  }

  void function() {
    Function function;
    function.is_entry = lexer_.take().is(".entry");
    if (lexer_.peek().is("(")) function.results = parameters();
    function.name = word();
    if (lexer_.peek().is("(")) function.parameters = parameters();
    while (!lexer_.peek().is("{") && !lexer_.peek().is(";")) {
      const Token directive = lexer_.take();
      if (directive.kind == Token::Kind::kEnd) fail("expected a function body");
      if (!directive.is(".maxntid")) continue;
      function.max_threads = number();
      while (lexer_.accept(",")) function.max_threads *= number();
    }
    if (!lexer_.accept(";")) function.body = body();
    Function& known = syntax_.functions[function.name];
    if (known.body.empty()) known = std::move(function);  // a definition wins over a declaration
  }

  std::vector<Variable> parameters() {
    std::vector<Variable> list;
    expect("(");
    while (!lexer_.accept(")")) {
      Variable variable = declared(Space::kGlobal);
      list.push_back(std::move(variable));
      lexer_.accept(",");
    }
    return list;
  }

  static bool space_of(std::string_view directive, Space* space) {
    static constexpr std::pair<std::string_view, Space> kSpaces[] = {{".shared", Space::kShared},
                                                                     {".global", Space::kGlobal},
                                                                     {".const", Space::kConst},
                                                                     {".local", Space::kLocal},
                                                                     {".param", Space::kParam}};
    for (const auto& [name, value] : kSpaces) {
      if (directive == name) {
        *space = value;
        return true;
      }
    }
    return false;
  }

  // .shared .align 4 .b8 name[128] = {...}, without the semicolon.
  Variable declared(Space space) {
    Variable variable;
    variable.space = space;
    Type type;
    while (lexer_.peek().is_word() && lexer_.peek().text[0] == '.') {
      const std::string_view directive = lexer_.take().text;
      if (directive == ".align") {
        variable.align = number();
      } else if (directive == ".attribute") {
        while (!lexer_.peek().is(")")) skip();
        skip();
      } else if (directive != ".ptr" && !space_of(directive, &variable.space)) {
        parse_type(directive.substr(1),
                   &type);  // else a vector or a pointer's space: no size in it
      }
    }
    variable.name = word();
    variable.element_bytes = type.bytes();
    variable.align = std::max(variable.align, type.bytes());
    variable.bytes = type.bytes();
    while (lexer_.accept("[")) {
      variable.bytes *= lexer_.peek().is("]") ? 0 : number();
      expect("]");
    }
    if (lexer_.accept("=")) variable.initialiser = initialiser();
    return variable;
  }

  std::vector<Variable> declaration() {
    if (!lexer_.peek().is_word() || lexer_.peek().text[0] != '.') fail("unknown statement");
    std::vector<Variable> list;
    list.push_back(declared(Space::kGlobal));
    while (lexer_.accept(",")) {
      Variable next = list.front();
      next.name = word();
      list.push_back(std::move(next));
    }
    expect(";");
    return list;
  }

  std::vector<Operand> initialiser() {
    std::vector<Operand> values;
    if (!lexer_.accept("{")) {
      values.push_back(initial_value());
      return values;
    }
    while (!lexer_.accept("}")) {
      if (lexer_.peek().is("{")) {
        for (Operand& value : initialiser()) values.push_back(std::move(value));
      } else {
        values.push_back(initial_value());
      }
      lexer_.accept(",");
    }
    return values;
  }

  // 7, name, name+4, generic(name)+4.
  Operand initial_value() {
    Operand value;
    if (lexer_.accept("generic")) {
      expect("(");
      value = operand();
      expect(")");
    } else {
      value = operand();
    }
    if (lexer_.accept("+")) value.bits += number();
    return value;
  }

  std::vector<Item> body() {
    std::vector<Item> items;
    expect("{");
    int depth = 1;
    site_ = -1;
    while (depth > 0) {
      const Token token = lexer_.peek();
      if (token.kind == Token::Kind::kEnd) fail("unbalanced braces");
      if (token.is("{") || token.is("}")) {
        lexer_.take();
        depth += token.is("{") ? 1 : -1;
        if (depth > 0) items.emplace_back(ScopeMark{token.is("{")});
      } else if (token.is(".loc")) {
        location();
      } else if (token.is(".reg")) {
        registers(items);
      } else if (token.is(".pragma")) {
        skip_line();
      } else if (token.is_word() && token.text[0] == '.') {
        for (Variable& variable : declaration()) items.emplace_back(std::move(variable));
      } else if (!lexer_.accept(";")) {
        statement(items);
      }
    }
    return items;
  }

  // .loc file line column[, function_name label[+offset], inlined_at file line column]
  void location() {
    const int ptx_line = lexer_.take().line;
    Site site;
    site.file = static_cast<int>(number());
    site.line = static_cast<int>(number());
    const int column = static_cast<int>(number());
    while (lexer_.peek().line == ptx_line && lexer_.peek().kind != Token::Kind::kEnd) {
      if (!lexer_.take().is("inlined_at")) continue;
      const int file = static_cast<int>(number());
      const int line = static_cast<int>(number());
      const auto outer = known_sites_.find({file, line, static_cast<int>(number())});
      if (outer != known_sites_.end()) site.inlined_at = outer->second;
    }
    site_ = static_cast<int>(syntax_.sites.size());
    syntax_.sites.push_back(site);
    known_sites_[{site.file, site.line, column}] = site_;  // the latest is what a later .loc means
  }

  void registers(std::vector<Item>& items) {
    lexer_.take();
    Registers set;
    const std::string type = word();
    if (!parse_type(std::string_view(type).substr(1), &set.type)) fail("unknown register type");
    do {
      set.name = word();
      set.count = -1;
      if (lexer_.accept("<")) {
        set.count = static_cast<int>(number());
        expect(">");
      }
      items.emplace_back(set);
    } while (lexer_.accept(","));
    expect(";");
  }

  void statement(std::vector<Item>& items) {
    Statement statement;
    statement.site = site_;
    const std::size_t begin = lexer_.peek().begin;
    if (lexer_.accept("@")) {
      statement.guard_negated = lexer_.accept("!");
      statement.guard = word();
    }
    const std::string opcode = word();
    if (statement.guard.empty() && lexer_.accept(":")) return label(items, opcode);
    split(opcode, statement);
    std::size_t end = lexer_.peek().begin;
    while (!lexer_.peek().is(";")) {
      statement.operands.push_back(operand());
      if (lexer_.accept("|")) statement.pair = operand();
      end = lexer_.peek().begin;
      if (!lexer_.accept(",") && !lexer_.peek().is(";")) fail("expected , or ;");
    }
    expect(";");
    for (const char c : lexer_.source().substr(begin, end - begin)) {
      const bool blank = std::isspace(static_cast<unsigned char>(c)) != 0;
      if (!blank) statement.text.push_back(c);
      if (blank && !statement.text.empty() && statement.text.back() != ' ')
        statement.text.push_back(' ');
    }
    items.emplace_back(std::move(statement));
  }

  void label(std::vector<Item>& items, const std::string& name) {
    if (!lexer_.accept(".branchtargets")) {
      items.emplace_back(Label{name});
      return;
    }
    BranchTable table{name, {}};
    do {
      table.labels.push_back(word());
    } while (lexer_.accept(","));
    expect(";");
    items.emplace_back(std::move(table));
  }

  static void split(const std::string& word, Statement& statement) {
    std::size_t begin = 0;
    for (bool first = true; begin <= word.size(); first = false) {
      const std::size_t end = std::min(word.find('.', begin), word.size());
      std::string part = word.substr(begin, end - begin);
      first ? void(statement.opcode = std::move(part))
            : statement.suffixes.push_back(std::move(part));
      begin = end + 1;
    }
  }

  Operand operand() {
    Operand result;
    if (lexer_.accept("!")) {
      result = operand();
      result.negated = true;
      return result;
    }
    const Token token = lexer_.peek();
    if (token.kind == Token::Kind::kEnd) fail("unexpected end");
    if (token.is("{") || token.is("(")) {
      const std::string_view close = lexer_.take().is("{") ? "}" : ")";
      result.kind = Operand::Kind::kList;
      while (!lexer_.accept(close)) {
        result.list.push_back(operand());
        if (!lexer_.accept(",") && !lexer_.peek().is(close)) fail("expected , in a list");
      }
      return result;
    }
    if (lexer_.accept("[")) return address();
    const bool numeric = token.is("-") || std::isdigit(static_cast<unsigned char>(token.text[0]));
    return numeric ? literal() : named();
  }

  Operand named() {
    Operand result;
    result.name = word();
    result.kind = Operand::Kind::kName;
    if (result.name == "WARP_SZ") {
      result.kind = Operand::Kind::kInteger;
      result.bits = 32;
    }
    return result;
  }

  Operand literal() {
    Operand result;
    const std::string_view text = lexer_.peek().text;
    const char form = text.size() > 2 && text[0] == '0' ? text[1] : '\0';
    if (form == 'f' || form == 'F' || form == 'd' || form == 'D') {
      const bool wide = form == 'd' || form == 'D';
      result.kind = wide ? Operand::Kind::kFloat64 : Operand::Kind::kFloat32;
      result.bits = std::strtoull(word().c_str() + 2, nullptr, 16);
      return result;
    }
    result.kind = Operand::Kind::kInteger;
    result.bits = number();
    return result;
  }

  // [base], [base+4], [base+-4], [4], [base, {x, y}] (the last is a texture: kept as it is).
  Operand address() {
    Operand result;
    result.kind = Operand::Kind::kMemory;
    if (lexer_.peek().kind == Token::Kind::kEnd) fail("unexpected end");
    if (std::isdigit(static_cast<unsigned char>(lexer_.peek().text[0]))) {
      result.bits = number();
    } else {
      result.name = word();
      if (lexer_.accept("+"))
        result.bits = number();
      else if (lexer_.peek().is("-"))
        result.bits = number();
    }
    while (lexer_.accept(",")) result.list.push_back(operand());
    expect("]");
    return result;
  }

  Lexer lexer_;
  Syntax syntax_;
  int site_ = -1;
  std::map<std::tuple<int, int, int>, int> known_sites_;
};

}  // namespace

bool parse_type(std::string_view text, Type* type) {
  using Kind = Type::Kind;
  static constexpr std::pair<std::string_view, Type> kTypes[] = {
      {"b8", {Kind::kBits, 8}},
      {"b16", {Kind::kBits, 16}},
      {"b32", {Kind::kBits, 32}},
      {"b64", {Kind::kBits, 64}},
      {"b128", {Kind::kBits, 128}},
      {"u8", {Kind::kUnsigned, 8}},
      {"u16", {Kind::kUnsigned, 16}},
      {"u32", {Kind::kUnsigned, 32}},
      {"u64", {Kind::kUnsigned, 64}},
      {"s8", {Kind::kSigned, 8}},
      {"s16", {Kind::kSigned, 16}},
      {"s32", {Kind::kSigned, 32}},
      {"s64", {Kind::kSigned, 64}},
      {"f16", {Kind::kFloat, 16}},
      {"f32", {Kind::kFloat, 32}},
      {"f64", {Kind::kFloat, 64}},
      {"bf16", {Kind::kBrainFloat, 16}},
      {"pred", {Kind::kPredicate, 1}},
      {"f16x2", {Kind::kFloat, 16, true}},
      {"bf16x2", {Kind::kBrainFloat, 16, true}}};
  for (const auto& [name, value] : kTypes) {
    if (name == text) {
      *type = value;
      return true;
    }
  }
  return false;
}

bool Statement::has(std::string_view suffix) const {
  return std::find(suffixes.begin(), suffixes.end(), suffix) != suffixes.end();
}

std::pair<std::string, int> Syntax::line_of(int site) const {
  const auto name = [&](int index) {
    const auto file = files.find(sites[static_cast<std::size_t>(index)].file);
    return file == files.end() ? std::string() : file->second;
  };
  if (site < 0) return {"", 0};
  int shown = site;
  for (int at = site, depth = 0; at >= 0 && depth < 32; ++depth) {
    shown = at;
    if (name(at).find("-linux/include/") == std::string::npos) break;
    at = sites[static_cast<std::size_t>(at)].inlined_at;
  }
  return {name(shown), sites[static_cast<std::size_t>(shown)].line};
}

Syntax parse(std::string_view text) { return Parser(text).module(); }

}  // namespace gpusim
