// Entry points of streams, events and host functions.
#include <cuda_runtime_api.h>

#include "tests/gpusim/runtime/runtime.h"

using namespace gpusim;

// `end` is that of the last record; null before the first. A wait keeps the end it was made for.
struct CUevent_st {
  int device = 0;
  bool timing = true;
  MarkPointer end;
};

namespace {

// body(Lock&, Stream&) for a live stream; otherwise a report.
template <class Body>
cudaError_t with_stream(const char* who, cudaStream_t handle, Body body) {
  return api(who, [&](Lock& lock) {
    Stream* stream = runtime().scheduler.resolve(handle, current_device());
    if (stream == nullptr)
      return runtime().refuse(cudaErrorInvalidResourceHandle, who, "no such stream");
    return body(lock, *stream);
  });
}

template <class Body>
cudaError_t with_event(const char* who, cudaEvent_t event, Body body) {
  return api(who, [&](Lock& lock) {
    if (!runtime().events.contains(event))
      return runtime().refuse(cudaErrorInvalidResourceHandle, who, "no such event");
    return body(lock);
  });
}

bool done(const MarkPointer& end) { return !end || end->done; }

}  // namespace

extern "C" {

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int priority) {
  return api("cudaStreamCreate", [&](Lock&) {
    if ((flags & ~unsigned{cudaStreamNonBlocking}) != 0) return cudaErrorInvalidValue;
    *stream = runtime().scheduler.create(current_device(), flags == cudaStreamDefault, priority);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return cudaStreamCreateWithPriority(stream, flags, 0);
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithPriority(stream, cudaStreamDefault, 0);
}

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  return with_stream("cudaStreamDestroy", handle, [&](Lock&, Stream& stream) {
    if (&stream != handle) return cudaErrorInvalidResourceHandle;  // not one that was created
    runtime().scheduler.destroy(&stream);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return with_stream("cudaStreamSynchronize", handle, [](Lock& lock, Stream& stream) {
    runtime().scheduler.wait_for_stream(lock, stream);
    return runtime().sticky;
  });
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  return with_stream("cudaStreamQuery", handle, [](Lock& lock, Stream& stream) {
    const MarkPointer last = stream.last;
    if (!done(last)) runtime().scheduler.step(lock, &stream);
    if (runtime().sticky != cudaSuccess) return runtime().sticky;
    return done(last) ? cudaSuccess : cudaErrorNotReady;
  });
}

cudaError_t cudaStreamGetFlags(cudaStream_t handle, unsigned* flags) {
  return with_stream("cudaStreamGetFlags", handle, [flags](Lock&, Stream& stream) {
    *flags = stream.blocking ? cudaStreamDefault : cudaStreamNonBlocking;
    return cudaSuccess;
  });
}

cudaError_t cudaStreamGetPriority(cudaStream_t handle, int* priority) {
  return with_stream("cudaStreamGetPriority", handle, [priority](Lock&, Stream& stream) {
    *priority = stream.priority;
    return cudaSuccess;
  });
}

cudaError_t cudaStreamGetDevice(cudaStream_t handle, int* device) {
  return with_stream("cudaStreamGetDevice", handle, [device](Lock&, Stream& stream) {
    *device = stream.device;
    return cudaSuccess;
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
  return with_stream("cudaStreamWaitEvent", handle, [event](Lock& lock, Stream& stream) {
    Runtime& rt = runtime();
    if (!rt.events.contains(event))
      return rt.refuse(cudaErrorInvalidResourceHandle, "cudaStreamWaitEvent", "no such event");
    if (done(event->end)) return cudaSuccess;
    Operation operation{"cudaStreamWaitEvent", {}, {}, {event->end}};
    rt.scheduler.enqueue(lock, stream, std::move(operation));
    return rt.sticky;
  });
}

cudaError_t cudaLaunchHostFunc(cudaStream_t handle, cudaHostFn_t function, void* data) {
  return with_stream("cudaLaunchHostFunc", handle, [=](Lock& lock, Stream& stream) {
    Operation operation;
    operation.what = "a function of cudaLaunchHostFunc";
    operation.host_code = true;
    operation.run = [=] {
      const HostCode mark;
      function(data);
    };
    runtime().scheduler.enqueue(lock, stream, std::move(operation));
    return runtime().sticky;
  });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return api("cudaEventCreate", [&](Lock&) {
    *event = new CUevent_st{current_device(), (flags & cudaEventDisableTiming) == 0, nullptr};
    runtime().events.insert(*event);
    return cudaSuccess;
  });
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return with_event("cudaEventDestroy", event, [&](Lock&) {
    runtime().events.erase(event);
    delete event;
    return cudaSuccess;
  });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
  return with_stream("cudaEventRecord", handle, [event](Lock& lock, Stream& stream) {
    Runtime& rt = runtime();
    if (!rt.events.contains(event))
      return rt.refuse(cudaErrorInvalidResourceHandle, "cudaEventRecord", "no such event");
    if (event->device != stream.device)
      return rt.refuse(cudaErrorInvalidResourceHandle, "cudaEventRecord",
                       "the event and the stream belong to different devices");
    Operation operation;
    operation.what = "cudaEventRecord";
    event->end = rt.scheduler.enqueue(lock, stream, std::move(operation));
    return rt.sticky;
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return with_event("cudaEventSynchronize", event, [&](Lock& lock) {
    const MarkPointer end = event->end;
    if (!done(end))
      runtime().scheduler.wait(
          lock, [end] { return end->done; }, end->stream);
    return runtime().sticky;
  });
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  return with_event("cudaEventQuery", event, [&](Lock& lock) {
    const MarkPointer end = event->end;
    if (!done(end)) runtime().scheduler.step(lock, end->stream);
    if (runtime().sticky != cudaSuccess) return runtime().sticky;
    return done(end) ? cudaSuccess : cudaErrorNotReady;
  });
}

cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t start, cudaEvent_t stop) {
  return api("cudaEventElapsedTime", [&](Lock&) {
    const auto& events = runtime().events;
    if (!events.contains(start) || !events.contains(stop) || !start->timing || !stop->timing ||
        !start->end || !stop->end)
      return cudaErrorInvalidResourceHandle;
    if (!start->end->done || !stop->end->done) return cudaErrorNotReady;
    *ms = std::chrono::duration<float, std::milli>(stop->end->at - start->end->at).count();
    return cudaSuccess;
  });
}

}  // extern "C"
