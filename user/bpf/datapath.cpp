// SPDX-License-Identifier: Apache-2.0
#include "user/bpf/datapath.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <linux/membarrier.h>
#include <spdlog/spdlog.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <exception>
#include <map>
#include <optional>

#include "user/base/capabilities.h"
#include "user/base/error.h"
#include "user/bpf/cpu_visitor.h"
#include "user/bpf/link.h"
#include "user/bpf/object.h"
#include "user/bpf/pins.h"
#include "user/bpf/program_loader.h"
#include "user/bpf/requirements.h"

namespace shunt {
namespace {

// Half a kilobyte of the kernel's memory each: above this, a flow table is a mistake in the unit.
constexpr std::uint32_t kMostFlows = 1U << 22;
constexpr std::uint32_t kKnownFeatures = SHUNT_FEATURE_ALL | SHUNT_FEATURE_CAPTURE;
// flow_counters has a row of flow_limit elements a possible CPU: its index is 32 bits.
constexpr std::uint64_t kMostCounters = 0xffff'ffff;

shunt_config make_config(const Datapath::Options& options) {
  if (options.flow_limit == 0 || options.flow_limit > kMostFlows)
    throw Error("flow limit {}: between 1 and {}", options.flow_limit, kMostFlows);
  shunt_config config{};
  config.features = options.features & kKnownFeatures;
  config.flow_limit = options.flow_limit;
  config.index_mask = index_buckets(options.flow_limit) - 1;
  config.microflow_groups = microflow_groups(options.flow_limit);
  config.cpu_count = static_cast<std::uint32_t>(check_libbpf(libbpf_num_possible_cpus(), "count the possible CPUs"));
  if (std::uint64_t{config.flow_limit} * config.cpu_count > kMostCounters)
    throw Error("flow limit {}: at most {} on a machine of {} possible CPUs", options.flow_limit,
                kMostCounters / config.cpu_count, config.cpu_count);
  std::uint64_t random[2];
  if (::getrandom(random, sizeof random, 0) != sizeof random) throw_errno(errno, "getrandom");
  config.hash_seed = random[0];
  config.hash_multiplier = random[1] | 1;
  config.jiffy_ns = jiffy_ns();
  return config;
}

// Options, then the machine: a bad option is the user's to mend, and needs no root to find out.
shunt_config checked_config(const Datapath::Options& options) {
  shunt_config config = make_config(options);
  check_kernel(running_kernel());
  check_capabilities(effective_capabilities());  // what it warns of is the daemon's to tell
  route_libbpf_log();
  return config;
}

// What an earlier daemon left pinned.
struct Inheritance {
  MapFds maps;
  UniqueFd program;  // where it is what would be loaded now
};

std::uint32_t program_id(int fd) {
  bpf_prog_info info{};
  __u32 length = sizeof info;
  check_libbpf(bpf_obj_get_info_by_fd(fd, &info, &length), "look at the XDP program");
  return info.id;
}

// Of this build and for `config`: else none. A daemon may have died between two of its steps, so the pin must hold what
// the layout says.
UniqueFd find_program(const PinDirectory& pins, const shunt_layout& layout, const shunt_config& config) {
  UniqueFd program = pins.open(SHUNT_PIN_PROGRAM);
  const bool same = program && layout.build == SwitchObject::build() && layout.config.features == config.features &&
                    program_id(program.get()) == layout.program_id;
  return same ? std::move(program) : UniqueFd{};
}

// Where it can be taken over: then `config` becomes what it was made for.
std::optional<Inheritance> find_inheritance(const PinDirectory& pins, shunt_config& config) {
  MapFds maps;
  for (const char* name : SwitchObject::map_names()) {
    UniqueFd fd = pins.open(name);
    if (fd) maps.emplace(name, std::move(fd));
  }
  if (maps.empty()) return std::nullopt;
  std::string difference = SwitchObject::differs_from(config, maps);
  shunt_layout layout{};
  if (difference.empty()) {
    const __u32 zero = 0;
    check_libbpf(bpf_map_lookup_elem(maps.at(SHUNT_MAP_LAYOUT).get(), &zero, &layout), "read the layout");
    if (layout.version != SHUNT_LAYOUT_VERSION)
      difference = fmt::format("their layout is version {}, here {}", layout.version, SHUNT_LAYOUT_VERSION);
    else if (layout.config.cpu_count != config.cpu_count)
      difference = fmt::format("they are for {} possible CPUs, here are {}", layout.config.cpu_count, config.cpu_count);
  }
  if (!difference.empty()) {
    spdlog::warn("the maps of an earlier daemon do not fit ({}): cached flows are learned anew, counters begin at zero",
                 difference);
    return std::nullopt;
  }
  const std::uint32_t features = config.features;
  config = layout.config;
  config.features = (config.features & SHUNT_FEATURE_ALL) | features;  // captures end with their daemon
  return Inheritance{std::move(maps), find_program(pins, layout, config)};
}

// An update of a map of maps waits for all readers, as membarrier does; for kernels booted with nohz_full, where
// membarrier refuses.
void wait_by_map_of_maps() {
  const UniqueFd inner{bpf_map_create(BPF_MAP_TYPE_ARRAY, "shunt_inner", 4, 8, 1, nullptr)};
  LIBBPF_OPTS(bpf_map_create_opts, options);
  options.inner_map_fd = static_cast<__u32>(inner.get());
  const UniqueFd outer{bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "shunt_outer", 4, 4, 1, &options)};
  const __u32 zero = 0;
  const int fd = inner.get();
  check_libbpf(bpf_map_update_elem(outer.get(), &zero, &fd, BPF_ANY), "wait for a grace period");
}

}  // namespace

