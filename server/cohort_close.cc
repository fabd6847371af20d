// What becomes of a cohort once it is sealed: rows for the rules, the aggregate, the next scales.
#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "base/hex.h"
#include "server/cohort.h"

namespace muster::server {
namespace {

Status seal_differs() {
  return {Code::kInternal, "sealed_set_differs", "more updates are whole than were sealed"};
}

}  // namespace

/// The sealed set, rows in ascending order of update id.
class CohortBuilder::Sealed final : public robust::Cohort {
 public:
  Sealed(CohortBuilder& builder, std::vector<const Update*> updates)
      : builder_(builder), updates_(std::move(updates)), all_(updates_.size()) {
    std::iota(all_.begin(), all_.end(), 0u);
    const ingest::NodeSecret& secret = builder.parts_.round_secret;
    for (const Update* update : updates_) {
      weights_.push_back(update->weight);
      ranks_.push_back(ingest::keyed_hash(secret, object_bytes(update->device)).low);
      sketches_.push_back(update->sketch);
    }
  }
  std::uint32_t size() const override { return static_cast<std::uint32_t>(updates_.size()); }
  std::span<const std::uint32_t> weights() const override { return weights_; }
  std::span<const std::uint64_t> ranks() const override { return ranks_; }
  robust::SketchKey sketch_key() const override { return builder_.sketch_key(); }
  /// Which sketch is which row's.
  std::span<const std::uint32_t> sketches() const { return sketches_; }
  std::optional<std::uint32_t> trusted() const override {
    for (std::uint32_t row = 0; row < size(); ++row)
      if (updates_[row]->device == builder_.parts_.trusted) return row;
    return std::nullopt;
  }
  Result<kernels::Codes> chunk(std::uint32_t index) override { return chunk_of(index, all_); }
  /// Rows that are not resident are read from the spool, and only these.
  Result<kernels::Codes> chunk_of(std::uint32_t index,
                                  std::span<const std::uint32_t> rows) override {
    const robust::Plan& plan = builder_.parts_.plan;
    MUSTER_CHECK(plan.resident || rows.size() <= plan.rows_at_once());
    addresses_.clear();
    for (const std::uint32_t row : rows) {
      std::byte* target = builder_.codes_.data + addresses_.size() * plan.row_pitch;
      if (plan.resident)
        target = builder_.resident_row(index, updates_[row]->row);
      else
        MUSTER_TRY(builder_.load(*updates_[row], index, target));
      addresses_.push_back(target);
    }
    return builder_.codes_of(index, addresses_);
  }

