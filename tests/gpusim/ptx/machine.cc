#include "tests/gpusim/ptx/machine.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "tests/gpusim/ptx/block.h"
#include "tests/gpusim/ptx/decoder.h"
#include "tests/gpusim/ptx/parser.h"

namespace gpusim {

class Module {
 public:
  Syntax syntax;
  std::map<std::string, Kernel, std::less<>> kernels;
  // The variables of each device that used the module, and the memory they lie in.
  struct Image {
    Globals addresses;
    std::map<std::string, std::unique_ptr<std::byte[]>> memory;
  };
  std::map<int, Image> images;
};

struct Machine::Parts {
  Memory memory;
  RaceChecker races;
  std::vector<std::unique_ptr<Module>> modules;
  std::map<std::string, Traffic> traffic;

  const Globals& globals(Module& module, int device);
};

namespace {

std::uint64_t address_of(const void* p) { return reinterpret_cast<std::uint64_t>(p); }

// Alignment of a variable as any GPU gives it.
constexpr std::size_t kVariableAlign = 256;

void initialise(const Variable& variable, const Globals& addresses, std::byte* target) {
  std::size_t offset = 0;
  for (const Operand& value : variable.initialiser) {
    std::uint64_t bits = value.bits;
    if (value.kind == Operand::Kind::kName) {
      const auto found = addresses.find(value.name);
      if (found != addresses.end()) bits += found->second;
    }
    std::memcpy(target + offset, &bits, std::min<std::size_t>(variable.element_bytes, 8));
    offset += variable.element_bytes;
  }
}

void decode(const Syntax& syntax, const Function& function, Kernel* kernel) {
  try {
    Decoder(syntax, function, kernel).run();
  } catch (const DecodeError& error) {
    kernel->undecodable = error.what();
  }
}

template <class T>
void fill(std::vector<std::uint64_t>& constants, Row row, T value) {
  auto* lanes = reinterpret_cast<std::byte*>(constants.data()) + (row & ~kSharedByWarps);
  for (int lane = 0; lane < kLanes; ++lane)
    std::memcpy(lanes + static_cast<std::size_t>(lane) * sizeof(T), &value, sizeof(T));
}

void fill_row(std::vector<std::uint64_t>& constants, Row row, bool wide, std::uint64_t value) {
  wide ? fill<std::uint64_t>(constants, row, value)
       : fill<std::uint32_t>(constants, row, static_cast<std::uint32_t>(value));
}

void fill_parameters(const Kernel& kernel, LaunchState& state) {
  for (const Kernel::ParameterRow& parameter : kernel.parameter_rows) {
    std::uint64_t value = 0;
    std::memcpy(&value, state.parameters.data() + parameter.offset, parameter.bytes);
    const int unused = 64 - 8 * static_cast<int>(parameter.bytes);
    if (parameter.sign_extended)
      value = static_cast<std::uint64_t>(static_cast<std::int64_t>(value << unused) >> unused);
    if (parameter.register_bits == 16) value &= 0xffff;
    fill_row(state.constants, parameter.row, parameter.wide, value);
  }
}

// Any order of blocks is legal: seed 0 takes theirs, odd seeds the reverse, others shuffle.
std::vector<std::uint32_t> block_order(std::uint64_t blocks, std::uint32_t seed,
                                       std::uint64_t random) {
  std::vector<std::uint32_t> order(blocks);
  std::iota(order.begin(), order.end(), 0);
  if (seed % 2 == 1) std::reverse(order.begin(), order.end());
  if (seed < 2 || seed % 2 == 1) return order;
  for (std::size_t i = order.size(); i > 1; --i) {
    random = random * 6364136223846793005ULL + 1442695040888963407ULL;
    std::swap(order[i - 1], order[(random >> 33) % i]);
  }
  return order;
}

std::string check_geometry(const Launch& launch, const Kernel& kernel, const Options& options) {
  const std::uint64_t threads = std::uint64_t{launch.block.x} * launch.block.y * launch.block.z;
  const Dim3& grid = launch.grid;
  if (threads == 0 || threads > kernel.max_threads || launch.block.z > 64) {
    return "a block of " + std::to_string(threads) + " threads, of at most " +
           std::to_string(kernel.max_threads);
  }
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > INT32_MAX || grid.y > 65535 ||
      grid.z > 65535) {
    return "a grid no GPU takes";
  }
  if (std::uint64_t{grid.x} * grid.y * grid.z > INT32_MAX) return "a grid too large to emulate";
  const std::size_t shared = kernel.shared_bytes + launch.dynamic_shared;
  if (kernel.shared_bytes > options.static_limit) {
    return std::to_string(kernel.shared_bytes) + " bytes of static shared memory, of at most " +
           std::to_string(options.static_limit);
  }
  if (shared > options.shared_limit) {
    return std::to_string(shared) + " bytes of shared memory, of at most " +
           std::to_string(options.shared_limit);
  }
  return {};
}

Report refusal(const Launch& launch, std::string what) {
  Report report;
  report.what = std::move(what);
  report.kernel = launch.kernel;
  return report;
}

void add_traffic(const LaunchState& state, Traffic* traffic) {
  ++traffic->launches;
  for (std::size_t i = 0; i < state.counts.size(); ++i) {
    const Counts& counts = state.counts[i];
    if (counts.warp_instructions == 0 && counts.barriers == 0) continue;
    const Origin& origin = state.kernel->origins[i];
    traffic->total += counts;
    traffic->lines[{origin.file, origin.line}] += counts;
  }
}

}  // namespace

