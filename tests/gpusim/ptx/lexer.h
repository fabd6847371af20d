// PTX text cut into tokens. The text outlives the lexer and its tokens.
#pragma once

#include <cstddef>
#include <string_view>

namespace gpusim {

struct Token {
  enum class Kind { kEnd, kWord, kString, kMark } kind = Kind::kEnd;
  // A word is an identifier, register, number, directive or opcode with its suffixes; a mark is one
  // character; a string comes without its quotes.
  std::string_view text;
  std::size_t begin = 0, end = 0;  // in the text, quotes included
  int line = 0;                    // of the PTX text

  bool is(std::string_view other) const { return text == other && kind != Kind::kString; }
  bool is_word() const { return kind == Kind::kWord; }
};

class Lexer {
 public:
  explicit Lexer(std::string_view text);

  const Token& peek() const { return current_; }
  Token take();
  // Takes the token if it is this one.
  bool accept(std::string_view text);
  std::string_view source() const { return text_; }

 private:
  void advance();
  void skip_blanks();

  std::string_view text_;
  std::size_t at_ = 0;
  int line_ = 1;
  Token current_;
};

}  // namespace gpusim
