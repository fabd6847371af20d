// What the rules compute with: coarse operations on device buffers, the same on every backend.
//
// One Backend is chosen at start. Its calls take milliseconds, so they are virtual; the arithmetic
// inside is in kernels/cell/. Unless said otherwise all pointers of a job point into buffers of the
// same backend (Backend::allocate) and must stay alive until the stream has been waited for; host
// arrays of a job (addresses of rows, factors, ...) are read during the call and free after it.
// Calls on one Backend come from one thread (the engine). Results are the same bytes on every
// backend, level and thread count: sums are integers, f64 norms have the fixed order of
// kernels/canonical.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/codec.h"
#include "base/status.h"

namespace muster::kernels {

/// Memory of a backend. Owned by the backend; freed by release() or with the backend.
struct Buffer {
  std::byte* data = nullptr;  ///< device address; host code may follow it only if host_visible()
  std::size_t bytes = 0;
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data);
  }
};

/// An ordered queue of work. Work on different streams is ordered by events only.
enum class Stream : std::uint8_t { kCompute = 0, kCopy = 1 };

/// A point in a stream.
struct Event {
  std::uint64_t ticket = 0;
};

/// n encoded rows of one chunk: what a cohort sent for the same d coordinates, still compressed.
/// Rows need not be adjacent: slots of the slab, resident memory and subsets all fit. All
/// operations but expand() take codecs whose coordinates decode one by one: not EDEN and TOPK
/// (expand them, but see folds_topk()), not RANDK (its k values are F32 or F16 codes); HSQ
/// coordinates are the rotated ones, d of them with padding.
struct Codes {
  ChunkFormat format;
  std::size_t d = 0;                       ///< coordinates of the chunk
  std::span<const std::byte* const> rows;  ///< host array of n row addresses, 4-byte aligned
  std::span<const std::int8_t>
      scale_exponents;  ///< I8S, I4S: host table, one a block of this chunk
  std::size_t n() const { return rows.size(); }
};

/// What a look at one row of one chunk found.
struct RowSummary {
  double squared_norm = 0;         ///< of the finite values; exact for I8S, canonical f64 otherwise
  std::uint32_t non_finite = 0;    ///< NaN or Inf coordinates
  std::uint32_t out_of_bound = 0;  ///< finite coordinates with |x| > value_bound
  bool valid() const { return non_finite == 0 && out_of_bound == 0; }
};

/// summaries[i] (host memory) = what row i holds. Without `norms` the squared norms are 0, and a
/// codec whose scales alone prove that all is in bound is not read at all.
struct InspectJob {
  Codes codes;
  float value_bound = 0;
  std::span<RowSummary> summaries;
  bool norms = true;
};

/// target[k] += sum over i of weights[i] * round(factors[i] * x_ik * 2^grid_bits), k in [0, d).
/// The product factor * x is rounded to f64 once, scaled exactly, rounded to nearest even.
/// Non-finite values count as zero. The caller guarantees that no sum leaves i64 (the grid of the
/// round: docs/numerics.md).
struct AccumulateJob {
  Codes codes;
  std::span<const double> factors;        ///< host, n; finite
  std::span<const std::int64_t> weights;  ///< host, n
  int grid_bits = 0;
  std::int64_t* target = nullptr;  ///< d sums
};

/// target[k] = sum of the order statistics x_(low+1) .. x_(n-high) of coordinate k, each rounded to
/// the grid before it is added. The sum is over integers, so equal values never matter. Trimmed
/// mean: low = high = f. Median: low = high = (n - 1) / 2. -0 counts as +0, values must be finite.
struct KeptSumJob {
  Codes codes;
  std::uint32_t low = 0;   ///< smallest values left out; low + high < n
  std::uint32_t high = 0;  ///< largest values left out
  int grid_bits = 0;
  std::int64_t* target = nullptr;
  /// Where the backend bounds_kept_sums(): values that are not finite, or of a greater magnitude
  /// than `bound`, may end the job without sums; *beyond tells, host memory, once the stream has
  /// been waited for. Null: the caller knows that all are within.
  float bound = 0;
  bool* beyond = nullptr;
};

/// Rows made of rows: row r of n() is the mean of those it lists, or of all but those, rounded to
/// the grid, ties to even. All spans are host memory.
struct MixStage {
  std::span<const std::uint32_t>
      bounds;  ///< n() + 1: row r lists members [bounds[r], bounds[r + 1])
  std::span<const std::uint32_t> members;  ///< rows before this stage
  bool except = false;                     ///< the mean of all rows but the members
  std::size_t n() const { return bounds.size() - 1; }
};