const Globals& Machine::Parts::globals(Module& module, int device) {
  const auto [entry, is_new] = module.images.try_emplace(device);
  Module::Image& image = entry->second;
  if (!is_new) return image.addresses;
  for (const Variable& variable : module.syntax.variables) {
    if (variable.space == Space::kShared) continue;
    auto& bytes = image.memory[variable.name];
    bytes = std::make_unique<std::byte[]>(variable.bytes + kVariableAlign);
    const std::uint64_t raw = address_of(bytes.get());
    const std::uint64_t aligned = (raw + kVariableAlign - 1) / kVariableAlign * kVariableAlign;
    image.addresses[variable.name] = aligned;
    memory.add(aligned, variable.bytes, device, true);
  }
  for (const Variable& variable : module.syntax.variables) {
    const auto found = image.addresses.find(variable.name);
    if (found != image.addresses.end()) {
      initialise(variable, image.addresses, reinterpret_cast<std::byte*>(found->second));
    }
  }
  return image.addresses;
}

Machine::Machine() : parts_(std::make_unique<Parts>()) {}
Machine::~Machine() = default;
Machine::Machine(Machine&&) noexcept = default;
Machine& Machine::operator=(Machine&&) noexcept = default;

const Module* Machine::load(std::string_view ptx, std::string* error) {
  auto module = std::make_unique<Module>();
  try {
    module->syntax = parse(ptx.substr(0, ptx.find('\0')));
  } catch (const ParseError& problem) {
    *error = problem.what();
    return nullptr;
  }
  for (const auto& [name, function] : module->syntax.functions) {
    if (function.is_entry) decode(module->syntax, function, &module->kernels[name]);
  }
  return parts_->modules.emplace_back(std::move(module)).get();
}

void Machine::unload(const Module* module) {
  const auto found = std::find_if(parts_->modules.begin(), parts_->modules.end(),
                                  [&](const auto& known) { return known.get() == module; });
  if (found == parts_->modules.end()) return;
  for (const auto& [device, image] : (*found)->images) {
    for (const auto& [name, address] : image.addresses) parts_->memory.remove(address);
  }
  parts_->modules.erase(found);
}

bool Machine::has_kernel(const Module& module, std::string_view kernel) {
  return module.kernels.find(kernel) != module.kernels.end();
}

const std::vector<std::size_t>* Machine::parameter_bytes(const Module& module,
                                                         std::string_view kernel) {
  const auto found = module.kernels.find(kernel);
  return found == module.kernels.end() ? nullptr : &found->second.parameter_bytes;
}

