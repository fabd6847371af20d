#include "tests/gpusim/ptx/lexer.h"

#include <cctype>

namespace gpusim {
namespace {

bool in_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$' || c == '%' ||
         c == '.';
}

}  // namespace

Lexer::Lexer(std::string_view text) : text_(text) { advance(); }

Token Lexer::take() {
  const Token token = current_;
  advance();
  return token;
}

bool Lexer::accept(std::string_view text) {
  if (!current_.is(text) || current_.kind == Token::Kind::kEnd) return false;
  advance();
  return true;
}

void Lexer::skip_blanks() {
  while (at_ < text_.size()) {
    if (text_[at_] == '\n') ++line_;
    if (std::isspace(static_cast<unsigned char>(text_[at_]))) {
      ++at_;
    } else if (text_.substr(at_, 2) == "//") {
      at_ = std::min(text_.find('\n', at_), text_.size());
    } else if (text_.substr(at_, 2) == "/*") {
      const std::size_t end = std::min(text_.find("*/", at_ + 2), text_.size() - 2) + 2;
      for (; at_ < end; ++at_) line_ += text_[at_] == '\n';
    } else {
      return;
    }
  }
}

void Lexer::advance() {
  skip_blanks();
  current_ = Token{Token::Kind::kEnd, {}, at_, at_, line_};
  if (at_ == text_.size()) return;
  const std::size_t begin = at_;
  if (in_word(text_[at_])) {
    // "::" belongs to a word as in ld.shared::cta, a single colon ends a label.
    while (at_ < text_.size() && (in_word(text_[at_]) || text_.substr(at_, 2) == "::")) {
      at_ += text_[at_] == ':' ? 2 : 1;
    }
    current_.kind = Token::Kind::kWord;
    current_.text = text_.substr(begin, at_ - begin);
  } else if (text_[at_] == '"') {
    const std::size_t close = std::min(text_.find('"', at_ + 1), text_.size() - 1);
    current_.kind = Token::Kind::kString;
    current_.text = text_.substr(begin + 1, close - begin - 1);
    at_ = close + 1;
  } else {
    current_.kind = Token::Kind::kMark;
    current_.text = text_.substr(at_++, 1);
  }
  current_.end = at_;
}

}  // namespace gpusim
