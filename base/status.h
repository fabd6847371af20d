// How a call says that it could not do what was asked: Status, Result<T>, MUSTER_TRY.
// Bad input is a value of these types; a bug is a crash (base/check.h).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/check.h"

namespace muster {

/// What the caller can do about it. Few on purpose; the reason says which case it was.
enum class Code : std::uint8_t {
  kOk = 0,
  kInvalid,      ///< The input is wrong; the same input will fail again.
  kCorrupt,      ///< Stored or received bytes do not match their checksum or structure.
  kStale,        ///< The input was right once: an old round, an old model version.
  kDuplicate,    ///< It is here already.
  kExhausted,    ///< A stated bound is reached; try again later.
  kClosed,       ///< The thing was closed or sealed and takes no more.
  kUnavailable,  ///< Something outside failed: disk, network, device.
  kForbidden,    ///< The caller may not do this.
  kNotFound,     ///< No such task, round, file, key.
  kInternal,     ///< A promise of ours was broken; report it.
};

/// Lower-case name of a code, for logs and JSON.
std::string_view code_name(Code code);

/// OK, or a code, a stable reason token ("round_closed") and a sentence for a person.
/// OK allocates nothing.
class [[nodiscard]] Status {
 public:
  Status() = default;
  /// `reason` must have static storage and be a stable snake_case token.
  Status(Code code, const char* reason, std::string message);
  Status(const Status& other);
  Status& operator=(const Status& other);
  Status(Status&&) noexcept = default;
  Status& operator=(Status&&) noexcept = default;
  ~Status() = default;

  bool ok() const { return detail_ == nullptr; }
  Code code() const { return ok() ? Code::kOk : detail_->code; }
  std::string_view reason() const { return ok() ? "ok" : detail_->reason; }
  std::string_view message() const { return ok() ? std::string_view() : detail_->message; }
  /// "reason: message", or "ok".
  std::string to_string() const;
  /// The same failure with `context + ": "` put before its message. OK stays OK.
  Status with_context(std::string_view context) &&;

 private:
  struct Detail {
    Code code;
    const char* reason;
    std::string message;
  };
  std::unique_ptr<Detail> detail_;
};

/// A T, or the Status that says why there is none.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}        // NOLINT: implicit on purpose
  Result(Status status) : state_(std::move(status)) {  // NOLINT
    MUSTER_CHECK(!std::get<Status>(state_).ok());
  }

  bool ok() const { return std::holds_alternative<T>(state_); }
  Status status() const& { return ok() ? Status() : std::get<Status>(state_); }
  Status status() && { return ok() ? Status() : std::get<Status>(std::move(state_)); }
  T& value() & {
    check();
    return std::get<T>(state_);
  }
  const T& value() const& {
    check();
    return std::get<T>(state_);
  }
  T&& value() && {
    check();
    return std::get<T>(std::move(state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  void check() const {
    if (!ok())
      check_failed("Result::ok()", __FILE__, __LINE__, std::get<Status>(state_).to_string());
  }
  std::variant<T, Status> state_;
};

/// Leaves the calling function with the Status of `expression` unless it is OK.
#define MUSTER_TRY(expression)                      \
  do {                                              \
    ::muster::Status muster_status_ = (expression); \
    if (!muster_status_.ok()) [[unlikely]]          \
      return muster_status_;                        \
  } while (false)

#define MUSTER_CONCAT_(a, b) a##b
#define MUSTER_CONCAT(a, b) MUSTER_CONCAT_(a, b)
#define MUSTER_ASSIGN_(temporary, target, expression) \
  auto temporary = (expression);                      \
  if (!temporary.ok()) [[unlikely]]                   \
    return std::move(temporary).status();             \
  target = std::move(temporary).value()
/// `MUSTER_ASSIGN(auto file, storage.open(path));`: the value, or leave with the Status.
#define MUSTER_ASSIGN(target, expression) \
  MUSTER_ASSIGN_(MUSTER_CONCAT(muster_result_, __LINE__), target, expression)

}  // namespace muster
