// Vectors cut by chunk (Backend::allocate_by_chunk): jobs on one chunk, jobs on whole vectors, and
// sums that come from all chunks give what they give in buffers of one piece.
#include <array>
#include <random>

#include "tests/conformance/reference.h"
#include "tests/conformance/suite.h"

namespace muster::kernels::conformance {
namespace {

constexpr std::size_t kChunk = 1088;
constexpr std::array<std::size_t, 4> kLengths = {kChunk, kChunk, kChunk, 129};
constexpr std::size_t kDimension = 3 * kChunk + 129;

/// A cohort of which each chunk lies in a piece of its own.
struct ChunkedCohort {
  std::vector<HostCohort> chunks;
  std::vector<std::vector<const std::byte*>> rows;
  Codes codes(std::size_t c) const {
    return {chunks[c].format, chunks[c].d, rows[c], chunks[c].exponents};
  }
};

class Chunked {
 public:
  explicit Chunked(Backend& backend) : backend_(backend) {}
  ~Chunked() {
    for (const Buffer& buffer : buffers_) backend_.release(buffer);
  }
  template <class T>
  T* vector() {
    return reinterpret_cast<T*>(take(kDimension * sizeof(T), kChunk * sizeof(T)));
  }
  template <class T>
  T* vector(const std::vector<T>& values) {
    T* const made = vector<T>();
    backend_.upload(reinterpret_cast<std::byte*>(made), std::as_bytes(std::span(values)),
                    Stream::kCompute);
    backend_.wait(backend_.record(Stream::kCompute));
    return made;
  }
  /// In one piece, and to the byte: an upload of the suite has a guard behind it.
  double* matrix(std::size_t n) {
    buffers_.push_back(backend_.allocate(n * n * sizeof(double)).value());
    return reinterpret_cast<double*>(buffers_.back().data);
  }
  ChunkedCohort cohort(std::size_t n, Codec codec, Random& random) {
    ChunkedCohort made;
    for (const std::size_t d : kLengths)
      made.chunks.push_back(make_cohort({n, d, codec, Values::kNormal}, random));
    const std::size_t pitch = align_up(payload_bytes(made.chunks[0].format, kChunk), 64);
    std::byte* const codes = take(kLengths.size() * n * pitch, n * pitch);
    for (std::size_t c = 0; c < kLengths.size(); ++c) {
      made.rows.emplace_back();
      for (std::size_t i = 0; i < n; ++i) {
        made.rows[c].push_back(codes + (c * n + i) * pitch);
        backend_.upload(codes + (c * n + i) * pitch, made.chunks[c].rows[i], Stream::kCopy);
      }
    }
    backend_.wait_on(Stream::kCompute, backend_.record(Stream::kCopy));
    return made;
  }