struct Datapath::Impl {
  explicit Impl(const Options& options)
      : config{checked_config(options)},
        pins{options.instance},
        inherited{find_inheritance(pins, config)},
        maps{load_or_generic(config, refusal, [this](const shunt_config& c) {
          return inherited ? std::make_unique<SwitchObject>(c, inherited->maps, std::move(inherited->program))
                           : std::make_unique<SwitchObject>(c);
        })},
        loader{config.features, [this](std::uint32_t features) { return load(features, has_tc()); },
               [this](LoadedProgram&& program) { use(std::move(program)); }} {
    if (!inherited) {
      pins.remove_maps();
      maps->pin_maps(pins.path());
    }
    for (const std::string& path : pins.link_paths()) {
      auto link = std::make_unique<PinnedLink>(path);
      if (const Ifindex ifindex = link->ifindex(); ifindex != Ifindex{})
        inherited_links.emplace(ifindex, std::move(link));
      else
        link->detach();  // its interface is gone
    }
    groups_fd = maps->map_fd(SHUNT_MAP_FLOOD_GROUPS);
  }

  [[nodiscard]] const SwitchObject& current() const { return specialised ? *specialised : *maps; }
  [[nodiscard]] bool has_tc() const { return current().program_fd(Program::kTc) >= 0; }  // those of mode kTcx
  void note_reason(std::uint32_t features, const std::string& because);
  [[nodiscard]] LoadedProgram load(std::uint32_t features, bool with_tc) const;
  void use(LoadedProgram&& program);
  void pin_program() const;

  shunt_config config;
  std::string refusal;  // the verifier's log of the last program that it refused
  std::map<std::uint32_t, std::string> reasons;  // by feature: who needed it first
  PinDirectory pins;
  std::optional<Inheritance> inherited;
  std::unique_ptr<SwitchObject> maps;         // the first copy: owns the maps
  int groups_fd = -1;                         // flood_groups: asked for by set_group, which does not throw
  std::unique_ptr<SwitchObject> specialised;  // the copy in force, where it is not the first
  shunt_layout* layout = nullptr;             // Datapath's
  std::function<void(std::uint32_t)> tell_features;
  struct Attached {
    Program program;
    std::unique_ptr<PinnedLink> link;
  };
  std::map<Ifindex, Attached> links;
  std::map<Ifindex, std::unique_ptr<PinnedLink>> inherited_links;
  ProgramLoader loader;  // last: its thread reads the rest
};

