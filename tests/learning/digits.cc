#include "tests/learning/digits.h"

#include <zlib.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <numeric>

#include "base/check.h"
#include "client/random.h"

namespace muster::learning {
namespace {

constexpr std::size_t kSourceSide = 2 * kSide;
/// Far above MNIST's 47 MB: a file that goes on is not one of ours.
constexpr std::size_t kMostBytes = std::size_t{1} << 28;

Status malformed(const std::string& path, const std::string& why) {
  return Status(Code::kCorrupt, "data_malformed", "'" + path + "' " + why);
}

Result<std::vector<std::uint8_t>> inflate(const std::string& path) {
  const std::unique_ptr<gzFile_s, decltype(&gzclose)> file(gzopen(path.c_str(), "rb"), gzclose);
  if (file == nullptr)
    return Status(Code::kNotFound, "data_missing", "'" + path + "' cannot be opened");
  std::vector<std::uint8_t> bytes;
  std::vector<std::uint8_t> piece(std::size_t{1} << 20);
  while (bytes.size() <= kMostBytes) {
    const int count = gzread(file.get(), piece.data(), static_cast<unsigned>(piece.size()));
    if (count < 0) return malformed(path, "is not a sound gzip file");
    if (count == 0) return bytes;
    bytes.insert(bytes.end(), piece.begin(), piece.begin() + count);
  }
  return malformed(path, "is too long");
}

std::uint32_t big_endian(std::span<const std::uint8_t> bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value = value << 8 | bytes[at + i];
  return value;
}

/// What follows the header of an IDX file of bytes, whose first size goes to `count`.
Result<std::span<const std::uint8_t>> body(const std::string& path,
                                           std::span<const std::uint8_t> file, std::uint32_t magic,
                                           std::size_t item_bytes, std::size_t& count) {
  const std::size_t header = 4 * (1 + (magic & 0xff));
  if (file.size() < header || big_endian(file, 0) != magic)
    return malformed(path, "is not the IDX file expected");
  std::size_t found_bytes = 1;
  for (std::size_t at = 8; at < header; at += 4) found_bytes *= big_endian(file, at);
  if (found_bytes != item_bytes) return malformed(path, "has items of another size");
  count = big_endian(file, 4);
  if (file.size() - header != count * item_bytes) return malformed(path, "is cut short");
  return file.subspan(header);
}

/// Means of 2 x 2 pixels, scaled to [0, 1].
void shrink(std::span<const std::uint8_t> source, float* target) {
  for (std::size_t y = 0; y < kSide; ++y)
    for (std::size_t x = 0; x < kSide; ++x) {
      const std::size_t at = 2 * y * kSourceSide + 2 * x;
      const int sum =
          source[at] + source[at + 1] + source[at + kSourceSide] + source[at + kSourceSide + 1];
      *target++ = static_cast<float>(sum) / (4 * 255.0F);
    }
}

Data hold_out_fifth(const Digits& all) {
  Data data;
  for (std::size_t i = 0; i < all.count(); ++i) {
    Digits& part = i % 5 == 4 ? data.held_out : data.train;
    const auto picture = all.picture(i);
    part.pixels.insert(part.pixels.end(), picture.begin(), picture.end());
    part.labels.push_back(all.labels[i]);
  }
  return data;
}

}  // namespace

Result<Digits> read_idx(const std::string& images, const std::string& labels) {
  MUSTER_ASSIGN(const auto image_file, inflate(images));
  MUSTER_ASSIGN(const auto label_file, inflate(labels));
  std::size_t count = 0;
  std::size_t label_count = 0;
  MUSTER_ASSIGN(const auto pictures,
                body(images, image_file, 0x803, kSourceSide * kSourceSide, count));
  MUSTER_ASSIGN(const auto numbers, body(labels, label_file, 0x801, 1, label_count));
  if (count != label_count) return malformed(labels, "has another count than the images");
  Digits digits;
  digits.labels.assign(numbers.begin(), numbers.end());
  if (std::any_of(numbers.begin(), numbers.end(), [](auto label) { return label >= kClasses; }))
    return malformed(labels, "has a label above 9");
  digits.pixels.resize(count * kPixels);
  for (std::size_t i = 0; i < count; ++i)
    shrink(pictures.subspan(i * kSourceSide * kSourceSide, kSourceSide * kSourceSide),
           digits.pixels.data() + i * kPixels);
  return digits;
}

Result<Data> read_digits(const std::string& directory) {
  const auto part = [&](const std::string& name) {
    return read_idx(directory + "/" + name + "-images-idx3-ubyte.gz",
                    directory + "/" + name + "-labels-idx1-ubyte.gz");
  };
  MUSTER_ASSIGN(Digits test, part("t10k"));
  if (!std::filesystem::exists(directory + "/train-images-idx3-ubyte.gz"))
    return hold_out_fifth(test);
  MUSTER_ASSIGN(Digits train, part("train"));
  return Data{std::move(train), std::move(test)};
}

std::vector<std::vector<std::uint32_t>> deal(std::span<const std::uint8_t> labels,
                                             std::size_t clients, Split split, std::uint64_t seed) {
  MUSTER_CHECK(clients > 0);
  std::vector<std::uint32_t> order(labels.size());
  std::iota(order.begin(), order.end(), 0U);
  client::Random random(seed);
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
  if (split == Split::kSorted)
    std::stable_sort(order.begin(), order.end(),
                     [&](auto a, auto b) { return labels[a] < labels[b]; });
  std::vector<std::vector<std::uint32_t>> parts(clients);
  for (std::size_t c = 0; c < clients; ++c)
    parts[c].assign(order.begin() + static_cast<std::ptrdiff_t>(order.size() * c / clients),
                    order.begin() + static_cast<std::ptrdiff_t>(order.size() * (c + 1) / clients));
  return parts;
}

}  // namespace muster::learning
