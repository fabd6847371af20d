// Values as text: for TOML that reads back as the same value, and for messages to people.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/limits.h"

namespace muster::server {

/// In the largest unit that divides; parse_bytes() and parse_duration() give the value back.
std::string bytes_text(std::uint64_t bytes);
std::string duration_text(Nanoseconds duration);

/// The shortest TOML float that reads back as the same number. `value` is finite.
std::string number_text(double value);
std::string number_text(float value);

/// A TOML basic string.
std::string toml_string(std::string_view text);

/// Text that came from outside, in double quotes, cut to a readable length, one line.
std::string quote_for_people(std::string_view text, std::size_t most = limits::kNameBytes);

}  // namespace muster::server
