#include "server/cohort.h"

#include <algorithm>

#include "base/check.h"

namespace muster::server {

using ingest::kNoSlot;
using ingest::kRecordHeaderBytes;

namespace {

// Updates folded at once: past that the sums of a strip pass the cache no less often.
constexpr std::size_t kFoldTogether = 16;

}  // namespace

Result<std::unique_ptr<CohortBuilder>> CohortBuilder::create(CohortParts parts) {
  std::unique_ptr<CohortBuilder> builder(new CohortBuilder(std::move(parts)));
  const robust::Plan& plan = builder->parts_.plan;
  kernels::Backend& backend = builder->parts_.backend;
  MUSTER_ASSIGN(builder->sum_, backend.allocate(plan.request.dimension * sizeof(std::int64_t)));
  // One update while it is folded, all updates, or all rows of one chunk.
  std::size_t rows = plan.request.max_updates;
  if (plan.streaming)
    rows = plan.chunk_count;
  else if (plan.resident)
    rows *= plan.chunk_count;
  MUSTER_ASSIGN(builder->codes_, backend.allocate(rows * plan.row_pitch));
  if (plan.streaming) {
    builder->fold_.emplace(backend, plan, builder->sum_.as<std::int64_t>());
    // What waits holds slots; a quarter of the slab at most.
    builder->fold_together_ = std::clamp<std::size_t>(
        builder->parts_.slots.count() / 4 / plan.chunk_count, 1, kFoldTogether);
  }
  builder->updates_.reserve(plan.request.max_updates);
  return builder;
}

CohortBuilder::CohortBuilder(CohortParts parts)
    : parts_(std::move(parts)), record_(ingest::record_bytes(parts_.plan.row_bytes)) {}

CohortBuilder::~CohortBuilder() {
  waiting_.clear();
  release_slots();
  parts_.backend.release(codes_);
  parts_.backend.release(sum_);
}

std::size_t CohortBuilder::book_bytes(const robust::Plan& plan) {
  constexpr std::size_t kNode = sizeof(UpdateId) + sizeof(Update) + 2 * sizeof(void*);
  return plan.request.max_updates * (kNode + plan.chunk_count * sizeof(Chunk) + 32);
}

Result<bool> CohortBuilder::add(const ingest::Arrival& arrival) {
  const ingest::RecordHeader& header = arrival.header;
  MUSTER_CHECK_OP(header.chunk, <, parts_.plan.chunk_count);
  auto [found, fresh] = updates_.try_emplace(header.update);
  Update& update = found->second;
  if (fresh) {
    update.device = header.device;
    update.weight = header.weight;
    if (parts_.staleness)
      update.weight *= robust::staleness_units(*parts_.staleness, header.staleness);
    update.row = static_cast<std::uint32_t>(updates_.size() - 1);
    update.chunks.resize(parts_.plan.chunk_count);
  }
  Chunk& chunk = update.chunks[header.chunk];
  if (chunk.here || update.row >= parts_.plan.request.max_updates) {
    if (arrival.slot != kNoSlot) parts_.slots.give_back(arrival.slot);
    return false;
  }
  chunk = {arrival.location, arrival.slot, true};
  if (chunk.slot != kNoSlot) ++slots_held_;
  ++update.chunks_here;
  const bool whole = update.chunks_here == parts_.plan.chunk_count;
  if (parts_.plan.streaming) {
    if (whole) MUSTER_TRY(enlist(update));
    // Half-sent updates must not keep the slab from the others: past half of it their codes wait on
    // disk, where they are anyway.
    else if (slots_held_ > parts_.slots.count() / 2)
      give_back(chunk);
  } else {
    MUSTER_TRY(keep(update, header.chunk));
  }
  if (whole) ++complete_;
  return whole;
}

void CohortBuilder::give_back(Chunk& chunk) {
  if (chunk.slot == kNoSlot) return;
  parts_.slots.give_back(chunk.slot);
  chunk.slot = kNoSlot;
  --slots_held_;
}

void CohortBuilder::release_slots() {
  flush();
  for (auto& [id, update] : updates_)
    for (Chunk& chunk : update.chunks) give_back(chunk);
}

/// Brings the codes of one chunk into backend memory.
Status CohortBuilder::load(const Update& update, std::uint32_t index, std::byte* target) {
  const Chunk& chunk = update.chunks[index];
  const std::size_t d = codes_of(index, {}).d;
  const std::size_t bytes = payload_bytes(parts_.plan.request.format, d);
  ConstBytes payload;
  if (chunk.slot != kNoSlot) {
    payload = parts_.slots.bytes(chunk.slot).subspan(kRecordHeaderBytes, bytes);
  } else {
    MUSTER_TRY(parts_.spool.read(chunk.location,
                                 MutableBytes(record_).first(ingest::record_bytes(bytes))));
    payload = ConstBytes(record_).subspan(kRecordHeaderBytes, bytes);
  }
  parts_.backend.upload(target, payload, kernels::Stream::kCopy);
  parts_.backend.wait(parts_.backend.record(kernels::Stream::kCopy));
  return {};
}

/// Lets a whole update wait for company, or folds it at once where it is not all in slots.
Status CohortBuilder::enlist(Update& update) {
  const robust::Plan& plan = parts_.plan;
  const bool here =
      parts_.backend.host_visible() &&
      std::ranges::none_of(update.chunks, [](const Chunk& c) { return c.slot == kNoSlot; });
  if (here) {
    waiting_.push_back(&update);
    if (waiting_.size() >= fold_together_) flush();
    return {};
  }
  for (std::uint32_t c = 0; c < plan.chunk_count; ++c)
    MUSTER_TRY(load(update, c, codes_.data + c * plan.row_pitch));
  Update* const one = &update;
  fold({&one, 1});
  return {};
}

void CohortBuilder::flush() {
  if (waiting_.empty()) return;
  fold(waiting_);
  waiting_.clear();
}

/// Either all updates are in slots, or there is one and its codes are in codes_.
void CohortBuilder::fold(std::span<Update* const> updates) {
  const robust::Plan& plan = parts_.plan;
  const std::size_t n = updates.size();
  std::vector<const std::byte*> rows(n * plan.chunk_count);
  std::vector<kernels::Codes> chunks(plan.chunk_count);
  std::vector<std::uint32_t> weights(n);
  for (std::uint32_t c = 0; c < plan.chunk_count; ++c) {
    const std::span chunk_rows = std::span(rows).subspan(c * n, n);
    for (std::size_t i = 0; i < n; ++i) {
      const ingest::SlotIndex slot = updates[i]->chunks[c].slot;
      const bool in_slot = slot != kNoSlot && parts_.backend.host_visible();
      chunk_rows[i] = in_slot ? parts_.slots.bytes(slot).data() + kRecordHeaderBytes
                              : codes_.data + c * plan.row_pitch;
    }
    chunks[c] = codes_of(c, chunk_rows);
  }
  for (std::size_t i = 0; i < n; ++i) weights[i] = updates[i]->weight;
  fold_->add(chunks, weights);
  for (Update* const update : updates)
    for (Chunk& chunk : update->chunks) give_back(chunk);
}

Status CohortBuilder::keep(Update& update, std::uint32_t index) {
  if (parts_.plan.resident) MUSTER_TRY(load(update, index, resident_row(index, update.row)));
  give_back(update.chunks[index]);
  return {};
}

std::byte* CohortBuilder::resident_row(std::uint32_t chunk, std::uint32_t row) const {
  const std::size_t first = std::size_t{chunk} * parts_.plan.request.max_updates;
  return codes_.data + (first + row) * parts_.plan.row_pitch;
}

kernels::Codes CohortBuilder::codes_of(std::uint32_t chunk,
                                       std::span<const std::byte* const> rows) const {
  const robust::PlanRequest& request = parts_.plan.request;
  const std::size_t first = std::size_t{chunk} * request.chunk_coordinates;
  const std::size_t d = std::min<std::size_t>(request.chunk_coordinates, request.dimension - first);
  kernels::Codes codes{request.format, d, rows, {}};
  if (request.format.codec == Codec::kI8S) {
    const std::size_t block = std::size_t{1} << request.format.log2_block;
    codes.scale_exponents = std::span<const std::int8_t>(parts_.scale_exponents)
                                .subspan(first / block, divide_up(d, block));
  }
  return codes;
}

std::vector<UpdateId> CohortBuilder::complete_ids() const {
  std::vector<UpdateId> ids;
  ids.reserve(complete_);
  for (const auto& [id, update] : updates_)
    if (update.chunks_here == parts_.plan.chunk_count) ids.push_back(id);
  std::sort(ids.begin(), ids.end());
  return ids;
}

/// The sealed set, rows in ascending order of update id.
class CohortBuilder::Sealed final : public robust::Cohort {
 public:
  Sealed(CohortBuilder& builder, std::vector<const Update*> updates,
         const ingest::NodeSecret& round_secret)
      : builder_(builder), updates_(std::move(updates)), rows_(updates_.size()) {
    for (const Update* update : updates_) {
      weights_.push_back(update->weight);
      ranks_.push_back(ingest::keyed_hash(round_secret, object_bytes(update->device)).low);
    }
  }
  std::uint32_t size() const override { return static_cast<std::uint32_t>(updates_.size()); }
  std::span<const std::uint32_t> weights() const override { return weights_; }
  std::span<const std::uint64_t> ranks() const override { return ranks_; }
  Result<kernels::Codes> chunk(std::uint32_t index) override {
    const robust::Plan& plan = builder_.parts_.plan;
    for (std::size_t i = 0; i < updates_.size(); ++i) {
      if (plan.resident) {
        rows_[i] = builder_.resident_row(index, updates_[i]->row);
        continue;
      }
      std::byte* target = builder_.codes_.data + i * plan.row_pitch;
      MUSTER_TRY(builder_.load(*updates_[i], index, target));
      rows_[i] = target;
    }
    return builder_.codes_of(index, rows_);
  }

