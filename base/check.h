// Checks that stay on in release: a broken promise of ours ends the process with the values
// printed.
#pragma once

#include <string>

namespace muster {

/// Prints where and why, and aborts. Safe from any thread.
[[noreturn]] void check_failed(const char* condition, const char* file, int line,
                               const std::string& values = {});

}  // namespace muster

/// Dies unless `condition` holds. For bugs, never for input.
#define MUSTER_CHECK(condition)                               \
  do {                                                        \
    if (!(condition)) [[unlikely]]                            \
      ::muster::check_failed(#condition, __FILE__, __LINE__); \
  } while (false)

/// As MUSTER_CHECK for `a op b`, and prints both numbers.
#define MUSTER_CHECK_OP(a, op, b)                                             \
  do {                                                                        \
    if (!((a)op(b))) [[unlikely]]                                             \
      ::muster::check_failed(#a " " #op " " #b, __FILE__, __LINE__,           \
                             std::to_string(a) + " vs " + std::to_string(b)); \
  } while (false)
