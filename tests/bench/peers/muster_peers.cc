// muster_peers: Muster's rules on rows that another program made, one answer per request line, so
// that compare.py can alternate between it and its peers (README.md).
//
// Start: muster_peers ROWS.bin N D [i8s], ROWS.bin holding N x D f32 row by row. Each line
// "RULE key=value ... OUT.bin" on stdin runs the rule once, writes D f32 to OUT.bin and prints
// "seconds S" or "refused REASON: SENTENCE".
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iostream>
#include <sstream>

#include "base/bytes.h"
#include "robust_agg/aggregate.h"
#include "robust_agg/plan.h"

namespace muster::peers {
namespace {

constexpr std::size_t kChunk = 65'536;   // coordinates
constexpr std::uint8_t kLog2Block = 16;  // one scale a chunk

/// The rows as devices would have sent them, in memory as a server has them when a round closes.
class FileCohort : public robust::Cohort {
 public:
  FileCohort(std::uint32_t n, std::size_t d, ChunkFormat format)
      : n_(n), d_(d), format_(format), pitch_(robust::row_pitch(payload_bytes(format, kChunk))) {
    weights_.assign(n, 1);
    for (std::uint32_t i = 0; i < n; ++i) ranks_.push_back(i);
  }

  /// False if the file is not n x d values.
  bool load(const std::string& path, kernels::Backend& backend) {
    const auto codes = backend.allocate(divide_up(d_, kChunk) * n_ * pitch_);
    if (!codes.ok()) return false;
    codes_ = codes.value().data;
    std::ifstream file(path, std::ios::binary);
    std::vector<float> values(d_);
    for (std::uint32_t i = 0; i < n_; ++i) {
      file.read(reinterpret_cast<char*>(values.data()),
                static_cast<std::streamsize>(d_ * sizeof(float)));
      for (std::size_t begin = 0; begin < d_; begin += kChunk)
        encode(std::span(values).subspan(begin, std::min(kChunk, d_ - begin)),
               row(begin / kChunk, i));
    }
    return file && file.peek() == std::ifstream::traits_type::eof();
  }

  std::size_t d() const { return d_; }
  ChunkFormat format() const { return format_; }
  std::uint32_t size() const override { return n_; }
  std::span<const std::uint32_t> weights() const override { return weights_; }
  std::span<const std::uint64_t> ranks() const override { return ranks_; }
  Result<kernels::Codes> chunk(std::uint32_t index) override {
    addresses_.clear();
    for (std::uint32_t i = 0; i < n_; ++i) addresses_.push_back(row(index, i));
    kernels::Codes codes{format_, std::min(kChunk, d_ - index * kChunk), addresses_, {}};
    if (format_.codec == Codec::kI8S) codes.scale_exponents = {&kExponent, 1};
    return codes;
  }

 private:
  static constexpr std::int8_t kExponent = -6;

  std::byte* row(std::size_t chunk, std::uint32_t i) { return codes_ + (chunk * n_ + i) * pitch_; }

  void encode(std::span<const float> values, std::byte* target) {
    if (format_.codec == Codec::kF32) {
      std::memcpy(target, values.data(), values.size_bytes());
      return;
    }
    // Values that are whole multiples of 2^-6 in [-127, 127] * 2^-6 lose nothing.
    for (std::size_t k = 0; k < values.size(); ++k) {
      const float q = std::nearbyint(std::ldexp(values[k], -kExponent));
      target[k] = std::byte(static_cast<std::int8_t>(std::clamp(q, -127.0F, 127.0F)));
    }
  }

