// P2, P3, P5 (kernel part): the numeric core against what one would write without it.
#include <time.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>

#include "base/check.h"
#include "kernels/backend.h"
#include "tests/bench/bench.h"

namespace muster::bench {
namespace {

double cpu_now() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}
double wall_now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

template <class F>
Sample timed(double items, F&& work) {
  const double wall = wall_now(), cpu = cpu_now();
  work();
  return {items, wall_now() - wall, cpu_now() - cpu};
}

/// n rows of codes as a cohort sends them, and the same as f32.
struct Data {
  ChunkFormat format;
  std::size_t n = 0, d = 0;
  std::unique_ptr<kernels::Backend> backend;
  kernels::Buffer codes, sum;
  std::vector<const std::byte*> rows;
  std::vector<std::int8_t> exponents;
  std::vector<float> values;  ///< n x d, row-major

  kernels::Codes view() const { return {format, d, rows, exponents}; }
};

std::shared_ptr<Data> make(ChunkFormat format, std::size_t n, std::size_t d) {
  auto data = std::make_shared<Data>();
  data->format = format;
  data->n = n;
  data->d = d;
  kernels::BackendOptions options;
  options.kind = "cpu";
  options.threads = 1;
  data->backend = kernels::create_backend(options, nullptr).value();
  const std::size_t pitch = align_up(payload_bytes(format, d), 64);
  data->codes = data->backend->allocate(n * pitch).value();
  data->sum = data->backend->allocate(d * sizeof(std::int64_t)).value();
  if (format.codec == Codec::kI8S)
    data->exponents.assign(divide_up(d, std::size_t{1} << format.log2_block), -10);
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0, 20);
  data->values.resize(n * d);
  for (std::size_t i = 0; i < n; ++i) {
    std::byte* row = data->codes.data + i * pitch;
    data->rows.push_back(row);
    const std::size_t scales = scale_count(format, d);
    const float step = 1.0f / 1024 * (1 + static_cast<float>(i % 7) / 8);
    for (std::size_t b = 0; b < scales; ++b) std::memcpy(row + 4 * b, &step, 4);
    const bool hostile = i % 10 == 9;  // 10 % of the rows at the end of the range
    for (std::size_t k = 0; k < d; ++k) {
      const float wish = hostile ? 127.0f : std::clamp(normal(random), -127.0f, 127.0f);
      const auto q = static_cast<std::int8_t>(wish);
      float value = static_cast<float>(q) / 1024;
      if (format.codec == Codec::kF32) {
        value = wish / 1024;
        std::memcpy(row + 4 * k, &value, 4);
      } else {
        row[4 * scales + k] = static_cast<std::byte>(q);
        if (format.codec == Codec::kI8B) value = static_cast<float>(q) * step;
      }
      data->values[i * d + k] = value;
    }
  }
  return data;
}

/// Made when the first pair that is really run asks for it.
class LazyData {
 public:
  LazyData(ChunkFormat format, std::size_t n, std::size_t d) : format_(format), n_(n), d_(d) {}
  Data& operator*() {
    if (!data_) data_ = make(format_, n_, d_);
    return *data_;
  }

 private:
  ChunkFormat format_;
  std::size_t n_, d_;
  std::shared_ptr<Data> data_;
};

Sample trimmed_by_muster(Data& data, std::uint32_t f) {
  return timed(static_cast<double>(data.n * data.d), [&] {
    data.backend->kept_sum({data.view(), f, f, 34, data.sum.as<std::int64_t>()},
                           kernels::Stream::kCompute);
  });
}

/// The textbook: gather a column, nth_element twice, add the middle.
Sample trimmed_by_nth_element(const Data& data, std::uint32_t f) {
  std::vector<float> column(data.n);
  double total = 0;
  const Sample sample = timed(static_cast<double>(data.n * data.d), [&] {
    for (std::size_t k = 0; k < data.d; ++k) {
      for (std::size_t i = 0; i < data.n; ++i) column[i] = data.values[i * data.d + k];
      const auto low = column.begin() + f, high = column.end() - f;
      std::nth_element(column.begin(), low, column.end());
      std::nth_element(low, high - 1, column.end());
      for (auto at = low; at != high; ++at) total += static_cast<double>(*at);
    }
  });
  MUSTER_CHECK(total != 12345);
  return sample;
}

Sample mean_by_muster(Data& data) {
  const std::vector<double> factors(data.n, 1.0);
  const std::vector<std::int64_t> weights(data.n, 1);
  return timed(static_cast<double>(data.n * data.d), [&] {
    data.backend->accumulate({data.view(), factors, weights, 34, data.sum.as<std::int64_t>()},
                             kernels::Stream::kCompute);
  });
}

Sample plain_copy(const Data& data) {
  std::vector<std::byte> target(data.d);
  std::size_t sum = 0;
  const Sample sample = timed(static_cast<double>(data.n * data.d), [&] {
    for (const std::byte* row : data.rows) {
      std::memcpy(target.data(), row, data.d);
      sum += static_cast<std::size_t>(target[data.d / 2]);
    }
  });
  MUSTER_CHECK(sum != 1);
  return sample;
}

}  // namespace

void add_kernels(std::vector<Pair>& pairs, const Options& options) {
  const std::size_t d = options.smoke ? 4096 : 65'536;
  const std::size_t n = options.smoke ? 50 : 1000;
  const auto trimmed = [&](const std::string& id, const std::string& name, ChunkFormat format,
                           std::size_t rows) {
    auto data = std::make_shared<LazyData>(format, rows, d);
    const auto f = static_cast<std::uint32_t>(rows / 5);
    pairs.push_back({id,
                     name,
                     "Gelem/s",
                     1e9,
                     false,
                     [data, f] { return trimmed_by_muster(**data, f); },
                     {{"nth_element", [data, f] { return trimmed_by_nth_element(**data, f); }}}});
  };
  trimmed("P2", "int8 shared trimmed mean, N=1000", {Codec::kI8S, 8}, n);
  trimmed("P2", "int8 block trimmed mean, N=1000", {Codec::kI8B, 8}, n);
  trimmed("P3", "f32 trimmed mean, N=1000", {Codec::kF32, 0}, n);
  trimmed("P3", "f32 trimmed mean, N=16", {Codec::kF32, 0}, 16);
  for (const Codec codec : {Codec::kI8B, Codec::kI8S}) {
    auto data = std::make_shared<LazyData>(ChunkFormat{codec, 8}, options.smoke ? 8 : 64, d);
    pairs.push_back(
        {"P7",
         codec == Codec::kI8B ? "int8 block mean, 64 updates" : "int8 shared mean, 64 updates",
         "Gelem/s",
         1e9,
         false,
         [data] { return mean_by_muster(**data); },
         {{"memcpy of the codes", [data] { return plain_copy(**data); }}}});
  }
}

}  // namespace muster::bench
