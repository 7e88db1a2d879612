// SPDX-License-Identifier: Apache-2.0
#include "tests/bpf/switch_fixture.h"

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <sched.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "bpf/datapath/fdb.h"
#include "bpf/datapath/hash.h"
#include "bpf/datapath/mask.h"
#include "bpf/datapath/parse.h"
#include "user/base/error.h"
#include "user/worker/plain_fields.h"
#include "user/worker/rewrite.h"

namespace shunt::test {

bool has_tcx() {
  utsname kernel{};
  int major = 0, minor = 0;
  return ::uname(&kernel) == 0 && std::sscanf(kernel.release, "%d.%d", &major, &minor) == 2 &&
         (major > 6 || (major == 6 && minor >= 6));
}

void enter_namespace() {
  static const bool entered = [] {
    check(::unshare(CLONE_NEWNET), "unshare a network namespace");
    // The peers' stacks keep silent: no frame but the tests' own is counted.
    run_command("echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6");
    return true;
  }();
  (void)entered;
}

void run_command(const std::string& command) {
  if (std::system(command.c_str()) != 0) throw Error("failed: {}", command);
}

std::string new_instance_name() {
  static int count = 0;
  return fmt::format("bpftest-{}-{}", ::getpid(), ++count);
}

Switch::Switch(std::uint32_t features, std::uint32_t flow_limit, unsigned port_count)
    : instance{new_instance_name()},
      datapath{(enter_namespace(), Datapath::Options{instance, flow_limit, features})},
      prefix_{"s" + instance.substr(instance.rfind('-') + 1)} {
  ifindexes_.resize(port_count + 1);
  for (unsigned port = 1; port <= port_count; ++port) {
    const std::string name = interface(port);
    run_command(fmt::format("ip link add {0} type veth peer name {1} && ip link set {0} up && ip link set {1} up", name,
                            peer(port)));
    ifindexes_[port] = Ifindex{::if_nametoindex(name.c_str())};
    datapath.attach(ifindexes_[port], name, PortMode::kNative);
    datapath.set_ifindex(ifindexes_[port], DpPort{port});
    datapath.set_tx_port(DpPort{port}, ifindexes_[port]);
  }
  reset();
}

Switch::~Switch() {
  for (unsigned port = 1; port < ifindexes_.size(); ++port) {
    datapath.detach(ifindexes_[port]);
    if (std::system(("ip link del " + interface(port)).c_str()) != 0) fmt::print(stderr, "{} stays\n", interface(port));
  }
}

void Switch::reset() {
  for (const auto& key : published_) datapath.megaflows().erase(key);
  published_.clear();
  for (__u64* entry : macs_) *entry = 0;
  macs_.clear();
  for (std::uint32_t slot = 0; slot < next_slot_; ++slot) datapath.flows[slot] = shunt_flow{};
  for (auto& bucket : datapath.index.span()) bucket = shunt_index_bucket{};
  for (auto& counters : datapath.counters.span()) counters = shunt_flow_counters{};
  for (auto& delta : datapath.deltas.span()) delta = shunt_flow_delta{};
  for (auto& order : datapath.order.span()) order = shunt_order{};
  for (auto& meter : datapath.meters.span().first(kTestMeters)) meter = shunt_meter{};
  next_slot_ = next_action_ = 0;
  masks_.assign(SHUNT_MASK_FIRST, shunt_flow_key{});
  masks_[SHUNT_MASK_EXACT] = exact_mask();
  shunt_mask_from_bits(&masks_[SHUNT_MASK_EXACT], &datapath.masks[SHUNT_MASK_EXACT]);
  datapath.reset_port_stats(DpPort{0});
  const UniqueFd budgets = pinned(SHUNT_MAP_UPCALL_BUDGET);
  for (unsigned port = 1; port < ifindexes_.size(); ++port) {
    shunt_port p{};
    p.ifindex = ifindexes_[port].value;
    p.generation = 1;
    p.queue_count = 1;
    p.upcall_rate = 1'000'000;
    p.upcall_burst = 1'000'000;
    p.mtu = 1500;
    datapath.ports[port] = p;
    datapath.reset_port_stats(DpPort{port});
    const shunt_budget full{};
    check_libbpf(bpf_map_update_elem(budgets.get(), &port, &full, BPF_ANY), "fill the budget");
  }
}

void Switch::clear_hints() {
  const UniqueFd hints = pinned(SHUNT_MAP_FLOW_HINTS);
  const shunt_hint_bucket empty{};
  for (std::uint32_t at = 0; at < SHUNT_HINT_BUCKETS; ++at)
    check_libbpf(bpf_map_update_elem(hints.get(), &at, &empty, BPF_ANY), "empty a hint bucket");
}

void Switch::use_microflows(unsigned port, std::uint32_t fields) {
  datapath.ports[port].microflow_groups = datapath.config().microflow_groups;
  datapath.ports[port].microflows = SHUNT_MICROFLOWS(++microflows_, SHUNT_PLAIN_ON | fields);
}

UniqueFd Switch::pinned(const char* name) const {
  const std::string path = fmt::format("{}/{}/{}", SHUNT_PIN_ROOT, instance, name);
  return UniqueFd{check(bpf_obj_get(path.c_str()), path)};
}

std::uint16_t Switch::add_mask(const shunt_flow_key& mask) {
  for (std::size_t i = 0; i < masks_.size(); ++i)
    if (i != SHUNT_MASK_UNION && std::memcmp(&masks_[i], &mask, sizeof mask) == 0) return static_cast<std::uint16_t>(i);
  masks_.push_back(mask);
  shunt_mask_from_bits(&mask, &datapath.masks[masks_.size() - 1]);
  return static_cast<std::uint16_t>(masks_.size() - 1);
}

void Switch::set_union_mask(const shunt_flow_key& mask) {
  shunt_mask_from_bits(&mask, &datapath.masks[SHUNT_MASK_UNION]);
}

std::uint32_t Switch::publish(const shunt_flow_key& key, const shunt_flow_key& mask,
                              std::span<const shunt_action> actions, std::uint8_t flags) {
  return write_flow(key, mask, actions, flags, true);
}

std::uint32_t Switch::publish_bridged(unsigned port, std::span<const std::byte> frame, std::uint16_t number) {
  shunt_flow_key mask = port_mask();
  mask.vlan[0].tci = shunt_be16{SHUNT_VLAN_PRESENT | 0xfff};
  const shunt_action bridge = simple_action(SHUNT_ACT_BRIDGE, number);
  const std::uint32_t slot =
      publish(whole_key(frame, port), mask, std::span{&bridge, 1}, SHUNT_FLOW_BRIDGE | SHUNT_FLOW_TC);
  datapath.flows[slot].head.output = number;
  datapath.flows[slot].head.fields |= SHUNT_PLAIN_BRIDGE | SHUNT_PLAIN_DST | SHUNT_PLAIN_SRC | SHUNT_PLAIN_VLAN;
  return slot;
}

Switch::FdbPlace Switch::fdb_place(std::uint16_t number, const std::uint8_t (&mac)[6]) const {
  const auto& config = datapath.config();
  std::uint64_t bytes = 0;
  std::memcpy(&bytes, mac, sizeof mac);
  const std::uint64_t spread = shunt_fdb_spread(SHUNT_FDB_KEY(bytes, number), config.hash_seed, config.hash_multiplier);
  for (const bool free : {false, true})
    for (std::uint32_t probe = 0; probe < SHUNT_FDB_PROBES; ++probe) {
      const std::uint64_t name = shunt_fdb_name(spread, probe);
      for (__u64& entry : datapath.fdb[shunt_fdb_bucket_of(spread, probe)].entry)
        if (free ? entry == 0 : shunt_fdb_has_name(entry, name) != 0) return {entry, name};
    }
  throw Error("the FDB's buckets are full");
}

void Switch::set_mac(std::uint16_t number, const std::uint8_t (&mac)[6], std::uint16_t port, std::uint16_t flags) {
  const FdbPlace place = fdb_place(number, mac);
  macs_.push_back(&place.entry);
  place.entry = port == 0 ? 0 : place.name | flags | port;
}

std::uint64_t Switch::mac(std::uint16_t number, const std::uint8_t (&mac)[6]) const {
  return fdb_place(number, mac).entry;
}

std::uint32_t Switch::publish_overflowed(const shunt_flow_key& key, const shunt_flow_key& mask,
                                         std::span<const shunt_action> actions) {
  return write_flow(key, mask, actions, 0, false);
}

std::uint32_t Switch::write_flow(const shunt_flow_key& key, const shunt_flow_key& mask,
                                 std::span<const shunt_action> actions, std::uint8_t flags, bool indexed) {
  const std::uint16_t number = add_mask(mask);
  const shunt_mask& packed_mask = datapath.masks[number];
  const std::uint32_t slot = next_slot_++;
  shunt_port& port = datapath.ports[key.in_port];

  shunt_flow flow{};
  flow.head.generation = port.generation;
  flow.head.slot = slot;
  flow.head.mask = number;
  flow.head.flags = flags;
  flow.head.fields = plain_fields(mask);
  if (actions.size() == 1 && actions[0].type == SHUNT_ACT_OUTPUT && actions[0].field == 0 &&
      actions[0].arg != key.in_port) {
    flow.head.flags |= SHUNT_FLOW_SINGLE_OUTPUT;
    flow.head.output = actions[0].arg;
  } else {
    flow.head.action_count = static_cast<std::uint8_t>(actions.size());
  }
  flow.actions = next_action_;
  for (const shunt_action& action : actions) datapath.action_lists[next_action_++] = action;
  if (const auto rewrite = rewrite_of(actions); rewrite && has_rewrites) {
    flow.head.flags |= SHUNT_FLOW_REWRITE;
    std::memcpy(&datapath.action_lists[next_action_], &*rewrite, sizeof *rewrite);
    next_action_ += SHUNT_REWRITE_ELEMENTS;
  }
  shunt_pack_key(&key, &packed_mask, flow.key);
  datapath.flows[slot] = flow;

  shunt_megaflow_key masked{};
  shunt_mask_key(&key, &packed_mask, &masked.key);
  masked.mask = number;
  shunt_megaflow value{};
  value.head = flow.head;
  value.actions = flow.actions;
  datapath.megaflows().update(masked, value);
  published_.push_back(masked);

  const auto& config = datapath.config();
  const std::uint64_t hash = shunt_hash_masked(&key, &packed_mask, number, config.hash_seed, config.hash_multiplier);
  shunt_index_bucket& bucket = datapath.index[shunt_hash_bucket(hash, config.index_mask)];
  auto* free = std::find(std::begin(bucket.entry), std::end(bucket.entry), 0U);
  if (indexed && free != std::end(bucket.entry))
    *free = SHUNT_INDEX_ENTRY(shunt_hash_tag(hash), slot);
  else
    ++bucket.overflow;
  const std::span listed{port.masks, port.mask_count};
  if (number >= SHUNT_MASK_FIRST && std::find(listed.begin(), listed.end(), number) == listed.end())
    port.masks[port.mask_count++] = number;
  return slot;
}

Result Switch::run(std::span<const std::byte> frame, unsigned port) {
  Result result;
  Bytes out(frame.size() + 4096);
  xdp_md context{};
  context.data_end = static_cast<__u32>(frame.size());
  context.ingress_ifindex = ifindexes_[port].value;
  xdp_md context_out{};
  LIBBPF_OPTS(bpf_test_run_opts, options);
  options.data_in = frame.data();
  options.data_size_in = static_cast<__u32>(frame.size());
  options.data_out = out.data();
  options.data_size_out = static_cast<__u32>(out.size());
  options.ctx_in = &context;
  options.ctx_size_in = sizeof context;
  options.ctx_out = &context_out;
  options.ctx_size_out = sizeof context_out;
  options.repeat = 1;
  check_libbpf(bpf_prog_test_run_opts(datapath.program_fd(), &options), "BPF_PROG_TEST_RUN");
  result.verdict = options.retval;
  std::size_t meta_size = context_out.data - context_out.data_meta;
  if (meta_size == sizeof(shunt_upcall_meta)) {
    result.meta.emplace();
    std::memcpy(&*result.meta, out.data(), meta_size);
  }
  result.frame.assign(out.begin() + static_cast<std::ptrdiff_t>(meta_size), out.begin() + options.data_size_out);
  return result;
}

std::uint32_t Switch::measure(std::span<const std::byte> frame, unsigned port, std::uint32_t repeat) {
  xdp_md context{};
  context.data_end = static_cast<__u32>(frame.size());
  context.ingress_ifindex = ifindexes_[port].value;
  LIBBPF_OPTS(bpf_test_run_opts, options);
  options.data_in = frame.data();
  options.data_size_in = static_cast<__u32>(frame.size());
  options.ctx_in = &context;
  options.ctx_size_in = sizeof context;
  options.repeat = static_cast<int>(repeat);
  check_libbpf(bpf_prog_test_run_opts(datapath.program_fd(), &options), "BPF_PROG_TEST_RUN");
  return options.duration;
}

void Switch::forget_counts(unsigned port, std::uint32_t slot) {
  const auto& config = datapath.config();
  for (std::uint32_t cpu = 0; cpu < config.cpu_count; ++cpu) {
    datapath.counters[std::size_t{cpu} * config.flow_limit + slot] = {};
    datapath.deltas[std::size_t{cpu} * config.flow_limit + slot] = {};
  }
  datapath.reset_port_stats(DpPort{static_cast<std::uint16_t>(port)});
}

shunt_flow_counters Switch::counted(std::uint32_t slot) const {
  const auto& config = datapath.config();
  shunt_flow_counters sum{};
  for (std::uint32_t cpu = 0; cpu < config.cpu_count; ++cpu) {
    const shunt_flow_counters& c = datapath.counters[std::size_t{cpu} * config.flow_limit + slot];
    sum.packets += c.packets;
    sum.bytes += c.bytes;
  }
  return sum;
}

shunt_flow_delta Switch::delta(std::uint32_t slot) const {
  const auto& config = datapath.config();
  shunt_flow_delta sum{};
  for (std::uint32_t cpu = 0; cpu < config.cpu_count; ++cpu) {
    const shunt_flow_delta& d = datapath.deltas[std::size_t{cpu} * config.flow_limit + slot];
    sum.bytes += d.bytes;
    sum.lost += d.lost;
  }
  return sum;
}

shunt_flow_key Switch::whole_key(std::span<const std::byte> frame, unsigned port) const {
  shunt_flow_key key = key_of(frame, port);
  key.dp_hash = shunt_dp_hash(&key, datapath.config().hash_seed, datapath.config().hash_multiplier);
  return key;
}

shunt_flow_key key_of(std::span<const std::byte> frame, unsigned port) {
  shunt_flow_key key{};
  shunt_headers headers{};
  Bytes copy{frame.begin(), frame.end()};
  shunt_frame carrier{reinterpret_cast<__u8*>(copy.data()), static_cast<__u32>(copy.size()), 0, 0};
  (void)shunt_parse(&carrier, carrier.len, port, SHUNT_FEATURE_ALL, &key, &headers);
  return key;
}

std::uint64_t exact_hits(const Switch& sw) { return sw.datapath.port_stats(DpPort{1}).exact_hits; }

shunt_flow_key port_mask() {
  shunt_flow_key mask{};
  mask.in_port = ~0U;
  return mask;
}

shunt_flow_key l2_mask() {
  shunt_flow_key mask = port_mask();
  std::fill_n(mask.eth_dst, 6, std::uint8_t{0xff});
  std::fill_n(mask.eth_src, 6, std::uint8_t{0xff});
  mask.eth_type = shunt_be16{0xffff};
  mask.vlan[0] = {shunt_be16{0xffff}, shunt_be16{0xffff}};
  return mask;
}

shunt_flow_key five_tuple_mask() {
  shunt_flow_key mask = port_mask();
  mask.eth_type = shunt_be16{0xffff};
  mask.nw_proto = mask.nw_frag = 0xff;
  mask.tp_src = mask.tp_dst = shunt_be16{0xffff};
  std::memset(mask.ip_src, 0xff, sizeof mask.ip_src);
  std::memset(mask.ip_dst, 0xff, sizeof mask.ip_dst);
  return mask;
}

shunt_flow_key exact_mask() {
  shunt_flow_key mask;
  std::memset(&mask, 0xff, sizeof mask);
  return mask;
}

shunt_action simple_action(shunt_action_type type, std::uint16_t arg) {
  shunt_action action{};
  action.type = static_cast<__u8>(type);
  action.arg = arg;
  return action;
}

shunt_action output_to(unsigned port, bool in_port) {
  shunt_action action = simple_action(SHUNT_ACT_OUTPUT, static_cast<std::uint16_t>(port));
  action.field = in_port;
  return action;
}

shunt_action group_output(std::uint16_t group) { return simple_action(SHUNT_ACT_OUTPUT_GROUP, group); }

shunt_action drop_for(shunt_drop_reason reason) {
  shunt_action action = simple_action(SHUNT_ACT_DROP);
  action.field = static_cast<__u8>(reason);
  return action;
}

shunt_action userspace_for(shunt_upcall_reason reason) {
  shunt_action action = simple_action(SHUNT_ACT_USERSPACE, 0xffff);
  action.field = static_cast<__u8>(reason);
  return action;
}

shunt_action set_field(shunt_field field, std::span<const std::uint8_t> value, std::span<const std::uint8_t> mask) {
  shunt_action action = simple_action(SHUNT_ACT_SET_FIELD);
  action.field = static_cast<__u8>(field);
  std::copy(value.begin(), value.end(), action.value);
  std::fill_n(action.mask, value.size(), std::uint8_t{0xff});
  std::copy(mask.begin(), mask.end(), action.mask);
  return action;
}

shunt_action push_vlan(std::uint16_t tpid, std::uint16_t tci) {
  shunt_action action = simple_action(SHUNT_ACT_PUSH_VLAN);
  const std::uint8_t bytes[]{static_cast<std::uint8_t>(tpid >> 8), static_cast<std::uint8_t>(tpid),
                             static_cast<std::uint8_t>(tci >> 8), static_cast<std::uint8_t>(tci)};
  std::copy(std::begin(bytes), std::end(bytes), action.value);
  return action;
}

shunt_action push_mpls(std::uint16_t eth_type, std::uint32_t entry) {
  shunt_action action = pop_mpls(eth_type);
  action.type = SHUNT_ACT_PUSH_MPLS;
  for (int i = 0; i < 4; ++i) action.value[2 + i] = static_cast<__u8>(entry >> (24 - 8 * i));
  return action;
}

shunt_action pop_mpls(std::uint16_t eth_type) {
  shunt_action action = simple_action(SHUNT_ACT_POP_MPLS);
  action.value[0] = static_cast<__u8>(eth_type >> 8);
  action.value[1] = static_cast<__u8>(eth_type);
  return action;
}

}  // namespace shunt::test
