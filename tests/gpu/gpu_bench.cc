// muster_gpu_bench: what each kernel takes on the device at hand, beside what that device copies a
// second. Writes JSON for scripts/gpu-report. Ends with 77 where no device answers; under the
// emulator it runs with --smoke, and its times mean nothing.
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "kernels/backend.h"

namespace muster::bench {
namespace {

using kernels::Codes;
using kernels::Stream;
using Clock = std::chrono::steady_clock;

struct Sizes {
  std::size_t n = 1000, d = 1'000'000 / 4096 * 4096;
  std::size_t copy_bytes = std::size_t{1} << 30;
  int repeats = 9, batch = 4;
};

double milliseconds_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

/// Bytes a second that the device copies within its memory, read and written both counted.
double copy_rate(const Sizes& sizes) {
  std::byte *from = nullptr, *to = nullptr;
  if (cudaMalloc(reinterpret_cast<void**>(&from), sizes.copy_bytes) != cudaSuccess ||
      cudaMalloc(reinterpret_cast<void**>(&to), sizes.copy_bytes) != cudaSuccess)
    return 0;
  cudaMemset(from, 1, sizes.copy_bytes);
  std::vector<double> rates;
  for (int i = 0; i <= sizes.repeats; ++i) {
    cudaDeviceSynchronize();
    const auto begin = Clock::now();
    for (int j = 0; j < sizes.batch; ++j)
      cudaMemcpyAsync(to, from, sizes.copy_bytes, cudaMemcpyDeviceToDevice, nullptr);
    cudaDeviceSynchronize();
    const double seconds = milliseconds_since(begin) * 1e-3;
    if (i > 0)  // the first warms up
      rates.push_back(2.0 * static_cast<double>(sizes.copy_bytes) * sizes.batch / seconds);
  }
  cudaFree(from);
  cudaFree(to);
  std::nth_element(rates.begin(), rates.begin() + rates.size() / 2, rates.end());
  return rates[rates.size() / 2];
}

/// Rows of random codes in slots of the device, and room for results.
class Cohort {
 public:
  Cohort(kernels::Backend& backend, const Sizes& sizes, Codec codec)
      : backend_(backend), format_{codec, 8}, d_(sizes.d) {
    const std::size_t bytes = payload_bytes(format_, d_), pitch = align_up(bytes, std::size_t{256});
    buffer_ = backend.allocate(pitch * sizes.n).value();
    std::mt19937_64 random(7);
    std::vector<std::byte> row(bytes);
    for (std::size_t at = 0; at + 8 <= bytes; at += 8) {
      const std::uint64_t word = random();
      std::memcpy(row.data() + at, &word, 8);
    }
    const std::size_t scales = scale_count(format_, d_);
    for (std::size_t s = 0; s < scales; ++s) put(row, 4 * s, 0.001f);
    if (codec == Codec::kF32)
      for (std::size_t k = 0; k < d_; ++k)
        put(row, 4 * k, 0.01f * static_cast<float>(static_cast<int>(random() % 2001) - 1000));
    if (codec == Codec::kF16)  // any sign, exponents that are finite
      for (std::size_t k = 0; k < d_; ++k)
        put(row, 2 * k, static_cast<std::uint16_t>(random() & 0xbbffu));
    for (std::size_t i = 0; i < sizes.n; ++i) {
      std::byte* slot = buffer_.data + i * pitch;
      // Rows differ: each is the last one, turned by a few codes.
      std::rotate(row.begin() + static_cast<std::ptrdiff_t>(4 * scales),
                  row.begin() + static_cast<std::ptrdiff_t>(4 * scales + 12), row.end());
      backend.upload(slot, row, Stream::kCompute);
      backend.wait(backend.record(Stream::kCompute));
      rows_.push_back(slot);
    }
    if (has_shared_scales(codec)) exponents_.assign(divide_up(d_, std::size_t{256}), -12);
  }
  ~Cohort() { backend_.release(buffer_); }
  Cohort(const Cohort&) = delete;
  Cohort& operator=(const Cohort&) = delete;

  Codes codes() const { return {format_, d_, rows_, exponents_}; }
  double bytes() const {
    return static_cast<double>(payload_bytes(format_, d_)) * static_cast<double>(rows_.size());
  }

 private:
  template <class T>
  static void put(std::vector<std::byte>& row, std::size_t at, T value) {
    std::memcpy(row.data() + at, &value, sizeof value);
  }

