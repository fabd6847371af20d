// P11: how the time of the numeric core grows with the cohort (N) and the model (D). Each line fits
// log time over log size and shows the slope beside the one the algorithm promises.
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>

#include "kernels/backend.h"
#include "tests/bench/bench.h"

namespace muster::bench {
namespace {

double cpu_now() {
  timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

/// A cohort of any size in chunks of any number: rows and chunks repeat a pool of distinct ones
/// that no cache holds.
class Pool {
 public:
  static constexpr std::size_t kChunk = 65'536, kRows = 1024;

  explicit Pool(ChunkFormat format) : format_(format) {
    kernels::BackendOptions options;
    options.kind = "cpu";
    options.threads = 1;
    backend_ = kernels::create_backend(options, nullptr).value();
    const std::size_t pitch = align_up(payload_bytes(format, kChunk), 64);
    codes_ = backend_->allocate(kRows * pitch).value();
    std::mt19937 random(11);
    std::normal_distribution<float> normal(0, 20);
    for (std::size_t i = 0; i < kRows; ++i) {
      std::byte* row = codes_.data + i * pitch;
      rows_.push_back(row);
      for (std::size_t k = 0; k < kChunk; ++k) {
        const float value = std::clamp(normal(random), -127.0f, 127.0f);
        if (format.codec == Codec::kF32)
          store(MutableBytes(row, pitch), 4 * k, value / 1024);
        else
          row[k] = static_cast<std::byte>(static_cast<std::int8_t>(value));
      }
    }
    exponents_.assign(kChunk >> 8, -10);
    sum_ = backend_->allocate(kChunk * sizeof(std::int64_t)).value();
  }

  kernels::Backend& backend() { return *backend_; }
  std::int64_t* sum() { return sum_.as<std::int64_t>(); }
  kernels::Codes chunk(std::size_t n, std::size_t d) {
    cohort_.resize(n);
    for (std::size_t i = 0; i < n; ++i) cohort_[i] = rows_[i % kRows];
    return {format_, d, cohort_, exponents_};
  }

 private:
  ChunkFormat format_;
  std::unique_ptr<kernels::Backend> backend_;
  kernels::Buffer codes_, sum_;
  std::vector<const std::byte*> rows_, cohort_;
  std::vector<std::int8_t> exponents_;
};

/// Least CPU seconds of a few runs: what the work costs without its neighbours.
double seconds(const std::function<void()>& work, int repeats) {
  double best = INFINITY;
  for (int i = 0; i < repeats; ++i) {
    const double start = cpu_now();
    work();
    best = std::min(best, cpu_now() - start);
  }
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
        pool.backend().kept_sum({pool.chunk(n, length), f, f, 34, pool.sum()},
                                kernels::Stream::kCompute);
      });
    };
  };
  const auto mean = [&](std::size_t n, std::size_t d) {
    const std::vector<double> factors(n, 1.0);
    const std::vector<std::int64_t> weights(n, 1);
    chunks(d, [&](std::size_t length) {
      shared.backend().accumulate({shared.chunk(n, length), factors, weights, 34, shared.sum()},
                                  kernels::Stream::kCompute);
    });
  };
  const auto gram = [&](std::size_t n, std::size_t d) {
    const auto matrix = shared.backend().allocate(n * n * sizeof(double)).value();
    chunks(d, [&](std::size_t length) {
      shared.backend().gram({.codes = shared.chunk(n, length), .gram = matrix.as<double>()},
                            kernels::Stream::kCompute);
    });
    shared.backend().release(matrix);
  };
  const std::vector<std::size_t> wide = {100, 1000, 10'000, 100'000};
  const std::vector<std::size_t> narrow = {128, 256, 512, 1024, 2048};
  const std::vector<Line> lines = {
      {"mean, int8 shared", 1, 1, {256, 1024, 4096, 16'384}, 64, mean},
      {"trimmed mean, int8 shared", 1, 1, wide, 200, kept(shared)},
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
