// Device keys as text and as files.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "client/client.h"

namespace muster::cli {

/// Whether `text` can be a key: 40 characters of Z85.
bool is_key(std::string_view text);
/// A key as typed, without the guard that guard_keys() put before it. "key_malformed".
Result<std::string> parse_key(std::string_view text);
/// Z85 has '-' and '[': marks arguments that are keys but would read as options or lists.
std::vector<std::string> guard_keys(std::vector<std::string> arguments);

/// The two lines of a key file.
std::string key_file_text(const client::Identity& identity);
/// Creates PREFIX.key (mode 0600: both keys) and PREFIX.pub (the public key alone). "file_exists",
/// "file_create", "file_io".
Status write_key_files(const std::string& prefix, const client::Identity& identity);
/// Reads what key_file_text() wrote. "file_missing", "key_file".
Result<client::Identity> read_key_file(const std::string& path);

/// Contents of a file of at most `max_bytes`. "file_missing", "file_too_large".
Result<std::string> read_text(const std::string& path, std::size_t max_bytes);

}  // namespace muster::cli
