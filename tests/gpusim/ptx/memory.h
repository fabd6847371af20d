// The global memory of all devices: which ranges exist, which of their bytes somebody wrote, and
// the race checker's cells. Memory is cut in pages of 1 KiB whose records exist once they are
// needed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "tests/gpusim/ptx/race.h"

namespace gpusim {

struct Page {
  static constexpr std::size_t kBytes = ShadowPage::kBytes;

  std::array<std::uint64_t, kBytes / 64> written{};  // one bit a byte
  bool all_written = false;                          // a quick yes; false says nothing
  ShadowPage shadow;

  // Ranges of up to 16 bytes aligned to their size.
  bool is_written(std::size_t offset, std::size_t bytes) const {
    const std::uint64_t wanted = ((std::uint64_t{1} << bytes) - 1) << (offset % 64);
    return all_written || (written[offset / 64] & wanted) == wanted;
  }
  void mark_written(std::size_t offset, std::size_t bytes) {
    written[offset / 64] |= ((std::uint64_t{1} << bytes) - 1) << (offset % 64);
  }
};

struct Allocation {
  std::uint64_t begin = 0, end = 0;
  std::uint64_t origin = 0;  // where page 0 begins: begin, rounded down
  int device = 0;
  bool initialised = false;  // where no page says otherwise
  std::vector<std::unique_ptr<Page>> pages;

  Page& page(std::uint64_t address) {
    std::unique_ptr<Page>& page = pages[(address - origin) / Page::kBytes];
    return page != nullptr ? *page : make_page(page);
  }

 private:
  Page& make_page(std::unique_ptr<Page>& page) const;
};

class Memory {
 public:
  void add(std::uint64_t begin, std::size_t bytes, int device, bool initialised);
  void remove(std::uint64_t begin);
  // The allocation that holds this byte; null if none does. Valid until the next add or remove.
  Allocation* find(std::uint64_t address);

  void mark_initialised(std::uint64_t address, std::size_t bytes);
  void copy_initialised(std::uint64_t target, std::uint64_t source, std::size_t bytes);
  // 0 if there is none.
  std::uint64_t first_uninitialised(std::uint64_t address, std::size_t bytes);

 private:
  std::map<std::uint64_t, Allocation> allocations_;
  Allocation* last_ = nullptr;
};

}  // namespace gpusim
