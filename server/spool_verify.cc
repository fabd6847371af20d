#include "server/spool_verify.h"

#include <fmt/format.h>

#include <map>
#include <set>

#include "ingest/read_record.h"
#include "ingest/segment.h"
#include "server/secrets.h"

namespace muster::server {
namespace {

using ingest::RecordHeader;
using ingest::RecordLocation;
using RoundId = std::pair<TaskId, RoundNumber>;

bool ended(RoundState state) {
  return state == RoundState::kShredded || state == RoundState::kAbandoned;
}

std::string name_of(const RoundId& round) {
  return fmt::format("round {} of task {}", round.second, round.first);
}

class Verifier {
 public:
  Verifier(Storage& storage, const Config& config, ControlStore& control)
      : storage_(storage),
        encrypt_all_(config.spool.encrypt == "all"),
        folder_(config.data_dir + "/spool"),
        control_(control) {}

  Result<SpoolVerdict> run(const privacy::MasterKeys& masters) {
    MUSTER_TRY(load_round_keys(masters, control_, keys_));
    MUSTER_TRY(check_keys());
    MUSTER_ASSIGN(const auto names, storage_.list(folder_));
    std::uint64_t newest = 0;
    for (const std::string& name : names)
      newest = std::max(newest, ingest::parse_segment_name(name).value_or(0));
    for (const std::string& name : names) {
      if (const auto generation = ingest::parse_segment_name(name)) {
        ++verdict_.segments;
        MUSTER_TRY(check_segment(name, *generation, *generation == newest));
      } else if (name.starts_with(ingest::kSparePrefix)) {
        ++verdict_.spares;
        MUSTER_TRY(check_spare(name));
      }
    }
    return std::move(verdict_);
  }

 private:
  void problem(std::string what) {
    ++verdict_.problem_count;
    if (verdict_.problems.size() < SpoolVerdict::kMaxProblems)
      verdict_.problems.push_back(std::move(what));
  }

  Result<bool> has_ended(const RoundId& round) {
    const auto known = ended_.find(round);
    if (known != ended_.end()) return known->second;
    MUSTER_ASSIGN(const auto row, control_.round(round.first, round.second));
    // A round nobody knows has no future either.
    const bool over = !row || ended(row->state);
    ended_.emplace(round, over);
    return over;
  }

  Status check_keys() {
    MUSTER_ASSIGN(const auto wrapped, control_.wrapped_keys());
    for (const WrappedKey& key : wrapped) {
      if (key.purpose != KeyPurpose::kSpool) continue;
      used_.insert({key.task, key.round});
      MUSTER_ASSIGN(const bool over, has_ended({key.task, key.round}));
      if (over) problem("the key of " + name_of({key.task, key.round}) + " was not destroyed");
    }
    return {};
  }

  struct Found {
    RecordHeader header;
    RecordLocation location;
  };

  Status check_segment(const std::string& name, std::uint64_t generation, bool newest) {
    MUSTER_ASSIGN(const auto file, storage_.open(folder_ + "/" + name, OpenMode::kRead));
    std::vector<Found> found;
    MUSTER_ASSIGN(const auto scan, ingest::scan_segment(*file, generation,
                                                        [&](const RecordHeader& header,
                                                            RecordLocation at, std::uint64_t) {
                                                          found.push_back({header, at});
                                                        }));
    const bool open_tail = newest && scan.header_sound && !scan.closed && !scan.damaged;
    if (!scan.closed && !open_tail)
      problem(fmt::format("{} is damaged at byte {}, after {} sound records", name, scan.end.offset,
                          scan.end.records));
    if (open_tail && scan.beyond > scan.end.offset)
      verdict_.open_tail_bytes += scan.beyond - scan.end.offset;
    for (const Found& record : found)
      MUSTER_TRY(check_record(*file, scan.header.salt, record, name));
    return {};
  }