 private:
  CohortBuilder& builder_;
  std::vector<const Update*> updates_;
  std::vector<std::uint32_t> all_;
  std::vector<const std::byte*> addresses_;
  std::vector<std::uint32_t> weights_;
  std::vector<std::uint64_t> ranks_;
  std::vector<std::uint32_t> sketches_;
};

Result<std::vector<const CohortBuilder::Update*>> CohortBuilder::whole_updates(
    std::span<const UpdateId> ids) const {
  std::vector<const Update*> updates;
  updates.reserve(ids.size());
  for (const UpdateId& id : ids) {
    const auto found = updates_.find(id);
    if (found == updates_.end() || found->second.chunks_here != parts_.plan.chunk_count)
      return Status(
          Code::kCorrupt, "sealed_update_missing",
          "the spool lacks update " + hex(object_bytes(id)) +
              " of a sealed round; restore the spool from its volume or abandon the round");
    updates.push_back(&found->second);
  }
  return updates;
}

Status CohortBuilder::adapt_scales(std::span<const UpdateId> sealed, robust::ScaleRange range,
                                   std::span<std::int8_t> exponents) {
  MUSTER_ASSIGN(std::vector<const Update*> updates, whole_updates(sealed));
  // Drawn with the secret: a device cannot know whether it will be looked at.
  std::vector<std::pair<std::uint64_t, const Update*>> drawn;
  for (const Update* const update : updates)
    drawn.emplace_back(ingest::keyed_hash(parts_.round_secret, object_bytes(update->device)).low,
                       update);
  std::sort(drawn.begin(), drawn.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  drawn.resize(std::min<std::size_t>(drawn.size(), robust::kScaleSample));

  const robust::PlanRequest& request = parts_.plan.request;
  const std::size_t block = std::size_t{1} << request.format.log2_block;
  std::vector<std::uint8_t> peaks(drawn.size() * exponents.size());
  for (std::size_t row = 0; row < drawn.size(); ++row) {
    const std::span<std::uint8_t> of_row =
        std::span(peaks).subspan(row * exponents.size(), exponents.size());
    for (std::uint32_t c = 0; c < parts_.plan.chunk_count; ++c) {
      MUSTER_ASSIGN(const ConstBytes payload, payload_of(*drawn[row].second, c));
      const std::size_t d = codes_of(c, {}).d;
      const std::size_t first = std::size_t{c} * request.chunk_coordinates / block;
      robust::block_peaks(request.format, d, payload, of_row.subspan(first, divide_up(d, block)));
    }
  }
  robust::adapt_scales(request.format.codec, peaks, range, exponents);
  return {};
}

Result<CohortBuilder::Aggregated> CohortBuilder::aggregate(std::span<const UpdateId> sealed,
                                                           std::uint64_t codec_seed,
                                                           std::span<const float> previous) {
  MUSTER_ASSIGN(std::vector<const Update*> updates, whole_updates(sealed));
  const robust::Plan& plan = parts_.plan;
  auto* const sum = sum_.as<std::int64_t>();
  Aggregated result;
  flush();
  order_compute();
  if (plan.streaming) {
    // Every whole update is folded. The seal took exactly those.
    if (sealed.size() != complete_) return seal_differs();
    MUSTER_ASSIGN(result.outcome, (*std::move(fold_)).finish());
  } else {
    Sealed cohort(*this, std::move(updates));
    const robust::SketchedCohort sketched{sketches_ ? &*sketches_ : nullptr, cohort.sketches()};
    MUSTER_ASSIGN(result.outcome,
                  robust::aggregate(plan, parts_.backend, cohort, sum, uploaded(previous),
                                    sketches_ ? &sketched : nullptr));
  }
  result.sum = restored(codec_seed);
  return result;
}

Result<CohortBuilder::NoisedAggregate> CohortBuilder::aggregate_private(
    std::span<const UpdateId> sealed, std::uint64_t codec_seed, std::span<const float> previous,
    const RoundNoise& noise) {
  MUSTER_ASSIGN(std::vector<const Update*> updates, whole_updates(sealed));
  const robust::Plan& plan = parts_.plan;
  flush();
  order_compute();
  PrivateClose close{parts_.backend, plan, *parts_.privacy, noise};
  close.sum = sum_.as<std::int64_t>();
  close.decoded = decoded_.as<float>();
  std::optional<Sealed> cohort;
  if (plan.streaming) {
    if (sealed.size() != complete_) return seal_differs();
    close.count = private_fold_->count();
  } else {
    cohort.emplace(*this, std::move(updates));
    close.cohort = &*cohort;
    close.centre = uploaded(previous);
  }
  NoisedAggregate result;
  MUSTER_ASSIGN(result.noised, noise_sums(close));
  result.sum = restored(codec_seed);
  return result;
}

Result<std::vector<DeviceHash>> CohortBuilder::devices_of(std::span<const UpdateId> sealed) const {
  MUSTER_ASSIGN(const std::vector<const Update*> updates, whole_updates(sealed));
  std::vector<DeviceHash> devices;
  devices.reserve(updates.size());
  for (const Update* update : updates) devices.push_back(update->device);
  return devices;
}

const std::int64_t* CohortBuilder::restored(std::uint64_t codec_seed) {
  if (!parts_.plan.restores) return sum_.as<std::int64_t>();
  robust::restore(parts_.plan, parts_.backend, codec_seed, sum_.as<std::int64_t>(),
                  model_sum_.as<std::int64_t>());
  return model_sum_.as<std::int64_t>();
}

const float* CohortBuilder::uploaded(std::span<const float> previous) {
  if (previous_.data == nullptr || previous.empty()) return nullptr;
  parts_.backend.upload(previous_.data, std::as_bytes(previous), kernels::Stream::kCompute);
  return previous_.as<float>();
}

}  // namespace muster::server