  kernels::Backend& backend_;
  ChunkFormat format_;
  std::size_t d_;
  kernels::Buffer buffer_;
  std::vector<const std::byte*> rows_;
  std::vector<std::int8_t> exponents_;
};

class Bench {
 public:
  Bench(kernels::Backend& backend, const Sizes& sizes) : backend_(backend), sizes_(sizes) {
    sum_ = backend.allocate(sizes.d * sizeof(std::int64_t)).value();
    gram_ = backend.allocate(sizes.n * sizes.n * sizeof(double)).value();
  }
  ~Bench() {
    backend_.release(sum_);
    backend_.release(gram_);
  }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  nlohmann::json run_codec(Codec codec) {
    const Cohort cohort(backend_, sizes_, codec);
    const Codes codes = cohort.codes();
    const std::vector<double> factors(sizes_.n, 1.0);
    const std::vector<std::int64_t> weights(sizes_.n, 1);
    const auto cut = static_cast<std::uint32_t>(sizes_.n / 5);
    auto* sums = sum_.as<std::int64_t>();
    std::vector<kernels::RowSummary> summaries(sizes_.n);
    nlohmann::json rows = nlohmann::json::array();
    // `bar`: what the task allows, in reads of the codes at the speed of a copy; 0: it names none.
    const auto measure = [&](const char* operation, double bar, const auto& work) {
      rows.push_back({{"operation", operation},
                      {"codec", codec_name(codec)},
                      {"bytes", cohort.bytes()},
                      {"bar_reads", bar},
                      {"ms", times(work)}});
    };
    measure("inspect", 0, [&] { backend_.inspect({codes, 1e30f, summaries}, Stream::kCompute); });
    measure("accumulate", 1.3, [&] {
      backend_.accumulate({codes, factors, weights, 30, sums}, Stream::kCompute);
    });
    measure("kept_sum", codec == Codec::kI8S ? 3 : 0, [&] {
      backend_.kept_sum({codes, cut, cut, 30, sums}, Stream::kCompute);
    });
    if (codec == Codec::kI8S || codec == Codec::kI8B)
      measure("gram", 0, [&] {
        backend_.gram({codes, nullptr, gram_.as<double>()}, Stream::kCompute);
      });
    return rows;
  }

 private:
  std::vector<double> times(const std::function<void()>& work) {
    std::vector<double> all;
    for (int i = 0; i <= sizes_.repeats; ++i) {
      backend_.wait(backend_.record(Stream::kCompute));
      const auto begin = Clock::now();
      for (int j = 0; j < sizes_.batch; ++j) work();
      backend_.wait(backend_.record(Stream::kCompute));
      if (i > 0) all.push_back(milliseconds_since(begin) / sizes_.batch);
    }
    return all;
  }

  kernels::Backend& backend_;
  const Sizes& sizes_;
  kernels::Buffer sum_, gram_;
};

int main_of_bench(int argc, char** argv) {
  Sizes sizes;
  std::string file;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--smoke") == 0) {
      sizes = {70, 4096, std::size_t{1} << 20, 1, 1};
    } else if (std::strcmp(argv[i], "--json") == 0 && i + 1 < argc) {
      file = argv[++i];
    } else {
      fmt::print(stderr, "usage: muster_gpu_bench [--smoke] [--json FILE]\n");
      return 2;
    }
  }
  kernels::BackendOptions options;
  options.kind = "cuda";
  options.hang_seconds = 600;  // under the emulator
  // One cohort of f32 at a time, sums and matrix, scratch.
  options.memory_bytes =
      sizes.n * sizes.d * 4 + sizes.n * sizes.n * 8 + sizes.d * 16 + (std::size_t{512} << 20);
  const double copied = copy_rate(sizes);
  auto backend = kernels::create_backend(options, nullptr);
  if (!backend.ok()) {
    fmt::print(stderr, "muster_gpu_bench: {}\n", backend.status().to_string());
    return 77;
  }
  nlohmann::json report = {{"device", (*backend)->description()},
                           {"n", sizes.n},
                           {"d", sizes.d},
                           {"copy_bytes_per_second", copied},
                           {"rows", nlohmann::json::array()}};
  Bench bench(**backend, sizes);
  for (const Codec codec : {Codec::kF32, Codec::kF16, Codec::kI8B, Codec::kI8S})
    for (auto& row : bench.run_codec(codec)) report["rows"].push_back(std::move(row));
  if (file.empty()) {
    std::cout << report.dump(1) << "\n";
    return 0;
  }
  std::ofstream out(file);
  out << report.dump(1) << "\n";
  return out ? 0 : 1;
}

}  // namespace
}  // namespace muster::bench

int main(int argc, char** argv) { return muster::bench::main_of_bench(argc, argv); }
