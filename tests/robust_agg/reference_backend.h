// kernels::Backend in plain loops, straight from the sentences of kernels/backend.h: the oracle
// that shares no arithmetic with the fast backends but the order of their f64 sums.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <new>
#include <numeric>
#include <vector>

#include "base/check.h"
#include "kernels/backend.h"
#include "kernels/canonical.h"

namespace muster::robust::testing {

class ReferenceBackend final : public kernels::Backend {
 public:
  /// `visible`: false makes callers go the way of a device whose memory the host cannot read.
  explicit ReferenceBackend(bool visible = true, std::size_t budget = 0)
      : visible_(visible), budget_(budget) {}

  std::string_view kind() const override { return "cpu"; }
  std::string description() const override { return "plain loops"; }
  bool host_visible() const override { return visible_; }

  Result<kernels::Buffer> allocate_host(std::size_t bytes) override { return allocate(bytes); }
  Result<kernels::Buffer> allocate(std::size_t bytes) override {
    if (budget_ != 0 && allocated_ + bytes > budget_)
      return Status(Code::kExhausted, "backend_memory", "over the budget of the test");
    const std::size_t size = align_up(std::max<std::size_t>(bytes, 1), 64);
    auto* data = static_cast<std::byte*>(::operator new(size, std::align_val_t(64)));
    std::fill_n(data, size, std::byte{0});
    allocated_ += bytes;
    return kernels::Buffer{data, bytes};
  }
  void release(kernels::Buffer buffer) override {
    if (buffer.data == nullptr) return;
    allocated_ -= buffer.bytes;
    ::operator delete(buffer.data, std::align_val_t(64));
  }
  std::size_t allocated_bytes() const override { return allocated_; }

  void upload(std::byte* target, ConstBytes source, kernels::Stream) override {
    std::copy(source.begin(), source.end(), target);
  }
  void download(MutableBytes target, const std::byte* source, kernels::Stream) override {
    std::copy_n(source, target.size(), target.begin());
  }
  void fill_zero(std::byte* target, std::size_t bytes, kernels::Stream) override {
    std::fill_n(target, bytes, std::byte{0});
  }
  kernels::Event record(kernels::Stream) override { return {}; }
  bool done(kernels::Event) override { return true; }
  void wait(kernels::Event) override {}
  void wait_on(kernels::Stream, kernels::Event) override {}

  void inspect(const kernels::InspectJob& job, kernels::Stream) override {
    for (std::size_t i = 0; i < job.codes.n(); ++i) {
      kernels::RowSummary summary;
      for (std::size_t k = 0; k < job.codes.d; ++k) {
        const float x = value(job.codes, i, k);
        if (!std::isfinite(x))
          ++summary.non_finite;
        else if (std::abs(x) > job.value_bound)
          ++summary.out_of_bound;
      }
      summary.squared_norm = dot(job.codes, i, i, 0);
      job.summaries[i] = summary;
    }
  }

  void accumulate(const kernels::AccumulateJob& job, kernels::Stream) override {
    for (std::size_t i = 0; i < job.codes.n(); ++i)
      for (std::size_t k = 0; k < job.codes.d; ++k) {
        const float x = value(job.codes, i, k);
        if (!std::isfinite(x)) continue;
        job.target[k] += job.weights[i] * on_grid(job.factors[i] * double{x}, job.grid_bits);
      }
  }

  void kept_sum(const kernels::KeptSumJob& job, kernels::Stream) override {
    std::vector<float> column(job.codes.n());
    for (std::size_t k = 0; k < job.codes.d; ++k) {
      for (std::size_t i = 0; i < column.size(); ++i) column[i] = value(job.codes, i, k);
      std::sort(column.begin(), column.end());
      std::int64_t sum = 0;
      for (std::size_t i = job.low; i + job.high < column.size(); ++i)
        sum += on_grid(double{column[i]}, job.grid_bits);
      job.target[k] = sum;
    }
  }