/// Coordinate by coordinate: rows y_i = round(factors[i] * x_i * 2^grid_bits); then the stages, one
/// after the other; and of the n values that come out, sorted, S = y_(low+1) + .. + y_(n-high).
/// keep 0: target = S. Otherwise target = the sum of the `keep` values nearest to
/// S / (n - low - high): with r the distance of the keep-th nearest, all values nearer than r, and
/// for the places left the mean of the values at r, that product rounded once, ties to even. No
/// order of rows can matter. Values must be finite; n * |y| <= 2^62.
struct WindowSumJob {
  Codes codes;
  std::span<const double> factors;   ///< host, one a row of codes; empty: ones
  std::span<const MixStage> stages;  ///< no row lists nothing, or everything as an exception
  std::uint32_t low = 0;
  std::uint32_t high = 0;
  std::uint32_t keep = 0;  ///< at most n
  int grid_bits = 0;
  std::int64_t* target = nullptr;
};

/// Counters a coordinate has in a histogram of its codes: one u32 for each code there is, and so
/// independent of the cohort. 0: this codec's rows do not share their scales and cannot be counted.
constexpr std::size_t count_bins(Codec codec) { return codec == Codec::kI8S ? 256 : 0; }
constexpr std::size_t count_bytes(Codec codec) { return count_bins(codec) * sizeof(std::uint32_t); }

/// counters[k * bins + q + bins / 2] += rows whose code of coordinate k is q. Each call passes over
/// all counters, so a cohort that comes in parts should come in hundreds of rows; fewer than 2^32
/// in all.
struct CountJob {
  Codes codes;
  std::uint32_t* counters = nullptr;  ///< d * count_bytes, 64-byte aligned
};

/// As KeptSumJob, and to the same bits, from counters of n rows.
struct KeptSumOfCountsJob {
  ChunkFormat format;
  std::size_t d = 0;
  std::span<const std::int8_t> scale_exponents;  ///< as in Codes
  const std::uint32_t* counters = nullptr;
  std::uint32_t n = 0;  ///< rows counted
  std::uint32_t low = 0, high = 0;
  int grid_bits = 0;
  std::int64_t* target = nullptr;
};

/// gram[i * n + j] += <x_i - c, x_j - c> over this chunk, both triangles. Integer codecs without a
/// centre: exact as long as the total stays below 2^53 units of the smallest block scale. Float
/// codecs: f64 in canonical order. `rows`: only the first rows of the matrix, i in [0, rows).
struct GramJob {
  Codes codes;
  const float* centre = nullptr;  ///< d values, or null for the origin
  double* gram = nullptr;         ///< n x n, or rows x n; in backend memory
  std::size_t rows = 0;           ///< 0: all n
};

/// Whether every value of the codec is an f32, no code times a scale.
constexpr bool holds_floats(Codec codec) {
  return codec == Codec::kF32 || codec == Codec::kF16 || codec == Codec::kBF16 ||
         codec == Codec::kHsq;
}
/// What estimate_gram() may err at most, as a share of |x_i - c| |x_j - c|: a chain of 128 fused
/// f32 products, four of those added (kernels/canonical.h), the roundings of the differences from
/// the centre (2 for an entry, as much again for the diagonal), and what their second order adds.
inline constexpr double kEstimateError = (128 + 4 + 8) * 0x1p-24;
/// And a coordinate, where products are below the normal f32.
inline constexpr double kEstimateUnderflow = 0x1p-149;
/// Coordinates it adds in f32; blocks of them add in f64.
inline constexpr std::size_t kEstimateBlock = 512;
/// Magnitudes of values and centre up to here overflow nowhere.
inline constexpr float kEstimateBound = 0x1p50f;

/// distances[p] += sum over k of (x_ik - x_jk)^2 over this chunk for pair p = (i, j): direct f64
/// differences in canonical order, for the pairs a certified selection must look at again.
struct PairDistanceJob {
  Codes codes;
  std::span<const std::uint32_t> pairs;  ///< host, 2 per pair
  std::span<double> distances;           ///< host, 1 per pair; synchronous
};

/// Rows against one dense vector v, v_k = reference[k] * scale in f64, over this chunk:
/// squared_distances[i] += |x_i - v|^2 by direct differences and dots[i] += <x_i, v>, both in
/// canonical order for every codec, products rounded. Values must be finite.
struct RelateJob {
  Codes codes;
  const std::int64_t* reference = nullptr;  ///< d grid values
  double scale = 0;
  std::span<double> squared_distances;  ///< host, n, or empty
  std::span<double> dots;               ///< host, n, or empty; synchronous
};

