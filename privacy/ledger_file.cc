#include "privacy/ledger_file.h"

#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <utility>

#include "base/limits.h"

namespace muster::privacy {
namespace {

// A record: magic u32, version u16, kind u16, body length u32, sequence u32, body, chain[32]. The
// chain is SHA-256 of the previous record's chain (32 zeros before the first) and all bytes of the
// record before its own chain. Numbers are little-endian; texts are a u16 length and bytes.
constexpr std::uint32_t kMagic = 0x47444C4D;  // "MLDG"
constexpr std::uint16_t kVersion = 1;
enum class Kind : std::uint16_t { kBudget = 1, kCharge = 2 };
constexpr std::size_t kHeadBytes = 16;
constexpr std::size_t kMaxBody = 1024;
constexpr std::size_t kStatementBytes = 256;

Digest chain(const Digest& previous, ConstBytes record) {
  crypto_hash_sha256_state state;
  crypto_hash_sha256_init(&state);
  crypto_hash_sha256_update(&state, reinterpret_cast<const unsigned char*>(previous.data()),
                            previous.size());
  crypto_hash_sha256_update(&state, reinterpret_cast<const unsigned char*>(record.data()),
                            record.size());
  Digest out;
  crypto_hash_sha256_final(&state, reinterpret_cast<unsigned char*>(out.data()));
  return out;
}

class Writer {
 public:
  void bytes(ConstBytes value) {
    const std::size_t end = out_.size();
    out_.resize(end + value.size());
    std::copy(value.begin(), value.end(), out_.begin() + static_cast<std::ptrdiff_t>(end));
  }
  template <class T>
  void number(T value) {
    bytes(object_bytes(value));
  }
  void text(std::string_view value) {
    number(static_cast<std::uint16_t>(value.size()));
    bytes(as_bytes(value));
  }
  ConstBytes written() const { return out_; }
  std::vector<std::byte> take() { return std::move(out_); }

 private:
  std::vector<std::byte> out_;
};

/// Reads past the end give zeros and are remembered.
class Reader {
 public:
  explicit Reader(ConstBytes bytes) : left_(bytes) {}
  template <class T>
  T number() {
    T value{};
    if (take(sizeof value)) value = load<T>(taken_);
    return value;
  }
  std::string text() {
    const auto size = number<std::uint16_t>();
    return take(size) ? std::string(as_text(taken_)) : std::string();
  }
  bool whole() const { return good_ && left_.empty(); }

