// expand() and restore(): what needs a whole chunk at once. The reference transforms by the
// definition of the Hadamard matrix where that is affordable, and by plain stages elsewhere.
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "base/centroids.h"
#include "base/codec_random.h"
#include "tests/conformance/reference.h"
#include "tests/conformance/suite.h"

namespace muster::kernels::conformance {
namespace {

constexpr std::size_t kLengths[] = {1, 2, 7, 8, 9, 31, 64, 100, 255, 1000, 4099, 70'000};

/// (H v)_k = sum over j of (-1)^popcount(j & k) v_j.
std::vector<double> hadamard_by_definition(const std::vector<double>& v) {
  std::vector<double> result(v.size());
  for (std::size_t k = 0; k < v.size(); ++k)
    for (std::size_t j = 0; j < v.size(); ++j)
      result[k] += std::popcount(j & k) % 2 == 0 ? v[j] : -v[j];
  return result;
}

/// Stage by stage from the lowest bit, each sum rounded to T.
template <class T>
void hadamard_by_stages(std::vector<T>& v) {
  for (std::size_t step = 1; step < v.size(); step *= 2)
    for (std::size_t k = 0; k < v.size(); ++k) {
      if ((k & step) != 0) continue;
      const T a = v[k], b = v[k + step];
      v[k] = a + b;
      v[k + step] = a - b;
    }
}

bool negative(std::uint64_t key, std::size_t k) {
  return (counter_word(key, k / 64) >> (k % 64) & 1) != 0;
}

template <class T>
void put(std::vector<std::byte>& payload, std::size_t offset, T value) {
  std::memcpy(payload.data() + offset, &value, sizeof value);
}

/// Begin, length and coordinates without padding of every rotation.
struct Rotation {
  std::size_t begin, length, count;
};
std::vector<Rotation> rotations_of(std::size_t d, std::size_t block) {
  std::vector<Rotation> rotations;
  for (std::size_t begin = 0; begin < d; begin += block) {
    const std::size_t count = std::min(block, d - begin);
    std::size_t length = 1;
    while (length < count) length *= 2;
    rotations.push_back({begin, length, count});
  }
  return rotations;
}

std::vector<std::byte> random_eden(ChunkFormat format, std::size_t d, Random& random) {
  std::vector<std::byte> payload(payload_bytes(format, d));
  for (std::byte& byte : payload) byte = static_cast<std::byte>(random());
  const std::size_t rotations = rotations_of(d, std::size_t{1} << format.log2_block).size();
  for (std::size_t r = 0; r < rotations; ++r)
    put(payload, 8 + 4 * r, std::uniform_real_distribution<float>(0, 0.1f)(random));
  return payload;
}

std::vector<float> reference_eden(ChunkFormat format, std::size_t d,
                                  const std::vector<std::byte>& payload) {
  std::vector<float> values(d);
  const auto rotations = rotations_of(d, std::size_t{1} << format.log2_block);
  std::uint64_t seed;
  std::memcpy(&seed, payload.data(), 8);
  for (std::size_t r = 0; r < rotations.size(); ++r) {
    float scale;
    std::memcpy(&scale, payload.data() + 8 + 4 * r, 4);
    const auto& [begin, length, count] = rotations[r];
    std::vector<float> v(length);
    for (std::size_t k = 0; k < length; ++k)
      v[k] = centroids(format.bits)[bits_at(
          payload, 64 + 32 * rotations.size() + (begin + k) * format.bits, format.bits)];
    hadamard_by_stages(v);
    for (std::size_t k = 0; k < count; ++k) {
      const float value = v[k] * scale;
      values[begin + k] = negative(rotation_key(seed, r), k) ? -value : value;
    }
  }
  return values;
}

/// A TOPK payload that names `indices`, ascending, with values encoded already.
std::vector<std::byte> topk_payload(std::size_t d, std::span<const std::uint32_t> indices,
                                    ConstBytes values, bool bitmap) {
  std::vector<std::byte> payload(8);
  put(payload, 0, static_cast<std::uint32_t>(indices.size()));
  put(payload, 4, std::uint32_t{bitmap ? kTopKBitmap : 0});
  payload.insert(payload.end(), values.begin(), values.end());
  const std::size_t at = payload.size();
  if (bitmap) payload.resize(at + (d + 7) / 8);
  std::size_t next = 0;
  for (const std::uint32_t index : indices) {
    if (bitmap) {
      payload[at + index / 8] |= static_cast<std::byte>(1u << (index % 8));
      continue;
    }
    std::size_t gap = index - next;
    for (; gap > 127; gap >>= 7) payload.push_back(static_cast<std::byte>(gap | 0x80));
    payload.push_back(static_cast<std::byte>(gap));
    next = index + 1;
  }
  return payload;
}

/// Ascending, with gaps of one, two and three bytes in every order; some have nothing in the first.
std::vector<std::uint32_t> draw_gaps(std::size_t d, Random& random) {
  std::vector<std::uint32_t> indices;
  for (std::size_t next = 0;;) {
    const std::size_t gap = random() % (std::size_t{1} << (3 + 6 * (random() % 3)));
    next += random() % 4 == 0 ? gap & ~std::size_t{127} : gap;
    if (next >= d) return indices;
    indices.push_back(static_cast<std::uint32_t>(next++));
  }
}

/// Rows of TOPK, and what they stand for as rows of F32.
struct TopKRows {
  HostCohort sent, expanded;
};

TopKRows random_topk(ChunkFormat format, std::size_t n, std::size_t d, Values values,
                     Random& random) {
  TopKRows rows{{format, d, {}, {}}, {{Codec::kF32}, d, {}, {}}};
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t k = random() % (kept_count(format, d) + 1);
    const Codec codec = format.bits == 16 ? Codec::kF16 : Codec::kF32;
    const HostCohort named = make_cohort({1, k, codec, values}, random);
    std::vector<std::uint32_t> indices(k);
    draw_mask(random(), d, indices);
    // The shorter form, as devices send it.
    const auto bitmap = topk_payload(d, indices, named.rows[0], true);
    const auto gaps = topk_payload(d, indices, named.rows[0], false);
    rows.sent.rows.push_back(gaps.size() <= bitmap.size() ? gaps : bitmap);
    rows.expanded.rows.emplace_back(d * sizeof(float));
    for (std::size_t j = 0; j < k; ++j)
      put(rows.expanded.rows[i], 4 * indices[j], named.value(0, j));
  }
  return rows;
}

}  // namespace

TEST_P(Conformance, ExpandedEdenRowsAreTheInverseRotationOfTheirCentroids) {
  Random random(20'261'123);
  for (const std::size_t d : kLengths)
    for (const std::uint8_t log2_block : std::initializer_list<std::uint8_t>{3, 7, 12, 16}) {
      const auto bits = static_cast<std::uint8_t>(1 + random() % 8);
      const ChunkFormat format{Codec::kEden, log2_block, bits};
      SCOPED_TRACE("d " + std::to_string(d) + " block 2^" + std::to_string(log2_block) + " bits " +
                   std::to_string(bits));
      const HostCohort host{format,
                            d,
                            {random_eden(format, d, random), random_eden(format, d, random),
                             random_eden(format, d, random)},
                            {}};
      const DeviceCohort cohort(*backend_, host);
      const std::size_t pitch = d + 3;
      float* target = upload(std::span<const float>(std::vector<float>(3 * pitch, 42.0f)));
      backend_->expand({cohort.codes(), target, pitch}, Stream::kCompute);
      const std::vector<float> expanded = download(target, 3 * pitch);
      for (std::size_t i = 0; i < 3; ++i) {
        const std::vector<float> expected = reference_eden(format, d, host.rows[i]);
        for (std::size_t k = 0; k < d; ++k)
          ASSERT_EQ(expanded[i * pitch + k], expected[k]) << "row " << i << " coordinate " << k;
        ASSERT_EQ(expanded[i * pitch + d], 42.0f) << "wrote past the row";
      }
      release_uploads();
    }
}

TEST_P(Conformance, ExpandedTopKRowsAreZeroButWhereTheySay) {
  Random random(20'261'124);
  for (const std::size_t d : {std::size_t{1}, std::size_t{9}, std::size_t{300}, std::size_t{70'000},
                              std::size_t{900'000}})
    for (const std::uint8_t bits : std::initializer_list<std::uint8_t>{16, 32})
      for (const bool bitmap : {false, true}) {
        const ChunkFormat format{Codec::kTopK, 0, bits, false, kWholeShare / 20};
        std::vector<std::uint32_t> indices(random() % (kept_count(format, d) + 1));
        draw_mask(random(), d, indices);
        if (d > 100'000) indices = draw_gaps(d, random);
        const std::size_t k = indices.size();
        std::vector<float> expected(d);
        std::vector<std::byte> values(k * bits / 8);
        for (std::size_t j = 0; j < k; ++j) {
          if (bits == 32) {
            expected[indices[j]] = static_cast<float>(j) + 0.1f;
            put(values, 4 * j, expected[indices[j]]);
          } else {
            expected[indices[j]] = -1.5f;
            put(values, 2 * j, std::uint16_t{0xbe00});
          }
        }
        // Not held to the longest length: that is for ingest to refuse.
        const std::vector<std::byte> payload = topk_payload(d, indices, values, bitmap);
        const std::byte* device =
            reinterpret_cast<const std::byte*>(upload(std::span<const std::byte>(payload)));
        float* target = upload(std::span<const float>(std::vector<float>(d, 7.0f)));
        backend_->expand({{format, d, {&device, 1}, {}}, target, d}, Stream::kCompute);
        ASSERT_EQ(download(target, d), expected) << d << " " << int{bits} << " " << bitmap;
        release_uploads();
      }
}

TEST_P(Conformance, TopKRowsFoldToTheBitsOfExpandedOnes) {
  if (!backend_->folds_topk(kWholeShare / 100)) GTEST_SKIP() << "expands them first";
  Random random(seed());
  const Values classes[] = {Values::kNormal, Values::kSubnormal, Values::kZeros,   Values::kLarge,
                            Values::kEqual,  Values::kTies,      Values::kPoisoned};
  for (const std::size_t d : {1, 9, 64, 300, 4096, 4099, 70'000})
    for (const std::size_t n : {1, 5})
      for (const std::uint8_t bits : std::initializer_list<std::uint8_t>{16, 32})
        for (const std::uint32_t share : {kWholeShare / 50, kWholeShare / 2, kWholeShare}) {
          const ChunkFormat format{Codec::kTopK, 0, bits, false, share};
          const Values values = classes[random() % std::size(classes)];
          SCOPED_TRACE(std::to_string(n) + " rows of " + std::to_string(d) + ", " +
                       std::to_string(bits) + " bits, values " +
                       std::to_string(static_cast<int>(values)));
          const TopKRows rows = random_topk(format, n, d, values, random);
          const DeviceCohort cohort(*backend_, rows.sent);

          const float bounds[] = {kBound, 12.5f, 0.01f, std::numeric_limits<float>::infinity()};
          const float bound = bounds[random() % std::size(bounds)];
          const bool norms = random() % 2 == 0;
          std::vector<RowSummary> summaries(n);
          backend_->inspect({cohort.codes(), bound, summaries, norms}, Stream::kCompute);
          for (std::size_t i = 0; i < n; ++i) {
            const RowSummary expected = reference_inspect(rows.expanded, i, bound);
            ASSERT_EQ(summaries[i].squared_norm, norms ? expected.squared_norm : 0);
            ASSERT_EQ(summaries[i].non_finite, expected.non_finite);
            ASSERT_EQ(summaries[i].out_of_bound, expected.out_of_bound);
          }

          constexpr int kGridBits = 40;
          std::vector<double> factors(n);
          std::vector<std::int64_t> weights(n);
          for (std::size_t i = 0; i < n; ++i) {
            factors[i] =
                random() % 2 == 0 ? 1.0 : std::uniform_real_distribution<double>(-1, 1)(random);
            weights[i] = static_cast<std::int64_t>(random() % 15) - 7;
          }
          std::vector<std::int64_t> before(d);
          for (auto& sum : before) sum = static_cast<std::int64_t>(random() >> 24);
          std::int64_t* target = upload(std::span<const std::int64_t>(before));
          backend_->accumulate({cohort.codes(), factors, weights, kGridBits, target},
                               Stream::kCompute);
          auto expected = reference_accumulate(rows.expanded, factors, weights, kGridBits);
          for (std::size_t k = 0; k < d; ++k) expected[k] += before[k];
          ASSERT_EQ(download(target, d), expected);

          std::vector<SquaredNorm> squares(n, {7, 0});
          backend_->grid_norms({cohort.codes(), factors, nullptr, kGridBits, squares},
                               Stream::kCompute);
          for (std::size_t i = 0; i < n; ++i) {
            unsigned __int128 squared = 7;
            for (std::size_t k = 0; k < d; ++k) {
              const std::int64_t q =
                  reference_grid(rows.expanded.value(i, k), factors[i], kGridBits);
              const auto size =
                  static_cast<unsigned __int128>(std::min(q < 0 ? -q : q, std::int64_t{1} << 46));
              squared += size * size;
            }
            ASSERT_TRUE(squares[i].value() == squared) << "row " << i;
          }
          release_uploads();
        }
}

TEST_P(Conformance, RestoredRotationsAreExactOnTheGrid) {
  Random random(20'261'125);
  for (const std::size_t d : kLengths)
    for (const std::uint8_t log2_block : std::initializer_list<std::uint8_t>{3, 6, 11, 16}) {
      const ChunkFormat format{Codec::kHsq, log2_block, 4};
      SCOPED_TRACE("d " + std::to_string(d) + " block 2^" + std::to_string(log2_block));
      std::vector<std::int64_t> sums(rotated_length(format, d));
      for (auto& sum : sums) sum = static_cast<std::int64_t>(random()) >> (8 + random() % 40);
      const std::uint64_t key = random();
      std::int64_t* target =
          upload(std::span<const std::int64_t>(std::vector<std::int64_t>(d + 1, 42)));
      backend_->restore({format, d, key, upload(std::span<const std::int64_t>(sums)), target},
                        Stream::kCompute);
      const std::vector<std::int64_t> restored = download(target, d + 1);
      ASSERT_EQ(restored[d], 42);
      const auto rotations = rotations_of(d, std::size_t{1} << log2_block);
      for (std::size_t r = 0; r < rotations.size(); ++r) {
        const auto& [begin, length, count] = rotations[r];
        std::vector<double> v(sums.begin() + static_cast<std::ptrdiff_t>(begin),
                              sums.begin() + static_cast<std::ptrdiff_t>(begin + length));
        const std::vector<double> plain = v;
        hadamard_by_stages(v);
        const int log2 = std::countr_zero(length);
        const double scale = std::ldexp(log2 % 2 == 0 ? 1 : std::sqrt(0.5), -(log2 / 2));
        for (std::size_t k = 0; k < count; ++k) {
          const double value = negative(rotation_key(key, r), k) ? -v[k] * scale : v[k] * scale;
          ASSERT_EQ(restored[begin + k], static_cast<std::int64_t>(std::nearbyint(value))) << k;
        }
        if (length > 1000) continue;
        const std::vector<double> exact = hadamard_by_definition(plain);
        for (std::size_t k = 0; k < length; ++k) ASSERT_NEAR(exact[k], v[k], 1e-9 * 0x1p56);
      }
      release_uploads();
    }
}

TEST_P(Conformance, ARotationTwiceIsTheIdentity) {
  Random random(20'261'126);
  const ChunkFormat format{Codec::kHsq, 10, 4};
  std::vector<std::int64_t> sums(1024);
  for (auto& sum : sums) sum = static_cast<std::int64_t>(random() >> 20) - (std::int64_t{1} << 43);
  const auto restored = [&](const std::vector<std::int64_t>& from) {
    std::int64_t* target = upload(std::span<const std::int64_t>(std::vector<std::int64_t>(1024)));
    backend_->restore({format, 1024, 9, upload(std::span<const std::int64_t>(from)), target},
                      Stream::kCompute);
    return download(target, 1024);
  };
  // D H takes out its own signs before the second turn: H D D H = 1024.
  std::vector<std::int64_t> once = restored(sums);
  for (std::size_t k = 0; k < 1024; ++k)
    if (negative(rotation_key(9, 0), k)) once[k] = -once[k];
  std::vector<std::int64_t> twice = restored(once);
  for (std::size_t k = 0; k < 1024; ++k)
    ASSERT_LE(std::abs((negative(rotation_key(9, 0), k) ? -twice[k] : twice[k]) - sums[k]), 32)
        << "each of 1024 roundings to the grid shows by at most 1/2";
}

TEST_P(Conformance, RestoredMasksScatterAndScaleUp) {
  Random random(20'261'127);
  for (const std::size_t d : kLengths)
    for (const std::uint32_t share : {1u, 655u, kWholeShare / 3, kWholeShare}) {
      const ChunkFormat format{Codec::kRandK, 0, 32, false, share};
      const std::size_t k = kept_count(format, d);
      std::vector<std::int64_t> sums(k);
      for (auto& sum : sums) sum = static_cast<std::int64_t>(random()) >> (18 + random() % 40);
      const std::uint64_t key = random();
      std::int64_t* target =
          upload(std::span<const std::int64_t>(std::vector<std::int64_t>(d, 42)));
      backend_->restore({format, d, key, upload(std::span<const std::int64_t>(sums)), target},
                        Stream::kCompute);
      const std::vector<std::int64_t> restored = download(target, d);
      std::vector<std::uint32_t> mask(k);
      draw_mask(key, d, mask);
      std::size_t next = 0;
      for (std::size_t i = 0; i < d; ++i) {
        if (next == k || mask[next] != i) {
          ASSERT_EQ(restored[i], 0);
          continue;
        }
        const long double exact = static_cast<long double>(sums[next++]) *
                                  static_cast<long double>(d) / static_cast<long double>(k);
        ASSERT_LE(std::fabs(static_cast<long double>(restored[i]) - exact), 0.5L) << i;
      }
      release_uploads();
    }
}

}  // namespace muster::kernels::conformance