Datapath::Datapath(const Options& options) : impl_{std::make_unique<Impl>(options)} {
  const SwitchObject& object = *impl_->maps;
  const shunt_config& c = impl_->config;
  const auto map_array = [&object](auto& array, const char* name, std::size_t count) {
    array = std::remove_reference_t<decltype(array)>{object.map_fd(name), count, name};
  };
  map_array(flows, SHUNT_MAP_FLOWS, c.flow_limit);
  map_array(action_lists, SHUNT_MAP_ACTION_LISTS, action_elements(c.flow_limit));
  map_array(index, SHUNT_MAP_FLOW_INDEX, std::size_t{c.index_mask} + 1);
  map_array(microflows, SHUNT_MAP_MICROFLOWS, c.microflow_groups);
  map_array(counters, SHUNT_MAP_FLOW_COUNTERS, std::size_t{c.flow_limit} * c.cpu_count);
  map_array(deltas, SHUNT_MAP_FLOW_DELTAS, std::size_t{c.flow_limit} * c.cpu_count);
  map_array(masks, SHUNT_MAP_MASKS, SHUNT_MAX_MASKS);
  map_array(ports, SHUNT_MAP_PORTS, SHUNT_MAX_PORTS);
  map_array(port_by_ifindex, SHUNT_MAP_PORT_BY_IFINDEX, SHUNT_IFINDEX_SLOTS);
  map_array(order, SHUNT_MAP_UPCALL_ORDER, SHUNT_ORDER_BUCKETS);
  map_array(fdb, SHUNT_MAP_FDB, SHUNT_FDB_BUCKETS);
  map_array(meters, SHUNT_MAP_METERS, SHUNT_MAX_METERS);
  map_array(layout, SHUNT_MAP_LAYOUT, 1);
  if (!inherited()) layout[0] = {SHUNT_LAYOUT_VERSION, 0, 0, c};
  impl_->layout = &layout[0];
  impl_->pin_program();
}

Datapath::~Datapath() = default;

bool Datapath::inherited() const { return impl_->inherited.has_value(); }

void Datapath::drop_inherited_links() {
  for (auto& [ifindex, link] : impl_->inherited_links) link->detach();
  impl_->inherited_links.clear();
}

void Datapath::keep(bool keep) noexcept { impl_->pins.keep(keep); }
bool Datapath::keeps() const noexcept { return impl_->pins.keeps(); }

const shunt_config& Datapath::config() const { return impl_->config; }
std::uint32_t Datapath::features() const { return impl_->config.features; }
int Datapath::program_fd(Program program) const { return impl_->current().program_fd(program); }
const std::string& Datapath::verifier_log() const { return impl_->refusal; }

BpfMap<shunt_megaflow_key, shunt_megaflow> Datapath::megaflows() const {
  return {impl_->maps->map_fd(SHUNT_MAP_MEGAFLOWS), SHUNT_MAP_MEGAFLOWS};
}

void Datapath::attach(Ifindex ifindex, const std::string& name, PortMode mode) {
  const Program program = mode == PortMode::kTcx ? Program::kTc : Program::kSwitch;
  if (impl_->links.contains(ifindex)) throw Error("interface '{}': it has the program of this instance already", name);
  std::unique_ptr<PinnedLink> link;
  if (auto inherited = impl_->inherited_links.extract(ifindex); !inherited.empty()) {
    if (take_over(*inherited.mapped(), program, ifindex, mode))
      link = std::move(inherited.mapped());
    else
      inherited.mapped()->detach();
  }
  if (!link) link = std::make_unique<PinnedLink>(program_fd(program), ifindex, name, mode, impl_->pins.path());
  impl_->links.emplace(ifindex, Impl::Attached{program, std::move(link)});
}

// False: it cannot serve.
bool Datapath::take_over(PinnedLink& link, Program program, Ifindex ifindex, PortMode mode) const {
  if (link.is_tcx() != (mode == PortMode::kTcx)) return false;
  if (mode != PortMode::kTcx && query(ifindex).generic != (mode == PortMode::kGeneric)) return false;
  if (link.runs(program_id(program_fd(program)))) return true;
  try {
    return link.update(program_fd(program));
  } catch (const std::exception& e) {  // of another kind than ours: with or without multi-buffer support, say
    spdlog::warn("{}; it is detached, and ours attached", e.what());
    return false;
  }
}

void Datapath::detach(Ifindex ifindex) noexcept {
  if (const auto found = impl_->links.extract(ifindex); !found.empty()) found.mapped().link->detach();
}