  std::uint32_t n_;
  std::size_t d_;
  ChunkFormat format_;
  std::size_t pitch_;
  std::byte* codes_ = nullptr;  ///< the backend's, as long as it lives
  std::vector<std::uint32_t> weights_;
  std::vector<std::uint64_t> ranks_;
  std::vector<const std::byte*> addresses_;
};

template <class T>
bool parse(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

struct Request {
  robust::PlanRequest plan;
  std::string out;
};

Result<Request> parse_request(const std::string& line, const FileCohort& cohort) {
  std::istringstream words(line);
  std::string name, word;
  words >> name;
  Request request;
  robust::RuleParameters parameters;
  while (words >> word) {
    const std::size_t equals = word.find('=');
    if (equals == std::string::npos) {
      request.out = word;
      continue;
    }
    const std::string_view key = std::string_view(word).substr(0, equals);
    const std::string_view value = std::string_view(word).substr(equals + 1);
    std::uint32_t whole = 0;
    double number = 0;
    if (key == "f" && parse(value, whole))
      parameters.f = whole;
    else if (key == "m" && parse(value, whole))
      parameters.m = whole;
    else if (key == "neighbours")
      parameters.neighbours = std::string(value);
    else if (key == "iterations" && parse(value, whole))
      parameters.iterations = whole;
    else if (key == "smoothing" && parse(value, number))
      parameters.smoothing = number;
    else if (key == "tau" && parse(value, number))
      parameters.tau = number;
    else if (key == "start")
      parameters.start = std::string(value);
    else
      return Status(Code::kInvalid, "parameter", "'" + word + "' is not understood");
  }
  MUSTER_ASSIGN(request.plan.rule, robust::parse_rule(name, parameters));
  request.plan.dimension = cohort.d();
  request.plan.chunk_coordinates = kChunk;
  request.plan.format = cohort.format();
  request.plan.max_updates = cohort.size();
  request.plan.minimum_cohort = cohort.size();
  return request;
}

/// Seconds from the sealed cohort to the f32 aggregate: input contract, rule, and the division.
Result<double> answer(const Request& request, kernels::Backend& backend, FileCohort& cohort) {
  MUSTER_ASSIGN(const robust::Plan plan, robust::make_plan(request.plan, backend));
  MUSTER_ASSIGN(const kernels::Buffer buffer, backend.allocate(cohort.d() * sizeof(std::int64_t)));
  std::vector<float> values(cohort.d());
  const auto begin = std::chrono::steady_clock::now();
  const auto outcome = robust::aggregate(plan, backend, cohort, buffer.as<std::int64_t>());
  if (outcome.ok()) {
    const double scale = std::ldexp(1.0, -plan.grid_bits) / outcome.value().divisor;
    const auto* sum = buffer.as<const std::int64_t>();
    for (std::size_t k = 0; k < values.size(); ++k)
      values[k] = static_cast<float>(static_cast<double>(sum[k]) * scale);
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  backend.release(buffer);
  MUSTER_TRY(outcome.status());
  std::ofstream file(request.out, std::ios::binary);
  file.write(reinterpret_cast<const char*>(values.data()),
             static_cast<std::streamsize>(values.size() * sizeof(float)));
  if (!file.flush()) return Status(Code::kInvalid, "out", "cannot write '" + request.out + "'");
  return seconds.count();
}

int main_of_peers(int argc, char** argv) {
  std::uint32_t n = 0;
  std::size_t d = 0;
  const bool shared = argc == 5 && std::string_view(argv[4]) == "i8s";
  if (argc < 4 || argc > 5 || (argc == 5 && !shared) || !parse(argv[2], n) || !parse(argv[3], d)) {
    fmt::print(stderr, "usage: muster_peers ROWS.bin N D [i8s]\n");
    return 2;
  }
  FileCohort cohort(n, d, shared ? ChunkFormat{Codec::kI8S, kLog2Block} : ChunkFormat{});
  kernels::BackendOptions options;
  options.kind = "cpu";
  options.threads = 1;
  const auto backend = kernels::create_backend(options, nullptr).value();
  if (!cohort.load(argv[1], *backend)) {
    fmt::print(stderr, "muster_peers: {} does not hold {} x {} values\n", argv[1], n, d);
    return 1;
  }
  fmt::print("{}\n", backend->description());
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) {
    const auto request = parse_request(line, cohort);
    const auto seconds =
        request.ok() ? answer(request.value(), *backend, cohort) : Result<double>(request.status());
    if (seconds.ok())
      fmt::print("seconds {:.9f}\n", seconds.value());
    else
      fmt::print("refused {}\n", seconds.status().to_string());
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace muster::peers

int main(int argc, char** argv) { return muster::peers::main_of_peers(argc, argv); }
