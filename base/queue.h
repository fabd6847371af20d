// The bounded queue between threads: with the slot pool, the only place where they meet.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/clock.h"

namespace muster {

/// First in, first out, at most `capacity` items. All members are thread-safe. After close() pushes
/// fail and pops drain what is left, then fail.
template <class T>
class BoundedQueue {
 public:
  explicit BoundedQueue(std::size_t capacity) : ring_(capacity) { MUSTER_CHECK(capacity > 0); }

  /// Takes `item` unless the queue is full or closed.
  bool try_push(T item) {
    {
      std::lock_guard lock(mutex_);
      if (closed_ || count_ == ring_.size()) return false;
      put(std::move(item));
    }
    filled_.notify_one();
    return true;
  }

  /// Takes all of `items` in order, under one lock, or none of them.
  bool try_push_many(std::span<T> items) {
    {
      std::lock_guard lock(mutex_);
      if (closed_ || ring_.size() - count_ < items.size()) return false;
      for (T& item : items) put(std::move(item));
    }
    filled_.notify_one();
    return true;
  }

  /// Waits for room. False once closed.
  bool push(T item) {
    {
      std::unique_lock lock(mutex_);
      emptied_.wait(lock, [&] { return closed_ || count_ < ring_.size(); });
      if (closed_) return false;
      put(std::move(item));
    }
    filled_.notify_one();
    return true;
  }

  /// Appends to `out` up to `max` items. Waits up to `wait` for the first one. Returns how many.
  std::size_t pop_many(std::vector<T>& out, std::size_t max, Nanoseconds wait) {
    std::size_t taken = 0;
    {
      std::unique_lock lock(mutex_);
      if (count_ == 0 && wait > 0)
        filled_.wait_for(lock, std::chrono::nanoseconds(wait),
                         [&] { return closed_ || count_ > 0; });
      while (taken < max && count_ > 0) {
        out.push_back(std::move(ring_[head_]));
        head_ = (head_ + 1) % ring_.size();
        --count_;
        ++taken;
      }
    }
    if (taken > 0) emptied_.notify_all();
    return taken;
  }

  void close() {
    {
      std::lock_guard lock(mutex_);
      closed_ = true;
    }
    filled_.notify_all();
    emptied_.notify_all();
  }

  bool closed() const {
    std::lock_guard lock(mutex_);
    return closed_;
  }
  std::size_t size() const {
    std::lock_guard lock(mutex_);
    return count_;
  }
  std::size_t capacity() const { return ring_.size(); }

 private:
  void put(T item) {
    ring_[(head_ + count_) % ring_.size()] = std::move(item);
    ++count_;
  }

  mutable std::mutex mutex_;
  std::condition_variable filled_;
  std::condition_variable emptied_;
  std::vector<T> ring_;
  std::size_t head_ = 0;
  std::size_t count_ = 0;
  bool closed_ = false;
};

}  // namespace muster
