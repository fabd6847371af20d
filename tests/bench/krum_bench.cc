// P4: distances for Krum against a BLAS and against the loop one would write without one. All times
// are linear in the number of coordinates, so the tables use one chunk, not 10^6.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "base/check.h"
#include "kernels/backend.h"
#include "robust_agg/aggregate.h"
#include "tests/bench/bench.h"
#include "tests/bench/timed.h"

#if defined(MUSTER_BENCH_OPENBLAS)
#include <cblas.h>
extern "C" void openblas_set_num_threads(int threads);
#endif

namespace muster::bench {
namespace {

/// n updates of d coordinates, encoded and as f32.
struct Updates {
  Updates(ChunkFormat with_format, std::size_t with_n, std::size_t with_d, bool clear_winner)
      : format(with_format), n(with_n), d(with_d), values(n * d) {
    kernels::BackendOptions options;
    options.kind = "cpu";
    options.threads = 1;
    backend = kernels::create_backend(options, nullptr).value();
    const std::size_t pitch = align_up(payload_bytes(format, d), 64);
    codes = backend->allocate(n * pitch).value();
    gram = backend->allocate(n * n * sizeof(double)).value();
    const std::size_t scales = scale_count(format, d);
    if (format.codec == Codec::kI8S)
      exponents.assign(divide_up(d, std::size_t{1} << format.log2_block), -10);
    std::mt19937 random(11);
    std::vector<float> normal(1u << 16);  // 2^16 draws, read from a random place for each row
    std::normal_distribution<float> draw(0, 30);
    for (float& x : normal) x = std::min(127.0f, std::max(-127.0f, draw(random)));
    for (std::size_t i = 0; i < n; ++i) {
      std::byte* row = codes.data + i * pitch;
      rows.push_back(row);
      const float step = 0x1p-10f;
      const float spread =
          clear_winner && i == 0 ? 0.1f : 0.3f + 0.7f * static_cast<float>(random() % 1000) / 1000;
      for (std::size_t b = 0; b < scales; ++b) std::memcpy(row + 4 * b, &step, 4);
      std::size_t at = random();
      for (std::size_t k = 0; k < d; ++k, at += 1 + i % 7 * 2) {
        float value = normal[at % normal.size()] * spread * step;
        if (format.codec == Codec::kF32) {
          std::memcpy(row + 4 * k, &value, 4);
        } else {
          const auto q = static_cast<std::int8_t>(value / step);
          row[4 * scales + k] = static_cast<std::byte>(q);
          value = static_cast<float>(q) * step;
        }
        values[i * d + k] = value;
      }
    }
  }
  kernels::Codes view() const { return {format, d, rows, exponents}; }
  /// Products of the half matrix.
  double products() const { return static_cast<double>(n * (n + 1) / 2 * d); }

