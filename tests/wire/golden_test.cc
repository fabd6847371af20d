// Protocol version 1, frozen: these bytes may not change. A new field gets a new sample and a new
// file. MUSTER_WRITE_GOLDEN=folder and MUSTER_WRITE_CORPUS=folder write the files anew.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>

#include "tests/wire/hex.h"
#include "tests/wire/samples.h"

namespace muster::wire {
namespace {

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_file(const std::string& path, ConstBytes bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  ASSERT_TRUE(file.flush()) << path;
}

std::string golden_path(const Sample& sample) {
  return std::string(MUSTER_GOLDEN_DIR) + "/" + sample.name + ".hex";
}

TEST(Golden, WritesTheFilesWhenAsked) {
  const char* golden = std::getenv("MUSTER_WRITE_GOLDEN");
  const char* corpus = std::getenv("MUSTER_WRITE_CORPUS");
  if (golden == nullptr && corpus == nullptr) GTEST_SKIP() << "nobody asked";
  for (const Sample& sample : samples()) {
    const auto header = build_header(sample.message);
    const auto frames = sample.frames(header);
    if (golden != nullptr)
      write_file(std::string(golden) + "/" + sample.name + ".hex", as_bytes(to_hex(frames)));
    if (corpus == nullptr) continue;
    // The input format of tests/fuzz/fuzz_header.cc.
    std::vector<std::byte> input{static_cast<std::byte>(frames.size()),
                                 static_cast<std::byte>(header.size() & 0xff),
                                 static_cast<std::byte>(header.size() >> 8)};
    for (const ConstBytes frame : frames) input.insert(input.end(), frame.begin(), frame.end());
    write_file(std::string(corpus) + "/" + sample.name, input);
  }
}

TEST(Golden, EveryKindHasOne) {
  const auto all = samples();
  constexpr std::size_t kinds = std::variant_size_v<Body>;
  ASSERT_GE(all.size(), kinds);
  for (std::size_t i = 0; i < kinds; ++i) EXPECT_EQ(all[i].message.body.index(), i);
}

TEST(Golden, BuildingGivesExactlyTheseBytes) {
  for (const Sample& sample : samples()) {
    const auto header = build_header(sample.message);
    EXPECT_EQ(to_hex(sample.frames(header)), read_text(golden_path(sample))) << sample.name;
  }
}

TEST(Golden, ParsingGivesTheMessageBack) {
  for (const Sample& sample : samples()) {
    const auto frames = from_hex(read_text(golden_path(sample)));
    const std::vector<ConstBytes> spans(frames.begin(), frames.end());
    const Parsed parsed = parse_frames(spans);
    ASSERT_TRUE(parsed.ok()) << sample.name << ": " << describe(parsed.reason).token;
    EXPECT_EQ(parsed.message, sample.message) << sample.name;
    if (!sample.payload.empty()) {
      EXPECT_EQ(frames.at(1), sample.payload) << sample.name;
    }
  }
}

/// The hex blocks of the document, as frames: "offset  bytes  explanation" a line, two spaces
/// between the columns.
std::vector<std::vector<std::byte>> worked_example(const std::string& document) {
  std::vector<std::vector<std::byte>> frames;
  std::istringstream lines(document);
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (line == "```hex") {
      inside = true;
      frames.emplace_back();
    } else if (line == "```") {
      inside = false;
    } else if (inside) {
      EXPECT_EQ(std::stoul(line.substr(0, 4), nullptr, 16), frames.back().size()) << line;
      const std::string columns = line.substr(6);
      const auto bytes = from_hex(columns.substr(0, columns.find("  "))).front();
      frames.back().insert(frames.back().end(), bytes.begin(), bytes.end());
    }
  }
  return frames;
}

TEST(Document, ItsWorkedExampleIsTheGoldenSubmit) {
  const auto frames = worked_example(read_text(MUSTER_WIRE_DOCUMENT));
  const auto all = samples();
  const auto submit = std::ranges::find(all, "submit", &Sample::name);
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_EQ(frames[0], build_header(submit->message));
  EXPECT_EQ(frames[1], submit->payload);
}

TEST(Document, NamesEveryReason) {
  const std::string document = read_text(MUSTER_WIRE_DOCUMENT);
  for (const ReasonText& row : reasons()) {
    if (row.reason == Reason::kOk) continue;
    EXPECT_NE(document.find(std::string("`") + row.token + "`"), std::string::npos) << row.token;
  }
}

}  // namespace
}  // namespace muster::wire
