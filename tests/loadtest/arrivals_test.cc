#include "loadtest/arrivals.h"

#include <gtest/gtest.h>

#include <cmath>

namespace muster::loadtest {
namespace {

using Shape = Rate::Shape;

constexpr Rate kRates[] = {{Shape::kConstant, 250, 0, 0},
                           {Shape::kRamp, 0, 500, 10 * kSecond},
                           {Shape::kRamp, 400, 20, 5 * kSecond},
                           {Shape::kDiurnal, 10, 300, 8 * kSecond}};

TEST(Arrivals, ExpectedIsTheIntegralOfTheRate) {
  for (const Rate& rate : kRates) {
    double sum = 0;
    constexpr Nanoseconds kStep = kMillisecond;
    for (Nanoseconds t = 0; t < 12 * kSecond; t += kStep) sum += rate.at(t + kStep / 2) * 1e-3;
    EXPECT_NEAR(rate.expected(12 * kSecond), sum, sum * 1e-6);
  }
}

TEST(Arrivals, EvenTimesPassOneDeviceEach) {
  for (const Rate& rate : kRates) {
    Arrivals arrivals(rate, false, 1);
    for (int device = 0; device < 2000; ++device) {
      const Nanoseconds at = arrivals.next();
      ASSERT_GE(rate.expected(at), device);
      if (at > 0) {
        ASSERT_LT(rate.expected(at - 1), device + 1e-9);
      }
    }
  }
}

TEST(Arrivals, PoissonTimesHaveTheRateAndTheScatterOfOne) {
  for (const Rate& rate : kRates) {
    Arrivals arrivals(rate, true, 17);
    // Counts in windows of equal expectation: mean and variance of both are that expectation.
    constexpr int kWindows = 400;
    constexpr double kEach = 20;
    double sum = 0, squares = 0;
    Nanoseconds at = arrivals.next(), last = 0;
    for (int window = 1; window <= kWindows; ++window) {
      int count = 0;
      for (; rate.expected(at) < window * kEach; at = arrivals.next()) {
        ASSERT_GE(at, last);
        last = at;
        ++count;
      }
      sum += count;
      squares += count * count;
    }
    const double mean = sum / kWindows, variance = squares / kWindows - mean * mean;
    EXPECT_NEAR(mean, kEach, 4 * std::sqrt(kEach / kWindows));
    EXPECT_NEAR(variance, kEach, 5 * kEach * std::sqrt(2.0 / kWindows));
  }
}

TEST(Arrivals, ASeedRepeatsItself) {
  Arrivals first(kRates[3], true, 5), second(kRates[3], true, 5), other(kRates[3], true, 6);
  bool differs = false;
  for (int i = 0; i < 100; ++i) {
    const Nanoseconds at = first.next();
    ASSERT_EQ(at, second.next());
    differs |= at != other.next();
  }
  EXPECT_TRUE(differs);
}

}  // namespace
}  // namespace muster::loadtest
