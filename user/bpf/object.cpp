// SPDX-License-Identifier: Apache-2.0
#include "user/bpf/object.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdarg>
#include <cstdio>
#include <future>
#include <string_view>
#include <utility>

#include "maps/map_names.h"
#include "switch.skel.h"
#include "tc.skel.h"
#include "user/bpf/kernel_context.h"

namespace shunt {
namespace {

// What libbpf says while this thread loads a program. The verifier's log may be megabytes: the end tells why.
thread_local std::string* captured = nullptr;
constexpr std::size_t kKeptLog = 64 * 1024;

int print_to_log(libbpf_print_level level, const char* format, va_list arguments) {
  va_list again;
  va_copy(again, arguments);
  const int length = std::vsnprintf(nullptr, 0, format, again);
  va_end(again);
  if (length <= 0) return 0;
  std::string text(static_cast<std::size_t>(length) + 1, '\0');
  std::vsnprintf(text.data(), text.size(), format, arguments);
  text.resize(static_cast<std::size_t>(length));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  if (captured != nullptr && level == LIBBPF_WARN) {
    captured->append(text).append("\n");
  }
  spdlog::debug("{}", text.size() > kKeptLog ? text.substr(text.size() - kKeptLog) : text);
  return length;
}

struct CaptureLog {
  std::string text;
  CaptureLog() { captured = &text; }
  ~CaptureLog() { captured = nullptr; }
  // The beginning names the program, the end the reason.
  [[nodiscard]] std::string kept() const {
    if (text.size() <= 2 * kKeptLog) return text;
    return text.substr(0, kKeptLog) + "\n[...]\n" + text.substr(text.size() - kKeptLog);
  }
};

void set_sizes(const switch_bpf& object, const shunt_config& config) {
  const auto set = [](bpf_map* map, std::uint32_t entries) {
    check_libbpf(bpf_map__set_max_entries(map, entries), std::string{"map "} + bpf_map__name(map) + ": set its size");
  };
  set(object.maps.megaflows, config.flow_limit);
  set(object.maps.flows, config.flow_limit);
  set(object.maps.action_lists, action_elements(config.flow_limit));
  set(object.maps.flow_index, config.index_mask + 1);
  set(object.maps.microflows, config.microflow_groups);
  set(object.maps.flow_counters, config.flow_limit * config.cpu_count);
  set(object.maps.flow_deltas, config.flow_limit * config.cpu_count);
}

switch_bpf* open_object() {
  switch_bpf* object = switch_bpf__open();
  if (object == nullptr) throw_errno(errno, "open the built-in XDP program");
  return object;
}

// `fd_of`: -1 for a map that is the copy's own.
void reuse_maps(bpf_object* object, const std::function<int(const char*)>& fd_of) {
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object) {
    if (bpf_map__is_internal(map)) continue;
    const char* name = bpf_map__name(map);
    if (const int fd = fd_of(name); fd >= 0)
      check_libbpf(bpf_map__reuse_fd(map, fd), fmt::format("map {}: share", name));
  }
}

LoadFailure explain(int error, const shunt_config& config, const CaptureLog& log) {
  LoadFailure failure{error, log.kept(),
                      fmt::format("load the XDP program: {}", std::generic_category().message(error))};
  if (failure.by_verifier())
    return {error, log.kept(), fmt::format("the verifier refused the XDP program (features 0x{:x})", config.features)};
  if (error == EPERM)
    return {error, log.kept(),
            "load the XDP program: not permitted (needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON: run as root)"};
  if (error == ENOMEM || error == E2BIG)
    return {
        error, log.kept(),
        fmt::format("not enough memory for the maps of {} flows: choose a smaller --flow-limit", config.flow_limit)};
  return failure;
}

template <typename Skeleton>
void load_skeleton(Skeleton* object, int (*load)(Skeleton*), const shunt_config& config) {
  // Through memcpy: bpftool declares the section's variable const.
  std::memcpy(const_cast<void*>(static_cast<const void*>(&object->rodata->shunt_config)), &config, sizeof config);
  resolve_kernel_context(object->obj);
  CaptureLog log;
  if (const int error = load(object); error != 0) throw explain(-error, config, log);
}

}  // namespace

SwitchObject::SwitchObject(const shunt_config& config) : object_{open_object()} {
  set_sizes(*object_, config);
  load(config);
}

SwitchObject::SwitchObject(const shunt_config& config, const SwitchObject& maps_of, bool tc) : object_{open_object()} {
  reuse_maps(object_->obj, [&maps_of](const char* name) { return maps_of.map_fd(name); });
  // The verifier takes a good part of a second for each.
  std::future<void> other;
  if (tc) other = std::async(std::launch::async, [this, &config, &maps_of] { load_tc(config, maps_of); });
  load(config);
  if (tc) other.get();
}

SwitchObject::SwitchObject(const shunt_config& config, const MapFds& maps, UniqueFd program)
    : object_{open_object()}, adopted_{std::move(program)} {
  if (adopted_) bpf_program__set_autoload(object_->progs.shunt_switch, false);
  set_sizes(*object_, config);
  reuse_maps(object_->obj, [&maps](const char* name) {
    const auto found = maps.find(name);
    return found == maps.end() ? -1 : found->second.get();
  });
  load(config);
}

