#include "tests/gpusim/ptx/parser.h"

#include <gtest/gtest.h>

namespace gpusim {
namespace {

const char kModule[] = R"(
.version 9.0
.target sm_80
.address_size 64
.extern .shared .align 16 .b8 dynamic[];
.const .align 4 .u32 numbers[3] = {1, 0x10, -1};
.global .align 8 .u64 pointer = generic(numbers)+4; /* to the second */
.visible .entry k(
  .param .u64 .ptr .align 1 k_param_0,
  .param .align 8 .b8 k_param_1[24]
)
.maxntid 128, 2, 1
{
  .reg .pred %p<3>;
  .reg .b32 %r<5>;
  .loc 1 10 3
  @!%p1 bra $L__BB0_2;
  .loc 2 440 9, function_name $L__info_string0, inlined_at 1 10 3
  ld.global.nc.v2.u32 {%r1, %r2}, [%r3+-8];
  setp.lt.and.f32 %p1|%p2, %r1, 0f3F800000, !%p1;
$L__BB0_2:
  ret;
}
.file 1 "a.cu"
.file 2 "/usr/local/cuda/targets/x86_64-linux/include/sm_30_intrinsics.hpp"
)";

TEST(ParserTest, ReadsVariablesWithTheirInitialisers) {
  const Syntax syntax = parse(kModule);
  ASSERT_EQ(syntax.variables.size(), 3U);
  EXPECT_TRUE(syntax.variables[0].external);
  EXPECT_EQ(syntax.variables[0].bytes, 0U);
  EXPECT_EQ(syntax.variables[1].bytes, 12U);
  EXPECT_EQ(syntax.variables[1].initialiser[1].bits, 16U);
  EXPECT_EQ(syntax.variables[1].initialiser[2].bits, ~std::uint64_t{0});
  EXPECT_EQ(syntax.variables[2].initialiser[0].name, "numbers");
  EXPECT_EQ(syntax.variables[2].initialiser[0].bits, 4U);
}

TEST(ParserTest, ReadsParametersAndLimitsOfAKernel) {
  const Syntax syntax = parse(kModule);
  const Function& kernel = syntax.functions.at("k");
  EXPECT_TRUE(kernel.is_entry);
  EXPECT_EQ(kernel.max_threads, 256U);
  ASSERT_EQ(kernel.parameters.size(), 2U);
  EXPECT_EQ(kernel.parameters[0].bytes, 8U);
  EXPECT_EQ(kernel.parameters[1].bytes, 24U);
  EXPECT_EQ(kernel.parameters[1].align, 8U);
}

TEST(ParserTest, ReadsGuardsVectorsOffsetsAndPairs) {
  const Syntax syntax = parse(kModule);
  std::vector<Statement> statements;
  for (const Item& item : syntax.functions.at("k").body) {
    if (const auto* statement = std::get_if<Statement>(&item)) statements.push_back(*statement);
  }
  ASSERT_EQ(statements.size(), 4U);
  EXPECT_EQ(statements[0].guard, "%p1");
  EXPECT_TRUE(statements[0].guard_negated);
  EXPECT_EQ(statements[1].suffixes, (std::vector<std::string>{"global", "nc", "v2", "u32"}));
  EXPECT_EQ(statements[1].operands[0].list.size(), 2U);
  EXPECT_EQ(statements[1].operands[1].bits, static_cast<std::uint64_t>(-8));
  EXPECT_EQ(statements[2].pair.name, "%p2");
  EXPECT_EQ(statements[2].operands[2].kind, Operand::Kind::kFloat32);
  EXPECT_TRUE(statements[2].operands[3].negated);
  EXPECT_EQ(statements[2].text, "setp.lt.and.f32 %p1|%p2, %r1, 0f3F800000, !%p1");
}

TEST(ParserTest, NamesTheLineOutsideTheToolkit) {
  const Syntax syntax = parse(kModule);
  EXPECT_EQ(syntax.line_of(0), (std::pair<std::string, int>("a.cu", 10)));
  EXPECT_EQ(syntax.line_of(1), (std::pair<std::string, int>("a.cu", 10)));
  EXPECT_EQ(syntax.line_of(-1).second, 0);
}

TEST(ParserTest, RefusesWhatIsNoModule) {
  for (const char* text :
       {"hello", ".entry k() {", ".global .b32 x[", ".visible .entry k() { ld.u32 %r1 }", "{}"}) {
    EXPECT_THROW(parse(text), ParseError) << text;
  }
}

TEST(ParserTest, EndsOnEveryPrefixOfAModule) {
  const std::string_view text(kModule);
  for (std::size_t length = 0; length < text.size(); ++length) {
    try {
      parse(text.substr(0, length));
    } catch (const ParseError&) {
      continue;
    }
  }
}

}  // namespace
}  // namespace gpusim
