#include "kernels/cpu/workers.h"

#include <algorithm>

#include "base/check.h"

namespace muster::kernels {

Workers::Workers(std::size_t count) {
  MUSTER_CHECK_OP(count, >=, std::size_t{1});
  for (std::size_t worker = 1; worker < count; ++worker)
    threads_.emplace_back([this, worker] { serve(worker); });
}

Workers::~Workers() {
  stopping_.store(true, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Workers::run_erased(Job job, std::size_t grain) {
  if (job.units == 0) return;
  const std::size_t most = std::max<std::size_t>(job.units / std::max<std::size_t>(grain, 1), 1);
  job.shares = std::min(count(), most);
  job_ = job;
  if (job.shares == 1) {
    run_share(0);
    return;
  }
  running_.store(static_cast<std::uint32_t>(threads_.size()), std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  run_share(0);
  for (std::uint32_t left = running_.load(std::memory_order_acquire); left != 0;
       left = running_.load(std::memory_order_acquire))
    running_.wait(left, std::memory_order_acquire);
}

void Workers::run_share(std::size_t worker) const {
  if (worker >= job_.shares) return;
  const std::size_t begin = job_.units * worker / job_.shares;
  const std::size_t end = job_.units * (worker + 1) / job_.shares;
  job_.call(job_.context, begin, end, worker);
}

void Workers::serve(std::size_t worker) {
  for (std::uint32_t seen = 0;;) {
    generation_.wait(seen, std::memory_order_acquire);
    // run() waits for every thread before it starts the next generation, so none is ever missed.
    seen = generation_.load(std::memory_order_acquire);
    if (stopping_.load(std::memory_order_relaxed)) return;
    run_share(worker);
    if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) running_.notify_one();
  }
}

}  // namespace muster::kernels
