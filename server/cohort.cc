#include "server/cohort.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"

namespace muster::server {

using ingest::kNoSlot;
using ingest::kRecordHeaderBytes;

namespace {

// Updates folded at once: past that the sums of a strip pass the cache no less often.
constexpr std::size_t kFoldTogether = 16;
// Updates counted at once: each pass goes over all histograms.
constexpr std::size_t kCountTogether = 512;

}  // namespace

Result<std::unique_ptr<CohortBuilder>> CohortBuilder::create(CohortParts parts) {
  std::unique_ptr<CohortBuilder> builder(new CohortBuilder(std::move(parts)));
  const robust::Plan& plan = builder->parts_.plan;
  kernels::Backend& backend = builder->parts_.backend;
  MUSTER_ASSIGN(builder->sum_, backend.allocate_by_chunk(plan.rule_dimension * sizeof(std::int64_t),
                                                         plan.rule_chunk * sizeof(std::int64_t)));
  if (plan.restores) {
    MUSTER_ASSIGN(builder->model_sum_,
                  backend.allocate_by_chunk(plan.request.dimension * sizeof(std::int64_t),
                                            plan.request.chunk_coordinates * sizeof(std::int64_t)));
  }
  if ((plan.streaming || builder->parts_.privacy != nullptr) && plan.decoded_bytes > 0) {
    // All chunks of one row, or one chunk of all rows at a time, whichever chunk that is.
    const std::size_t piece = plan.streaming ? plan.decoded_pitch * sizeof(float) : 0;
    MUSTER_ASSIGN(builder->decoded_, backend.allocate_by_chunk(plan.decoded_bytes, piece));
  }
  if (plan.counting) {
    MUSTER_ASSIGN(
        builder->counters_,
        backend.allocate_by_chunk(
            plan.counter_bytes, plan.rule_chunk * kernels::count_bytes(plan.request.format.codec)));
  }
  if (robust::uses_previous(plan.request.rule)) {
    MUSTER_ASSIGN(builder->previous_,
                  backend.allocate_by_chunk(plan.request.dimension * sizeof(float),
                                            plan.request.chunk_coordinates * sizeof(float)));
  }
  // One update while it is folded, all updates, or those rows of a chunk that are needed at once.
  std::size_t rows = plan.rows_at_once();
  std::size_t rows_of_chunk = 0;  // where rows of one chunk lie together
  if (plan.streaming)
    rows_of_chunk = plan.staged_updates;
  else if (plan.resident)
    rows_of_chunk = plan.request.max_updates;
  if (rows_of_chunk > 0) rows = rows_of_chunk * plan.chunk_count;
  MUSTER_ASSIGN(builder->codes_,
                backend.allocate_by_chunk(rows * plan.row_pitch, rows_of_chunk * plan.row_pitch));
  if (plan.streaming) {
    if (builder->parts_.privacy != nullptr)
      builder->private_fold_.emplace(backend, plan, *builder->parts_.privacy,
                                     builder->sum_.as<std::int64_t>(),
                                     builder->decoded_.as<float>());
    else
      builder->fold_.emplace(backend, plan, builder->sum_.as<std::int64_t>(),
                             builder->decoded_.as<float>(), builder->counters_.as<std::uint32_t>());
    // There is room for one decoded update.
    if (builder->stages())
      builder->fold_together_ = plan.staged_updates / 2;
    else if (plan.decoded_bytes == 0)
      builder->fold_together_ = builder->company(plan.counting ? kCountTogether : kFoldTogether);
  }
  if (plan.sketched_on_arrival) {
    MUSTER_ASSIGN(
        robust::SketchFold sketches,
        robust::SketchFold::create(backend, plan, builder->sketch_key(), plan.request.max_updates));
    builder->sketches_.emplace(std::move(sketches));
    builder->fold_together_ = builder->company(robust::SketchFold::together(plan));
  }
  builder->updates_.reserve(plan.request.max_updates);
  return builder;
}

CohortBuilder::CohortBuilder(CohortParts parts)
    : parts_(std::move(parts)), record_(ingest::record_bytes(parts_.plan.row_bytes)) {
  if (!parts_.plan.request.format.zstd) return;
  inflater_.emplace();
  inflated_.resize(parts_.plan.row_bytes);
}

CohortBuilder::~CohortBuilder() {
  waiting_.clear();
  release_slots();
  give_back_sent(true);
  if (parts_.privacy != nullptr)
    for (const kernels::Buffer& buffer : {codes_, decoded_, model_sum_, sum_}) wipe(buffer);
  parts_.backend.release(codes_);
  parts_.backend.release(decoded_);
  parts_.backend.release(counters_);
  parts_.backend.release(previous_);
  parts_.backend.release(model_sum_);
  parts_.backend.release(sum_);
}

std::size_t CohortBuilder::company(std::size_t wish) const {
  if (parts_.plan.resident) return wish;
  // What waits holds slots; a quarter of the slab at most.
  return std::clamp<std::size_t>(parts_.slots.count() / 4 / parts_.plan.chunk_count, 1, wish);
}

std::size_t CohortBuilder::book_bytes(const robust::Plan& plan) {
  constexpr std::size_t kNode = sizeof(UpdateId) + sizeof(Update) + 2 * sizeof(void*);
  return plan.request.max_updates * (kNode + plan.chunk_count * sizeof(Chunk) + 32);
}

Result<bool> CohortBuilder::add(const ingest::Arrival& arrival) {
  const ingest::RecordHeader& header = arrival.header;
  MUSTER_CHECK_OP(header.chunk, <, parts_.plan.chunk_count);
  give_back_sent(false);
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
  chunk = {arrival.location, arrival.slot, header.payload_bytes, true};
  if (chunk.slot != kNoSlot) ++slots_held_;
  ++update.chunks_here;
  const bool whole = update.chunks_here == parts_.plan.chunk_count;
  if (parts_.plan.resident) {
    MUSTER_TRY(send(update, header.chunk, resident_row(header.chunk, update.row)));
  }
  const bool waits = parts_.plan.streaming || sketches_;
  if (whole && waits) {
    MUSTER_TRY(enlist(update));
  } else if (!waits || slots_held_ > parts_.slots.count() / 2) {
    // Half-sent updates must not keep the slab from the others: past half of it their codes wait on
    // disk, where they are anyway.
    give_back(chunk);
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

void CohortBuilder::give_back(Update& update) {
  for (Chunk& chunk : update.chunks) give_back(chunk);
}

void CohortBuilder::release_slots() {
  flush();
  give_back_sent(true);
  for (auto& [id, update] : updates_) give_back(update);
}

Result<ConstBytes> CohortBuilder::payload_of(const Update& update, std::uint32_t index) {
  const Chunk& chunk = update.chunks[index];
  const ChunkFormat format = parts_.plan.request.format;
  const std::size_t d = codes_of(index, {}).d;
  const std::size_t bytes = chunk.payload_bytes;
  if (!is_payload_length(format, d, bytes))
    return Status(Code::kCorrupt, "record_misfit",
                  "a record of the round is not as long as its codes");
  ConstBytes payload;
  if (chunk.slot != kNoSlot) {
    payload = parts_.slots.bytes(chunk.slot).subspan(kRecordHeaderBytes, bytes);
  } else {
    MUSTER_TRY(parts_.spool.read(chunk.location,
                                 MutableBytes(record_).first(ingest::record_bytes(bytes))));
    payload = ConstBytes(record_).subspan(kRecordHeaderBytes, bytes);
  }
  if (ingest::is_deflated(format, d, bytes)) {
    const MutableBytes raw = MutableBytes(inflated_).first(payload_bytes(format, d));
    // Intake inflated the same bytes before it acknowledged them.
    if (inflater_->inflate(payload, raw) != wire::Reason::kOk)
      return Status(Code::kCorrupt, "zstd_invalid", "an acknowledged payload does not inflate");
    payload = raw;
  }
  return payload;
}

/// Brings the codes of one chunk into backend memory, where jobs queued before may still read what
/// was there.
Status CohortBuilder::load(const Update& update, std::uint32_t index, std::byte* target) {
  MUSTER_ASSIGN(const ConstBytes payload, payload_of(update, index));
  parts_.backend.wait_on(kernels::Stream::kCopy, parts_.backend.record(kernels::Stream::kCompute));
  parts_.backend.upload(target, payload, kernels::Stream::kCopy);
  parts_.backend.wait(parts_.backend.record(kernels::Stream::kCopy));
  return {};
}

/// The same without waiting, into memory that no job reads: the slot goes back when its bytes are
/// there, and order_compute() comes before they are used.
Status CohortBuilder::send(Update& update, std::uint32_t index, std::byte* target) {
  Chunk& chunk = update.chunks[index];
  MUSTER_ASSIGN(const ConstBytes payload, payload_of(update, index));
  parts_.backend.upload(target, payload, kernels::Stream::kCopy);
  arrived_ = parts_.backend.record(kernels::Stream::kCopy);
  if (chunk.slot == kNoSlot || payload.data() == inflated_.data()) {
    parts_.backend.wait(arrived_);  // the buffer it came from is used again
    give_back(chunk);
  } else {
    sent_.push_back({arrived_, chunk.slot});
    chunk.slot = kNoSlot;
  }
  return {};
}

/// Slots whose bytes arrived; all of them, in the end, with `wait`.
void CohortBuilder::give_back_sent(bool wait) {
  while (!sent_.empty() && (wait || parts_.backend.done(sent_.front().event))) {
    if (wait) parts_.backend.wait(sent_.front().event);
    parts_.slots.give_back(sent_.front().slot);
    --slots_held_;
    sent_.pop_front();
  }
}

/// What is computed from now on sees all that was sent.
void CohortBuilder::order_compute() { parts_.backend.wait_on(kernels::Stream::kCompute, arrived_); }

/// Where the codes of a chunk can be used as they lie: resident, or in their slot. Null: nowhere.
const std::byte* CohortBuilder::at_hand(const Update& update, std::uint32_t index) const {
  if (parts_.plan.resident) return resident_row(index, update.row);
  const Chunk& chunk = update.chunks[index];
  if (chunk.slot == kNoSlot || !parts_.backend.host_visible() ||
      ingest::is_deflated(parts_.plan.request.format, codes_of(index, {}).d, chunk.payload_bytes))
    return nullptr;
  return parts_.slots.bytes(chunk.slot).data() + kRecordHeaderBytes;
}

/// Lets a whole update wait for company, or takes it at once where its codes are not at hand.
Status CohortBuilder::enlist(Update& update) {
  if (stages()) return stage(update);
  bool usable = true;
  for (std::uint32_t c = 0; c < parts_.plan.chunk_count; ++c)
    usable = usable && at_hand(update, c) != nullptr;
  if (!usable) return parts_.plan.streaming ? fold_alone(update) : sketch_alone(update);
  waiting_.push_back(&update);
  if (waiting_.size() >= fold_together_) flush();
  return {};
}

/// Sends a whole update to the half of the staged rows that is being filled; a full half is folded
/// while the other fills.
Status CohortBuilder::stage(Update& update) {
  const std::uint32_t half = next_stage_ / static_cast<std::uint32_t>(fold_together_);
  if (waiting_.empty()) parts_.backend.wait_on(kernels::Stream::kCopy, folded_[half]);
  update.stage = next_stage_++;
  for (std::uint32_t c = 0; c < parts_.plan.chunk_count; ++c)
    MUSTER_TRY(send(update, c, staged_row(c, update.stage)));
  waiting_.push_back(&update);
  if (waiting_.size() >= fold_together_) flush();
  return {};
}

void CohortBuilder::flush() {
  give_back_sent(false);
  if (waiting_.empty()) return;
  order_compute();
  const std::size_t n = waiting_.size();
  std::vector<const std::byte*> rows(n * parts_.plan.chunk_count);
  for (std::uint32_t c = 0; c < parts_.plan.chunk_count; ++c)
    for (std::size_t i = 0; i < n; ++i)
      rows[c * n + i] = stages() ? staged_row(c, waiting_[i]->stage) : at_hand(*waiting_[i], c);
  if (parts_.plan.streaming) {
    fold(waiting_, rows);
  } else {
    const auto chunk_of = [&](std::uint32_t c) -> Result<kernels::Codes> {
      return codes_of(c, std::span(rows).subspan(c * n, n));
    };
    // Memory does not fail to be read.
    const auto added = sketches_->add(n, chunk_of).value();
    for (std::size_t i = 0; i < n; ++i) waiting_[i]->sketch = added[i].index;
  }
  for (Update* const update : waiting_) give_back(*update);
  if (stages()) {
    const auto half = waiting_.front()->stage / static_cast<std::uint32_t>(fold_together_);
    folded_[half] = parts_.backend.record(kernels::Stream::kCompute);
    next_stage_ = static_cast<std::uint32_t>((1 - half) * fold_together_);
  }
  waiting_.clear();
}

Status CohortBuilder::fold_alone(Update& update) {
  std::vector<const std::byte*> rows;
  for (std::uint32_t c = 0; c < parts_.plan.chunk_count; ++c) {
    std::byte* const target = codes_.data + c * parts_.plan.row_pitch;
    MUSTER_TRY(load(update, c, target));
    rows.push_back(target);
  }
  Update* const one = &update;
  fold({&one, 1}, rows);
  give_back(update);
  return {};
}

Status CohortBuilder::sketch_alone(Update& update) {
  const std::byte* row = nullptr;
  const auto chunk_of = [&](std::uint32_t c) -> Result<kernels::Codes> {
    row = at_hand(update, c);
    order_compute();
    if (row == nullptr) {
      MUSTER_TRY(load(update, c, codes_.data));
      row = codes_.data;
    }
    return codes_of(c, {&row, 1});
  };
  MUSTER_ASSIGN(const auto added, sketches_->add(1, chunk_of));
  update.sketch = added[0].index;
  give_back(update);
  return {};
}

robust::SketchKey CohortBuilder::sketch_key() const {
  const Hash128 hash = ingest::keyed_hash(parts_.round_secret, as_bytes("sketches"));
  return {hash.low, hash.high};
}

/// `rows`: where the codes lie, chunk by chunk.
void CohortBuilder::fold(std::span<Update* const> updates, std::span<const std::byte* const> rows) {
  const std::size_t n = updates.size();
  std::vector<kernels::Codes> chunks;
  std::vector<std::uint32_t> weights;
  for (std::uint32_t c = 0; c < parts_.plan.chunk_count; ++c)
    chunks.push_back(codes_of(c, rows.subspan(c * n, n)));
  for (const Update* const update : updates) weights.push_back(update->weight);
  if (private_fold_)
    private_fold_->add(chunks, weights);
  else
    fold_->add(chunks, weights);
}

std::byte* CohortBuilder::resident_row(std::uint32_t chunk, std::uint32_t row) const {
  const std::size_t first = std::size_t{chunk} * parts_.plan.request.max_updates;
  return codes_.data + (first + row) * parts_.plan.row_pitch;
}

std::byte* CohortBuilder::staged_row(std::uint32_t chunk, std::uint32_t row) const {
  const std::size_t first = std::size_t{chunk} * parts_.plan.staged_updates;
  return codes_.data + (first + row) * parts_.plan.row_pitch;
}

kernels::Codes CohortBuilder::codes_of(std::uint32_t chunk,
                                       std::span<const std::byte* const> rows) const {
  const robust::PlanRequest& request = parts_.plan.request;
  const std::size_t first = std::size_t{chunk} * request.chunk_coordinates;
  const std::size_t d = std::min<std::size_t>(request.chunk_coordinates, request.dimension - first);
  kernels::Codes codes{request.format, d, rows, {}};
  if (has_shared_scales(request.format.codec)) {
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

void CohortBuilder::wipe(kernels::Buffer buffer) {
  if (buffer.data == nullptr) return;
  parts_.backend.fill_zero(buffer.data, buffer.bytes, kernels::Stream::kCompute);
  parts_.backend.wait(parts_.backend.record(kernels::Stream::kCompute));
}

}  // namespace muster::server
