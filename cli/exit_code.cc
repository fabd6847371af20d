#include "cli/exit_code.h"

#include <string_view>
#include <utility>

namespace muster::cli {
namespace {

constexpr std::pair<std::string_view, int> kByReason[] = {
    {"usage", kExitUsage},
    {"config_invalid", kExitConfig},
    {"file_exists", kExitCannotCreate},
    {"file_create", kExitCannotCreate},
    {"file_missing", kExitNoInput},
    {"ledger_missing", kExitNoInput},
    {"file_io", kExitIo},
};

int by_code(Code code) {
  switch (code) {
    case Code::kOk:
      return 0;
    case Code::kInvalid:
    case Code::kCorrupt:
      return kExitData;
    case Code::kExhausted:
      return kExitTemporary;
    case Code::kUnavailable:
      return kExitUnavailable;
    case Code::kForbidden:
      return kExitPermission;
    case Code::kInternal:
      return kExitInternal;
    case Code::kStale:
    case Code::kDuplicate:
    case Code::kClosed:
    case Code::kNotFound:
      return kExitFailure;
  }
  return kExitInternal;
}

}  // namespace

int exit_code(const Status& status) {
  for (const auto& [reason, code] : kByReason)
    if (status.reason() == reason) return code;
  return by_code(status.code());
}

}  // namespace muster::cli