  void window_sum(const kernels::WindowSumJob& job, kernels::Stream) override {
    using Wide = __int128;
    const auto divided = [](Wide numerator, Wide divisor) {
      Wide floor = numerator / divisor - (numerator % divisor < 0 ? 1 : 0);
      const Wide twice = 2 * (numerator - floor * divisor);
      return floor + (twice > divisor || (twice == divisor && floor % 2 != 0) ? 1 : 0);
    };
    for (std::size_t k = 0; k < job.codes.d; ++k) {
      std::vector<Wide> column(job.codes.n());
      for (std::size_t i = 0; i < column.size(); ++i)
        column[i] = on_grid((job.factors.empty() ? 1 : job.factors[i]) * value(job.codes, i, k),
                            job.grid_bits);
      for (const kernels::MixStage& stage : job.stages) {
        std::vector<Wide> mixed;
        for (std::size_t r = 0; r < stage.n(); ++r) {
          Wide sum = 0, count = 0;
          if (stage.except) {
            sum = std::accumulate(column.begin(), column.end(), Wide{0});
            count = static_cast<Wide>(column.size());
          }
          for (std::size_t m = stage.bounds[r]; m < stage.bounds[r + 1]; ++m) {
            sum += (stage.except ? -1 : 1) * column[stage.members[m]];
            count += stage.except ? -1 : 1;
          }
          mixed.push_back(divided(sum, count));
        }
        column = std::move(mixed);
      }
      std::sort(column.begin(), column.end());
      const Wide count = static_cast<Wide>(column.size()) - job.low - job.high;
      const Wide centre =
          std::accumulate(column.begin() + job.low, column.end() - job.high, Wide{0});
      const auto distance = [&](Wide v) {
        return std::max(v * count - centre, centre - v * count);
      };
      std::stable_sort(column.begin(), column.end(),
                       [&](Wide a, Wide b) { return distance(a) < distance(b); });
      Wide sum = job.keep == 0 ? centre : 0, tied = 0, ties = 0, places = job.keep;
      for (const Wide v : column) {
        if (job.keep == 0 || distance(v) > distance(column[job.keep - 1])) break;
        if (distance(v) < distance(column[job.keep - 1]))
          sum += v, --places;
        else
          tied += v, ++ties;
      }
      if (job.keep > 0) sum += divided(places * tied, ties);
      job.target[k] = static_cast<std::int64_t>(sum);
    }
  }

  void count(const kernels::CountJob& job, kernels::Stream) override {
    const std::size_t bins = kernels::count_bins(job.codes.format.codec);
    for (std::size_t i = 0; i < job.codes.n(); ++i)
      for (std::size_t k = 0; k < job.codes.d; ++k)
        ++job.counters[k * bins + static_cast<std::size_t>(code(job.codes, i, k) + 128)];
  }

  void kept_sum_of_counts(const kernels::KeptSumOfCountsJob& job, kernels::Stream) override {
    const std::size_t bins = kernels::count_bins(job.format.codec);
    for (std::size_t k = 0; k < job.d; ++k) {
      const int exponent = job.scale_exponents[k >> job.format.log2_block];
      std::uint64_t rank = 0;
      job.target[k] = 0;
      for (std::size_t bin = 0; bin < bins; ++bin)
        for (std::uint32_t i = 0; i < job.counters[k * bins + bin]; ++i, ++rank)
          if (rank >= job.low && rank < job.n - job.high)
            job.target[k] +=
                on_grid(std::ldexp(static_cast<double>(bin) - 128, exponent), job.grid_bits);
    }
  }