void Datapath::set_lane(Ifindex ifindex, unsigned queues) {
  ports[SHUNT_LANE].queue_count = static_cast<__u16>(queues);
  __atomic_store_n(&ports[SHUNT_LANE].ifindex, ifindex.value, __ATOMIC_RELEASE);
}

AttachedProgram Datapath::query(Ifindex ifindex) {
  LIBBPF_OPTS(bpf_xdp_query_opts, options);
  if (bpf_xdp_query(static_cast<int>(ifindex.value), 0, &options) != 0) return {};
  AttachedProgram program;
  program.generic = options.attach_mode == XDP_ATTACHED_SKB;
  program.id = options.prog_id;
  if (options.attach_mode == XDP_ATTACHED_MULTI)
    program.id = options.drv_prog_id != 0 ? options.drv_prog_id : options.skb_prog_id;
  if (program.id == 0) return {};
  bpf_prog_info info{};
  __u32 length = sizeof info;
  const UniqueFd fd{bpf_prog_get_fd_by_id(program.id)};
  if (fd && bpf_obj_get_info_by_fd(fd.get(), &info, &length) == 0) program.name = info.name;
  return program;
}

bool Datapath::holds_link(Ifindex ifindex) const {
  return impl_->links.contains(ifindex) || impl_->inherited_links.contains(ifindex);
}

void Datapath::remove_foreign(Ifindex ifindex) {
  const AttachedProgram program = query(ifindex);
  if (program.id == 0) return;
  const __u32 flags = program.generic ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;
  const int error = bpf_xdp_detach(static_cast<int>(ifindex.value), flags, nullptr);
  if (error == -EBUSY)
    throw Error("the XDP program '{}' (id {}) is held by a BPF link: only its owner can detach it", program.name,
                program.id);
  check_libbpf(error, fmt::format("detach the XDP program '{}' (id {})", program.name, program.id));
}

void Datapath::set_ifindex(Ifindex ifindex, DpPort port) {
  shunt_ifindex_slot* free = nullptr;
  for (std::uint32_t probe = 0; probe < SHUNT_IFINDEX_PROBES; ++probe) {
    shunt_ifindex_slot& slot = port_by_ifindex[(ifindex.value + probe) % SHUNT_IFINDEX_SLOTS];
    if (slot.ifindex == ifindex.value) {
      free = &slot;
      break;
    }
    if (slot.ifindex == 0 && free == nullptr) free = &slot;
  }
  if (free == nullptr) {
    if (port == DpPort{}) return;
    throw Error("too many ports with interface numbers near {}", ifindex.value);
  }
  // One store: a program that runs now sees the old pair or the new one.
  const shunt_ifindex_slot slot =
      port == DpPort{} ? shunt_ifindex_slot{} : shunt_ifindex_slot{ifindex.value, port.value};
  __atomic_store_n(reinterpret_cast<shunt_word*>(free), std::bit_cast<std::uint64_t>(slot), __ATOMIC_RELEASE);
}

void Datapath::set_tx_port(DpPort port, Ifindex ifindex) {
  const int fd = impl_->maps->map_fd(SHUNT_MAP_TX_PORTS);
  if (ifindex == Ifindex{}) {
    bpf_map_delete_elem(fd, &port.value);
    return;
  }
  bpf_devmap_val value{};
  value.ifindex = ifindex.value;
  check_libbpf(bpf_map_update_elem(fd, &port.value, &value, BPF_ANY), fmt::format("tx_ports[{}]", port.value));
}

void Datapath::clear_port(DpPort port) {
  for (shunt_ifindex_slot& slot : port_by_ifindex.span())
    if (slot.port == port.value && slot.ifindex != 0) set_ifindex(Ifindex{slot.ifindex}, DpPort{0});
  set_tx_port(port, Ifindex{0});
  ports[port.value].ifindex = 0;
}

