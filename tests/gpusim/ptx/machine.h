// The checking PTX interpreter: loads the PTX that nvcc wrote, knows which memory kernels may
// touch, runs launches and stops at the first thing a GPU would not forgive. Everything that
// touches it from outside tests/gpusim/ptx/ goes through this header.
//
// Device memory is host memory under its own address, so the caller allocates, copies and frees as
// it likes and only tells the machine about it. Not thread-safe: the caller lets one thread in at a
// time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gpusim {

struct Dim3 {
  std::uint32_t x = 1, y = 1, z = 1;
};

// What is checked and in which order things run. A change holds from the next launch on.
struct Options {
  // 0 runs blocks and warps in order; any other seed is another legal order of blocks, warps and
  // diverged lanes.
  std::uint32_t seed = 0;
  bool races = true;          // data races in shared and global memory; missing cp.async waits
  bool uninitialised = true;  // reads of bytes nobody wrote
  bool strict_exits = true;   // a barrier after some threads of the block have returned is reported
  bool traffic = false;       // count requests, sectors and bank cycles (machine.traffic())
  std::uint64_t max_steps = 4'000'000'000;  // warp instructions of one launch: an endless loop ends
  std::size_t shared_limit = 227 * 1024;    // bytes of shared memory a block may ask for, of which
  std::size_t static_limit = 48 * 1024;     // so many may be static
  std::uint32_t envreg0 = 0;                // what kernels read as %envreg0, the driver's to define
};

enum class Fault : std::uint8_t {
  kRace,
  kOutOfBounds,
  kUninitialised,
  kMisaligned,
  kWrongDevice,        // memory of another device
  kBarrierDivergence,  // threads of a block wait at different barriers, or some have returned
  kWarpMask,           // a warp operation's mask is wrong, or it reads a lane outside it
  kMissingWait,        // the target of a cp.async is used before it was waited for
  kDeadlock,           // lanes wait for lanes that cannot come
  kStepLimit,
  kTrap,         // __trap() or assert
  kUnsupported,  // an instruction this interpreter does not know, reported when reached
  kBadLaunch,    // no such kernel, or a geometry or shared memory size no GPU takes
};

// "race", "out_of_bounds", ...: stable, for tests and scripts.
std::string_view name(Fault fault);

// Why a launch failed, and where.
struct Report {
  Fault fault = Fault::kBadLaunch;
  std::string what;         // one sentence with addresses and the other party
  std::string kernel;       // mangled
  std::string file;         // of the .cu line, empty without -lineinfo
  int line = 0;             // 0 without -lineinfo
  Dim3 block, thread;       // indices, not sizes
  std::string instruction;  // as PTX

  // "race: write after ... | kernel f, x.cu:12, block (0,0,0), thread (3,0,0) | st.shared.f32 ..."
  std::string text() const;
};

// Exact counts of what a launch asked of the hardware. A request is one memory instruction of one
// warp; a sector is 32 aligned bytes of global memory; a bank cycle is one pass over the 32 banks.
struct Counts {
  std::uint64_t warp_instructions = 0, lane_instructions = 0;
  std::uint64_t wide_conversions =
      0;  // lanes: to or from f64, or floats from and to 64-bit integers
  std::uint64_t global_requests = 0, global_sectors = 0;
  std::uint64_t global_bytes = 0;  // distinct bytes that lanes asked for, at most 32 a sector
  // Of those, the requests in which several lanes ask for one and the same place: a look-up in a
  // table. It takes a sector, whatever it uses of it, and finds it in the first cache.
  std::uint64_t uniform_requests = 0, uniform_bytes = 0;
  std::uint64_t shared_requests = 0, shared_cycles = 0;
  std::uint64_t shared_ideal_cycles = 0;  // the cycles those requests would take without conflicts
  std::uint64_t barriers = 0, warp_operations = 0, atomics = 0;

  Counts& operator+=(const Counts& other);
  double lanes_active() const;         // of 32 lanes, 0 to 1
  double sectors_per_request() const;  // of global memory
  double sector_use() const;           // bytes asked for over bytes moved, 0 to 1; look-ups aside
  double bank_conflicts() const;       // shared cycles over ideal cycles, 1 is conflict-free
};

using SourceLine = std::pair<std::string, int>;  // file, line

struct Traffic {
  std::uint64_t launches = 0;
  Counts total;
  std::map<SourceLine, Counts> lines;
};

class Module;  // one PTX module, parsed and decoded; owned by the machine that loaded it

struct Launch {
  const Module* module = nullptr;
  std::string_view kernel;  // mangled name
  Dim3 grid, block;
  std::size_t dynamic_shared = 0;
  void* const* arguments = nullptr;  // as cudaLaunchKernel takes them
  int device = 0;
};

class Machine {
 public:
  static constexpr int kEveryDevice = -1;  // pinned host memory: all devices may touch it

  Machine();
  ~Machine();
  Machine(Machine&&) noexcept;
  Machine& operator=(Machine&&) noexcept;

  Options options;

  // Parses the text up to its end or its first NUL. Null, with the reason in `error`, if this is
  // not PTX. A kernel that cannot be decoded does not fail the module: launching it does.
  const Module* load(std::string_view ptx, std::string* error);
  // Forgets the module and its variables on every device.
  void unload(const Module* module);

  static bool has_kernel(const Module& module, std::string_view kernel);
  // The bytes of each parameter of the kernel, in order; null if there is no such kernel.
  static const std::vector<std::size_t>* parameter_bytes(const Module& module,
                                                         std::string_view kernel);
  // Static shared memory of the kernel in bytes; 0 if there is no such kernel.
  static std::size_t static_shared(const Module& module, std::string_view kernel);
  // The device's copy of a __device__ or __constant__ variable; null if the module has none of that
  // name. Each device has its own copy, made from the initialiser on first use.
  void* symbol(const Module& module, std::string_view name, int device, std::size_t* bytes);

  // What kernels on `device` may touch: [p, p + bytes). Ranges do not overlap.
  void add_memory(const void* p, std::size_t bytes, int device, bool initialised);
  void remove_memory(const void* p);
  // After a memset or a copy from the host. Parts outside known memory are ignored.
  void mark_initialised(const void* p, std::size_t bytes);
  // After a copy between devices: target bytes are as initialised as their source.
  void copy_initialised(const void* target, const void* source, std::size_t bytes);
  // The first byte of the range that nobody wrote; null if there is none.
  const void* first_uninitialised(const void* p, std::size_t bytes) const;

  // Runs a kernel to its end. Null on success; after a report, memory holds what was written so
  // far.
  std::optional<Report> launch(const Launch& launch);

  // Per mangled kernel name, since the start or the last clear; empty unless options.traffic.
  const std::map<std::string, Traffic>& traffic() const;
  void clear_traffic();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace gpusim
