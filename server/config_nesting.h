// How deep a TOML document nests, seen before it is parsed.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace muster::server {

/// The line (from 1) where brackets nest too deep or a key has too many parts, if there is one. The
/// parser bounds its own recursion, but a key a.a.a... builds a table a part, and tables are
/// destroyed recursively: half a mebibyte of dots would end the process.
std::optional<std::size_t> line_nested_too_deep(std::string_view text);

}  // namespace muster::server
