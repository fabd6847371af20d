#include "server/safetensors.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <string>

#include "base/limits.h"

namespace muster::server {
namespace {

std::vector<std::byte> raw(std::string_view header, std::size_t data_bytes) {
  std::vector<std::byte> file(8 + header.size() + data_bytes);
  store(file, 0, std::uint64_t{header.size()});
  std::copy_n(as_bytes(header).begin(), header.size(), file.begin() + 8);
  return file;
}

std::string refusal(const std::vector<std::byte>& file) {
  const auto parsed = parse_safetensors(file);
  if (parsed.ok()) return "";
  EXPECT_EQ(parsed.status().reason(), "model_file");
  return std::string(parsed.status().message());
}

SafetensorsFile sample() {
  SafetensorsFile file;
  file.layout.tensors = {
      {"layer.weight", {2, 3}, 0, 6}, {"bias \"q\" \xc3\xa9", {}, 6, 1}, {"z", {2}, 7, 2}};
  file.layout.dimension = 9;
  file.values = {1, -2, 3.5f, 0, -0.0f, 1e-40f, 7, 8, std::numeric_limits<float>::max()};
  file.metadata = {{"b", "2"}, {"a", "with \"quotes\" and \n"}};
  return file;
}

TEST(Safetensors, ComesBackAsItWas) {
  const SafetensorsFile file = sample();
  const auto bytes = build_safetensors(file);
  const auto parsed = parse_safetensors(bytes);
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  EXPECT_EQ(parsed->layout, file.layout);
  EXPECT_EQ(parsed->metadata, file.metadata);
  ASSERT_EQ(parsed->values.size(), file.values.size());
  for (std::size_t i = 0; i < file.values.size(); ++i)
    EXPECT_EQ(std::bit_cast<std::uint32_t>(parsed->values[i]),
              std::bit_cast<std::uint32_t>(file.values[i]));
  EXPECT_EQ(build_safetensors(*parsed), bytes);
}

TEST(Safetensors, TheFlatLayoutHasThisFile) {
  SafetensorsFile file{Layout::flat(2), {1, 2}, {}};
  const auto bytes = build_safetensors(file);
  const std::string header(as_text(ConstBytes(bytes).subspan(8, load<std::uint64_t>(bytes))));
  EXPECT_EQ(header, "{\"model\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}      ");
  EXPECT_EQ(header.size() % 8, 0u);
}

TEST(Safetensors, TensorsMayStandInAnyOrderInTheHeader) {
  auto file = raw(R"({"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},)"
                  R"("a":{"data_offsets":[0,8],"shape":[2,1],"dtype":"F32"}} )",
                  12);
  const auto parsed = parse_safetensors(file);
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  EXPECT_EQ(parsed->layout.tensors[0].name, "a");
  EXPECT_EQ(parsed->layout.tensors[1].offset, 2u);
}

TEST(Safetensors, EveryHalfIsWidenedExactly) {
  for (const bool brain : {false, true}) {
    auto file = raw(std::string(R"({"x":{"dtype":")") + (brain ? "BF16" : "F16") +
                        R"(","shape":[1],"data_offsets":[0,2]}})",
                    2);
    for (std::uint32_t bits = 0; bits < 65'536; ++bits) {
      store(file, file.size() - 2, static_cast<std::uint16_t>(bits));
      const std::uint32_t width = brain ? 7 : 10, exponents = brain ? 8 : 5;
      const std::uint32_t fraction = bits & ((1u << width) - 1);
      const std::uint32_t exponent = (bits >> width) & ((1u << exponents) - 1);
      const int bias = (1 << (exponents - 1)) - 1;
      const auto parsed = parse_safetensors(file);
      if (exponent == (1u << exponents) - 1) {
        ASSERT_FALSE(parsed.ok()) << bits;
        continue;
      }
      const int scale =
          (exponent == 0 ? 1 : static_cast<int>(exponent)) - bias - static_cast<int>(width);
      const double magnitude = std::ldexp(fraction + (exponent == 0 ? 0 : 1 << width), scale);
      ASSERT_TRUE(parsed.ok()) << bits;
      ASSERT_EQ(parsed->values[0], (bits & 0x8000u) != 0 ? -magnitude : magnitude) << bits;
      ASSERT_EQ(std::signbit(parsed->values[0]), (bits & 0x8000u) != 0) << bits;
    }
  }
}