std::size_t Machine::static_shared(const Module& module, std::string_view kernel) {
  const auto found = module.kernels.find(kernel);
  return found == module.kernels.end() ? 0 : found->second.shared_bytes;
}

void* Machine::symbol(const Module& module, std::string_view name, int device, std::size_t* bytes) {
  const auto variable =
      std::find_if(module.syntax.variables.begin(), module.syntax.variables.end(),
                   [&](const Variable& v) { return v.name == name && v.space != Space::kShared; });
  if (variable == module.syntax.variables.end()) return nullptr;
  if (bytes != nullptr) *bytes = variable->bytes;
  const Globals& globals = parts_->globals(const_cast<Module&>(module), device);
  return reinterpret_cast<void*>(globals.find(name)->second);
}

void Machine::add_memory(const void* p, std::size_t bytes, int device, bool initialised) {
  parts_->memory.add(address_of(p), bytes, device, initialised);
}
void Machine::remove_memory(const void* p) { parts_->memory.remove(address_of(p)); }
void Machine::mark_initialised(const void* p, std::size_t bytes) {
  parts_->memory.mark_initialised(address_of(p), bytes);
}
void Machine::copy_initialised(const void* target, const void* source, std::size_t bytes) {
  parts_->memory.copy_initialised(address_of(target), address_of(source), bytes);
}
const void* Machine::first_uninitialised(const void* p, std::size_t bytes) const {
  return reinterpret_cast<const void*>(parts_->memory.first_uninitialised(address_of(p), bytes));
}

std::optional<Report> Machine::launch(const Launch& launch) {
  if (launch.module == nullptr) return refusal(launch, "no module");
  Module& module = const_cast<Module&>(*launch.module);
  const auto found = module.kernels.find(launch.kernel);
  if (found == module.kernels.end()) return refusal(launch, "no such kernel");
  const Kernel& kernel = found->second;
  if (!kernel.undecodable.empty()) return refusal(launch, kernel.undecodable);
  if (std::string problem = check_geometry(launch, kernel, options); !problem.empty()) {
    return refusal(launch, std::move(problem));
  }

  LaunchState state;
  state.kernel = &kernel;
  state.options = &options;
  state.memory = &parts_->memory;
  state.races = &parts_->races;
  state.grid = launch.grid;
  state.block = launch.block;
  state.dynamic_shared = launch.dynamic_shared;
  state.device = launch.device;
  state.constants = kernel.constants;
  state.parameters.resize(kernel.parameter_space);
  for (std::size_t i = 0; i < kernel.parameter_bytes.size(); ++i) {
    std::memcpy(state.parameters.data() + kernel.parameter_offsets[i], launch.arguments[i],
                kernel.parameter_bytes[i]);
  }
  fill_parameters(kernel, state);
  const Globals& globals = parts_->globals(module, launch.device);
  for (const auto& [row, name] : kernel.symbol_rows)
    fill_row(state.constants, row, true, globals.find(name)->second);
  for (const auto& [row, wide] : kernel.dynamic_shared_rows)
    fill_row(state.constants, row, wide, kernel.shared_space);
  if (options.traffic) state.counts.resize(kernel.code.size());
  state.random = options.seed * 0x9e3779b97f4a7c15ULL + 1;

  parts_->races.begin_launch();
  Block block(state);
  std::optional<Report> report;
  try {
    const std::uint64_t blocks = std::uint64_t{launch.grid.x} * launch.grid.y * launch.grid.z;
    for (const std::uint32_t number : block_order(blocks, options.seed, state.random))
      block.run(number);
  } catch (const Failure& failure) {
    const Block::Place place = block.where(failure.lane);
    const Origin& origin = kernel.origins[place.pc];
    report = Report{failure.fault, failure.what.empty() ? origin.complaint : failure.what,
                    kernel.name,   origin.file,
                    origin.line,   place.block,
                    place.thread,  origin.text};
  }
  if (options.traffic) add_traffic(state, &parts_->traffic[kernel.name]);
  return report;
}

const std::map<std::string, Traffic>& Machine::traffic() const { return parts_->traffic; }
void Machine::clear_traffic() { parts_->traffic.clear(); }

}  // namespace gpusim
