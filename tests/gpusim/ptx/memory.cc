#include "tests/gpusim/ptx/memory.h"

#include <algorithm>
#include <utility>

namespace gpusim {

Page& Allocation::make_page(std::unique_ptr<Page>& page) const {
  page = std::make_unique<Page>();
  page->written.fill(initialised ? ~std::uint64_t{0} : 0);
  page->all_written = initialised;
  return *page;
}

void Memory::add(std::uint64_t begin, std::size_t bytes, int device, bool initialised) {
  if (bytes == 0) return;
  Allocation allocation;
  allocation.begin = begin;
  allocation.end = begin + bytes;
  allocation.origin = begin - begin % 64;
  allocation.device = device;
  allocation.initialised = initialised;
  allocation.pages.resize((allocation.end - allocation.origin + Page::kBytes - 1) / Page::kBytes);
  allocations_[begin] = std::move(allocation);
  last_ = nullptr;
}

void Memory::remove(std::uint64_t begin) {
  allocations_.erase(begin);
  last_ = nullptr;
}

Allocation* Memory::find(std::uint64_t address) {
  if (last_ != nullptr && last_->begin <= address && address < last_->end) return last_;
  auto next = allocations_.upper_bound(address);
  if (next == allocations_.begin()) return nullptr;
  Allocation& found = std::prev(next)->second;
  if (address >= found.end) return nullptr;
  return last_ = &found;
}

void Memory::mark_initialised(std::uint64_t address, std::size_t bytes) {
  for (const std::uint64_t end = address + bytes; address < end;) {
    Allocation* allocation = find(address);
    if (allocation == nullptr) return;
    if (address == allocation->begin && end >= allocation->end) {
      allocation->initialised = true;
      for (std::unique_ptr<Page>& page : allocation->pages) {
        if (page == nullptr) continue;
        page->written.fill(~std::uint64_t{0});
        page->all_written = true;
      }
      address = allocation->end;
      continue;
    }
    const std::size_t in_page = (address - allocation->origin) % Page::kBytes;
    const std::size_t part =
        std::min({end, address - in_page + Page::kBytes, allocation->end}) - address;
    if (allocation->pages[(address - allocation->origin) / Page::kBytes] != nullptr ||
        !allocation->initialised) {
      Page& page = allocation->page(address);
      page.all_written |= part == Page::kBytes;
      for (std::size_t i = in_page; i < in_page + part; ++i) page.mark_written(i, 1);
    }
    address += part;
  }
}

void Memory::copy_initialised(std::uint64_t target, std::uint64_t source, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i) {
    const std::uint64_t hole = first_uninitialised(source + i, bytes - i);
    const std::size_t good = hole == 0 ? bytes - i : hole - (source + i);
    mark_initialised(target + i, good);
    i += good;
    Allocation* allocation = hole == 0 ? nullptr : find(target + i);
    if (allocation == nullptr) return;
    const std::size_t in_page = (target + i - allocation->origin) % Page::kBytes;
    Page& page = allocation->page(target + i);
    page.all_written = false;
    page.written[in_page / 64] &= ~(std::uint64_t{1} << (in_page % 64));
  }
}

std::uint64_t Memory::first_uninitialised(std::uint64_t address, std::size_t bytes) {
  for (const std::uint64_t end = address + bytes; address < end;) {
    Allocation* allocation = find(address);
    if (allocation == nullptr) return 0;
    const std::size_t in_page = (address - allocation->origin) % Page::kBytes;
    const Page* page = allocation->pages[(address - allocation->origin) / Page::kBytes].get();
    if (page == nullptr ? allocation->initialised : page->all_written) {
      address = std::min(address - in_page + Page::kBytes, allocation->end);
    } else if (page == nullptr || !page->is_written(in_page, 1)) {
      return address;
    } else {
      ++address;
    }
  }
  return 0;
}

}  // namespace gpusim
