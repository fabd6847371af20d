// What the shell sees: 0 done, 1 refused or failed, 2 usage, 64-78 in the sense of sysexits.
#pragma once

#include "base/status.h"

namespace muster::cli {

inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitProblems = 3;  ///< checks ran and found problems
inline constexpr int kExitData = 65;
inline constexpr int kExitNoInput = 66;
inline constexpr int kExitUnavailable = 69;
inline constexpr int kExitInternal = 70;
inline constexpr int kExitCannotCreate = 73;
inline constexpr int kExitIo = 74;
inline constexpr int kExitTemporary = 75;
inline constexpr int kExitPermission = 77;
inline constexpr int kExitConfig = 78;

/// By the reason where it says more than the code, else by the code.
int exit_code(const Status& status);

}  // namespace muster::cli