struct Bad {
  const char* header;
  std::size_t data_bytes;
  const char* message;
};

class SafetensorsRefuses : public testing::TestWithParam<Bad> {};

TEST_P(SafetensorsRefuses, WithAReason) {
  EXPECT_EQ(refusal(raw(GetParam().header, GetParam().data_bytes)), GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    Files, SafetensorsRefuses,
    testing::Values(
        Bad{"", 0, "the header is not a JSON object"},
        Bad{"[]", 0, "the header is not a JSON object"},
        Bad{" {}", 0, "the header is not a JSON object"}, Bad{"{}", 0, "holds no values"},
        Bad{"{}", 4, "has bytes after its last tensor"},
        Bad{"{", 0, "the header is not JSON at byte 2"},
        Bad{"{}x", 0, "the header is not JSON at byte 3"},
        Bad{R"({"\ud800":1})", 0, "the header is not JSON at byte 9"},
        Bad{"{\"\xff\":1}", 0, "the header is not JSON at byte 3"},
        Bad{R"({"a":1})", 4, "the header has a number where none belongs"},
        Bad{R"({"a":null})", 4, "the header has a null"},
        Bad{R"({"a":true})", 4, "the header has a boolean"},
        Bad{R"({"a":"x"})", 4, "the header has a string where none belongs"},
        Bad{R"({"a":[]})", 4, "the header has an array where none belongs"},
        Bad{R"({"a":{}})", 4, "the header has a tensor without dtype, shape or data_offsets"},
        Bad{R"({"a":{"b":{}}})", 4,
            "the header has a tensor with a field that is not of the format"},
        Bad{R"({"a":{"dtype":{}}})", 4, "the header has an object where none belongs"},
        Bad{R"({"a":{"dtype":[]}})", 4, "the header has an array where none belongs"},
        Bad{R"({"a":{"dtype":"F64"}})", 4, "the header has a dtype other than F32, F16 and BF16"},
        Bad{R"({"a":{"dtype":"F32","dtype":"F32"}})", 4, "the header repeats a field of a tensor"},
        Bad{R"({"a":{"shape":1}})", 4, "the header has a number where none belongs"},
        Bad{R"({"a":{"shape":[[1]]}})", 4, "the header has an array inside an array"},
        Bad{R"({"a":{"shape":[{}]}})", 4, "the header has an object where none belongs"},
        Bad{R"({"a":{"shape":["1"]}})", 4, "the header has a string where none belongs"},
        Bad{R"({"a":{"shape":[-1]}})", 4, "the header has a negative number"},
        Bad{R"({"a":{"shape":[1.0]}})", 4, "the header has a number that is not whole"},
        Bad{R"({"a":{"shape":[18446744073709551616]}})", 4,
            "the header has a number that is not whole"},
        Bad{R"({"a":{"data_offsets":[0]}})", 4,
            "the header has data_offsets that are not two numbers"},
        Bad{R"({"a":{"data_offsets":[0,4,8]}})", 4,
            "the header has data_offsets that are not two numbers"},
        Bad{R"({"__metadata__":{"a":1}})", 4, "the header has a number where none belongs"},
        Bad{R"({"__metadata__":{"a":{}}})", 4, "the header has an object where none belongs"},
        Bad{R"({"__metadata__":{"a":"1","a":"2"}})", 4, "the header repeats a metadata key"},
        Bad{R"({"__metadata__":{},"__metadata__":{}})", 4, "the header repeats a name"},
        Bad{R"({"__metadata__":"x"})", 4, "the header has a string where none belongs"},
        Bad{R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
            R"("a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
            8, "the header repeats a name"},
        Bad{R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8,
            "tensor \"a\" leaves a gap before it"},
        Bad{R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
            R"("b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
            8, "tensor \"b\" overlaps the one before it"},
        Bad{R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 4,
            "tensor \"a\" ends outside the file"},
        Bad{R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551615]}})", 4,
            "tensor \"a\" ends outside the file"},
        Bad{R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 8,
            "has bytes after its last tensor"},
        Bad{R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4,
            "tensor \"a\" has a shape that disagrees with its offsets"},
        Bad{R"({"a":{"dtype":"F16","shape":[1],"data_offsets":[0,4]}})", 4,
            "tensor \"a\" has a shape that disagrees with its offsets"},
        Bad{R"({"a":{"dtype":"F32","shape":[4294967296,4294967296,0],"data_offsets":[0,0]}})", 0,
            "tensor \"a\" has a shape beyond any model"},
        Bad{R"({"a":{"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4]}})", 4,
            "tensor \"a\" has a shape beyond any model"},
        Bad{R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})", 0, "holds no values"}));