void SwitchObject::Destroy::operator()(switch_bpf* object) const noexcept { switch_bpf__destroy(object); }
void SwitchObject::Destroy::operator()(tc_bpf* object) const noexcept { tc_bpf__destroy(object); }

void SwitchObject::load(const shunt_config& config) { load_skeleton(object_.get(), switch_bpf__load, config); }

void SwitchObject::load_tc(const shunt_config& config, const SwitchObject& maps_of) {
  Owned<tc_bpf> tc{tc_bpf__open()};
  if (!tc) throw_errno(errno, "open the built-in TC program");
  reuse_maps(tc->obj, [&maps_of](const char* name) { return maps_of.map_fd(name); });
  load_skeleton(tc.get(), tc_bpf__load, config);
  tc_ = std::move(tc);
}

std::string SwitchObject::differs_from(const shunt_config& config, const MapFds& maps) {
  const std::unique_ptr<switch_bpf, void (*)(switch_bpf*)> object{open_object(), switch_bpf__destroy};
  set_sizes(*object, config);
  for (const char* name : map_names()) {
    const auto found = maps.find(name);
    if (found == maps.end()) return fmt::format("map {} is missing", name);
    const bpf_map* wanted = bpf_object__find_map_by_name(object->obj, name);
    bpf_map_info info{};
    __u32 length = sizeof info;
    check_libbpf(bpf_obj_get_info_by_fd(found->second.get(), &info, &length), fmt::format("map {}: look at it", name));
    if (info.type != bpf_map__type(wanted)) return fmt::format("map {} is of another type", name);
    if (info.key_size != bpf_map__key_size(wanted) || info.value_size != bpf_map__value_size(wanted))
      return fmt::format("map {} has elements of {} bytes, here {}", name, info.value_size,
                         bpf_map__value_size(wanted));
    if (info.max_entries != bpf_map__max_entries(wanted))
      return fmt::format("map {} has room for {}, here for {}", name, info.max_entries, bpf_map__max_entries(wanted));
  }
  return {};
}

int SwitchObject::program_fd(Program program) const {
  if (program == Program::kTc) return !tc_ ? -1 : bpf_program__fd(tc_->progs.shunt_tc);
  return adopted_ ? adopted_.get() : bpf_program__fd(object_->progs.shunt_switch);
}

std::size_t SwitchObject::compiled_instructions() const {
  return adopted_ ? 0 : bpf_program__insn_cnt(object_->progs.shunt_switch);
}

std::uint64_t SwitchObject::build() {
  std::size_t size = 0;
  const void* bytes = switch_bpf__elf_bytes(&size);
  return std::hash<std::string_view>{}({static_cast<const char*>(bytes), size});
}

int SwitchObject::map_fd(const char* name) const {
  return check_libbpf(bpf_object__find_map_fd_by_name(object_->obj, name), fmt::format("map {}", name));
}

void SwitchObject::pin_maps(const std::string& directory) const {
  for (const char* name : map_names()) {
    const std::string path = directory + "/" + name;
    check(bpf_obj_pin(map_fd(name), path.c_str()), "pin " + path);
  }
}

const std::vector<const char*>& SwitchObject::map_names() {
  static const std::vector<const char*> names{
      SHUNT_MAP_LAYOUT,          SHUNT_MAP_MEGAFLOWS,     SHUNT_MAP_FLOWS,        SHUNT_MAP_ACTION_LISTS,
      SHUNT_MAP_FLOW_INDEX,      SHUNT_MAP_MICROFLOWS,    SHUNT_MAP_FLOW_HINTS,   SHUNT_MAP_FLOW_COUNTERS,
      SHUNT_MAP_FLOW_DELTAS,     SHUNT_MAP_MASKS,         SHUNT_MAP_PORTS,        SHUNT_MAP_PORT_STATS,
      SHUNT_MAP_PORT_BY_IFINDEX, SHUNT_MAP_UPCALL_BUDGET, SHUNT_MAP_UPCALL_ORDER, SHUNT_MAP_TX_PORTS,
      SHUNT_MAP_METERS,          SHUNT_MAP_XSKS,          SHUNT_MAP_FLOOD_GROUPS, SHUNT_MAP_FDB};
  return names;
}

std::unique_ptr<SwitchObject> load_or_generic(
    shunt_config& config, std::string& refusal,
    const std::function<std::unique_ptr<SwitchObject>(const shunt_config&)>& load) {
  try {
    return load(config);
  } catch (const LoadFailure& failure) {
    if (failure.by_verifier()) {
      refusal = failure.log();
      spdlog::warn("{}; its log:\n{}", failure.what(), failure.log());
    }
    if (!failure.by_verifier() || (config.features & SHUNT_FEATURE_ALL) == SHUNT_FEATURE_ALL) throw;
  }
  config.features |= SHUNT_FEATURE_ALL;
  spdlog::warn("the generic XDP program is used instead");
  return load(config);
}

std::uint32_t index_buckets(std::uint32_t flow_limit) {
  return std::bit_ceil(std::max(flow_limit / 3, std::uint32_t{1024}));
}

std::uint32_t action_elements(std::uint32_t flow_limit) { return std::max(2 * flow_limit, std::uint32_t{4096}); }

std::uint32_t microflow_groups(std::uint32_t flow_limit) {
  return std::max(flow_limit + flow_limit % 2, std::uint32_t{1024});
}

void route_libbpf_log() { libbpf_set_print(print_to_log); }

}  // namespace shunt
