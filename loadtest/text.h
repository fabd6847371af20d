// The words the phones type: a corpus cut into one shard a phone and a held-out part.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace muster::loadtest {

/// Index into vocabulary().
using Symbol = std::uint8_t;
using Symbols = std::vector<Symbol>;

/// The 64 characters a phone knows: newline, space, small letters, digits, punctuation.
std::string_view vocabulary();

/// Small letters for capitals, one space for blanks, one newline for empty lines; characters
/// outside the vocabulary vanish.
Symbols normalise(std::string_view text);

/// Disjoint parts of one corpus: no document lies in two of them.
struct Corpus {
  std::vector<Symbols> shards;  ///< one a phone; neighbours in the files stay together
  Symbols held_out;             ///< every 16th document, for evaluation only
};

/// Cuts documents (in their order) into `shard_count` shards of nearly equal length and the
/// held-out part. "text_too_small" if a shard would be shorter than `minimum_symbols`.
Result<Corpus> cut(const std::vector<Symbols>& documents, std::size_t shard_count,
                   std::size_t minimum_symbols = 512);

/// The documents of every text file directly in `directory`, files by name: fortunes between lines
/// "%", or pieces of about 1000 characters of other text. Index files (.dat), links to them (.u8),
/// hidden files and files with NUL bytes are skipped. "text_missing" with a remedy if there are
/// none.
Result<std::vector<Symbols>> read_documents(const std::string& directory);

/// Where Debian's package `fortunes` puts its text, if it is here.
std::optional<std::string> default_text_directory();

}  // namespace muster::loadtest
