// One suite for every backend: equal bits with the reference, whatever the level, threads or
// device.
//
// A backend joins with a file of ten lines: include this, INSTANTIATE_TEST_SUITE_P(name,
// Conformance, subjects...). Inputs come from the seed that the suite prints; MUSTER_TEST_SEED
// repeats one.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <ostream>
#include <string>

#include "kernels/backend.h"
#include "tests/conformance/cohort.h"

namespace muster::kernels::conformance {

/// A backend under test.
struct Subject {
  std::string name;  ///< letters and digits
  BackendOptions options;
  bool emulated = false;  ///< a thousand times slower: sizes stay where CI can bear them
};
inline void PrintTo(const Subject& subject, std::ostream* out) { *out << subject.name; }

class Conformance : public ::testing::TestWithParam<Subject> {
 protected:
  /// Skips, with the cause, where this machine cannot run the subject.
  void SetUp() override;
  void TearDown() override;

  /// Calls check(shape, random) for all sizes, each with several codecs and classes of values.
  void for_each_shape(std::span<const Values> values,
                      const std::function<void(const Shape&, Random&)>& check);

  /// Kept sums of a cohort of this shape, with many cuts, against sorting.
  void check_kept_sums(const Shape& shape, Random& random);

  static std::uint64_t seed();
  static bool emulated() { return GetParam().emulated; }

  /// Device copies of host vectors, released with the test. What lies behind each must then be as
  /// it was: nothing writes past the end of what it was given.
  template <class T>
  T* upload(std::span<const T> host) {
    return reinterpret_cast<T*>(upload_bytes(std::as_bytes(host)));
  }
  template <class T>
  std::vector<T> download(const T* device, std::size_t count) {
    std::vector<T> host(count);
    backend_->download(std::as_writable_bytes(std::span(host)),
                       reinterpret_cast<const std::byte*>(device), Stream::kCompute);
    return host;
  }
  void release_uploads();
  /// Queues work that changes nothing and takes a while.
  void keep_busy(Stream stream);

  std::unique_ptr<Backend> backend_;

 private:
  std::byte* upload_bytes(ConstBytes bytes);
  struct Upload {
    Buffer buffer;
    std::size_t bytes = 0;  ///< the guard comes after them
  };
  std::vector<Upload> uploads_;
};

}  // namespace muster::kernels::conformance