void Datapath::set_xsk(DpPort port, QueueId queue, int socket_fd) {
  if (queue.value >= SHUNT_MAX_QUEUES) throw Error("queue {}: at most {} are used", queue.value, SHUNT_MAX_QUEUES);
  const int fd = impl_->maps->map_fd(SHUNT_MAP_XSKS);
  const std::uint32_t key = SHUNT_XSK_INDEX(port.value, queue.value);
  if (socket_fd < 0) {
    bpf_map_delete_elem(fd, &key);
    return;
  }
  check_libbpf(bpf_map_update_elem(fd, &key, &socket_fd, BPF_ANY), fmt::format("xsks[{}]", key));
}

int Datapath::set_group(std::uint16_t group, std::span<const Ifindex> members) noexcept {
  const int groups = impl_->groups_fd;
  const __u32 key = group;
  if (members.empty()) {
    const int error = bpf_map_delete_elem(groups, &key);
    return error == -ENOENT ? 0 : error;
  }
  if (members.size() > SHUNT_GROUP_PORTS) return -E2BIG;
  const UniqueFd devmap{bpf_map_create(BPF_MAP_TYPE_DEVMAP, "flood_group", sizeof(__u32), sizeof(bpf_devmap_val),
                                       static_cast<__u32>(members.size()), nullptr)};
  if (!devmap) return -errno;
  __u32 at = 0;
  for (const Ifindex member : members) {
    bpf_devmap_val value{};
    value.ifindex = member.value;
    const int error = bpf_map_update_elem(devmap.get(), &at, &value, BPF_ANY);
    if (error == -ENODEV || error == -EINVAL) continue;  // the interface vanished
    if (error != 0) return error;
    ++at;
  }
  const int fd = devmap.get();
  return bpf_map_update_elem(groups, &key, &fd, BPF_ANY);
}

std::vector<Ifindex> Datapath::group_members(std::uint16_t group) const {
  const __u32 key = group;
  __u32 id = 0;
  if (bpf_map_lookup_elem(impl_->groups_fd, &key, &id) != 0) return {};
  const UniqueFd devmap{bpf_map_get_fd_by_id(id)};
  bpf_map_info info{};
  __u32 length = sizeof info;
  if (!devmap || bpf_obj_get_info_by_fd(devmap.get(), &info, &length) != 0) return {};
  std::vector<Ifindex> members;
  bpf_devmap_val value{};
  for (__u32 at = 0; at < info.max_entries; ++at)  // members that vanished leave holes
    if (bpf_map_lookup_elem(devmap.get(), &at, &value) == 0) members.push_back(Ifindex{value.ifindex});
  return members;
}

shunt_port_stats Datapath::port_stats(DpPort port) const {
  constexpr std::size_t kWords = sizeof(shunt_port_stats) / sizeof(std::uint64_t);
  using Words = std::array<std::uint64_t, kWords>;
  std::vector<Words> cpus(impl_->config.cpu_count);
  const int fd = impl_->maps->map_fd(SHUNT_MAP_PORT_STATS);
  check_libbpf(bpf_map_lookup_elem(fd, &port.value, cpus.data()), fmt::format("port_stats[{}]", port.value));
  Words sum{};
  for (const Words& cpu : cpus)
    for (std::size_t i = 0; i < kWords; ++i) sum[i] += cpu[i];
  return std::bit_cast<shunt_port_stats>(sum);
}

void Datapath::reset_port_stats(DpPort port) {
  const std::vector<shunt_port_stats> cpus(impl_->config.cpu_count);
  const int fd = impl_->maps->map_fd(SHUNT_MAP_PORT_STATS);
  check_libbpf(bpf_map_update_elem(fd, &port.value, cpus.data(), BPF_ANY), fmt::format("port_stats[{}]", port.value));
}

void Datapath::require_features(std::uint32_t features, const std::string& because) {
  impl_->note_reason(features, because);
  impl_->loader.require(features & kKnownFeatures);
}

void Datapath::request_features(std::uint32_t features, const std::string& because) {
  impl_->note_reason(features, because);
  impl_->loader.request(features & kKnownFeatures);
}

void Datapath::release_features(std::uint32_t features) { impl_->loader.release(features); }
std::uint32_t Datapath::pending_features() const { return impl_->loader.pending(); }
std::uint32_t Datapath::failed_features() const { return impl_->loader.failed(); }
int Datapath::loading_fd() const { return impl_->loader.fd(); }
void Datapath::go_on_loading() { impl_->loader.advance(); }

