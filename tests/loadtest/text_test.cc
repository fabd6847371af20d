#include "loadtest/text.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

namespace muster::loadtest {
namespace {

std::string spell(const Symbols& symbols) {
  std::string text;
  for (const Symbol symbol : symbols) text += vocabulary()[symbol];
  return text;
}

TEST(Text, VocabularyHasSixtyFourDifferentCharacters) {
  const std::set<char> different(vocabulary().begin(), vocabulary().end());
  EXPECT_EQ(different.size(), 64U);
}

TEST(Text, NormalisesWhatPhonesDoNotKnow) {
  EXPECT_EQ(spell(normalise("  Hello,\t\t World!\r\n\n\n caf\xc3\xa9 ")), "hello, world!\ncaf\n");
  EXPECT_TRUE(normalise(" \n\t").empty());
}

/// Documents of one symbol each way, so that one can be told from another: its number in base 64.
std::vector<Symbols> numbered(std::size_t count) {
  std::vector<Symbols> documents;
  for (std::size_t i = 0; i < count; ++i) {
    Symbols document(30, 0);
    document[0] = 63;
    document[1] = static_cast<Symbol>(i / 63 % 63);
    document[2] = static_cast<Symbol>(i % 63);
    documents.push_back(document);
  }
  return documents;
}

std::set<int> numbers_in(const Symbols& symbols) {
  std::set<int> numbers;
  for (std::size_t i = 0; i + 2 < symbols.size(); ++i)
    if (symbols[i] == 63) numbers.insert(symbols[i + 1] * 63 + symbols[i + 2]);
  return numbers;
}

TEST(Corpus, PartsAreDisjointAndComplete) {
  const auto corpus = cut(numbered(1000), 7);
  ASSERT_TRUE(corpus.ok()) << corpus.status().to_string();
  std::set<int> seen = numbers_in(corpus->held_out);
  EXPECT_EQ(seen.size(), 63U);
  std::size_t sum = seen.size();
  for (const Symbols& shard : corpus->shards) {
    const auto numbers = numbers_in(shard);
    sum += numbers.size();
    seen.insert(numbers.begin(), numbers.end());
  }
  EXPECT_EQ(seen.size(), 1000U) << "something is lost";
  EXPECT_EQ(sum, 1000U) << "something is there twice";
}

TEST(Corpus, ShardsAreOfNearlyEqualLength) {
  const auto corpus = cut(numbered(1000), 7);
  const auto [least, most] =
      std::minmax_element(corpus->shards.begin(), corpus->shards.end(),
                          [](const auto& a, const auto& b) { return a.size() < b.size(); });
  EXPECT_LE(most->size() - least->size(), 60U);
}

TEST(Corpus, RefusesTextThatDoesNotGoRound) {
  EXPECT_EQ(cut(numbered(20), 10).status().reason(), "text_too_small");
  EXPECT_EQ(cut({}, 10).status().reason(), "text_too_small");
}

class Directory {
 public:
  Directory() : path_(std::filesystem::temp_directory_path() / "muster-text-XXXXXX") {
    std::string name = path_.string();
    path_ = ::mkdtemp(name.data());
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  void put(const char* name, std::string_view text) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
  }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

TEST(Documents, AreFortunesOrPiecesAndNeverIndexes) {
  const Directory directory;
  directory.put("b", "first\n%\nsecond\n%\n");
  directory.put("b.dat", "index");
  directory.put("b.u8", "link");
  directory.put(".hidden", "hidden");
  directory.put("binary", std::string_view("a\0b", 3));
  directory.put("a.txt", std::string(2500, 'x'));
  const auto documents = read_documents(directory.path());
  ASSERT_TRUE(documents.ok());
  ASSERT_EQ(documents->size(), 5U);
  EXPECT_EQ((*documents)[0].size(), 1000U);
  EXPECT_EQ(spell((*documents)[3]), "first\n");
  EXPECT_EQ(spell((*documents)[4]), "second\n");
}

TEST(Documents, SayWhatToDoWhenThereAreNone) {
  const Directory directory;
  for (const std::string& path : {directory.path(), directory.path() + "/absent"}) {
    const auto documents = read_documents(path);
    EXPECT_EQ(documents.status().reason(), "text_missing");
    EXPECT_NE(documents.status().message().find("--text"), std::string_view::npos);
  }
}

}  // namespace
}  // namespace muster::loadtest
