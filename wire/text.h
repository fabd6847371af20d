// Text that came from outside and may end in a log or on a terminal.
#pragma once

#include <string_view>

namespace muster::wire {

/// Whether `text` is well-formed UTF-8 without control characters, line and paragraph separators,
/// or the marks that reorder or hide text. Empty text is.
bool is_printable_utf8(std::string_view text);

}  // namespace muster::wire