/// target[k] += number of rows with x_ik > 0 - number of rows with x_ik < 0. Non-finite values
/// do not vote.
struct VoteJob {
  Codes codes;
  std::int64_t* target = nullptr;
};

/// target[k] += round((sum[k] - pull * target[k]) / divisor), in f64, each operation rounded, the
/// last to an integer with ties to even. With pull 0: adds a mean, rounded to the grid.
struct MergeJob {
  const std::int64_t* sum = nullptr;
  double pull = 0, divisor = 1;
  std::int64_t* target = nullptr;
  std::size_t d = 0;
};

/// target[i * pitch + k] = coordinate k of row i as f32, k < d. EDEN: scale_r * sign_k * (H c)_k
/// with the centroids c of rotation r, H in the order of kernels/cpu/variant/hadamard.h, every
/// operation rounded to f32. TOPK: zeros but for what the row names. The payloads are ones that
/// ingest accepted: lengths inside them are not judged again.
struct ExpandJob {
  Codes codes;  ///< EDEN or TOPK
  float* target = nullptr;
  std::size_t pitch = 0;  ///< f32 from row to row, at least d
};

/// From sums over the coordinates of the rules (rule_coordinates) to sums over those of the model.
/// RANDK: target = round(sums * d / k), ties to even, where the mask of `key` took the coordinate,
/// else 0. HSQ: target_k = round(sign_k * (H sums)_k / sqrt(length)) for each rotation, the sums
/// converted to f64, stages and product rounded in f64. The caller left room in the grid
/// (restore_headroom_bits in base/codec.h).
struct RestoreJob {
  ChunkFormat format;     ///< RANDK or HSQ
  std::size_t d = 0;      ///< coordinates of the chunk in the model
  std::uint64_t key = 0;  ///< chunk_key of the round's seed (base/codec_random.h)
  const std::int64_t* sums = nullptr;
  std::int64_t* target = nullptr;  ///< d; may not overlap `sums`
};

/// Block-fold sketch (docs/numerics.md): with b = k / 64 and l = k mod 64 for coordinate k of the
/// chunk, cell places[b] + l of row i gains round(x_ik * 2^unit_bits), negated where
/// bit l of signs[b] is set. Whole blocks move together, coordinates of different blocks meet by
/// chance. Integer sums: order never matters. |x| * 2^unit_bits must stay below 2^31 - 128: what is
/// beyond or not finite counts as something within, but such rows are invalid anyway.
struct SketchJob {
  Codes codes;
  std::uint32_t cells = 0;                ///< at least kSketchBlock, a multiple of it
  const std::uint64_t* signs = nullptr;   ///< one a block of the chunk, in backend memory
  const std::uint32_t* places = nullptr;  ///< one a block; at most cells - kSketchBlock
  int unit_bits = 0;                      ///< in [-100, 100]
  std::int64_t* target = nullptr;         ///< n x cells
};
constexpr std::size_t kSketchBlock = 64;  ///< coordinates that share a place

/// Server optimisers (Reddi et al. 2021, algorithm 2; all without bias correction, as there).
enum class Optimiser : std::uint8_t { kSgd, kMomentum, kAdam, kYogi, kAdagrad };
/// Whether the optimiser keeps this moment.
constexpr bool has_first_moment(Optimiser optimiser) { return optimiser != Optimiser::kSgd; }
constexpr bool has_second_moment(Optimiser optimiser) { return optimiser > Optimiser::kMomentum; }

/// With delta = target sum * scale, per coordinate in f64, stored as f32:
///   SGD       model += learning_rate * delta
///   momentum  first = beta1 * first + delta;  model += learning_rate * first
///   Adam      first = beta1 * first + (1 - beta1) * delta
///             second = beta2 * second + (1 - beta2) * delta^2
///             model += learning_rate * first / (sqrt(second) + epsilon)
///   Yogi      as Adam, but second -= (1 - beta2) * delta^2 * sign(second - delta^2)
///   Adagrad   as Adam, but second += delta^2
struct StepJob {
  Optimiser optimiser = Optimiser::kSgd;
  double learning_rate = 1, beta1 = 0.9, beta2 = 0.99, epsilon = 1e-3;
  const std::int64_t* sum = nullptr;  ///< d grid sums
  double scale = 0;                   ///< grid step / divisor
  float* model = nullptr;             ///< d
  float* first = nullptr;             ///< d; has_first_moment()
  float* second = nullptr;            ///< d; has_second_moment()
  std::size_t d = 0;
};

