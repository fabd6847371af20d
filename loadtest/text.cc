#include "loadtest/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

namespace muster::loadtest {
namespace {

constexpr std::string_view kVocabulary =
    "\n abcdefghijklmnopqrstuvwxyz0123456789.,'\"!?-:;()/&*_+=<>[]@#$%~";
static_assert(kVocabulary.size() == 64);
constexpr Symbol kNone = 255;
constexpr Symbol kNewline = 0;
constexpr Symbol kSpace = 1;
constexpr std::size_t kHeldOutEvery = 16;
/// Length of a document cut from text that has no separators.
constexpr std::size_t kPieceSymbols = 1000;
/// More than any phone would type; bounds memory on a directory of the wrong kind.
constexpr std::size_t kCorpusSymbols = std::size_t{64} << 20;

constexpr std::array<Symbol, 256> symbol_table() {
  std::array<Symbol, 256> table{};
  for (auto& entry : table) entry = kNone;
  for (std::size_t i = 0; i < kVocabulary.size(); ++i)
    table[static_cast<unsigned char>(kVocabulary[i])] = static_cast<Symbol>(i);
  for (char c = 'A'; c <= 'Z'; ++c)
    table[static_cast<unsigned char>(c)] = table[static_cast<unsigned char>(c - 'A' + 'a')];
  table['\t'] = kSpace;
  return table;
}

bool is_blank(Symbol symbol) { return symbol == kSpace || symbol == kNewline; }

void append_document(std::string_view text, std::vector<Symbols>& documents) {
  Symbols document = normalise(text);
  if (!document.empty()) documents.push_back(std::move(document));
}

void append_fortunes(std::string_view text, std::vector<Symbols>& documents) {
  while (!text.empty()) {
    const std::size_t end = text.find("\n%\n");
    append_document(text.substr(0, end), documents);
    if (end == std::string_view::npos) return;
    text.remove_prefix(end + 3);
  }
}

void append_pieces(std::string_view text, std::vector<Symbols>& documents) {
  const Symbols all = normalise(text);
  for (std::size_t begin = 0; begin < all.size(); begin += kPieceSymbols) {
    const std::size_t end = std::min(begin + kPieceSymbols, all.size());
    documents.emplace_back(all.begin() + static_cast<std::ptrdiff_t>(begin),
                           all.begin() + static_cast<std::ptrdiff_t>(end));
  }
}

}  // namespace

std::string_view vocabulary() { return kVocabulary; }

Symbols normalise(std::string_view text) {
  static constexpr auto kTable = symbol_table();
  Symbols symbols;
  symbols.reserve(text.size() + 1);
  for (const char c : text) {
    const Symbol symbol = kTable[static_cast<unsigned char>(c)];
    if (symbol == kNone) continue;
    if (!is_blank(symbol)) {
      symbols.push_back(symbol);
    } else if (!symbols.empty()) {
      if (!is_blank(symbols.back()))
        symbols.push_back(symbol);
      else if (symbol == kNewline)
        symbols.back() = kNewline;
    }
  }
  if (!symbols.empty() && is_blank(symbols.back()))
    symbols.back() = kNewline;
  else if (!symbols.empty())
    symbols.push_back(kNewline);
  return symbols;
}

Result<Corpus> cut(const std::vector<Symbols>& documents, std::size_t shard_count,
                   std::size_t minimum_symbols) {
  MUSTER_CHECK(shard_count > 0);
  Corpus corpus;
  corpus.shards.resize(shard_count);
  std::size_t total = 0;
  for (std::size_t i = 0; i < documents.size(); ++i)
    if (i % kHeldOutEvery != 0) total += documents[i].size();
  std::size_t shard = 0;
  std::size_t placed = 0;
  for (std::size_t i = 0; i < documents.size(); ++i) {
    const bool held_out = i % kHeldOutEvery == 0;
    Symbols& target = held_out ? corpus.held_out : corpus.shards[shard];
    target.insert(target.end(), documents[i].begin(), documents[i].end());
    if (held_out) continue;
    placed += documents[i].size();
    while (shard + 1 < shard_count && placed * shard_count >= total * (shard + 1)) ++shard;
  }
  std::size_t shortest = corpus.held_out.size();
  for (const Symbols& symbols : corpus.shards) shortest = std::min(shortest, symbols.size());
  if (shortest < minimum_symbols)
    return Status(Code::kInvalid, "text_too_small",
                  fmt::format("the shortest of {} shards has {} characters, {} are needed\n"
                              "Give more text or take fewer phones.",
                              shard_count, shortest, minimum_symbols));
  return corpus;
}

Result<std::vector<Symbols>> read_documents(const std::string& directory) {
  namespace fs = std::filesystem;
  std::error_code error;
  std::vector<fs::path> paths;
  for (auto it = fs::directory_iterator(directory, error); !error && it != fs::directory_iterator();
       it.increment(error)) {
    const fs::path& path = it->path();
    const std::string extension = path.extension().string();
    if (extension == ".dat" || extension == ".u8" || path.filename().string().front() == '.')
      continue;
    std::error_code ignored;
    if (it->is_regular_file(ignored)) paths.push_back(path);
  }
  std::sort(paths.begin(), paths.end());
  std::vector<Symbols> documents;
  std::size_t total = 0;
  for (const fs::path& path : paths) {
    std::ifstream file(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    total += text.size();
    if (total > kCorpusSymbols) break;
    if (text.find('\0') != std::string::npos) continue;
    if (text.find("\n%\n") != std::string::npos)
      append_fortunes(text, documents);
    else
      append_pieces(text, documents);
  }
  if (documents.empty())
    return Status(Code::kNotFound, "text_missing",
                  fmt::format("no text files in '{}'{}\nInstall the package 'fortunes', or name a "
                              "directory of plain text with --text DIR.",
                              directory, error ? " (" + error.message() + ")" : ""));
  return documents;
}

std::optional<std::string> default_text_directory() {
  for (const char* candidate : {"/usr/share/games/fortunes", "/usr/share/fortune"}) {
    std::error_code ignored;
    if (std::filesystem::is_directory(candidate, ignored)) return candidate;
  }
  return std::nullopt;
}

}  // namespace muster::loadtest