  ChunkFormat format;
  std::size_t n, d;
  std::unique_ptr<kernels::Backend> backend;
  kernels::Buffer codes, gram;
  std::vector<const std::byte*> rows;
  std::vector<std::int8_t> exponents;
  std::vector<float> values;
};

/// Made when the first pair that is really run asks for it.
using Lazy = std::function<Updates&()>;
Lazy lazily(ChunkFormat format, std::size_t n, std::size_t d, bool clear_winner = false) {
  auto made = std::make_shared<std::unique_ptr<Updates>>();
  return [=]() -> Updates& {
    if (!*made) *made = std::make_unique<Updates>(format, n, d, clear_winner);
    return **made;
  };
}

Sample gram_by_muster(Updates& cohort) {
  return timed_run(cohort.products(), [&] {
    cohort.backend->gram({cohort.view(), nullptr, cohort.gram.as<double>()},
                         kernels::Stream::kCompute);
  });
}

/// What selections among float codes begin with, around a centre.
Sample estimate_by_muster(Updates& cohort) {
  return timed_run(cohort.products(), [&] {
    const auto* const centre = reinterpret_cast<const float*>(cohort.rows[0]);
    cohort.backend->estimate_gram({cohort.view(), centre, cohort.gram.as<double>()},
                                  kernels::Stream::kCompute);
  });
}

#if defined(MUSTER_BENCH_OPENBLAS)
Sample gram_by_openblas(const Updates& cohort) {
  openblas_set_num_threads(1);
  std::vector<float> gram(cohort.n * cohort.n);
  const auto n = static_cast<int>(cohort.n), d = static_cast<int>(cohort.d);
  return timed_run(cohort.products(), [&] {
    cblas_ssyrk(CblasRowMajor, CblasLower, CblasNoTrans, n, d, 1, cohort.values.data(), d, 0,
                gram.data(), n);
  });
}
#endif

/// Folds every row to 4096 cells, one after the other, as updates arrive.
Sample sketch_by_muster(Updates& cohort) {
  constexpr std::uint32_t kCells = 4096;
  std::mt19937_64 random(5);
  const std::size_t blocks = divide_up(cohort.d, kernels::kSketchBlock);
  std::vector<std::uint64_t> signs(blocks);
  std::vector<std::uint32_t> places(blocks);
  for (std::size_t b = 0; b < blocks; ++b) {
    signs[b] = random();
    places[b] = static_cast<std::uint32_t>(random() % (kCells / 8 - 7) * 8);
  }
  const kernels::Buffer sums = cohort.backend->allocate(kCells * sizeof(std::int64_t)).value();
  std::int64_t* cells = sums.as<std::int64_t>();
  const Sample sample = timed_run(static_cast<double>(cohort.n * cohort.d), [&] {
    for (std::size_t i = 0; i < cohort.n; ++i) {
      kernels::Codes row = cohort.view();
      row.rows = row.rows.subspan(i, 1);
      cohort.backend->sketch({row, kCells, signs.data(), places.data(), 26, cells},
                             kernels::Stream::kCompute);
    }
  });
  cohort.backend->release(sums);
  return sample;
}

/// One read of all codes, as fast as this processor reads.
Sample read_codes(const Updates& cohort) {
  std::uint64_t total = 0;
  const Sample sample = timed_run(static_cast<double>(cohort.n * cohort.d), [&] {
    const auto* words = reinterpret_cast<const std::uint64_t*>(cohort.codes.data);
    for (std::size_t k = 0; k < cohort.codes.bytes / 8; ++k) total += words[k];
  });
  MUSTER_CHECK(total != 1);
  return sample;
}

/// Squared distances of some pairs, as a loop over f32 differences.
Sample distances_by_loop(const Updates& cohort) {
  const std::size_t pairs = std::min<std::size_t>(cohort.n, 50);
  float total = 0;
  const Sample sample = timed_run(static_cast<double>(pairs * cohort.d), [&] {
    for (std::size_t p = 0; p < pairs; ++p) {
      const float* a = &cohort.values[p * cohort.d];
      const float* b = &cohort.values[(p * 7 + 1) % cohort.n * cohort.d];
      float sum = 0;
      for (std::size_t k = 0; k < cohort.d; ++k) sum += (a[k] - b[k]) * (a[k] - b[k]);
      total += sum;
    }
  });
  MUSTER_CHECK(total >= 0);
  return sample;
}

/// Resident codes of one chunk after another are the same ones: what a close reads, not what it
/// finds.
class BenchCohort final : public robust::Cohort {
 public:
  explicit BenchCohort(const Updates& cohort) : cohort_(cohort), weights_(cohort.n, 1) {
    for (std::size_t i = 0; i < cohort.n; ++i) ranks_.push_back(i * 0x9e3779b97f4a7c15);
  }
  std::uint32_t size() const override { return static_cast<std::uint32_t>(cohort_.n); }
  std::span<const std::uint32_t> weights() const override { return weights_; }
  std::span<const std::uint64_t> ranks() const override { return ranks_; }
  Result<kernels::Codes> chunk(std::uint32_t) override { return cohort_.view(); }

 private:
  const Updates& cohort_;
  std::vector<std::uint32_t> weights_;
  std::vector<std::uint64_t> ranks_;
};

/// A round's close under Krum, exact and sketched, on the same updates.
class Close {
 public:
  Close(Lazy cohort_of, std::size_t chunk_count)
      : keep_(std::move(cohort_of)),
        cohort_(keep_()),
        chunk_count_(chunk_count),
        exact_(plan(robust::Scores::kExact)),
        sketched_(plan(robust::Scores::kSketched)) {
    Updates& cohort = cohort_;
    fold_.emplace(robust::SketchFold::create(*cohort.backend, sketched_, {17, 4},
                                             static_cast<std::uint32_t>(cohort.n))
                      .value());
    for (std::size_t i = 0; i < cohort.n; ++i) {
      kernels::Codes row = cohort.view();
      row.rows = row.rows.subspan(i, 1);
      const std::vector<kernels::Codes> chunks(sketched_.chunk_count, row);
      indices_.push_back(fold_->add(chunks).index);
    }
    sum_ = cohort.backend->allocate(sketched_.request.dimension * sizeof(std::int64_t)).value();
  }
  Sample exact() { return run(exact_, nullptr); }
  Sample sketched() {
    const robust::SketchedCohort known{&*fold_, indices_};
    return run(sketched_, &known);
  }