 private:
  bool take(std::size_t bytes) {
    good_ = good_ && bytes <= left_.size();
    if (!good_) return false;
    taken_ = left_.first(bytes);
    left_ = left_.subspan(bytes);
    return true;
  }
  ConstBytes left_, taken_;
  bool good_ = true;
};

std::vector<std::byte> seal(Kind kind, std::uint32_t sequence, ConstBytes body,
                            const Digest& previous) {
  Writer record;
  record.number(kMagic);
  record.number(kVersion);
  record.number(kind);
  record.number(static_cast<std::uint32_t>(body.size()));
  record.number(sequence);
  record.bytes(body);
  record.bytes(chain(previous, record.written()));
  return record.take();
}

Status corrupt(std::uint32_t sequence, std::string_view what) {
  return {
      Code::kCorrupt, "ledger_corrupt",
      fmt::format("record {} of the privacy ledger {}; restore an undamaged copy", sequence, what)};
}

/// The body of the record at the front of `bytes`, or nothing where it is not whole and in place.
Result<ConstBytes> open_record(ConstBytes bytes, Kind kind, std::uint32_t sequence,
                               const Digest& previous) {
  const auto flaw = [&](std::string_view what) { return corrupt(sequence, what); };
  if (bytes.size() < kHeadBytes) return flaw("is cut off");
  Reader head(bytes.first(kHeadBytes));
  if (head.number<std::uint32_t>() != kMagic) return flaw("does not begin like one");
  if (head.number<std::uint16_t>() != kVersion)
    return flaw("is of an unknown version (a later server wrote it, or it is damaged)");
  if (head.number<std::uint16_t>() != static_cast<std::uint16_t>(kind))
    return flaw("is of a kind that does not belong there");
  const std::size_t size = head.number<std::uint32_t>();
  if (head.number<std::uint32_t>() != sequence) return flaw("carries another number");
  if (size > kMaxBody) return flaw("claims to be larger than any record");
  if (bytes.size() < kHeadBytes + size + previous.size()) return flaw("is cut off");
  const Digest expected = chain(previous, bytes.first(kHeadBytes + size));
  if (std::memcmp(expected.data(), bytes.data() + kHeadBytes + size, expected.size()) != 0)
    return flaw("does not continue the chain");
  return bytes.subspan(kHeadBytes, size);
}

bool printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

Status refuse(std::string_view what) {
  return {Code::kInvalid, "ledger_field_invalid", std::string(what)};
}

Status check_name(std::string_view name, std::string_view what) {
  if (name.empty() || name.size() > limits::kNameBytes || !printable(name))
    return refuse(fmt::format("{} needs a name of 1 to {} printable ASCII characters", what,
                              limits::kNameBytes));
  return {};
}

Result<Budget> read_budget(ConstBytes body) {
  Reader in(body);
  Budget budget;
  budget.epsilon = std::ldexp(static_cast<double>(in.number<std::uint64_t>()), -kUnitBits);
  budget.delta = in.number<double>();
  const auto adjacency = in.number<std::uint8_t>();
  budget.population = in.text();
  if (!in.whole() || adjacency > static_cast<std::uint8_t>(Adjacency::kReplaceOne))
    return refuse("its length is not that of a budget");
  budget.adjacency = static_cast<Adjacency>(adjacency);
  MUSTER_TRY(check(budget));
  return budget;
}

Result<Charge> read_charge(ConstBytes body) {
  Reader in(body);
  Charge charge;
  charge.round = in.number<std::uint64_t>();
  charge.time_ms = in.number<std::uint64_t>();
  charge.binding = in.number<Digest>();
  charge.amounts = in.number<Amounts>();
  charge.task = in.text();
  charge.statement = in.text();
  if (!in.whole()) return refuse("its length is not that of a charge");
  MUSTER_TRY(check(charge));
  return charge;
}

/// A record in its place in the chain, of which nothing can be made.
Status unreadable(std::uint32_t sequence, const Status& why) {
  return corrupt(sequence, fmt::format("cannot be read ({})", why.message()));
}

static_assert(sizeof(Amounts) == 8 * (3 + kLedgerOrders.size()), "Amounts are stored as they are");

}  // namespace

Result<Digest> parse_digest(std::string_view text) {
  Digest out;
  std::size_t size = 0;
  const char* end = nullptr;
  if (text.size() != 2 * out.size() ||
      sodium_hex2bin(reinterpret_cast<unsigned char*>(out.data()), out.size(), text.data(),
                     text.size(), nullptr, &size, &end) != 0 ||
      size != out.size())
    return Status(Code::kInvalid, "digest_invalid", "a digest is 64 hexadecimal digits");
  return out;
}

Amounts LedgerContents::spent() const {
  Amounts sum;
  for (const LedgerEntry& entry : entries) sum = sum + entry.charge.amounts;
  return sum;
}

Status check(const Budget& budget) {
  MUSTER_TRY(check_name(budget.population, "a population"));
  if (!(budget.epsilon >= 0x1p-30 && budget.epsilon <= 1000))
    return refuse("a budget's epsilon must lie in [1e-9, 1000]");
  if (!(budget.delta > 1e-20 && budget.delta < 1)) return refuse("delta must lie in (1e-20, 1)");
  return {};
}

Status check(const Charge& charge) {
  MUSTER_TRY(check_name(charge.task, "a task"));
  if (charge.statement.size() > kStatementBytes || !printable(charge.statement))
    return refuse("a statement is at most 256 printable ASCII characters");
  return {};
}

std::vector<std::byte> encode_budget(const Budget& budget) {
  MUSTER_CHECK(check(budget).ok());
  Writer body;
  body.number(static_cast<std::uint64_t>(std::floor(std::ldexp(budget.epsilon, kUnitBits))));
  body.number(budget.delta);
  body.number(static_cast<std::uint8_t>(budget.adjacency));
  body.text(budget.population);
  return seal(Kind::kBudget, 0, body.take(), Digest{});
}

std::vector<std::byte> encode_charge(const Charge& charge, std::uint32_t sequence,
                                     const Anchor& before) {
  MUSTER_CHECK(check(charge).ok());
  Writer body;
  body.number(charge.round);
  body.number(charge.time_ms);
  body.number(charge.binding);
  body.number(charge.amounts);
  body.text(charge.task);
  body.text(charge.statement);
  return seal(Kind::kCharge, sequence, body.take(), before.head);
}

Anchor anchor_after(const Anchor& before, ConstBytes record) {
  return {before.bytes + record.size(), load<Digest>(record, record.size() - sizeof(Digest))};
}

Result<LedgerContents> parse_ledger(ConstBytes bytes) {
  LedgerContents out;
  const auto record_of = [&](std::size_t from, ConstBytes body) {
    return bytes.subspan(from, kHeadBytes + body.size() + sizeof(Digest));
  };
  MUSTER_ASSIGN(const ConstBytes first, open_record(bytes, Kind::kBudget, 0, Digest{}));
  auto budget = read_budget(first);
  if (!budget.ok()) return unreadable(0, budget.status());
  out.budget = std::move(*budget);
  out.opened = anchor_after({}, record_of(0, first));
  std::set<std::pair<std::string, std::uint64_t>> seen;
  while (out.end().bytes < bytes.size()) {
    const Anchor before = out.end();
    const auto sequence = static_cast<std::uint32_t>(out.entries.size() + 1);
    auto body = open_record(bytes.subspan(before.bytes), Kind::kCharge, sequence, before.head);
    if (!body.ok()) {
      out.flaw = std::move(body).status();
      break;
    }
    Result<Charge> charge = read_charge(*body);
    if (!charge.ok()) {
      out.flaw = unreadable(sequence, charge.status());
      break;
    }
    if (!seen.emplace(charge->task, charge->round).second) {
      out.flaw = corrupt(sequence, "charges a round a second time");
      break;
    }
    out.entries.push_back(
        {std::move(*charge), anchor_after(before, record_of(before.bytes, *body))});
  }
  return out;
}

}  // namespace muster::privacy
