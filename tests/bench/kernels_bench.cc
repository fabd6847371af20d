// P2, P3, P5 (kernel part): the numeric core against what one would write without it.
#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <optional>
#include <random>

#include "base/check.h"
#include "client/encode_chunk.h"
#include "kernels/backend.h"
#include "tests/bench/bench.h"
#include "tests/bench/column_sort.h"

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

/// What the hostile rows of a cohort send.
enum class Attack {
  kEnd,       ///< the end of the range
  kHuge,      ///< the greatest floats, either sign
  kBoundary,  ///< a few ulps around the honest quantile where a fifth is cut off
  kEqual,     ///< one value
  kBimodal,   ///< one of two values far apart
  kTiny,      ///< zeros of both signs and subnormals
  kAnything   ///< any finite float
};

struct Hostility {
  double share = 0.1;
  Attack attack = Attack::kEnd;
};

float attack_value(Attack attack, std::mt19937& random) {
  switch (attack) {
    case Attack::kEnd:
      return 127;
    case Attack::kHuge:
      return random() % 2 == 0 ? 3e38f : -3e38f;
    case Attack::kBoundary:
      return 16.832425f * (1 + 0x1p-23f * static_cast<float>(random() % 16));
    case Attack::kEqual:
      return 3;
    case Attack::kBimodal:
      return random() % 2 == 0 ? 90.0f : -90.0f;
    case Attack::kTiny:
      return 0x1p-140f * (static_cast<float>(random() % 9) - 4);
    case Attack::kAnything:
      return std::ldexp(static_cast<float>(random() % 4096) - 2048,
                        static_cast<int>(random() % 200) - 100);
  }
  return 0;
}