 private:
  robust::Plan plan(robust::Scores scores) const {
    robust::PlanRequest request;
    request.rule = robust::Krum{
        {static_cast<std::uint32_t>(cohort_.n / 5), 0}, robust::Neighbours::kNMinusFMinus2, scores};
    request.dimension = chunk_count_ * cohort_.d;
    request.chunk_coordinates = static_cast<std::uint32_t>(cohort_.d);
    request.format = cohort_.format;
    request.max_updates = request.minimum_cohort = static_cast<std::uint32_t>(cohort_.n);
    return robust::make_plan(request, *cohort_.backend).value();
  }
  Sample run(const robust::Plan& plan, const robust::SketchedCohort* known) {
    BenchCohort rows(cohort_);
    cohort_.backend->fill_zero(sum_.data, sum_.bytes, kernels::Stream::kCompute);
    std::string winner;
    const Sample sample = timed_run(1, [&] {
      const auto outcome =
          robust::aggregate(plan, *cohort_.backend, rows, sum_.as<std::int64_t>(), nullptr, known)
              .value();
      winner = std::to_string(outcome.selected.rows().at(0));
      if (std::getenv("MUSTER_BENCH_EXPLAIN") != nullptr)
        std::printf("%s\n", outcome.chosen.c_str());
    });
    MUSTER_CHECK(winner_.empty() || winner_ == winner);  // both elect the same row
    winner_ = winner;
    return sample;
  }

  Lazy keep_;  ///< first: the backend outlives all below
  Updates& cohort_;
  const std::size_t chunk_count_;
  robust::Plan exact_, sketched_;
  std::optional<robust::SketchFold> fold_;
  std::vector<std::uint32_t> indices_;
  kernels::Buffer sum_;
  std::string winner_;
};

}  // namespace

void add_krum(std::vector<Pair>& pairs, const Options& options) {
  const std::size_t d = options.smoke ? 4096 : 65'536;
  const std::size_t n = options.smoke ? 50 : 1000;
  const auto gram = [&](const std::string& name, ChunkFormat format, auto by_muster) {
    const Lazy cohort = lazily(format, n, d);
    const auto candidate = [cohort, by_muster] { return by_muster(cohort()); };
#if defined(MUSTER_BENCH_OPENBLAS)
    pairs.push_back(
        {"P4", name + " vs BLAS", "Gmac/s", 1e9, false, candidate, {{"OpenBLAS ssyrk", [cohort] {
                                                                       return gram_by_openblas(
                                                                           cohort());
                                                                     }}}});
#endif
    pairs.push_back(
        {"P4", name + " vs loop", "Gmac/s", 1e9, false, candidate, {{"pair loop", [cohort] {
                                                                       return distances_by_loop(
                                                                           cohort());
                                                                     }}}});
  };
  gram("int8 shared Gram", {Codec::kI8S, 8}, gram_by_muster);
  gram("int8 block Gram", {Codec::kI8B, 8}, gram_by_muster);
  gram("f32 Gram", {Codec::kF32, 0}, gram_by_muster);
  gram("f32 Gram, estimated", {Codec::kF32, 0}, estimate_by_muster);
  for (const bool clear : {false, true}) {
    const Lazy cohort = lazily({Codec::kI8S, 8}, n, d, clear);
    auto close = std::make_shared<std::unique_ptr<Close>>();
    const auto closing = [=]() -> Close& {
      if (!*close) *close = std::make_unique<Close>(cohort, 16);  // 10^6 coordinates
      return **close;
    };
    // Without a clear winner some rows are measured exactly, which reads all codes once.
    pairs.push_back({"P4",
                     clear ? "int8 Krum close, sketches settle it" : "int8 Krum close, sketched",
                     "close/s",
                     1,
                     false,
                     [closing] { return closing().sketched(); },
                     {{"exact", [closing] { return closing().exact(); }}}});
  }
#if defined(MUSTER_BENCH_OPENBLAS)
  {
    const Lazy cohort = lazily({Codec::kF32, 0}, n, d);
    auto close = std::make_shared<std::unique_ptr<Close>>();
    pairs.push_back({"P4",
                     "f32 Krum close vs products alone",
                     "close/s",
                     1,
                     false,
                     [=] {
                       if (!*close) *close = std::make_unique<Close>(cohort, 1);
                       return (*close)->exact();
                     },
                     {{"OpenBLAS ssyrk", [cohort] {
                         Sample sample = gram_by_openblas(cohort());
                         sample.items = 1;
                         return sample;
                       }}}});
  }
#endif
  for (const Codec codec : {Codec::kF32, Codec::kI8S}) {
    const Lazy some = lazily({codec, codec == Codec::kI8S ? std::uint8_t{8} : std::uint8_t{0}},
                             options.smoke ? 10 : 200, d);
    pairs.push_back({"P4",
                     std::string(codec_name(codec)) + " sketch to 4096",
                     "Gelem/s",
                     1e9,
                     false,
                     [some] { return sketch_by_muster(some()); },
                     {{"one read of the codes", [some] { return read_codes(some()); }}}});
  }
}

}  // namespace muster::bench