/// A sum of squares of grid values, exact.
struct SquaredNorm {
  std::uint64_t low = 0, high = 0;
  unsigned __int128 value() const { return static_cast<unsigned __int128>(high) << 64 | low; }
};

/// norms[i] (host memory) += sum over k of q_ik^2, where q_ik is what accumulate() with weight 1
/// would add to a sum for row i, or, around a centre, for row i and for a row of f32 values
/// `centre` with the factor -factors[i] together. |q| counts as 2^46 at most: whoever compares with
/// a lower bound gets the truth. For sensitivity: no rounding of floats stands between this and
/// what is released.
struct GridNormJob {
  Codes codes;
  std::span<const double> factors;  ///< host, n; finite
  const float* centre = nullptr;    ///< d values, or null for the origin
  int grid_bits = 0;
  std::span<SquaredNorm> norms;  ///< host, n; synchronous
};

/// target[k] += weight * noise of coordinate first + k: discrete Gaussian on the integers with
/// standard deviation 2^log2_sigma, from ChaCha20 under `key`, integers only (kernels/cell/gauss.h
/// says how exact). A coordinate's noise is a function of key, vector and coordinate alone, so any
/// split of the coordinates over jobs, threads or nodes gives the same. |noise| < 2^(log2_sigma +
/// 4).
struct NoiseJob {
  std::span<const std::uint32_t, 8> key;  ///< host, read during the call; never logged
  std::uint32_t vector = 0;  ///< which vector of noise under this key; each is drawn once
  int log2_sigma = 0;        ///< kMinLog2Sigma to kMaxLog2Sigma
  std::int64_t weight = 1;
  std::uint64_t first = 0;         ///< coordinate of target[0]; first + d <= 2^34
  std::int64_t* target = nullptr;  ///< d sums
  std::size_t d = 0;
};
constexpr int kMinLog2Sigma = 6, kMaxLog2Sigma = 40;
/// A draw is within 2 to this of the exact law in total variation.
constexpr int kNoiseVariationLog2 = -186;

/// See the head of this file for threads and ownership.
class Backend {
 public:
  virtual ~Backend() = default;

  /// "cpu" or "cuda".
  virtual std::string_view kind() const = 0;
  /// One line for the start-up message: level and threads, or the device.
  virtual std::string description() const = 0;
  /// Whether host code may read and write Buffer::data directly (after wait()).
  virtual bool host_visible() const = 0;

  /// Zeroed memory, 64-byte aligned. kExhausted / "backend_memory" beyond the budget.
  virtual Result<Buffer> allocate(std::size_t bytes) = 0;
  /// The same for what belongs to the chunks of a model: piece c, `piece_bytes` long (the last may
  /// be shorter), to chunk c. Where a backend has several devices each chunk lives on one of them,
  /// so a job on coordinates of a chunk may only touch pieces of that chunk, and whole vectors are
  /// cut where their pieces are. Buffers of allocate() may meet any chunk.
  virtual Result<Buffer> allocate_by_chunk(std::size_t bytes, std::size_t /*piece_bytes*/) {
    return allocate(bytes);
  }
  /// The same in memory that host code reads and writes whatever the backend, and from which
  /// uploads are fastest: page-locked where there is a device. Part of BackendOptions::host_bytes
  /// there; counted as allocate() is on the CPU. Given back by release().
  virtual Result<Buffer> allocate_host(std::size_t bytes) = 0;
  virtual void release(Buffer buffer) = 0;
  virtual std::size_t allocated_bytes() const = 0;

  /// The host bytes must stay as they are until the stream passed the copy.
  virtual void upload(std::byte* target, ConstBytes source, Stream stream) = 0;
  /// Waits until `target` is filled; an empty one, until all that was queued is done.
  virtual void download(MutableBytes target, const std::byte* source, Stream stream) = 0;
  virtual void fill_zero(std::byte* target, std::size_t bytes, Stream stream) = 0;

  virtual Event record(Stream stream) = 0;
  virtual bool done(Event event) = 0;
  virtual void wait(Event event) = 0;
  /// Work queued on `stream` after this starts only when `event` has passed.
  virtual void wait_on(Stream stream, Event event) = 0;

