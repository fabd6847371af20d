// A fixed pool of threads that split a range of units statically: worker w of t always gets the
// same share, nothing is stolen, and what a unit computes never depends on who computes it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <type_traits>
#include <vector>

namespace muster::kernels {

class Workers {
 public:
  /// `count` >= 1; the caller of run() is worker 0, so count - 1 threads are started.
  explicit Workers(std::size_t count);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  std::size_t count() const { return threads_.size() + 1; }

  /// Calls task(begin, end, worker) for shares that cover [0, units), none smaller than `grain` but
  /// the only one; returns when all are done. From one thread at a time; tasks do not throw.
  template <class Task>
  void run(std::size_t units, std::size_t grain, Task&& task) {
    run_erased({[](void* context, std::size_t begin, std::size_t end, std::size_t worker) {
                  (*static_cast<std::remove_reference_t<Task>*>(context))(begin, end, worker);
                },
                &task, units},
               grain);
  }

 private:
  struct Job {
    void (*call)(void* context, std::size_t begin, std::size_t end, std::size_t worker) = nullptr;
    void* context = nullptr;
    std::size_t units = 0;
    std::size_t shares = 0;
  };
  void run_erased(Job job, std::size_t grain);
  void run_share(std::size_t worker) const;
  void serve(std::size_t worker);

  Job job_;  ///< written before generation_ moves, read after
  std::atomic<std::uint32_t> generation_ = 0;
  std::atomic<std::uint32_t> running_ = 0;  ///< threads not yet done with this generation
  std::atomic<bool> stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace muster::kernels
