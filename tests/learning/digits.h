// Handwritten digits with labels, and how they are dealt to clients.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"

namespace muster::learning {

/// Side of a picture after 2 x 2 means of MNIST's 28 x 28: a quarter of the work, a point of
/// accuracy.
inline constexpr std::size_t kSide = 14;
inline constexpr std::size_t kPixels = kSide * kSide;
inline constexpr std::size_t kClasses = 10;

/// `labels.size()` pictures of kPixels values in [0, 1], one after the other.
struct Digits {
  std::vector<float> pixels;
  std::vector<std::uint8_t> labels;

  std::size_t count() const { return labels.size(); }
  std::span<const float> picture(std::size_t i) const {
    return std::span(pixels).subspan(i * kPixels, kPixels);
  }
};

struct Data {
  Digits train;
  Digits held_out;
};

/// Reads gzipped IDX files. Where `directory` has MNIST's training part too, that is learnt and the
/// test part is held out; of the test part alone every fifth picture is held out.
/// "data_missing" where the test part is not there, "data_malformed".
Result<Data> read_digits(const std::string& directory);

/// One pair of IDX files (http://yann.lecun.com/exdb/mnist, "file formats").
Result<Digits> read_idx(const std::string& images, const std::string& labels);

enum class Split : std::uint8_t {
  kIid,     ///< every client has some of everything
  kSorted,  ///< by label: a client has one digit, or two
};

/// Positions of `labels` for each client: all of them, once, in parts whose sizes differ by at most
/// one.
std::vector<std::vector<std::uint32_t>> deal(std::span<const std::uint8_t> labels,
                                             std::size_t clients, Split split, std::uint64_t seed);

}  // namespace muster::learning
