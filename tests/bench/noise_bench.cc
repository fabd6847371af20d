// P10: what privacy costs. Clipping with its check in integers against a plain sum; and the exact
// discrete Gaussian against the same law drawn one coordinate after the other, as the paper has it
// (Canonne, Kamath and Steinke 2020, algorithms 1 to 3), from the same generator.
#include <cstring>
#include <memory>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cell/chacha.h"
#include "privacy/apply.h"
#include "tests/bench/bench.h"
#include "tests/bench/timed.h"

namespace muster::bench {
namespace {

constexpr std::uint32_t kKey[8] = {1, 2, 3, 4, 5, 6, 7, 8};
constexpr int kLog2Sigma = 30;

class PaperSampler {
 public:
  std::int64_t gaussian() {
    for (;;) {
      const std::int64_t y = laplace();
      const std::uint64_t size = static_cast<std::uint64_t>(y < 0 ? -y : y);
      const std::uint64_t off = size > kSigma ? size - kSigma : kSigma - size;
      if (exponential(Wide{off} * off)) return y;
    }
  }

 private:
  using Wide = unsigned __int128;
  static constexpr std::uint64_t kSigma = std::uint64_t{1} << kLog2Sigma;

  std::uint32_t word() {
    if (used_ == 16) {
      kernels::cell::chacha20_block({kKey, counter_++, {0, 0, 0}}, words_);
      used_ = 0;
    }
    return words_[used_++];
  }
  std::uint64_t long_word() { return std::uint64_t{word()} << 32 | word(); }
  std::uint64_t below(std::uint64_t n) {
    for (;;) {
      const Wide product = Wide{long_word()} * n;
      if (static_cast<std::uint64_t>(product) >= (0 - n) % n)
        return static_cast<std::uint64_t>(product >> 64);
    }
  }
  /// True with probability exp(-numerator / denominator), at most 1 / e away from 1.
  bool short_exponential(std::uint64_t numerator, std::uint64_t denominator) {
    std::uint64_t k = 1;
    while (below(denominator * k) < numerator) ++k;
    return k % 2 == 1;
  }
  /// exp(-square / (2 sigma^2)).
  bool exponential(Wide square) {
    constexpr int kBits = 2 * kLog2Sigma + 1;
    for (; square >> kBits != 0; square -= Wide{1} << kBits)
      if (!short_exponential(1, 1)) return false;
    // 2 sigma^2 k does not fit 64 bits: the lowest bits of the exponent are left out here.
    return short_exponential(static_cast<std::uint64_t>(square >> 6),
                             std::uint64_t{1} << (kBits - 6));
  }
  std::int64_t laplace() {
    for (;;) {
      const std::uint64_t u = below(kSigma);
      if (!short_exponential(u, kSigma)) continue;
      std::uint64_t v = 0;
      while (short_exponential(1, 1)) ++v;
      const auto size = static_cast<std::int64_t>(u + kSigma * v);
      const bool negative = word() % 2 == 1;
      if (!(negative && size == 0)) return negative ? -size : size;
    }
  }

  std::uint32_t words_[16], counter_ = 0;
  int used_ = 16;
};

std::unique_ptr<kernels::Backend> backend_of(kernels::CpuLevel level) {
  kernels::BackendOptions options;
  options.kind = "cpu";
  options.threads = 1;
  options.level = level;
  return kernels::create_backend(options, nullptr).value();
}

/// Updates of int8 codes for a clipped sum, private or not.
class ClippedSum {
 public:
  ClippedSum(std::size_t n, std::size_t d)
      : backend_(backend_of(kernels::detect_cpu_level())), sums_(d) {
    const ChunkFormat format{Codec::kI8B, 8};
    const std::size_t pitch = payload_bytes(format, d) / 4, scales = scale_count(format, d);
    words_.resize(n * pitch);
    std::uint32_t state = 1;
    for (std::uint32_t& word : words_) word = state = state * 1'664'525 + 1'013'904'223;
    const std::vector<float> scale(scales, 0x1p-10f);
    for (std::size_t i = 0; i < n; ++i) {
      std::memcpy(&words_[i * pitch], scale.data(), scales * sizeof(float));
      addresses_.push_back(reinterpret_cast<const std::byte*>(&words_[i * pitch]));
    }
    codes_ = {format, d, addresses_, {}};
    rows_ = {static_cast<std::uint32_t>(n), d, d,
             [this](std::uint32_t) -> Result<kernels::Codes> { return codes_; }};
    grid_ = privacy::plan_grid({10, 1, d, rows_.n}).value();
    ones_.assign(n, 1);
  }

