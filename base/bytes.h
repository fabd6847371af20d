// Spans of bytes, and arithmetic on sizes that came from outside.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

namespace muster {

using ConstBytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

/// a * b, or nothing where it does not fit.
template <std::unsigned_integral T>
constexpr std::optional<T> checked_multiply(T a, T b) {
  T product;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

/// a + b, or nothing where it does not fit.
template <std::unsigned_integral T>
constexpr std::optional<T> checked_add(T a, T b) {
  T sum;
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

/// `value` as a To, or nothing where it does not fit.
template <std::integral To, std::integral From>
constexpr std::optional<To> checked_narrow(From value) {
  if (!std::in_range<To>(value)) return std::nullopt;
  return static_cast<To>(value);
}

/// Smallest multiple of `alignment` (a power of two) that is at least `value`.
constexpr std::size_t align_up(std::size_t value, std::size_t alignment) {
  return (value + alignment - 1) & ~(alignment - 1);
}

/// Quotient rounded up; `divisor` > 0.
template <std::unsigned_integral T>
constexpr T divide_up(T value, T divisor) {
  return value / divisor + (value % divisor != 0);
}

/// Reads a trivially copyable T at `offset`; the caller has checked the length. Little-endian
/// hosts.
template <class T>
T load(ConstBytes bytes, std::size_t offset = 0) {
  static_assert(std::is_trivially_copyable_v<T>);
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

/// Writes a trivially copyable T at `offset`; the caller has checked the length.
template <class T>
void store(MutableBytes bytes, std::size_t offset, const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  std::memcpy(bytes.data() + offset, &value, sizeof value);
}

inline ConstBytes as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}
template <class T>
ConstBytes object_bytes(const T& object) {
  static_assert(std::is_trivially_copyable_v<T>);
  return {reinterpret_cast<const std::byte*>(&object), sizeof object};
}
inline std::string_view as_text(ConstBytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace muster
