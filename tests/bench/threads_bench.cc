// Two threads against one for the kernels that compute more than they read, and equal bits. Each
// twice: by the CPU time of the busier thread, which other processes do not take from, and by the
// wall clock, which needs both cores to itself.
#include <cstring>

#include "base/check.h"
#include "tests/bench/bench.h"
#include "tests/bench/pool.h"
#include "tests/bench/timed.h"

namespace muster::bench {
namespace {

/// Wall seconds, and CPU seconds of the busier of two threads.
template <class Work>
Sample timed_busier(double items, const Work& work) {
  const double process = clock_seconds(CLOCK_PROCESS_CPUTIME_ID);
  Sample sample = timed_run(items, work);
  const double other = clock_seconds(CLOCK_PROCESS_CPUTIME_ID) - process - sample.cpu_seconds;
  sample.cpu_seconds = std::max(sample.cpu_seconds, other);
  return sample;
}

/// A kernel on some cohort, and the bytes of its result.
struct Heavy {
  std::string name;
  ChunkFormat format;
  std::size_t n, d, result_bytes;
  std::function<void(kernels::Backend&, kernels::Codes, kernels::Buffer)> run;
};

/// One kernel on backends of one and of two threads.
class Race {
 public:
  explicit Race(Heavy heavy) : heavy_(std::move(heavy)) {}

  Sample one() { return run(0); }
  Sample two() {
    if (!expected_) run(0);
    const Sample sample = run(1);
    MUSTER_CHECK(std::memcmp(results_[0].data, results_[1].data, heavy_.result_bytes) == 0);
    return sample;
  }

 private:
  Sample run(std::size_t which) {
    if (!pool_) prepare();
    kernels::Backend& backend = *backends_[which];
    backend.fill_zero(results_[which].data, heavy_.result_bytes, kernels::Stream::kCompute);
    const kernels::Codes codes = pool_->chunk(heavy_.n, heavy_.d);
    expected_ = true;
    return timed_busier(static_cast<double>(heavy_.n * heavy_.d),
                        [&] { heavy_.run(backend, codes, results_[which]); });
  }
  void prepare() {
    pool_ = std::make_unique<Pool>(heavy_.format);
    for (std::size_t which = 0; which < 2; ++which) {
      backends_[which] = cpu_backend(which + 1);
      results_[which] = backends_[which]->allocate(heavy_.result_bytes).value();
    }
  }

  Heavy heavy_;
  std::unique_ptr<Pool> pool_;
  std::unique_ptr<kernels::Backend> backends_[2];
  kernels::Buffer results_[2];
  bool expected_ = false;  ///< the first result is there
};

}  // namespace

void add_threads(std::vector<Pair>& pairs, const Options& options) {
  using kernels::Backend, kernels::Buffer, kernels::Codes, kernels::Stream;
  const auto trimmed = [](Backend& backend, Codes codes, Buffer result) {
    const auto f = static_cast<std::uint32_t>(codes.n() / 5);
    backend.kept_sum({codes, f, f, 34, result.as<std::int64_t>()}, Stream::kCompute);
  };
  const auto window = [](Backend& backend, Codes codes, Buffer result) {
    const auto f = static_cast<std::uint32_t>(codes.n() / 5);
    kernels::WindowSumJob job;
    job.codes = codes;
    job.low = job.high = static_cast<std::uint32_t>((codes.n() - 1) / 2);
    job.keep = static_cast<std::uint32_t>(codes.n()) - f;
    job.grid_bits = 34;
    job.target = result.as<std::int64_t>();
    backend.window_sum(job, Stream::kCompute);
  };
  const auto gram = [](Backend& backend, Codes codes, Buffer result) {
    backend.gram({.codes = codes, .gram = result.as<double>()}, Stream::kCompute);
  };
  const ChunkFormat shared{Codec::kI8S, 8}, floats{Codec::kF32, 0};
  const std::size_t part = options.smoke ? 32 : 1;  // of the columns
  const std::size_t word = sizeof(std::int64_t);
  const std::vector<Heavy> all = {
      {"trimmed mean, int8, N=1000", shared, 1000, 65'536 / part, 65'536 * word, trimmed},
      {"trimmed mean, f32, N=1000", floats, 1000, 32'768 / part, 65'536 * word, trimmed},
      {"Meamed, f32, N=100", floats, 100, 65'536 / part, 65'536 * word, window},
      {"Gram, int8, N=512", shared, 512, 16'384 / part, 512 * 512 * word, gram},
      {"Gram, f32, N=256", floats, 256, 8192 / part, 256 * 256 * word, gram}};
  for (const Heavy& heavy : all) {
    const auto race = std::make_shared<Race>(heavy);
    for (const bool wall : {false, true})
      pairs.push_back({"threads",
                       heavy.name + (wall ? ", wall" : ""),
                       "Gelem/s",
                       1e9,
                       wall,
                       [race] { return race->two(); },
                       {{"one thread", [race] { return race->one(); }}}});
  }
}

}  // namespace muster::bench