  Status check_record(File& file, std::uint64_t salt, const Found& record,
                      const std::string& name) {
    const RoundId round{record.header.task, record.header.round};
    MUSTER_ASSIGN(const bool over, has_ended(round));
    const bool sealed = record.header.version == ingest::kSealedRecord;
    bytes_.resize(ingest::record_bytes(record.header.payload_bytes));
    if (!sealed) {  // the scan has checked it
      ++(over ? verdict_.readable : verdict_.plain);
      if (over && encrypt_all_)
        problem(fmt::format("{}: a record of {}, which has ended, lies readable at byte {}", name,
                            name_of(round), record.location.offset));
      return {};
    }
    const Status read = ingest::read_record(file, salt, record.location, &keys_, bytes_);
    if (!over) {
      if (read.ok())
        ++verdict_.opened;
      else
        problem(std::string(read.message()));
      return {};
    }
    if (read.ok())
      problem(fmt::format("{}: the record at byte {} opens, and {} has ended", name,
                          record.location.offset, name_of(round)));
    else
      ++verdict_.shut;
    return {};
  }

  /// Its rounds have all ended; its header is the one of its last use.
  Status check_spare(const std::string& name) {
    MUSTER_ASSIGN(const auto file, storage_.open(folder_ + "/" + name, OpenMode::kRead));
    ingest::Block block{};
    MUSTER_ASSIGN(const std::size_t filled, file->read_at(0, block));
    if (filled < block.size()) return {};
    const auto header = load<ingest::SegmentHeader>(block);
    MUSTER_ASSIGN(
        [[maybe_unused]] const auto scan,
        ingest::scan_segment(
            *file, header.generation, [&](const RecordHeader& record, RecordLocation at, auto) {
              const bool sealed = record.version == ingest::kSealedRecord;
              ++(sealed ? verdict_.shut : verdict_.readable);
              if (sealed && used_.contains({record.task, record.round}))
                problem(fmt::format("{} holds a record of {}, whose key is there", name,
                                    name_of({record.task, record.round})));
              if (!sealed && encrypt_all_)
                problem(fmt::format("{}: a record lies readable at byte {}", name, at.offset));
            }));
    return {};
  }

  Storage& storage_;
  const bool encrypt_all_;
  const std::string folder_;
  ControlStore& control_;
  ingest::RoundKeys keys_;
  std::set<RoundId> used_;
  std::map<RoundId, bool> ended_;
  std::vector<std::byte> bytes_;
  SpoolVerdict verdict_;
};

}  // namespace

std::string SpoolVerdict::text() const {
  std::string text = fmt::format(
      "{} segments, {} spares\n"
      "records of rounds at work: {} encrypted, all of them checked; {} not encrypted\n"
      "records of ended rounds: {} encrypted that no key opens; {} readable\n",
      segments, spares, opened, plain, shut, readable);
  if (open_tail_bytes > 0)
    text +=
        fmt::format("{} bytes behind the last record were never acknowledged\n", open_tail_bytes);
  for (const std::string& what : problems) text += "problem: " + what + "\n";
  if (problem_count > problems.size())
    text += fmt::format("and {} problems more\n", problem_count - problems.size());
  text += problem_count == 0 ? "sound: nothing of an ended round can be opened\n" : "not sound\n";
  return text;
}

Result<SpoolVerdict> verify_spool(Storage& storage, const Config& config) {
  const std::string database = config.data_dir + "/control.db";
  if (!storage.exists(database))
    return Status(Code::kNotFound, "not_found", "there is no server's data in " + config.data_dir);
  MUSTER_ASSIGN(const auto lock, storage.lock(config.data_dir + "/lock"));
  MUSTER_ASSIGN(const auto control, ControlStore::open(storage, database));
  MUSTER_ASSIGN(const auto masters, open_master_keys(storage, config, *control));
  return Verifier(storage, config, *control).run(masters);
}

}  // namespace muster::server
