// What streams promise while work is pending: events, copies on their way, waits.
#include <cmath>

#include "tests/conformance/suite.h"

namespace muster::kernels::conformance {

void Conformance::keep_busy(Stream stream) {
  const std::vector<std::byte> bytes(64);
  std::byte* const target = upload(std::span<const std::byte>(bytes));
  for (int i = 0; i < 2000; ++i) backend_->fill_zero(target, bytes.size(), stream);
}

/// More events than a backend keeps at a time: the first still says when its work is done, which
/// is long after it was queued, and another stream may read what it made.
TEST_P(Conformance, AnEventStaysTrueHoweverManyFollow) {
  for (const int followers : {255, 256, 257, 1000}) {
    const std::vector<std::byte> ones(4096, std::byte{1}), zeros(4096);
    std::byte* const target = upload(std::span<const std::byte>(ones));
    keep_busy(Stream::kCompute);
    backend_->fill_zero(target, zeros.size(), Stream::kCompute);
    const Event filled = backend_->record(Stream::kCompute);
    for (int i = 0; i < followers; ++i) backend_->record(Stream::kCopy);
    backend_->wait(filled);
    std::vector<std::byte> got(zeros.size());
    backend_->download(got, target, Stream::kCopy);
    EXPECT_EQ(got, zeros) << followers << " events later";
  }
}

/// And once done it is done, whatever takes its place among those that are kept.
TEST_P(Conformance, ADoneEventStaysDone) {
  const Event first = backend_->record(Stream::kCopy);
  backend_->wait(first);
  keep_busy(Stream::kCompute);
  // One more would wait for the work that is pending.
  for (int followers = 1; followers <= 256; ++followers) {
    backend_->record(Stream::kCompute);
    ASSERT_TRUE(backend_->done(first)) << followers << " events later";
  }
}

/// What the host gave with a job is free when the call returns, however many jobs follow before
/// this one comes to its turn: their tables together are more than what is kept for copies on their
/// way.
TEST_P(Conformance, JobsKeepTheirTables) {
  Random random(seed());
  constexpr std::size_t kRows = 20'000, kJobs = 12;
  const Shape shape{7, 1, Codec::kF32, Values::kNormal, 24};
  const HostCohort host = make_cohort(shape, random);
  const DeviceCohort cohort(*backend_, host);
  Codes codes = cohort.codes();
  const std::vector<const std::byte*> payloads(codes.rows.begin(), codes.rows.end());
  std::vector<std::int64_t> expected(kJobs);
  std::int64_t* const targets = upload(std::span<const std::int64_t>(expected));
  keep_busy(Stream::kCompute);
  std::vector<const std::byte*> rows(kRows);
  std::vector<std::int64_t> weights(kRows);
  const std::vector<double> factors(kRows, 1.0);
  for (std::size_t job = 0; job < kJobs; ++job) {
    for (std::size_t i = 0; i < kRows; ++i) {
      const std::size_t row = random() % shape.n;
      rows[i] = payloads[row];
      weights[i] = static_cast<std::int64_t>(random() % 15) - 7;
      const double units = std::ldexp(static_cast<double>(host.value(row, 0)), shape.grid_bits);
      expected[job] += weights[i] * static_cast<std::int64_t>(std::nearbyint(units));
    }
    codes.rows = rows;
    backend_->accumulate({codes, factors, weights, shape.grid_bits, targets + job},
                         Stream::kCompute);
  }
  backend_->wait(backend_->record(Stream::kCompute));
  ASSERT_EQ(download(targets, kJobs), expected);
}

/// A download of nothing waits for the stream like any other.
TEST_P(Conformance, DownloadingNothingWaits) {
  for (const Stream stream : {Stream::kCompute, Stream::kCopy}) {
    keep_busy(stream);
    const Event queued = backend_->record(stream);
    backend_->download({}, nullptr, stream);
    EXPECT_TRUE(backend_->done(queued));
  }
}

}  // namespace muster::kernels::conformance
