#include "server/audit.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/bytes.h"

namespace muster::server {
namespace {

constexpr std::array<std::string_view, 6> kKinds = {"operator", "key",     "round",
                                                    "release",  "privacy", "server"};
/// A tail long enough to hold a whole line; more than any line has.
constexpr std::size_t kTailBytes = 64 * 1024;

}  // namespace

std::string_view audit_kind_name(AuditKind kind) { return kKinds[static_cast<std::size_t>(kind)]; }

Audit::Audit(std::unique_ptr<File> file, const Clock& clock, Stats& stats)
    : file_(std::move(file)), clock_(clock) {
  for (std::size_t i = 0; i < kKinds.size(); ++i)
    records_[i] = &stats.counter("muster_audit_records_total", {{"kind", std::string(kKinds[i])}});
}

Result<std::unique_ptr<Audit>> Audit::open(Storage& storage, const std::string& path,
                                           const Clock& clock, Stats& stats) {
  const bool fresh = !storage.exists(path);
  MUSTER_ASSIGN(auto file, storage.open(path, OpenMode::kOpenOrCreate));
  if (fresh) MUSTER_TRY(storage.sync_directory(parent_directory(path)));
  MUSTER_ASSIGN(const std::uint64_t size, file->size());
  std::unique_ptr<Audit> audit(new Audit(std::move(file), clock, stats));

  const std::uint64_t from = size > kTailBytes ? size - kTailBytes : 0;
  std::vector<std::byte> tail(size - from);
  MUSTER_ASSIGN(const std::size_t got, audit->file_->read_at(from, tail));
  const std::string_view text(reinterpret_cast<const char*>(tail.data()), got);
  const std::size_t end = text.rfind('\n');
  const std::size_t whole = end == text.npos ? 0 : end + 1;
  if (whole < text.size()) MUSTER_TRY(audit->file_->truncate(from + whole));
  audit->size_ = from + whole;
  if (whole > 0) {
    const std::size_t before = text.rfind('\n', end == 0 ? 0 : end - 1);
    const std::size_t begin = before == text.npos || before == end ? 0 : before + 1;
    const auto last = nlohmann::json::parse(text.substr(begin, end - begin), nullptr, false);
    if (!last.is_object() || !last.contains("sequence") || !last["sequence"].is_number_unsigned())
      return Status(Code::kCorrupt, "audit_corrupt",
                    "the last line of " + path +
                        " is no audit record; keep the file elsewhere and start with a new one");
    audit->sequence_ = last["sequence"];
  }
  return audit;
}

Status Audit::write(AuditKind kind, std::string_view action,
                    std::initializer_list<LogField> fields) {
  std::lock_guard lock(mutex_);
  nlohmann::ordered_json record = {{"sequence", sequence_ + 1},
                                   {"time", utc_text(clock_.wall_ms())},
                                   {"kind", audit_kind_name(kind)},
                                   {"action", action}};
  for (const LogField& field : fields)
    std::visit([&](const auto& value) { record[std::string(field.name)] = value; }, field.value);
  const std::string line =
      record.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  const ConstBytes piece = as_bytes(line);
  MUSTER_TRY(file_->write_at(size_, {&piece, 1}).with_context("audit stream"));
  MUSTER_TRY(file_->sync().with_context("audit stream"));
  size_ += line.size();
  ++sequence_;
  records_[static_cast<std::size_t>(kind)]->add();
  return {};
}

}  // namespace muster::server
