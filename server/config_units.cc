#include <array>
#include <charconv>

#include "base/bytes.h"
#include "server/config.h"
#include "server/config_text.h"

namespace muster::server {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

// Smallest first: writing takes the last one that divides.
constexpr std::array kSizes = {Unit{"B", 1},
                               Unit{"kB", 1'000},
                               Unit{"MB", 1'000'000},
                               Unit{"GB", 1'000'000'000},
                               Unit{"TB", 1'000'000'000'000},
                               Unit{"KiB", std::uint64_t{1} << 10},
                               Unit{"MiB", std::uint64_t{1} << 20},
                               Unit{"GiB", std::uint64_t{1} << 30},
                               Unit{"TiB", std::uint64_t{1} << 40}};
constexpr std::array kDurations = {Unit{"ns", 1},
                                   Unit{"us", 1'000},
                                   Unit{"ms", 1'000'000},
                                   Unit{"s", 1'000'000'000},
                                   Unit{"m", 60'000'000'000},
                                   Unit{"h", 3'600'000'000'000}};

template <std::size_t kCount>
Result<std::uint64_t> parse(std::string_view text, const std::array<Unit, kCount>& units,
                            std::string_view what, std::string_view example) {
  auto refuse = [&](std::string_view why) {
    std::string message = quote_for_people(text);
    message.append(" ").append(why).append(": write a whole number and a unit, such as \"");
    message.append(example).append("\"; units are");
    for (const Unit& unit : units) message.append(" ").append(unit.name);
    return Status(Code::kInvalid, "unit", std::move(message));
  };
  std::uint64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error == std::errc::invalid_argument) return refuse("is not a " + std::string(what));
  const std::string_view name = text.substr(static_cast<std::size_t>(end - text.data()));
  if (error == std::errc::result_out_of_range) return refuse("is too large");
  if (name.empty()) return refuse("has no unit");
  for (const Unit& unit : units) {
    if (unit.name != name) continue;
    const auto product = checked_multiply(count, unit.factor);
    // Durations are signed, and no size needs the last bit.
    if (!product || !std::in_range<std::int64_t>(*product)) return refuse("is too large");
    return *product;
  }
  return refuse("is not a " + std::string(what));
}

template <std::size_t kCount>
std::string write(std::uint64_t value, const std::array<Unit, kCount>& units) {
  Unit best = units.front();
  for (const Unit& unit : units)
    if (value != 0 && value % unit.factor == 0 && unit.factor > best.factor) best = unit;
  return std::to_string(value / best.factor).append(best.name);
}

}  // namespace

Result<std::uint64_t> parse_bytes(std::string_view text) {
  return parse(text, kSizes, "size", "64MiB");
}

Result<Nanoseconds> parse_duration(std::string_view text) {
  MUSTER_ASSIGN(const std::uint64_t value, parse(text, kDurations, "duration", "250ms"));
  return static_cast<Nanoseconds>(value);
}

std::string bytes_text(std::uint64_t bytes) { return write(bytes, kSizes); }

std::string duration_text(Nanoseconds duration) {
  return write(static_cast<std::uint64_t>(duration), kDurations);
}

}  // namespace muster::server