std::shared_ptr<Data> make(ChunkFormat format, std::size_t n, std::size_t d, Hostility hostility) {
  auto data = std::make_shared<Data>();
  data->format = format;
  data->n = n;
  data->d = d;
  kernels::BackendOptions options;
  options.kind = "cpu";
  options.threads = 1;
  data->backend = kernels::create_backend(options, nullptr).value();
  // One line more, as records of a spool have a head: never a power of two apart.
  const std::size_t pitch = align_up(payload_bytes(format, d), 64) + 64;
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
    // Hostile rows evenly among the others.
    const bool hostile = std::floor(hostility.share * static_cast<double>(i + 1)) >
                         std::floor(hostility.share * static_cast<double>(i));
    for (std::size_t k = 0; k < d; ++k) {
      const float wish = hostile ? attack_value(hostility.attack, random)
                                 : std::clamp(normal(random), -127.0f, 127.0f);
      const auto q = static_cast<std::int8_t>(std::clamp(wish, -127.0f, 127.0f));
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
  LazyData(ChunkFormat format, std::size_t n, std::size_t d, Hostility hostility = {})
      : format_(format), n_(n), d_(d), hostility_(hostility) {}
  Data& operator*() {
    if (!data_) data_ = make(format_, n_, d_, hostility_);
    return *data_;
  }

 private:
  ChunkFormat format_;
  std::size_t n_, d_;
  Hostility hostility_;
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

/// Gather a column, sort it with vectors, add the middle. Over a part of the columns.
Sample trimmed_by_column_sort(const Data& data, std::uint32_t f) {
  const std::size_t columns = std::min<std::size_t>(data.d, 4096);
  std::vector<float> column(data.n), spare(data.n);
  double total = 0;
  const Sample sample = timed(static_cast<double>(data.n * columns), [&] {
    for (std::size_t k = 0; k < columns; ++k) {
      for (std::size_t i = 0; i < data.n; ++i) column[i] = data.values[i * data.d + k];
      sort_column(column.data(), spare.data(), data.n);
      for (std::size_t i = f; i < data.n - f; ++i) total += static_cast<double>(column[i]);
    }
  });
  MUSTER_CHECK(total != 12345);
  return sample;
}

/// The strongest sort we know for many columns: a network over the rows of a tile of them.
template <class T>
Sample trimmed_by_network(const Data& data, std::uint32_t f) {
  const std::size_t columns = std::min<std::size_t>(data.d, 4096);
  std::vector<T> tile(data.n * kSortedTogether);
  double total = 0;
  const Sample sample = timed(static_cast<double>(data.n * columns), [&] {
    for (std::size_t k = 0; k < columns; k += kSortedTogether) {
      for (std::size_t i = 0; i < data.n; ++i)
        std::memcpy(&tile[i * kSortedTogether], data.rows[i] + k * sizeof(T),
                    kSortedTogether * sizeof(T));
      sort_columns(tile.data(), data.n);
      double sums[kSortedTogether] = {};
      for (std::size_t i = f; i < data.n - f; ++i)
        for (std::size_t c = 0; c < kSortedTogether; ++c)
          sums[c] += static_cast<double>(tile[i * kSortedTogether + c]);
      total += sums[0];
    }
  });
  MUSTER_CHECK(total != 12345);
  return sample;
}

/// One core reads all codes once, in order; items are coordinates.
Sample plain_read(const Data& data) {
  std::uint64_t sum = 0;
  const Sample sample = timed(static_cast<double>(data.n * data.d), [&] {
    sum = sum_words(data.codes.as<const std::uint64_t>(), data.codes.bytes / sizeof(std::uint64_t));
  });
  MUSTER_CHECK(sum != 12345);
  return sample;
}

Sample counted_by_muster(Data& data, kernels::Buffer counters) {
  return timed(static_cast<double>(data.n * data.d), [&] {
    data.backend->count({data.view(), counters.as<std::uint32_t>()}, kernels::Stream::kCompute);
  });
}

Sample trimmed_from_counts(Data& data, std::uint32_t f, kernels::Buffer counters) {
  data.backend->fill_zero(counters.data, counters.bytes, kernels::Stream::kCompute);
  counted_by_muster(data, counters);
  return timed(static_cast<double>(data.n * data.d), [&] {
    data.backend->kept_sum_of_counts(
        {data.format, data.d, data.exponents, counters.as<std::uint32_t>(),
         static_cast<std::uint32_t>(data.n), f, f, 34, data.sum.as<std::int64_t>()},
        kernels::Stream::kCompute);
  });
}

/// The cohort that takes longest, of every attack by several shares of the rows.
std::shared_ptr<Data> slowest_cohort(ChunkFormat format, std::size_t n, std::size_t d) {
  std::shared_ptr<Data> slowest;
  double longest = 0;
  for (int attack = 0; attack <= static_cast<int>(Attack::kAnything); ++attack)
    for (const double share : {0.01, 0.2, 0.4, 1.0}) {
      auto data = make(format, n, d, {share, static_cast<Attack>(attack)});
      std::vector<double> seconds;
      for (int repeat = 0; repeat < 5; ++repeat)
        seconds.push_back(trimmed_by_muster(*data, static_cast<std::uint32_t>(n / 5)).cpu_seconds);
      std::sort(seconds.begin(), seconds.end());
      if (seconds[2] <= longest) continue;
      longest = seconds[2];
      slowest = std::move(data);
    }
  return slowest;
}

Sample mean_by_muster(Data& data) {
  const std::vector<double> factors(data.n, 1.0);
  const std::vector<std::int64_t> weights(data.n, 1);
  return timed(static_cast<double>(data.n * data.d), [&] {
    data.backend->accumulate({data.view(), factors, weights, 34, data.sum.as<std::int64_t>()},
                             kernels::Stream::kCompute);
  });
}

/// One update of TOPK and a model it is added to, chunk by chunk.
struct SparseUpdate {
  static constexpr std::size_t kChunk = 65'536;

  SparseUpdate(std::uint32_t share, std::size_t chunks)
      : format{Codec::kTopK, 0, 32, false, share} {
    kernels::BackendOptions options;
    options.kind = "cpu";
    options.threads = 1;
    backend = kernels::create_backend(options, nullptr).value();
    sums = backend->allocate(chunks * kChunk * sizeof(std::int64_t)).value();
    decoded = backend->allocate(kChunk * sizeof(float)).value();
    std::mt19937 random(11);
    std::normal_distribution<float> normal(0, 1);
    for (std::size_t c = 0; c < chunks; ++c) {
      std::vector<float> values(kChunk);
      for (float& value : values) value = normal(random);
      const client::Payload payload = client::encode_sparse({format, values, 16, {}, 0});
      payloads.push_back(backend->allocate(align_up(payload.size(), 64)).value());
      std::memcpy(payloads.back().data, payload.data(), payload.size());
    }
  }

  /// What a fold does with the update, where rows are taken as they were sent or expanded first.
  Sample fold(bool expanded) {
    const double factor = 1;
    const std::int64_t weight = 1;
    const auto stream = kernels::Stream::kCompute;
    return timed(static_cast<double>(payloads.size() * kChunk), [&] {
      for (std::size_t c = 0; c < payloads.size(); ++c) {
        const std::byte* row = payloads[c].data;
        kernels::Codes codes{format, kChunk, {&row, 1}, {}};
        if (expanded) {
          backend->expand({codes, decoded.as<float>(), kChunk}, stream);
          row = decoded.data;
          codes.format = {Codec::kF32};
        }
        kernels::RowSummary summary;
        backend->inspect({codes, 16, {&summary, 1}, false}, stream);
        MUSTER_CHECK(summary.valid());
        backend->accumulate(
            {codes, {&factor, 1}, {&weight, 1}, 34, sums.as<std::int64_t>() + c * kChunk}, stream);
      }
    });
  }

  const ChunkFormat format;
  std::unique_ptr<kernels::Backend> backend;
  kernels::Buffer sums, decoded;
  std::vector<kernels::Buffer> payloads;
};

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
  using Run = std::function<Sample(Data&, std::uint32_t)>;
  // One candidate, and one pair for each baseline: each has its own bar.
  const auto trimmed = [&](const std::string& id, const std::string& name,
                           const std::shared_ptr<LazyData>& data, std::size_t rows,
                           const std::vector<std::pair<std::string, Run>>& baselines) {
    const auto f = static_cast<std::uint32_t>(rows / 5);
    for (const auto& [baseline, run] : baselines)
      pairs.push_back({id,
                       name + " / " + baseline,
                       "Gelem/s",
                       1e9,
                       false,
                       [data, f] { return trimmed_by_muster(**data, f); },
                       {{baseline, [data, f, run = run] { return run(**data, f); }}}});
  };
  const auto cohort = [](ChunkFormat format, std::size_t rows, std::size_t columns,
                         Hostility hostility) {
    return std::make_shared<LazyData>(format, rows, columns, hostility);
  };
  const Run nth = trimmed_by_nth_element, sort = trimmed_by_column_sort;
  const Run read = [](Data& data, std::uint32_t) { return plain_read(data); };
  const std::string sort_name = column_sort_name();
  const auto shared = cohort({Codec::kI8S, 8}, n, d, {});
  trimmed("P2", "int8 shared, N=1000", shared, n,
          {{"nth_element", nth},
           {sort_name, sort},
           {"column network", trimmed_by_network<signed char>},
           {"one-core read", read}});
  trimmed("P2", "int8 block scales, N=1000", cohort({Codec::kI8B, 8}, n, d, {}), n,
          {{"nth_element", nth}});
  const ChunkFormat f32{Codec::kF32, 0};
  trimmed("P3", "f32, N=16", cohort(f32, 16, d, {}), 16, {{"nth_element", nth}});
  trimmed("P3", "f32, N=1000, all honest", cohort(f32, n, d, {0, Attack::kEnd}), n,
          {{"nth_element", nth},
           {sort_name, sort},
           {"column network", trimmed_by_network<float>},
           {"one-core read", read}});
  trimmed("P3", "f32, N=1000, 40 % huge", cohort(f32, n, d / 4, {0.4, Attack::kHuge}), n,
          {{"nth_element", nth}});
  trimmed("P3", "f32, N=1000, 40 % at the cut", cohort(f32, n, d / 4, {0.4, Attack::kBoundary}), n,
          {{"nth_element", nth}});
  trimmed("P3", "f32, N=10000, 40 % at the cut",
          cohort(f32, 10 * n, d / 32, {0.4, Attack::kBoundary}), 10 * n, {{"nth_element", nth}});
  const auto typical = cohort(f32, n, d / 16, {});
  const auto worst = std::make_shared<std::shared_ptr<Data>>();
  const auto f = static_cast<std::uint32_t>(n / 5);
  pairs.push_back({"P3",
                   "f32, N=1000, worst found / typical",
                   "Gelem/s",
                   1e9,
                   false,
                   [=] {
                     if (*worst == nullptr) *worst = slowest_cohort(f32, n, d / 16);
                     return trimmed_by_muster(**worst, f);
                   },
                   {{"typical", [=] { return trimmed_by_muster(**typical, f); }}}});
  const auto counters = std::make_shared<kernels::Buffer>();
  const auto counted = cohort({Codec::kI8S, 8}, n, d / 4, {});
  const auto reserve = [=] {
    const std::size_t bytes = (**counted).d * kernels::count_bytes(Codec::kI8S);
    if (counters->data == nullptr) *counters = (**counted).backend->allocate(bytes).value();
    return *counters;
  };
  pairs.push_back(
      {"P2",
       "int8 shared, N=1000, counting",
       "Gelem/s",
       1e9,
       false,
       [=] { return counted_by_muster(**counted, reserve()); },
       {{"nth_element", [=] { return trimmed_by_nth_element(**counted, f); }},
        {"kept sum of counts", [=] { return trimmed_from_counts(**counted, f, reserve()); }}}});
  for (const auto& [name, share] : {std::pair("0.1 %", 0.001), {"1 %", 0.01}, {"6 %", 0.0625}}) {
    const auto update = std::make_shared<std::optional<SparseUpdate>>();
    const auto fold = [=, share = share, chunks = options.smoke ? 1u : 16u](bool expanded) {
      if (!*update) update->emplace(static_cast<std::uint32_t>(share * kWholeShare), chunks);
      return (*update)->fold(expanded);
    };
    pairs.push_back({"P7",
                     std::string("topk mean, ") + name + " kept",
                     "Gcoord/s",
                     1e9,
                     false,
                     [fold] { return fold(false); },
                     {{"expanded first", [fold] { return fold(true); }}}});
  }
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
