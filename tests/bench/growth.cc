// P11: how the time of the numeric core grows with the cohort (N) and the model (D). Each line fits
// log time over log size and shows the slope beside the one the algorithm promises.
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "tests/bench/bench.h"
#include "tests/bench/pool.h"

namespace muster::bench {
namespace {

double cpu_now() {
  timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

/// Least CPU seconds of a few runs: what the work costs without its neighbours. Short work is run
/// often enough that a sample takes kSampleSeconds: otherwise small sizes would pay for clocks and
/// cold caches, and the slope with them.
constexpr double kSampleSeconds = 0.02;
double seconds(const std::function<void()>& work, int repeats) {
  const auto sample = [&](int times) {
    const double start = cpu_now();
    for (int i = 0; i < times; ++i) work();
    return (cpu_now() - start) / times;
  };
  double best = sample(1);
  for (int i = 0; i < repeats; ++i)
    best = std::min(best, sample(1 + static_cast<int>(kSampleSeconds / best)));
  return best;
}

double slope(const std::vector<std::size_t>& sizes, const std::vector<double>& times) {
  double x = 0, y = 0, xx = 0, xy = 0;
  const auto n = static_cast<double>(sizes.size());
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const double a = std::log(static_cast<double>(sizes[i])), b = std::log(times[i]);
    x += a, y += b, xx += a * a, xy += a * b;
  }
  return (n * xy - x * y) / (n * xx - x * x);
}

struct Line {
  std::string what;
  double promised_n, promised_d;
  std::vector<std::size_t> ns;
  std::size_t fixed_n;  ///< while D grows
  std::function<void(std::size_t n, std::size_t d)> run;
};

}  // namespace

int run_growth(const Options& options) {
  Pool shared({Codec::kI8S, 8}), floats({Codec::kF32, 0});
  const auto chunks = [](std::size_t d, const std::function<void(std::size_t)>& each) {
    for (std::size_t at = 0; at < d; at += Pool::kChunk) each(std::min(Pool::kChunk, d - at));
  };
  const auto kept = [&](Pool& pool) {
    return [&, chunks](std::size_t n, std::size_t d) {
      const auto f = static_cast<std::uint32_t>(n / 5);
      chunks(d, [&](std::size_t length) {
        pool.backend().kept_sum({pool.next_chunk(n, length), f, f, 34, pool.sum()},
                                kernels::Stream::kCompute);
      });
    };
  };
  const auto mean = [&](std::size_t n, std::size_t d) {
    const std::vector<double> factors(n, 1.0);
    const std::vector<std::int64_t> weights(n, 1);
    chunks(d, [&](std::size_t length) {
      shared.backend().accumulate(
          {shared.next_chunk(n, length), factors, weights, 34, shared.sum()},
          kernels::Stream::kCompute);
    });
  };
  const auto gram = [&](std::size_t n, std::size_t d) {
    const auto matrix = shared.backend().allocate(n * n * sizeof(double)).value();
    chunks(d, [&](std::size_t length) {
      shared.backend().gram({.codes = shared.next_chunk(n, length), .gram = matrix.as<double>()},
                            kernels::Stream::kCompute);
    });
    shared.backend().release(matrix);
  };
  const auto counters =
      shared.backend().allocate(Pool::kChunk * kernels::count_bytes(Codec::kI8S)).value();
  const auto count = [&](std::size_t n, std::size_t d) {
    chunks(d, [&](std::size_t length) {
      shared.backend().count({shared.next_chunk(n, length), counters.as<std::uint32_t>()},
                             kernels::Stream::kCompute);
    });
  };
  const auto close = [&](std::size_t n, std::size_t d) {
    const auto f = static_cast<std::uint32_t>(n / 5);
    chunks(d, [&](std::size_t length) {
      const kernels::Codes codes = shared.next_chunk(1, length);
      shared.backend().kept_sum_of_counts(
          {codes.format, length, codes.scale_exponents, counters.as<std::uint32_t>(),
           static_cast<std::uint32_t>(n), f, f, 34, shared.sum()},
          kernels::Stream::kCompute);
    });
  };
  const std::vector<std::size_t> narrow = {128, 256, 512, 1024, 2048};
  // The planner keeps codes up to 1024 rows, and counts beyond (robust_agg/plan.h).
  const std::vector<Line> lines = {
      {"mean, int8 shared", 1, 1, {256, 1024, 4096, 16'384}, 64, mean},
      {"trimmed mean, int8 shared", 1, 1, {128, 256, 512, 1024}, 200, kept(shared)},
      {"  counting of larger cohorts", 1, 1, {1000, 10'000, 100'000}, 200, count},
      {"  close from the counts", 0, 1, {1000, 10'000, 100'000}, 1000, close},
      {"trimmed mean, f32", 1, 1, {100, 1000, 10'000}, 100, kept(floats)},
      {"Gram matrix, int8 shared (Krum)", 2, 1, narrow, 256, gram}};
  const std::vector<std::size_t> ds = {65'536, 4 * 65'536, 16 * 65'536, 64 * 65'536};
  fmt::print("{:<34} {:>12} {:>9} {:>12} {:>9}\n", "P11: slope of log time", "in N", "promised",
             "in D", "promised");
  for (const Line& line : lines) {
    std::vector<double> by_n, by_d;
    const std::size_t d = options.smoke ? 64 : line.promised_n > 1 ? 4096 : 8192;
    for (const std::size_t n : line.ns) {
      if (options.smoke && n > 1024) break;
      by_n.push_back(seconds([&] { line.run(n, d); }, options.repeats));
    }
    const std::size_t many = options.smoke ? 2 : ds.size();
    for (std::size_t i = 0; i < many; ++i)
      by_d.push_back(seconds([&] { line.run(line.fixed_n, ds[i]); }, options.repeats));
    const std::vector<std::size_t> ns(line.ns.begin(),
                                      line.ns.begin() + static_cast<std::ptrdiff_t>(by_n.size()));
    fmt::print("{:<34} {:>12.3f} {:>9.0f} {:>12.3f} {:>9.0f}\n", line.what, slope(ns, by_n),
               line.promised_n,
               slope({ds.begin(), ds.begin() + static_cast<std::ptrdiff_t>(many)}, by_d),
               line.promised_d);
  }
  return 0;
}

}  // namespace muster::bench
