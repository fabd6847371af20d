// How much of a chip a kernel keeps busy, by the toolkit's own calculator (cuda_occupancy.h).
#pragma once

namespace gpusim {

struct Occupancy {
  int blocks = 0;          // on one multiprocessor; 0 if the kernel does not fit
  double share = 0;        // of the threads the multiprocessor can hold
  const char* limit = "";  // what bounds it
};

// chip: 75, 80, 90 or 100.
Occupancy occupancy(int chip, int threads, int registers, int static_shared, int dynamic_shared);

}  // namespace gpusim
