#include "kernels/cuda/context.h"

#include "base/codec.h"

namespace muster::kernels::cuda {

static_assert(static_cast<int>(Codec::kF32) == static_cast<int>(cell::Coding::kF32));
static_assert(static_cast<int>(Codec::kF16) == static_cast<int>(cell::Coding::kF16));
static_assert(static_cast<int>(Codec::kBF16) == static_cast<int>(cell::Coding::kBF16));
static_assert(static_cast<int>(Codec::kI8B) == static_cast<int>(cell::Coding::kI8B));
static_assert(static_cast<int>(Codec::kI8S) == static_cast<int>(cell::Coding::kI8S));
static_assert(static_cast<int>(Codec::kI4B) == static_cast<int>(cell::Coding::kI4B));
static_assert(static_cast<int>(Codec::kI4S) == static_cast<int>(cell::Coding::kI4S));
static_assert(static_cast<int>(Codec::kSign1) == static_cast<int>(cell::Coding::kSign1));
static_assert(static_cast<int>(Codec::kHsq) == static_cast<int>(cell::Coding::kHsq));

Context::Context(Memory& memory, Queue& queue, Blas& blas, const Device& device, Stream stream)
    : memory_(memory), queue_(queue), blas_(blas), device_(device), stream_(stream) {
  // Scratch passes from hand to hand in the order of the compute stream.
  if (stream_ != Stream::kCompute) queue_.wait_on(stream_, queue_.record(Stream::kCompute));
}

Context::~Context() {
  for (std::byte* block : scratch_) memory_.give_scratch(block);
  if (stream_ != Stream::kCompute) queue_.wait_on(Stream::kCompute, queue_.record(stream_));
}

std::byte* Context::scratch_bytes(std::size_t bytes) {
  scratch_.push_back(memory_.take_scratch(bytes));
  return scratch_.back();
}

void Context::fill_zero(void* target, std::size_t bytes) {
  if (bytes != 0) MUSTER_CUDA(cudaMemsetAsync(target, 0, bytes, stream()));
}

CodesView Context::rows(const Codes& codes) {
  MUSTER_CHECK_OP(codes.format.log2_block, <, 32);
  MUSTER_CHECK_OP(codes.n(), <, std::size_t{1} << 31);
  CodesView view{};
  view.coding = static_cast<cell::Coding>(codes.format.codec);
  view.log2_block = codes.format.log2_block;
  view.bits = codes.format.bits;
  view.n = static_cast<std::uint32_t>(codes.n());
  view.d = codes.d;
  view.blocks = divide_up(codes.d, std::size_t{1} << view.log2_block);
  view.rows = table(codes.rows);
  return view;
}

CodesView Context::codes(const Codes& codes) {
  MUSTER_CHECK(!needs_expansion(codes.format.codec) && codes.format.codec != Codec::kRandK);
  CodesView view = rows(codes);
  if (has_shared_scales(codes.format.codec)) {
    MUSTER_CHECK_OP(codes.scale_exponents.size(), >=, view.blocks);
    view.exponents = table(codes.scale_exponents.first(view.blocks));
  }
  return view;
}

}  // namespace muster::kernels::cuda
