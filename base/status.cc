#include "base/status.h"

namespace muster {

std::string_view code_name(Code code) {
  switch (code) {
    case Code::kOk:
      return "ok";
    case Code::kInvalid:
      return "invalid";
    case Code::kCorrupt:
      return "corrupt";
    case Code::kStale:
      return "stale";
    case Code::kDuplicate:
      return "duplicate";
    case Code::kExhausted:
      return "exhausted";
    case Code::kClosed:
      return "closed";
    case Code::kUnavailable:
      return "unavailable";
    case Code::kForbidden:
      return "forbidden";
    case Code::kNotFound:
      return "not_found";
    case Code::kInternal:
      return "internal";
  }
  return "internal";
}

Status::Status(Code code, const char* reason, std::string message)
    : detail_(std::make_unique<Detail>(Detail{code, reason, std::move(message)})) {
  MUSTER_CHECK(code != Code::kOk);
}

Status::Status(const Status& other)
    : detail_(other.ok() ? nullptr : std::make_unique<Detail>(*other.detail_)) {}

Status& Status::operator=(const Status& other) {
  if (this != &other) detail_ = other.ok() ? nullptr : std::make_unique<Detail>(*other.detail_);
  return *this;
}

std::string Status::to_string() const {
  if (ok()) return "ok";
  return std::string(detail_->reason) + ": " + detail_->message;
}

Status Status::with_context(std::string_view context) && {
  if (!ok()) detail_->message = std::string(context) + ": " + detail_->message;
  return std::move(*this);
}

}  // namespace muster
