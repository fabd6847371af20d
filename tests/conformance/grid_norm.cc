// Squared norms on the grid against 128-bit sums of what accumulate() is defined to add.
#include <random>

#include "tests/conformance/reference.h"
#include "tests/conformance/suite.h"

namespace muster::kernels::conformance {
namespace {

TEST_P(Conformance, GridNormsSquareWhatIsAccumulated) {
  const Values values[] = {Values::kNormal, Values::kSubnormal, Values::kZeros,   Values::kLarge,
                           Values::kEqual,  Values::kTies,      Values::kPoisoned};
  for_each_shape(values, [&](const Shape& shape, Random& random) {
    const HostCohort host = make_cohort(shape, random);
    const DeviceCohort cohort(*backend_, host);
    std::vector<double> factors(shape.n);
    for (double& factor : factors)
      factor = random() % 2 == 0 ? 1.0 : std::uniform_real_distribution<double>(-1, 1)(random);
    std::vector<float> centre;
    if (random() % 2 == 0)
      for (std::size_t k = 0; k < shape.d; ++k)
        centre.push_back(std::uniform_real_distribution<float>(-0.1f, 0.1f)(random));
    std::vector<SquaredNorm> norms(shape.n, {7, 0});
    backend_->grid_norms(
        {cohort.codes(), factors, centre.empty() ? nullptr : upload(std::span<const float>(centre)),
         shape.grid_bits, norms},
        Stream::kCompute);
    for (std::size_t i = 0; i < shape.n; ++i) {
      unsigned __int128 expected = 7;
      std::vector<std::int64_t> weights(shape.n);
      weights[i] = 1;
      std::vector<std::int64_t> row = reference_accumulate(host, factors, weights, shape.grid_bits);
      for (std::size_t k = 0; k < shape.d; ++k) {
        if (!centre.empty()) row[k] += reference_grid(centre[k], -factors[i], shape.grid_bits);
        const std::int64_t most = std::int64_t{1} << 46;
        const auto size =
            static_cast<unsigned __int128>(std::min(row[k] < 0 ? -row[k] : row[k], most));
        expected += size * size;
      }
      ASSERT_TRUE(norms[i].value() == expected) << "row " << i;
      if (shape.n > 9 && i >= 3) i += shape.n / 4;  // the reference reads all rows for each
    }
  });
}

}  // namespace
}  // namespace muster::kernels::conformance
