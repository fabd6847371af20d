// Rules, pre-steps and shards as text; inside this room only.
#pragma once

#include <charconv>
#include <string>

#include "base/check.h"
#include "robust_agg/rule.h"

namespace muster::robust {

/// One visitor of a variant from one lambda a case.
template <class... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};
template <class... Cases>
Overloaded(Cases...) -> Overloaded<Cases...>;

/// The shortest text that reads back as the same number.
inline std::string number_text(double value) {
  char text[32];
  const auto [end, error] = std::to_chars(text, text + sizeof text, value);
  MUSTER_CHECK(error == std::errc());
  return {text, end};
}

inline std::string bound_text(const FaultBound& bound) {
  if (bound.count) return std::string("f=").append(std::to_string(*bound.count));
  return std::string("byzantine_share=").append(number_text(bound.share));
}

}  // namespace muster::robust