void Datapath::on_features(std::function<void(std::uint32_t features)> tell) {
  impl_->tell_features = std::move(tell);
}

// Of those that are new; who has been told of first, stays.
void Datapath::Impl::note_reason(std::uint32_t features, const std::string& because) {
  const std::uint32_t there = config.features | loader.pending();
  for (std::uint32_t bit = 1; bit != 0; bit <<= 1)
    if ((features & ~there & bit) != 0) reasons[bit] = because;
}

ProgramStatus Datapath::program_status() const {
  ProgramStatus status;
  status.refused = !impl_->refusal.empty();
  const char* unknown = status.refused ? "the verifier refused a smaller program"
                        : inherited()  ? "an earlier daemon needed it"
                                       : "loaded from the start";
  for (std::uint32_t bit = 1; bit != 0; bit <<= 1) {
    if ((impl_->config.features & bit) == 0) continue;
    const auto reason = impl_->reasons.find(bit);
    status.features.push_back({bit, reason == impl_->reasons.end() ? unknown : reason->second});
  }
  bpf_prog_info info{};
  __u32 length = sizeof info;
  check_libbpf(bpf_obj_get_info_by_fd(program_fd(), &info, &length), "look at the XDP program");
  status.instructions = info.xlated_prog_len / sizeof(bpf_insn);
  status.compiled_instructions = impl_->current().compiled_instructions();
  status.loading = impl_->loader.pending();
  return status;
}

// A load under way would have no programs of that mode: it ends first. Where the verifier refuses what is specialised,
// both are loaded anew, as generic ones.
void Datapath::require_tc() {
  if (impl_->has_tc()) return;
  ProgramLoader& loader = impl_->loader;
  loader.settle();
  SwitchObject& current = impl_->specialised ? *impl_->specialised : *impl_->maps;
  try {
    current.load_tc(impl_->config, *impl_->maps);
  } catch (const LoadFailure& failure) {
    if (!failure.by_verifier()) throw;
    impl_->use(impl_->load(impl_->config.features | loader.pending(), true));
    loader.request(impl_->config.features);
  }
}

// Also in the loader's thread.
LoadedProgram Datapath::Impl::load(std::uint32_t features, bool with_tc) const {
  LoadedProgram program;
  shunt_config next = config;
  next.features = features;
  program.object = load_or_generic(next, program.refusal, [this, with_tc](const shunt_config& c) {
    return std::make_unique<SwitchObject>(c, *maps, with_tc);
  });
  program.features = next.features;
  return program;
}

void Datapath::Impl::use(LoadedProgram&& program) {
  // A program with more features is always a correct stand-in: where one swap fails, those made so far may stay.
  for (auto& [ifindex, attached] : links)
    if (!attached.link->update(program.object->program_fd(attached.program)))
      spdlog::debug("interface {} vanished before its program was swapped", ifindex.value);
  specialised = std::move(program.object);
  spdlog::debug("datapath programs: features 0x{:x} -> 0x{:x}", config.features, program.features);
  config.features = program.features;
  if (!program.refusal.empty()) refusal = std::move(program.refusal);
  if (!links.empty()) wait_grace_period();
  pin_program();
  if (tell_features) tell_features(config.features);
}

// current(), for the next daemon: links that run another have it swapped then.
void Datapath::Impl::pin_program() const {
  const std::uint32_t id = program_id(current().program_fd(Program::kSwitch));
  if (layout->program_id == id) return;
  layout->program_id = 0;  // until the pins are whole
  pins.replace(SHUNT_PIN_PROGRAM, current().program_fd(Program::kSwitch));
  layout->config.features = config.features;
  layout->build = SwitchObject::build();
  layout->program_id = id;
}

int Datapath::map_fd(const char* name) const { return impl_->maps->map_fd(name); }

void Datapath::wait_grace_period() {
  // A CPU whose softirqs are never done gives way after two ticks (8 ms where CONFIG_HZ is 250); RCU waits longer
  // there.
  constexpr std::chrono::milliseconds kLimit{50};
  if (CpuVisitor::get().visit(kLimit)) return;
  if (::syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) != 0) wait_by_map_of_maps();
}

}  // namespace shunt
