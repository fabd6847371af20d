#include "kernels/cpu/workers.h"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

namespace muster::kernels {
namespace {

TEST(Workers, VisitEveryUnitOnce) {
  for (const std::size_t threads : {1, 2, 3, 8}) {
    Workers workers(threads);
    for (const std::size_t units : {0, 1, 2, 7, 8, 9, 1000}) {
      std::vector<int> visits(units);
      workers.run(units, 1, [&](std::size_t begin, std::size_t end, std::size_t worker) {
        EXPECT_LT(worker, threads);
        for (std::size_t unit = begin; unit < end; ++unit) ++visits[unit];
      });
      EXPECT_EQ(visits, std::vector<int>(units, 1)) << threads << " threads";
    }
  }
}

TEST(Workers, SplitTheSameWayEveryTime) {
  Workers workers(3);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::size_t> owner(10);
    workers.run(10, 1, [&](std::size_t begin, std::size_t end, std::size_t worker) {
      for (std::size_t unit = begin; unit < end; ++unit) owner[unit] = worker;
    });
    ASSERT_EQ(owner, (std::vector<std::size_t>{0, 0, 0, 1, 1, 1, 2, 2, 2, 2}));
  }
}

TEST(Workers, LeaveSmallRangesToTheCaller) {
  Workers workers(4);
  std::atomic<int> calls = 0;
  workers.run(10, 8, [&](std::size_t begin, std::size_t end, std::size_t worker) {
    ++calls;
    EXPECT_EQ(worker, 0u);
    EXPECT_EQ(begin, 0u);
    EXPECT_EQ(end, 10u);
  });
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace muster::kernels