  /// Waits for the result.
  virtual void inspect(const InspectJob& job, Stream stream) = 0;
  virtual void accumulate(const AccumulateJob& job, Stream stream) = 0;
  virtual void kept_sum(const KeptSumJob& job, Stream stream) = 0;
  /// Whether kept_sum() looks at the bound of such codes itself, which spares inspect() a pass.
  virtual bool bounds_kept_sums(Codec /*codec*/) const { return false; }
  virtual void window_sum(const WindowSumJob& job, Stream stream) = 0;
  virtual void count(const CountJob& job, Stream stream) = 0;
  virtual void kept_sum_of_counts(const KeptSumOfCountsJob& job, Stream stream) = 0;
  virtual void gram(const GramJob& job, Stream stream) = 0;
  /// As gram() of all rows of a codec that holds floats, but for the errors above: not the same
  /// bytes on every backend, so for selections that are certified afterwards. The diagonal is that
  /// of the rounded differences, in f64.
  virtual void estimate_gram(const GramJob& job, Stream stream) { gram(job, stream); }
  /// Whether that is any faster.
  virtual bool estimates_gram(Codec /*codec*/) const { return false; }
  /// Waits for the result.
  virtual void pair_distances(const PairDistanceJob& job, Stream stream) = 0;
  virtual void expand(const ExpandJob& job, Stream stream) = 0;
  /// Whether inspect(), accumulate() and, around the origin, grid_norms() take TOPK rows of this
  /// share as they were sent, to the bits of the expanded rows, and are faster so: in the time of
  /// the values that are named.
  virtual bool folds_topk(std::uint32_t /*share*/) const { return false; }
  virtual void restore(const RestoreJob& job, Stream stream) = 0;
  virtual void sketch(const SketchJob& job, Stream stream) = 0;
  virtual void step(const StepJob& job, Stream stream) = 0;
  /// Waits for the result.
  virtual void relate(const RelateJob& job, Stream stream) = 0;
  virtual void vote(const VoteJob& job, Stream stream) = 0;
  virtual void merge(const MergeJob& job, Stream stream) = 0;
  /// target[k] = its sign: -1, 0 or 1.
  virtual void elect(std::int64_t* target, std::size_t d, Stream stream) = 0;
  /// Waits for the result.
  virtual void grid_norms(const GridNormJob& job, Stream stream) = 0;
  /// The key is copied into the job's launch and into no buffer.
  virtual void add_noise(const NoiseJob& job, Stream stream) = 0;

  /// Scratch a call may need at most, for the planner: bytes for a chunk of d coordinates, n rows.
  virtual std::size_t scratch_bytes(std::size_t n, std::size_t d) const = 0;
  /// What kept_sum() or window_sum() may need beyond that; most rules call neither.
  virtual std::size_t kept_sum_scratch_bytes(std::size_t /*n*/, std::size_t /*d*/) const {
    return 0;
  }
  virtual std::size_t window_sum_scratch_bytes(std::size_t /*n*/) const { return 0; }
};

/// Instruction set of the CPU backend. All give equal bits.
enum class CpuLevel : std::uint8_t { kBaseline, kAvx2, kAvx512 };

std::string_view cpu_level_name(CpuLevel level);
/// Best level this processor runs.
CpuLevel detect_cpu_level();

struct BackendOptions {
  std::string kind = "auto";     ///< "auto", "cpu" or "cuda"
  std::size_t threads = 0;       ///< CPU workers; 0 = one per core
  std::size_t memory_bytes = 0;  ///< budget of allocate(); 0 = no limit
  std::size_t host_bytes = 0;    ///< CUDA: what allocate_host() may give, page-locked at start
  std::size_t devices = 0;       ///< CUDA: GPUs to use, memory_bytes on each; 0: all there are
  double hang_seconds = 0;       ///< CUDA: what has no progress for so long hangs; 0: kHangSeconds
  /// CUDA: what to do when a device failed, before the process ends: `error_class` is one word.
  /// From any thread; calls nothing of the backend.
  std::function<void(std::string_view error_class, std::string_view sentence)> on_failure;
  CpuLevel level = detect_cpu_level();
  /// CPU: also use what the processor has beyond its level (VNNI). Off only to compare: equal bits.
  bool extensions = true;
};

/// Of an operation of a GPU, beside what its size allows it: a thousandth of what a card does.
inline constexpr double kHangSeconds = 20;

/// Why `auto` did not take a GPU.
struct Fallback {
  std::string cause;       ///< one line; empty: it did, or "cpu" was asked for
  bool gpu_found = false;  ///< there is one, which could not be used
};

/// "cuda" without a usable device is an error that names the cause; "auto" falls back to the CPU
/// and puts the cause into `*fallback` (may be null).
Result<std::unique_ptr<Backend>> create_backend(const BackendOptions& options, Fallback* fallback);

}  // namespace muster::kernels