  Sample in_private() {
    return timed_run(items(), [&] {
      const auto contributions = privacy::clip_to_grid(*backend_, rows_, 16, grid_).value();
      MUSTER_CHECK_OP(contributions.clipped, ==, rows_.n);
      MUSTER_CHECK(
          privacy::add_contributions(*backend_, rows_, contributions, ones_, sums_.data()).ok());
    });
  }
  Sample plain() {
    return timed_run(items(), [&] {
      std::vector<kernels::RowSummary> summaries(rows_.n);
      backend_->inspect({codes_, 16, summaries}, kernels::Stream::kCompute);
      const std::vector<double> factors(rows_.n, 0.3);
      backend_->accumulate({codes_, factors, ones_, 40, sums_.data()}, kernels::Stream::kCompute);
    });
  }

 private:
  double items() const { return static_cast<double>(rows_.n) * static_cast<double>(codes_.d); }

  std::unique_ptr<kernels::Backend> backend_;
  std::vector<std::uint32_t> words_;
  std::vector<const std::byte*> addresses_;
  std::vector<std::int64_t> sums_, ones_;
  kernels::Codes codes_;
  privacy::Rows rows_;
  privacy::NoiseGrid grid_;
};

}  // namespace

void add_noise(std::vector<Pair>& pairs, const Options& options) {
  const std::size_t d = options.smoke ? 10'000 : 4'000'000;
  const auto by_paper = [d] {
    const std::size_t some = d / 16;
    static PaperSampler sampler;
    std::vector<std::int64_t> sums(some);
    return timed_run(static_cast<double>(some), [&] {
      for (std::int64_t& sum : sums) sum += sampler.gaussian();
    });
  };
  for (const kernels::CpuLevel level :
       {kernels::CpuLevel::kBaseline, kernels::CpuLevel::kAvx2, kernels::CpuLevel::kAvx512}) {
    if (level > kernels::detect_cpu_level()) continue;
    const std::shared_ptr<kernels::Backend> backend = backend_of(level);
    auto sums = std::make_shared<std::vector<std::int64_t>>(d);
    pairs.push_back(
        {"P10",
         std::string("exact Gaussian noise, ").append(kernels::cpu_level_name(level)),
         "Msample/s",
         1e6,
         false,
         [backend, sums] {
           return timed_run(static_cast<double>(sums->size()), [&] {
             backend->add_noise(
                 {.key = kKey, .log2_sigma = kLog2Sigma, .target = sums->data(), .d = sums->size()},
                 kernels::Stream::kCompute);
           });
         },
         {{"one by one", by_paper}}});
  }
  auto sum = std::make_shared<std::unique_ptr<ClippedSum>>();
  const std::size_t n = options.smoke ? 4 : 200;
  const auto clipped = [sum, n]() -> ClippedSum& {
    if (!*sum) *sum = std::make_unique<ClippedSum>(n, 65'536);
    return **sum;
  };
  pairs.push_back({"P10",
                   "int8 clipped sum, private",
                   "Gelem/s",
                   1e9,
                   false,
                   [clipped] { return clipped().in_private(); },
                   {{"not private", [clipped] { return clipped().plain(); }}}});
}

}  // namespace muster::bench
