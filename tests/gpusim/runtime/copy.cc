#include "tests/gpusim/runtime/copy.h"

#include <fmt/format.h>

#include <cstring>
#include <memory>
#include <optional>
#include <string>

#include "tests/gpusim/runtime/runtime.h"

namespace gpusim {
namespace {

enum class Side : std::uint8_t { kPageable, kPinned, kDevice };

// Of a whole copy: what a region's memory is.
struct Place {
  Side side = Side::kPageable;
  std::optional<std::string> fault;
};

// `want_device`: what the kind of the copy says, if it says.
Place place(const Region& region, const Copy& copy, std::optional<bool> want_device) {
  Place place;
  for (std::size_t row = 0; row < copy.rows; ++row) {
    const std::byte* p = region.data + row * region.pitch;
    const Allocation* allocation = runtime().memory.find(p);
    if (allocation != nullptr) {
      const bool device_side = want_device && allocation->kind == MemoryKind::kManaged
                                   ? *want_device
                                   : allocation->device_side();
      place.side = device_side ? Side::kDevice : Side::kPinned;
      const auto left = static_cast<std::size_t>(allocation->begin + allocation->bytes - p);
      if (copy.row_bytes > left)
        place.fault = fmt::format("{} bytes at {} run {} bytes past the end of {} ({} bytes)",
                                  copy.row_bytes, static_cast<const void*>(p),
                                  copy.row_bytes - left, name(allocation->kind), allocation->bytes);
    }
    if (want_device && *want_device != (place.side == Side::kDevice))
      place.fault = fmt::format(
          "{} is {}, on the wrong side for this cudaMemcpyKind", static_cast<const void*>(p),
          allocation != nullptr ? name(allocation->kind) : "pageable host memory (or freed)");
    if (place.fault) break;
  }
  return place;
}

std::optional<bool> device_target(cudaMemcpyKind kind) {
  if (kind == cudaMemcpyDefault) return std::nullopt;
  return kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
}

std::optional<bool> device_source(cudaMemcpyKind kind) {
  if (kind == cudaMemcpyDefault) return std::nullopt;
  return kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
}

// Both places as they are now; what was legal at the call may be freed when the copy runs.
std::optional<std::string> fault_of(const Copy& copy, Place* target, Place* source) {
  *target = place(copy.target, copy, device_target(copy.kind));
  *source = place(copy.source, copy, device_source(copy.kind));
  return target->fault ? target->fault : source->fault;
}

void copy_rows(const Copy& copy, Side target, Side source) {
  Runtime& rt = runtime();
  for (std::size_t row = 0; row < copy.rows; ++row) {
    std::byte* to = copy.target.data + row * copy.target.pitch;
    const std::byte* from = copy.source.data + row * copy.source.pitch;
    if (source == Side::kDevice && target != Side::kDevice && rt.settings.uninitialised) {
      const void* hole = rt.machine.first_uninitialised(from, copy.row_bytes);
      if (hole != nullptr)
        rt.report(copy.who, fmt::format("byte {} of {} from {} was never written on the device",
                                        static_cast<const std::byte*>(hole) - from, copy.row_bytes,
                                        static_cast<const void*>(from)));
    }
    std::memmove(to, from, copy.row_bytes);
    if (target != Side::kDevice) continue;
    if (source == Side::kDevice)
      rt.machine.copy_initialised(to, from, copy.row_bytes);
    else
      rt.machine.mark_initialised(to, copy.row_bytes);
  }
}

// The copy with its source read now, rows side by side.
std::function<void()> staged(const Copy& copy) {
  auto stage = std::make_shared<std::vector<std::byte>>(copy.row_bytes * copy.rows);
  for (std::size_t row = 0; row < copy.rows; ++row)
    std::memcpy(stage->data() + row * copy.row_bytes, copy.source.data + row * copy.source.pitch,
                copy.row_bytes);
  Copy from_stage = copy;
  from_stage.source = {stage->data(), copy.row_bytes};
  return [from_stage, stage] {
    if (const auto fault = place(from_stage.target, from_stage, true).fault)
      return runtime().report(from_stage.who, "when it ran: " + *fault);
    copy_rows(from_stage, Side::kDevice, Side::kPageable);
  };
}

}  // namespace

cudaError_t enqueue_copy(Lock& lock, const Copy& copy, cudaStream_t handle, bool async) {
  Runtime& rt = runtime();
  Stream* stream = rt.scheduler.resolve(handle, current_device());
  if (stream == nullptr)
    return rt.refuse(cudaErrorInvalidResourceHandle, copy.who, "no such stream");
  if (copy.row_bytes == 0 || copy.rows == 0) return cudaSuccess;
  Place target, source;
  if (const auto fault = fault_of(copy, &target, &source))
    return rt.refuse(cudaErrorInvalidValue, copy.who, *fault);

  Operation operation;
  operation.what = copy.who;
  if (source.side == Side::kPageable && target.side == Side::kDevice) {
    // The synchronous form waits for the stream before it stages, and for nothing after.
    if (!async && !rt.scheduler.wait_for_stream(lock, *stream)) return rt.sticky;
    operation.run = staged(copy);
    rt.scheduler.enqueue(lock, *stream, std::move(operation));
    return rt.sticky;
  }
  operation.run = [copy] {
    Place to, from;
    if (const auto fault = fault_of(copy, &to, &from))
      return runtime().report(copy.who, "when it ran: " + *fault);
    copy_rows(copy, to.side, from.side);
  };
  rt.scheduler.enqueue(lock, *stream, std::move(operation));
  const bool device_only = source.side == Side::kDevice && target.side == Side::kDevice;
  const bool pageable = source.side == Side::kPageable || target.side == Side::kPageable;
  if (async ? pageable : !device_only) rt.scheduler.wait_for_stream(lock, *stream);
  return rt.sticky;
}

}  // namespace gpusim