 private:
  CohortBuilder& builder_;
  std::vector<const Update*> updates_;
  std::vector<const std::byte*> rows_;
  std::vector<std::uint32_t> weights_;
  std::vector<std::uint64_t> ranks_;
};

Result<CohortBuilder::Aggregated> CohortBuilder::aggregate(std::span<const UpdateId> sealed,
                                                           const ingest::NodeSecret& round_secret) {
  std::vector<const Update*> updates;
  updates.reserve(sealed.size());
  for (const UpdateId& id : sealed) {
    const auto found = updates_.find(id);
    if (found == updates_.end() || found->second.chunks_here != parts_.plan.chunk_count)
      return Status(
          Code::kCorrupt, "sealed_update_missing",
          "the spool lacks update " + ingest::hex(object_bytes(id)) +
              " of a sealed round; restore the spool from its volume or abandon the round");
    updates.push_back(&found->second);
  }
  Aggregated result;
  result.sum = sum_.as<std::int64_t>();
  if (parts_.plan.streaming) {
    flush();
    // Every whole update is folded. The seal took exactly those.
    if (sealed.size() != complete_)
      return Status(Code::kInternal, "sealed_set_differs",
                    "more updates are whole than were sealed");
    MUSTER_ASSIGN(result.outcome, (*std::move(fold_)).finish());
    return result;
  }
  Sealed cohort(*this, std::move(updates), round_secret);
  MUSTER_ASSIGN(result.outcome,
                robust::aggregate(parts_.plan, parts_.backend, cohort, sum_.as<std::int64_t>()));
  return result;
}

}  // namespace muster::server