  void gram(const kernels::GramJob& job, kernels::Stream) override {
    const std::size_t n = job.codes.n(), rows = job.rows != 0 ? job.rows : n;
    ++(job.centre == nullptr ? grams_ : centred_grams_);
    for (std::size_t i = 0; i < rows; ++i)
      for (std::size_t j = 0; j < n; ++j) {
        double& entry = job.gram[i * n + j];
        entry = job.centre == nullptr
                    ? dot(job.codes, i, j, entry)
                    : by_blocks(job.codes.d, entry, [&](std::size_t k) {
                        const double c = double{job.centre[k]};
                        return (exact(job.codes, i, k) - c) * (exact(job.codes, j, k) - c);
                      });
        entry *= 1 + gram_noise_ * static_cast<double>((i + j) % 3);
      }
  }

  /// The canonical matrix, every entry pushed by the permitted error: one way or the other.
  void estimate_gram(const kernels::GramJob& job, kernels::Stream) override {
    ++estimates_;
    const std::size_t n = job.codes.n();
    std::vector<double> exact_entries(n * n);
    const auto entry = [&](std::size_t i, std::size_t j) {
      return by_blocks(job.codes.d, 0, [&](std::size_t k) {
        const double c = job.centre == nullptr ? 0 : double{job.centre[k]};
        return (exact(job.codes, i, k) - c) * (exact(job.codes, j, k) - c);
      });
    };
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = i; j < n; ++j)
        exact_entries[i * n + j] = exact_entries[j * n + i] = entry(i, j);
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j) {
        const double push = std::sqrt(exact_entries[i * n + i] * exact_entries[j * n + j]) *
                            kernels::kEstimateError * ((i * j + i + j) % 2 == 0 ? 0.9 : -0.9);
        job.gram[i * n + j] += exact_entries[i * n + j] + (i == j ? 0 : push);
      }
  }
  bool estimates_gram(Codec codec) const override {
    return estimating_ && kernels::holds_floats(codec);
  }

  void pair_distances(const kernels::PairDistanceJob& job, kernels::Stream) override {
    pairs_measured_ += job.distances.size();
    for (std::size_t p = 0; p < job.distances.size(); ++p) {
      const std::size_t i = job.pairs[2 * p], j = job.pairs[2 * p + 1];
      job.distances[p] = by_blocks(job.codes.d, job.distances[p], [&](std::size_t k) {
        const double difference = exact(job.codes, i, k) - exact(job.codes, j, k);
        return difference * difference;
      });
    }
  }

  void expand(const kernels::ExpandJob&, kernels::Stream) override {
    MUSTER_CHECK(false && "tests/conformance judges this");
  }
  void restore(const kernels::RestoreJob&, kernels::Stream) override {
    MUSTER_CHECK(false && "tests/conformance judges this");
  }

  void sketch(const kernels::SketchJob& job, kernels::Stream) override {
    for (std::size_t i = 0; i < job.codes.n(); ++i)
      for (std::size_t k = 0; k < job.codes.d; ++k) {
        const std::size_t block = k / kernels::kSketchBlock, lane = k % kernels::kSketchBlock;
        const float x = value(job.codes, i, k);
        // What is beyond counts as anything: such rows are invalid.
        const bool within = std::abs(std::ldexp(double{x}, job.unit_bits)) < 0x1p31;
        const std::int64_t step = within ? on_grid(double{x}, job.unit_bits) : 0;
        job.target[i * job.cells + job.places[block] + lane] +=
            (job.signs[block] >> lane) % 2 == 1 ? -step : step;
      }
  }

  void step(const kernels::StepJob& job, kernels::Stream) override {
    for (std::size_t k = 0; k < job.d; ++k) {
      const double delta = static_cast<double>(job.sum[k]) * job.scale;
      double move = delta;
      if (job.optimiser == kernels::Optimiser::kMomentum) {
        move = job.beta1 * double{job.first[k]} + delta;
        job.first[k] = static_cast<float>(move);
      }
      double shrink = 1;
      if (kernels::has_second_moment(job.optimiser)) {
        move = job.beta1 * double{job.first[k]} + (1 - job.beta1) * delta;
        const double before = double{job.second[k]}, now = delta * delta;
        double square = before + now;
        if (job.optimiser == kernels::Optimiser::kAdam)
          square = job.beta2 * before + (1 - job.beta2) * now;
        if (job.optimiser == kernels::Optimiser::kYogi)
          square =
              before == now ? before : before + (before < now ? 1 : -1) * ((1 - job.beta2) * now);
        job.first[k] = static_cast<float>(move);
        job.second[k] = static_cast<float>(square);
        shrink = std::sqrt(square) + job.epsilon;
      }
      job.model[k] = static_cast<float>(double{job.model[k]} + job.learning_rate * move / shrink);
    }
  }

  void relate(const kernels::RelateJob& job, kernels::Stream) override {
    const auto other = [&](std::size_t k) {
      return static_cast<double>(job.reference[k]) * job.scale;
    };
    for (std::size_t i = 0; i < job.squared_distances.size(); ++i)
      job.squared_distances[i] =
          by_blocks(job.codes.d, job.squared_distances[i], [&](std::size_t k) {
            const double difference = exact(job.codes, i, k) - other(k);
            return difference * difference;
          });
    for (std::size_t i = 0; i < job.dots.size(); ++i)
      job.dots[i] = by_blocks(job.codes.d, job.dots[i],
                              [&](std::size_t k) { return exact(job.codes, i, k) * other(k); });
  }

  void vote(const kernels::VoteJob& job, kernels::Stream) override {
    for (std::size_t i = 0; i < job.codes.n(); ++i)
      for (std::size_t k = 0; k < job.codes.d; ++k) {
        const float x = value(job.codes, i, k);
        if (std::isfinite(x)) job.target[k] += x > 0 ? 1 : x < 0 ? -1 : 0;
      }
  }

  void merge(const kernels::MergeJob& job, kernels::Stream) override {
    for (std::size_t k = 0; k < job.d; ++k) {
      const double pulled = job.pull * static_cast<double>(job.target[k]);
      job.target[k] += static_cast<std::int64_t>(
          std::nearbyint((static_cast<double>(job.sum[k]) - pulled) / job.divisor));
    }
  }

  void elect(std::int64_t* target, std::size_t d, kernels::Stream) override {
    for (std::size_t k = 0; k < d; ++k) target[k] = target[k] > 0 ? 1 : target[k] < 0 ? -1 : 0;
  }

  void grid_norms(const kernels::GridNormJob& job, kernels::Stream) override {
    for (std::size_t i = 0; i < job.codes.n(); ++i) {
      unsigned __int128 sum = job.norms[i].value();
      for (std::size_t k = 0; k < job.codes.d; ++k) {
        const float x = value(job.codes, i, k);
        std::int64_t q = std::isfinite(x) ? on_grid(job.factors[i] * double{x}, job.grid_bits) : 0;
        if (job.centre != nullptr)
          q += on_grid(-job.factors[i] * double{job.centre[k]}, job.grid_bits);
        const auto size =
            static_cast<unsigned __int128>(std::min(q < 0 ? -q : q, std::int64_t{1} << 46));
        sum += size * size;
      }
      job.norms[i] = {static_cast<std::uint64_t>(sum), static_cast<std::uint64_t>(sum >> 64)};
    }
  }
  /// No rule adds noise.
  void add_noise(const kernels::NoiseJob&, kernels::Stream) override { MUSTER_CHECK(false); }

  std::size_t scratch_bytes(std::size_t, std::size_t) const override { return 1000; }

  /// Makes Gram entries wrong by up to this relative error, as other hardware might.
  void set_gram_noise(double noise) { gram_noise_ = noise; }
  void set_estimating() { estimating_ = true; }
  std::size_t pairs_measured() const { return pairs_measured_; }
  std::size_t grams() const { return grams_; }
  std::size_t centred_grams() const { return centred_grams_; }
  std::size_t estimates() const { return estimates_; }

 private:
  static std::int64_t on_grid(double x, int grid_bits) {
    return static_cast<std::int64_t>(std::nearbyint(std::ldexp(x, grid_bits)));
  }

  static bool integer(const kernels::Codes& codes) {
    return codes.format.codec == Codec::kI8B || codes.format.codec == Codec::kI8S;
  }
  static float scale(const kernels::Codes& codes, std::size_t row, std::size_t k) {
    const std::size_t block = k >> codes.format.log2_block;
    if (codes.format.codec == Codec::kI8S) return std::ldexp(1.0f, codes.scale_exponents[block]);
    return at<float>(codes, row, 4 * block);
  }
  static int code(const kernels::Codes& codes, std::size_t row, std::size_t k) {
    return at<std::int8_t>(codes, row, 4 * scale_count(codes.format, codes.d) + k);
  }
  template <class T>
  static T at(const kernels::Codes& codes, std::size_t row, std::size_t offset) {
    T read;
    std::memcpy(&read, codes.rows[row] + offset, sizeof read);
    return read;
  }

  /// A coordinate as f32, and as the real number it stands for.
  static float value(const kernels::Codes& codes, std::size_t row, std::size_t k) {
    switch (codes.format.codec) {
      case Codec::kF32:
        return at<float>(codes, row, 4 * k);
      case Codec::kBF16:
        return std::bit_cast<float>(std::uint32_t{at<std::uint16_t>(codes, row, 2 * k)} << 16);
      case Codec::kI8B:
      case Codec::kI8S:
        return scale(codes, row, k) * static_cast<float>(code(codes, row, k));
      default:
        MUSTER_CHECK(false && "tests/conformance judges the others");
        return 0;
    }
  }
  static double exact(const kernels::Codes& codes, std::size_t row, std::size_t k) {
    if (integer(codes)) return double{scale(codes, row, k)} * code(codes, row, k);
    return value(codes, row, k);
  }

  /// start + the canonical sum of term(k).
  template <class Term>
  static double by_blocks(std::size_t d, double start, const Term& term) {
    using namespace kernels::canonical;
    for (std::size_t begin = 0; begin < d; begin += kBlock) {
      double lanes[kLanes] = {};
      for (std::size_t k = begin; k < std::min(d, begin + kBlock); ++k)
        lanes[(k - begin) % kLanes] += term(k);
      for (std::size_t width = kLanes / 2; width > 0; width /= 2)
        for (std::size_t lane = 0; lane < width; ++lane) lanes[lane] += lanes[lane + width];
      start += lanes[0];
    }
    return start;
  }

  /// start + <x_i, x_j>; of the finite values where i == j.
  static double dot(const kernels::Codes& codes, std::size_t i, std::size_t j, double start) {
    using kernels::canonical::kBlock;
    if (!integer(codes))
      return by_blocks(codes.d, start, [&](std::size_t k) {
        const double a = exact(codes, i, k), b = exact(codes, j, k);
        return std::isfinite(a) && std::isfinite(b) ? a * b : 0;
      });
    for (std::size_t begin = 0; begin < codes.d; begin += kBlock) {
      const std::size_t end = std::min(codes.d, begin + kBlock);
      double block = 0;
      for (std::size_t k = begin; k < end;) {
        const std::size_t run = ((k >> codes.format.log2_block) + 1) << codes.format.log2_block;
        const double scales = double{scale(codes, i, k)} * double{scale(codes, j, k)};
        std::int64_t products = 0;
        for (; k < std::min(run, end); ++k)
          products += std::int64_t{code(codes, i, k)} * code(codes, j, k);
        block += scales * static_cast<double>(products);
      }
      start += block;
    }
    return start;
  }

  bool visible_;
  std::size_t budget_;
  std::size_t allocated_ = 0;
  std::size_t pairs_measured_ = 0;
  std::size_t grams_ = 0, centred_grams_ = 0, estimates_ = 0;
  bool estimating_ = false;
  double gram_noise_ = 0;
};

}  // namespace muster::robust::testing
