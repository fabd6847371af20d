#include "wire/text.h"

#include <gtest/gtest.h>

#include <string>

namespace muster::wire {
namespace {

using std::string_literals::operator""s;

TEST(Text, OfAnyScriptIsPrintable) {
  for (const auto& text : {""s, "keyboard_v2"s, "~ !"s, "größe"s, "キーボード"s, "\U0001f511"s,
                           "\u00a0"s, "\u0800"s, "\U00010000"s, "\U0010fffd"s})
    EXPECT_TRUE(is_printable_utf8(text)) << text;
}

TEST(Text, WithControlsOrHiddenMarksIsNot) {
  for (const auto& text : {"\n"s, "a\0b"s, "\x1b[2J"s, "\x7f"s, "\u0085"s, "\u200b"s, "\u202e"s,
                           "\u2028"s, "\u2066"s, "\ufeff"s, "\ufffe"s, "\ufdd0"s, "\U0010ffff"s})
    EXPECT_FALSE(is_printable_utf8(text)) << ::testing::PrintToString(text);
}

TEST(Text, ThatIsNotUtf8IsNot) {
  for (const auto& text : {"\x80"s, "\xc3"s, "\xc3("s, "\xc0\xaf"s, "\xc1\xbf"s, "\xe0\x80\xaf"s,
                           "\xf0\x80\x80\xaf"s, "\xed\xa0\x80"s, "\xf4\x90\x80\x80"s, "\xe2\x82"s,
                           "\xf8\x88\x80\x80\x80"s, "\xff"s, "ok\xfe"s})
    EXPECT_FALSE(is_printable_utf8(text)) << ::testing::PrintToString(text);
}

}  // namespace
}  // namespace muster::wire