TEST(Safetensors, NonFiniteValuesAreRefused) {
  for (const float value :
       {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
        std::numeric_limits<float>::quiet_NaN()}) {
    SafetensorsFile file = sample();
    file.values[7] = value;
    EXPECT_EQ(refusal(build_safetensors(file)), "tensor \"z\" has a non-finite value");
  }
}

TEST(Safetensors, AHugeHeaderIsNotRead) {
  auto file = raw("{}", 0);
  store(file, 0, std::uint64_t{limits::kSafetensorsHeaderBytes} + 1);
  EXPECT_EQ(refusal(file), "the header claims 16777217 bytes, at most 16777216 are read");
  store(file, 0, ~std::uint64_t{0});
  EXPECT_NE(refusal(file), "");
  store(file, 0, std::uint64_t{3});
  EXPECT_EQ(refusal(file), "ends within its header");
}

TEST(Safetensors, DeepNestingEndsAtItsFirstBracket) {
  EXPECT_EQ(refusal(raw("{\"a\":{\"shape\":" + std::string(4'000'000, '['), 0)),
            "the header has an array inside an array");
}

TEST(Safetensors, ATruncatedFileIsRefusedAtEveryByte) {
  const auto bytes = build_safetensors(sample());
  for (std::size_t length = 0; length < bytes.size(); ++length)
    ASSERT_FALSE(parse_safetensors(ConstBytes(bytes).first(length)).ok()) << length;
}

TEST(Safetensors, AFlippedHeaderBitNeverCrashes) {
  const auto bytes = build_safetensors(sample());
  const std::size_t header = 8 + load<std::uint64_t>(bytes);
  for (std::size_t bit = 0; bit < 8 * header; ++bit) {
    auto damaged = bytes;
    damaged[bit / 8] ^= std::byte{1} << (bit % 8);
    const auto parsed = parse_safetensors(damaged);
    // What still parses (another name, another shape of the same size) is a whole file.
    if (parsed.ok()) {
      ASSERT_EQ(parsed->values.size(), parsed->layout.dimension) << bit;
    }
  }
}

TEST(Safetensors, RandomDamageNeverCrashes) {
  const std::uint64_t seed = 11;
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  const auto bytes = build_safetensors(sample());
  for (int i = 0; i < 20'000; ++i) {
    auto damaged = bytes;
    for (std::uint64_t edits = 1 + random() % 6; edits > 0; --edits)
      damaged[random() % damaged.size()] = static_cast<std::byte>(random());
    if (random() % 4 == 0) damaged.resize(random() % damaged.size());
    const auto parsed = parse_safetensors(damaged);
    if (parsed.ok()) {
      ASSERT_EQ(parsed->values.size(), parsed->layout.dimension);
    }
  }
}

}  // namespace
}  // namespace muster::server
