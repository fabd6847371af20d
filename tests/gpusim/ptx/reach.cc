// The way of loads, stores and atomics to memory: window, alignment, bounds, written bytes, races.
#include <algorithm>
#include <string>

#include "tests/gpusim/ptx/block.h"
#include "tests/gpusim/ptx/traffic.h"

namespace gpusim {
namespace {

using Where = RaceChecker::Where;

std::string describe(const Access& access) {
  std::string text(access.kind == Access::Kind::kRead    ? "read of "
                   : access.kind == Access::Kind::kWrite ? "write of "
                                                         : "atomic on ");
  return text.append(std::to_string(access.bytes)).append(" bytes");
}

// Calls run(check), where check(cell, who, address) is what the races of this kind of access ask
// for.
template <class Run>
void with_check(RaceChecker& races, const Access& access, Where where, Run run) {
  if (access.kind == Access::Kind::kAtomic || access.ordering) {
    run([&, where](Cell& cell, Party who, std::uint64_t address) {
      races.atomic(cell, who, where, address);
    });
  } else if (access.kind == Access::Kind::kWrite) {
    run([&, where](Cell& cell, Party who, std::uint64_t address) {
      races.write(cell, who, where, address);
    });
  } else {
    run([&, where](Cell& cell, Party who, std::uint64_t address) {
      races.read(cell, who, where, address);
    });
  }
}

}  // namespace

Space Block::space_of(const Access& access) const {
  if (access.space != Space::kGeneric)
    return access.space == Space::kConst ? Space::kGlobal : access.space;
  switch (access.address[static_cast<std::size_t>(first_lane(access.lanes))] & kWindowMask) {
    case kSharedWindow:
      return Space::kShared;
    case kLocalWindow:
      return Space::kLocal;
    case kParamWindow:
      return Space::kParam;
    default:
      return Space::kGlobal;
  }
}

void Block::reach(Warp& warp, Access& access) {
  std::uint64_t low_bits = 0;
  for_lanes(access.lanes,
            [&](int lane) { low_bits |= access.address[static_cast<std::size_t>(lane)]; });
  if (low_bits % access.bytes != 0) {
    for_lanes(access.lanes, [&](int lane) {
      const std::uint64_t address = access.address[static_cast<std::size_t>(lane)];
      if (address % access.bytes == 0) return;
      fail(Fault::kMisaligned, lane, describe(access).append(" at ").append(hex(address)));
    });
  }
  if (access.space == Space::kGeneric) {
    // Lanes of one generic access may be in different memories: each kind goes on its own.
    const std::uint64_t window =
        access.address[static_cast<std::size_t>(first_lane(access.lanes))] & kWindowMask;
    Access rest = access;
    const bool windowed =
        window == kSharedWindow || window == kLocalWindow || window == kParamWindow;
    for_lanes(access.lanes, [&](int lane) {
      const std::uint64_t other = access.address[static_cast<std::size_t>(lane)] & kWindowMask;
      const bool other_windowed =
          other == kSharedWindow || other == kLocalWindow || other == kParamWindow;
      if (other == window || (!windowed && !other_windowed)) rest.lanes &= ~lane_bit(lane);
    });
    access.space = space_of(access);
    if (rest.lanes != 0) {
      access.lanes &= ~rest.lanes;
      reach(warp, rest);
    }
    if (windowed) {
      for_lanes(access.lanes,
                [&](int lane) { access.address[static_cast<std::size_t>(lane)] &= ~kWindowMask; });
    }
    reach(warp, access);
    for_lanes(rest.lanes, [&](int lane) {
      access.host[static_cast<std::size_t>(lane)] = rest.host[static_cast<std::size_t>(lane)];
    });
    access.lanes |= rest.lanes;
    return;
  }
  switch (access.space) {
    case Space::kShared:
      count(access);
      return reach_shared(warp, access);
    case Space::kLocal:
    case Space::kParam:
      return reach_private(warp, access);
    default:
      count(access);
      return reach_global(warp, access);
  }
}

void Block::reach_global(Warp& warp, Access& access) {
  const Options& options = *launch_.options;
  RaceChecker& races = *launch_.races;
  const bool reads = access.kind != Access::Kind::kWrite;
  const bool writes = access.kind != Access::Kind::kRead;
  Allocation* memory = nullptr;
  const auto reach_lane = [&](int lane, auto check) {
    const std::uint64_t address = access.address[static_cast<std::size_t>(lane)];
    access.host[static_cast<std::size_t>(lane)] = reinterpret_cast<std::byte*>(address);
    if (memory == nullptr || address < memory->begin || address + access.bytes > memory->end) {
      memory = &find_global(access, lane);
    }
    if (!writes && memory->initialised && !options.races) return;
    Page& page = memory->page(address);
    const std::size_t offset = (address - memory->origin) % Page::kBytes;
    if (reads && options.uninitialised && !page.is_written(offset, access.bytes)) {
      std::string text = describe(access);
      fail(Fault::kUninitialised, lane,
           text.append(" of global memory at ").append(hex(address)).append(" that nobody wrote"));
    }
    if (writes) page.mark_written(offset, access.bytes);
    if (!options.races) return;
    std::size_t cells = 0;
    Cell* cell = page.shadow.cells(offset, access.bytes, races.launch(), &cells);
    for (std::size_t i = 0; i < cells; ++i) check(cell[i], Party{warp.index, lane}, address);
  };
  with_check(races, access, Where::kGlobal, [&](auto check) {
    for (Mask left = access.lanes; left != 0; left &= left - 1) reach_lane(first_lane(left), check);
  });
}

// The allocation a lane's access lies in.
Allocation& Block::find_global(const Access& access, int lane) const {
  const std::uint64_t address = access.address[static_cast<std::size_t>(lane)];
  Allocation* memory = launch_.memory->find(address);
  if (memory != nullptr && address + access.bytes <= memory->end) {
    if (memory->device < 0 || memory->device == launch_.device) return *memory;
    std::string text("memory of device ");
    text.append(std::to_string(memory->device))
        .append(" on device ")
        .append(std::to_string(launch_.device));
    fail(Fault::kWrongDevice, lane, std::move(text));
  }
  std::string text = describe(access).append(" at ").append(hex(address));
  if (memory != nullptr) {
    text.append(" runs past the end of its buffer");
  } else if (const Allocation* before = launch_.memory->find(address - access.bytes)) {
    text.append(" begins ")
        .append(std::to_string(address - before->end))
        .append(" bytes past a buffer of ");
    text.append(std::to_string(before->end - before->begin)).append(" bytes");
  } else {
    text.append(" is in no buffer");
  }
  fail(Fault::kOutOfBounds, lane, std::move(text));
}

std::byte* Block::shared_bytes(int lane, std::uint64_t offset, std::uint32_t bytes) {
  if (offset + bytes > shared_exists_.size() || shared_exists_[offset] == 0 ||
      shared_exists_[offset + bytes - 1] == 0) {
    std::string text("offset ");
    text.append(std::to_string(offset)).append(", ").append(std::to_string(bytes));
    text.append(" bytes: outside the shared memory of this block, or past the end of an array");
    fail(Fault::kOutOfBounds, lane, std::move(text));
  }
  return reinterpret_cast<std::byte*>(shared_.data()) + offset;
}

Cell* Block::shared_cells(std::uint64_t offset, std::uint32_t bytes, std::size_t* count) {
  ShadowPage& page = shared_shadow_[offset / ShadowPage::kBytes];
  return page.cells(offset % ShadowPage::kBytes, bytes, launch_.races->launch(), count);
}

void Block::reach_shared(Warp& warp, Access& access) {
  const Options& options = *launch_.options;
  RaceChecker& races = *launch_.races;
  const bool reads = access.kind != Access::Kind::kWrite;
  const auto reach_lane = [&](int lane, auto check) {
    const std::uint64_t offset = access.address[static_cast<std::size_t>(lane)];
    access.host[static_cast<std::size_t>(lane)] = shared_bytes(lane, offset, access.bytes);
    if (!options.races && !options.uninitialised) return;
    std::size_t cells = 0;
    Cell* cell = shared_cells(offset, access.bytes, &cells);
    for (std::size_t i = 0; i < cells; ++i) {
      if (reads && options.uninitialised && !races.written_in_block(cell[i])) {
        std::string text =
            describe(access).append(" of shared memory at offset ").append(std::to_string(offset));
        fail(Fault::kUninitialised, lane, text.append(" that no thread of the block wrote"));
      }
      if (options.races) {
        check(cell[i], Party{warp.index, lane}, offset);
      } else if (access.kind != Access::Kind::kRead) {
        races.mark_written(cell[i]);
      }
    }
  };
  with_check(races, access, Where::kShared, [&](auto check) {
    for (Mask left = access.lanes; left != 0; left &= left - 1) reach_lane(first_lane(left), check);
  });
}

void Block::reach_private(Warp& warp, Access& access) {
  const bool local = access.space == Space::kLocal;
  const std::size_t bytes = local ? kernel_.local_space : launch_.parameters.size();
  for_lanes(access.lanes, [&](int lane) {
    const std::uint64_t offset = access.address[static_cast<std::size_t>(lane)];
    if (offset + access.bytes > bytes) {
      fail(Fault::kOutOfBounds, lane,
           describe(access).append(local ? " beyond the thread's local memory"
                                         : " beyond the parameters"));
    }
    std::byte* base =
        local ? reinterpret_cast<std::byte*>(
                    local_.data() + static_cast<std::size_t>(warp.thread(lane)) * local_pitch_)
              : launch_.parameters.data();
    access.host[static_cast<std::size_t>(lane)] = base + offset;
  });
}

void Block::order(Warp& warp, const Access& access, bool releases) {
  if (!launch_.options->races || access.space == Space::kShared) return;
  for_lanes(access.lanes, [&](int lane) {
    launch_.races->synchronise(access.address[static_cast<std::size_t>(lane)],
                               Party{warp.index, lane}, releases);
  });
}

void Block::begin_copy(Warp& warp, int lane, const Warp::Copy& copy) {
  shared_bytes(lane, copy.target, copy.bytes);
  if (!launch_.options->races) return;
  std::size_t cells = 0;
  Cell* cell = shared_cells(copy.target, copy.bytes, &cells);
  for (std::size_t i = 0; i < cells; ++i) {
    launch_.races->begin_copy(cell[i], Party{warp.index, lane}, copy.target);
  }
}

void Block::end_copy(Warp& warp, int lane, const Warp::Copy& copy) {
  std::byte* target = shared_bytes(lane, copy.target, copy.bytes);
  std::size_t cells = 0;
  Cell* cell = shared_cells(copy.target, copy.bytes, &cells);
  for (std::size_t i = 0; i < cells; ++i) launch_.races->end_copy(cell[i], Party{warp.index, lane});
  std::fill_n(target, copy.bytes, std::byte{0});
  for (std::uint32_t done = 0; done < copy.source_bytes;) {
    // Whole if it can be; a shortened source goes byte by byte.
    Access access;
    access.space = Space::kGlobal;
    access.bytes = copy.source_bytes == copy.bytes ? copy.bytes : 1;
    access.lanes = lane_bit(lane);
    access.address[static_cast<std::size_t>(lane)] = copy.source + done;
    reach_global(warp, access);
    std::copy_n(access.host[static_cast<std::size_t>(lane)], access.bytes, target + done);
    done += access.bytes;
  }
}

void Block::count(const Access& access) {
  Counts* counts = this->counts();
  if (counts == nullptr) return;
  if (access.kind == Access::Kind::kAtomic) {
    ++counts->atomics;
    return;
  }
  std::array<std::uint64_t, kLanes> addresses;
  std::array<int, kLanes> lanes;
  std::size_t used = 0;
  for_lanes(access.lanes, [&](int lane) {
    addresses[used] = access.address[static_cast<std::size_t>(lane)];
    lanes[used++] = lane;
  });
  if (access.space == Space::kShared) {
    count_shared({addresses.data(), used}, {lanes.data(), used}, access.bytes, counts);
  } else {
    count_global({addresses.data(), used}, access.bytes, counts);
  }
}

}  // namespace gpusim