 private:
  std::byte* take(std::size_t bytes, std::size_t piece_bytes) {
    buffers_.push_back(backend_.allocate_by_chunk(bytes, piece_bytes).value());
    return buffers_.back().data;
  }
  Backend& backend_;
  std::vector<Buffer> buffers_;
};

TEST_P(Conformance, ChunksAddUpToOneGramMatrix) {
  Random random(seed());
  struct Case {
    Codec codec;
    std::size_t rows;
    bool centred = false;
  };
  // Values of all sizes, then codes with shared scales, whose matrix stays exact unless they are
  // centred; from 64 rows on such products come from tensor cores.
  for (const auto& [codec, rows, centred] : {Case{Codec::kF32, 5},
                                             {Codec::kI8B, 5},
                                             {Codec::kI8S, 9},
                                             {Codec::kI8S, 9, true},
                                             {Codec::kI8S, 65},
                                             {Codec::kI4S, 7}}) {
    SCOPED_TRACE("codec " + std::to_string(static_cast<int>(codec)));
    Chunked memory(*backend_);
    const ChunkedCohort cohort = memory.cohort(rows, codec, random);
    std::vector<float> centre(kDimension);
    for (float& x : centre) x = std::normal_distribution<float>(0, 0.001f)(random);
    const float* const there = centred ? memory.vector(centre) : nullptr;
    double* const gram = memory.matrix(rows);
    backend_->fill_zero(reinterpret_cast<std::byte*>(gram), rows * rows * sizeof(double),
                        Stream::kCompute);
    std::vector<double> expected(rows * rows);
    for (int pass = 0; pass < 2; ++pass) {  // what was read may be added to
      for (std::size_t c = 0; c < kLengths.size(); ++c) {
        const std::size_t begin = c * kChunk;
        backend_->gram({cohort.codes(c), centred ? there + begin : nullptr, gram},
                       Stream::kCompute);
        reference_gram(cohort.chunks[c],
                       std::span(centre).subspan(begin, centred ? kLengths[c] : 0), expected);
      }
      ASSERT_EQ(download(gram, rows * rows), expected);
    }
    Codes nothing = cohort.codes(0);
    nothing.d = 0;
    nothing.scale_exponents = {};
    backend_->gram({nothing, nullptr, gram}, Stream::kCompute);
    ASSERT_EQ(download(gram, rows * rows), expected);
    release_uploads();
  }
}

TEST_P(Conformance, ChunksAddUpToOneSketch) {
  Random random(seed());
  Chunked memory(*backend_);
  constexpr std::size_t kRows = 3, kCells = 256;
  const ChunkedCohort cohort = memory.cohort(kRows, Codec::kI8B, random);
  std::vector<std::uint64_t> signs(divide_up(kChunk, kSketchBlock));
  std::vector<std::uint32_t> places(signs.size());
  for (auto& sign : signs) sign = random();
  for (auto& place : places)
    place = static_cast<std::uint32_t>(random() % (kCells - kSketchBlock + 1));
  const auto* const there_signs = upload(std::span<const std::uint64_t>(signs));
  const auto* const there_places = upload(std::span<const std::uint32_t>(places));
  std::vector<std::int64_t> expected(kRows * kCells, 7);
  std::int64_t* const cells = upload(std::span<const std::int64_t>(expected));
  for (std::size_t c = 0; c < kLengths.size(); ++c) {
    backend_->sketch({cohort.codes(c), kCells, there_signs, there_places, 20, cells},
                     Stream::kCompute);
    for (std::size_t i = 0; i < kRows; ++i)
      reference_sketch(cohort.chunks[c], i, signs, places, 20,
                       std::span(expected).subspan(i * kCells, kCells));
  }
  ASSERT_EQ(download(cells, expected.size()), expected);
}

/// Vectors in one piece are whole where a job changed them last: a part may be replaced, and jobs
/// of another kind may add to them, before anybody has read what is there.
TEST_P(Conformance, ChangedVectorsMayChangeInPart) {
  Random random(seed());
  constexpr std::size_t kRows = 3, kCells = 256, kD = kRows * kCells, kPart = 100;
  const HostCohort host = make_cohort({kRows, kD, Codec::kI8B, Values::kNormal}, random);
  const DeviceCohort cohort(*backend_, host);
  const std::vector<double> factors = {1, 0.3, -0.7};
  const std::vector<std::int64_t> weights = {1, 3, 2};
  const auto sums = reference_accumulate(host, factors, weights, 40);
  // Jobs of a group take turns: five each time, so that each has been on every other GPU.
  for (int turn = 0; turn < 4; ++turn) {
    std::vector<std::int64_t> replaced = sums, cleared = sums, added = sums;
    std::int64_t* vectors[3] = {};
    for (std::int64_t*& vector : vectors) {
      vector = upload(std::span<const std::int64_t>(std::vector<std::int64_t>(kD)));
      backend_->accumulate({cohort.codes(), factors, weights, 40, vector}, Stream::kCompute);
    }
    backend_->wait(backend_->record(Stream::kCompute));

    std::fill_n(replaced.begin(), kPart, 7 + turn);
    backend_->upload(reinterpret_cast<std::byte*>(vectors[0]),
                     std::as_bytes(std::span(replaced).first(kPart)), Stream::kCompute);
    ASSERT_EQ(download(vectors[0], kD), replaced);

    std::fill_n(cleared.begin(), kPart, 0);
    backend_->fill_zero(reinterpret_cast<std::byte*>(vectors[1]), kPart * sizeof(std::int64_t),
                        Stream::kCompute);
    ASSERT_EQ(download(vectors[1], kD), cleared);

    const std::vector<std::uint64_t> signs(divide_up(kD, kSketchBlock), random());
    const std::vector<std::uint32_t> places(signs.size(), 0);
    backend_->sketch({cohort.codes(), kCells, upload(std::span<const std::uint64_t>(signs)),
                      upload(std::span<const std::uint32_t>(places)), 20, vectors[2]},
                     Stream::kCompute);
    for (std::size_t i = 0; i < kRows; ++i)
      reference_sketch(host, i, signs, places, 20, std::span(added).subspan(i * kCells, kCells));
    ASSERT_EQ(download(vectors[2], kD), added);
    std::vector<RowSummary> unread(kRows);
    backend_->inspect({cohort.codes(), kBound, unread}, Stream::kCompute);
    release_uploads();
  }
}

TEST_P(Conformance, WholeVectorsAreCutWhereTheirPiecesAre) {
  Random random(seed());
  Chunked memory(*backend_);
  const ChunkedCohort cohort = memory.cohort(3, Codec::kF32, random);
  const std::vector<double> factors = {1, 0.3, -0.7};
  const std::vector<std::int64_t> weights = {1, 3, 2};
  auto* const sum = memory.vector<std::int64_t>();
  std::vector<std::int64_t> expected;
  for (std::size_t c = 0; c < kLengths.size(); ++c) {
    backend_->accumulate({cohort.codes(c), factors, weights, 40, sum + c * kChunk},
                         Stream::kCompute);
    const auto part = reference_accumulate(cohort.chunks[c], factors, weights, 40);
    expected.insert(expected.end(), part.begin(), part.end());
  }
  ASSERT_EQ(download(sum, kDimension), expected);

  // A step over vectors of both kinds.
  std::vector<float> model(kDimension), first(kDimension), second(kDimension);
  for (float& x : model) x = std::normal_distribution<float>(0, 0.1f)(random);
  StepJob step;
  step.optimiser = Optimiser::kAdam;
  step.scale = 0x1p-40 / 3;
  step.sum = sum;
  step.model = memory.vector(model);
  step.first = memory.vector(first);
  step.second = upload(std::span<const float>(second));
  step.d = kDimension;
  backend_->step(step, Stream::kCompute);
  reference_step(step, expected, model, first, second);
  ASSERT_EQ(download(step.model, kDimension), model);
  ASSERT_EQ(download(step.second, kDimension), second);

  auto* const merged = memory.vector<std::int64_t>();
  for (int pass = 0; pass < 2; ++pass)
    backend_->merge({sum, 0.5, 3, merged, kDimension}, Stream::kCompute);
  std::vector<std::int64_t> moved(kDimension);
  for (std::size_t k = 0; k < kDimension; ++k)
    moved[k] = reference_merge(reference_merge(0, expected[k], 0.5, 3), expected[k], 0.5, 3);
  ASSERT_EQ(download(merged, kDimension), moved);
  backend_->elect(merged, kDimension, Stream::kCompute);
  for (std::int64_t& x : moved) x = x > 0 ? 1 : x < 0 ? -1 : 0;
  ASSERT_EQ(download(merged, kDimension), moved);

  // The same noise in one piece, which stands on no boundary of a piece.
  const std::array<std::uint32_t, 8> key = {1, 2, 3, 4, 5, 6, 7, 8};
  constexpr std::size_t kFirst = 100, kCount = kDimension - 200;
  auto* const noise = memory.vector<std::int64_t>();
  std::int64_t* const whole =
      upload(std::span<const std::int64_t>(std::vector<std::int64_t>(kCount)));
  backend_->add_noise({key, 5, 20, 3, kFirst, noise + kFirst, kCount}, Stream::kCompute);
  backend_->add_noise({key, 5, 20, 3, kFirst, whole, kCount}, Stream::kCompute);
  ASSERT_EQ(download(noise + kFirst, kCount), download(whole, kCount));

  backend_->fill_zero(reinterpret_cast<std::byte*>(noise), kDimension * sizeof(std::int64_t),
                      Stream::kCompute);
  ASSERT_EQ(download(noise, kDimension), std::vector<std::int64_t>(kDimension));
}

}  // namespace
}  // namespace muster::kernels::conformance
