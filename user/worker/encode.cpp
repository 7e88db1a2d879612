// SPDX-License-Identifier: Apache-2.0
#include "user/worker/encode.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <span>

#include "maps/port.h"

namespace shunt {
namespace {

// One output of a translation: where to, with which edits before it, cut to how many bytes (0: whole).
struct Output {
  DpPort port;
  DpActions edits;
  std::uint16_t truncate = 0;
  bool to_in_port = false;
};

// The translation's actions taken apart.
struct Parts {
  std::vector<Output> outputs;
  DpActions edits;   // all but what is put back
  DpActions meters;  // without outputs they still count
  DpActions samples;
  std::optional<shunt_action> last_word;  // an explicit DROP or USERSPACE
  bool controller = false;
};

Parts take_apart(const DpActions& actions) {
  Parts parts;
  std::vector<DpActions> saved;
  DpActions& edits = parts.edits;
  std::uint16_t truncate = 0;
  for (const shunt_action& action : actions) {
    switch (action.type) {
      case SHUNT_ACT_NONE:
      case SHUNT_ACT_SET_QUEUE:  // ports have one queue: all that follows goes to it anyway
        break;
      case SHUNT_ACT_OUTPUT:
        parts.outputs.push_back({DpPort{action.arg}, edits, truncate, action.field == 1});
        truncate = 0;
        break;
      case SHUNT_ACT_TRUNCATE:
        truncate = action.arg;
        break;
      case SHUNT_ACT_DROP:
      case SHUNT_ACT_USERSPACE:
        parts.last_word = action;
        break;
      case SHUNT_ACT_CONTROLLER:
        parts.controller = true;
        break;
      case SHUNT_ACT_SAMPLE:
        parts.samples.push_back(action);
        break;
      case SHUNT_ACT_SAVE:
        saved.push_back(edits);
        break;
      case SHUNT_ACT_RESTORE:
        if (saved.empty()) break;
        edits = std::move(saved.back());
        saved.pop_back();
        break;
      case SHUNT_ACT_DEC_TTL:
      case SHUNT_ACT_DEC_MPLS_TTL:  // who hears of a TTL that runs out, userspace knows
        edits.push_back(action);
        edits.back().arg = 0;
        break;
      case SHUNT_ACT_METER:
        parts.meters.push_back(action);
        [[fallthrough]];
      default:
        edits.push_back(action);
    }
  }
  return parts;
}

shunt_action make_action(shunt_action_type type, std::uint8_t field, std::uint32_t arg) {
  shunt_action action{};
  action.type = static_cast<__u8>(type);
  action.field = field;
  action.arg = static_cast<__u16>(arg);
  return action;
}

bool has_interface(DpPort port, const PortOutputs& ports) {
  return port.value < ports.size() && ports[port.value].ifindex.value != 0;
}

bool all_ports_differ(std::vector<Output> outputs) {
  std::sort(outputs.begin(), outputs.end(), [](const Output& a, const Output& b) { return a.port < b.port; });
  return std::adjacent_find(outputs.begin(), outputs.end(),
                            [](const Output& a, const Output& b) { return a.port == b.port; }) == outputs.end();
}

// A pop that says that a VLAN or service instance tag is below.
bool uncovers_tag(const shunt_action& pop) {
  const std::uint16_t type = static_cast<std::uint16_t>(pop.value[0] << 8 | pop.value[1]);
  return type == 0x8100 || type == 0x88a8 || type == 0x88e7;
}

// Whether the kernel side has what the edits need: it does not parse what a popped label uncovers, foresees a label's
// TTL only where no pop and no copy made it the top one's, and knows no service instance tags.
bool runs_in_kernel(const DpActions& edits) {
  bool popped = false, ttl_unknown = false;
  for (const shunt_action& action : edits) {
    switch (action.type) {
      case SHUNT_ACT_PUSH_PBB:
      case SHUNT_ACT_POP_PBB:
        return false;
      case SHUNT_ACT_POP_MPLS:
        if (uncovers_tag(action)) return false;
        popped = ttl_unknown = true;
        break;
      case SHUNT_ACT_COPY_TTL_OUT:
        ttl_unknown = true;
        break;
      case SHUNT_ACT_DEC_MPLS_TTL:
        if (ttl_unknown) return false;
        break;
      case SHUNT_ACT_PUSH_MPLS:
        ttl_unknown = false;
        break;
      case SHUNT_ACT_DEC_TTL:
      case SHUNT_ACT_METER:  // a remark needs the place of the DSCP
        if (popped) return false;
        break;
      case SHUNT_ACT_SET_FIELD:
        if (action.field == SHUNT_FIELD_PBB_ITAG) return false;
        if (popped && action.field > SHUNT_FIELD_VLAN_TPID && action.field != SHUNT_FIELD_MPLS_LSE) return false;
        break;
      default:
        break;
    }
  }
  return true;
}

// What bpf/edit_skb.bpf.h can do.
bool edits_in_tc(const shunt_action& action) {
  switch (action.type) {
    case SHUNT_ACT_PUSH_VLAN:
    case SHUNT_ACT_POP_VLAN:
    case SHUNT_ACT_DEC_TTL:
      return true;
    case SHUNT_ACT_SET_FIELD:
      return action.field == SHUNT_FIELD_ETH_DST || action.field == SHUNT_FIELD_ETH_SRC ||
             action.field == SHUNT_FIELD_VLAN_TCI ||
             (action.field >= SHUNT_FIELD_IP_SRC && action.field <= SHUNT_FIELD_TP_DST);
    default:
      return false;
  }
}

// A drop, or to other ports than the one that the packet came in on.
bool ends_in_tc(const shunt_action& last) {
  return last.type == SHUNT_ACT_DROP || last.type == SHUNT_ACT_OUTPUT_GROUP ||
         (last.type == SHUNT_ACT_OUTPUT && last.field == 0);
}

bool runs_in_tc(const DpActions& actions) {
  return std::all_of(actions.begin(), actions.end() - 1, edits_in_tc) && ends_in_tc(actions.back());
}

// What most flows are: one output, which leads somewhere, and nothing else. Null: another one.
const shunt_action* only_output(const Translation& translation, DpPort in_port, const PortOutputs& ports) {
  if (translation.actions.size() != 1) return nullptr;
  const shunt_action& action = translation.actions.front();
  const DpPort port{action.arg};
  if (action.type != SHUNT_ACT_OUTPUT || !has_interface(port, ports) || !ports[port.value].xdp_transmit) return nullptr;
  return port != in_port || action.field == 1 ? &action : nullptr;
}

Encoded finish(const Parts& parts, const DpActions& edits, std::uint16_t truncate, const shunt_action& last,
               GroupPorts group) {
  // Each meter counts the packet, once: those behind the last output too, and those of a clone apart.
  const auto meters =
      std::count_if(edits.begin(), edits.end(), [](const auto& a) { return a.type == SHUNT_ACT_METER; });
  if (static_cast<std::size_t>(meters) != parts.meters.size() || !runs_in_kernel(edits))
    return encode_userspace(SHUNT_UPCALL_UNSUPPORTED);
  Encoded encoded;
  encoded.actions = parts.samples;
  encoded.actions.insert(encoded.actions.end(), edits.begin(), edits.end());
  if (std::any_of(edits.begin(), edits.end(), is_edit)) encoded.flags |= SHUNT_FLOW_EDITS;
  if (truncate != 0) encoded.actions.push_back(make_action(SHUNT_ACT_TRUNCATE, 0, truncate));
  encoded.actions.push_back(last);
  if (runs_in_tc(encoded.actions)) encoded.flags |= SHUNT_FLOW_TC;
  if (encoded.actions.size() > SHUNT_MAX_ACTIONS) return encode_userspace(SHUNT_UPCALL_UNSUPPORTED);
  encoded.group = std::move(group);
  if (encoded.actions.size() == 1 && last.type == SHUNT_ACT_OUTPUT && last.field == 0) {
    encoded.flags |= SHUNT_FLOW_SINGLE_OUTPUT;
    encoded.output = DpPort{last.arg};
  } else if (parts.samples.empty()) {
    encoded.flags |= SHUNT_FLOW_LIST;
  }
  return encoded;
}

Encoded drop(const Parts& parts, shunt_drop_reason reason) {
  const shunt_action drop = make_action(SHUNT_ACT_DROP, static_cast<std::uint8_t>(reason), 0);
  const auto decrements = [](const shunt_action& action) {
    return action.type == SHUNT_ACT_DEC_TTL || action.type == SHUNT_ACT_DEC_MPLS_TTL;
  };
  // A packet whose TTL runs out there goes up.
  if (std::any_of(parts.edits.begin(), parts.edits.end(), decrements)) return finish(parts, parts.edits, 0, drop, {});
  Encoded encoded;
  encoded.actions = parts.samples;
  encoded.actions.insert(encoded.actions.end(), parts.meters.begin(), parts.meters.end());
  encoded.actions.push_back(drop);
  if (encoded.actions.size() > SHUNT_MAX_ACTIONS) return encode_userspace(SHUNT_UPCALL_UNSUPPORTED);
  if (runs_in_tc(encoded.actions)) encoded.flags |= SHUNT_FLOW_TC;
  if (parts.samples.empty()) encoded.flags |= SHUNT_FLOW_LIST;
  return encoded;
}

Encoded encode_group(const Parts& parts) {
  const auto& outputs = parts.outputs;
  const Output& first = outputs.front();
  const bool same_bytes = std::all_of(outputs.begin(), outputs.end(), [&](const Output& o) {
    return o.truncate == first.truncate && equal(o.edits, first.edits);
  });
  const bool to_in_port = std::any_of(outputs.begin(), outputs.end(), [](const Output& o) { return o.to_in_port; });
  // A broadcast redirect leaves out the ingress interface and sends one copy a port.
  if (!same_bytes || to_in_port || !all_ports_differ(outputs)) return encode_userspace(SHUNT_UPCALL_UNSUPPORTED);
  GroupPorts group;
  for (const Output& output : outputs) group.push_back(output.port);
  std::sort(group.begin(), group.end());
  return finish(parts, first.edits, first.truncate, make_action(SHUNT_ACT_OUTPUT_GROUP, 0, 0), std::move(group));
}

// An edit of a header needs its place, and that of the checksums above it.
std::uint32_t features_of(const shunt_action& action) {
  constexpr std::uint32_t kUpToL4 = SHUNT_FEATURE_EDITS | SHUNT_FEATURE_L3 | SHUNT_FEATURE_L4;
  switch (action.type) {
    case SHUNT_ACT_PUSH_VLAN:
    case SHUNT_ACT_POP_VLAN:
      return SHUNT_FEATURE_EDITS;
    case SHUNT_ACT_DEC_TTL:
      return kUpToL4;
    case SHUNT_ACT_SET_FIELD:
      if (action.field <= SHUNT_FIELD_VLAN_TPID) return SHUNT_FEATURE_EDITS;
      if (action.field == SHUNT_FIELD_MPLS_LSE) return SHUNT_FEATURE_EDITS | SHUNT_FEATURE_MPLS;
      if (action.field >= SHUNT_FIELD_ND_TARGET0 && action.field <= SHUNT_FIELD_ND_TLL)
        return kUpToL4 | SHUNT_FEATURE_ND;
      return kUpToL4;
    case SHUNT_ACT_METER:  // which of its bands remark, and when, the flow does not know
      return SHUNT_FEATURE_METER | SHUNT_FEATURE_EDITS | SHUNT_FEATURE_L3;
    case SHUNT_ACT_SAMPLE:
      return SHUNT_FEATURE_SAMPLE;
    case SHUNT_ACT_BRIDGE:
      return SHUNT_FEATURE_BRIDGE;
    case SHUNT_ACT_PUSH_MPLS:
    case SHUNT_ACT_POP_MPLS:
    case SHUNT_ACT_DEC_MPLS_TTL:
    case SHUNT_ACT_COPY_TTL_OUT:
    case SHUNT_ACT_COPY_TTL_IN:
      return SHUNT_FEATURE_EDITS | SHUNT_FEATURE_MPLS;
    default:
      return 0;
  }
}

}  // namespace

bool is_edit(const shunt_action& action) {
  switch (action.type) {
    case SHUNT_ACT_SET_FIELD:
    case SHUNT_ACT_PUSH_VLAN:
    case SHUNT_ACT_POP_VLAN:
    case SHUNT_ACT_DEC_TTL:
    case SHUNT_ACT_METER:  // may remark
    case SHUNT_ACT_PUSH_MPLS:
    case SHUNT_ACT_POP_MPLS:
    case SHUNT_ACT_PUSH_PBB:
    case SHUNT_ACT_POP_PBB:
    case SHUNT_ACT_DEC_MPLS_TTL:
    case SHUNT_ACT_COPY_TTL_OUT:
    case SHUNT_ACT_COPY_TTL_IN:
      return true;
    default:
      return false;
  }
}

Encoded encode_userspace(shunt_upcall_reason reason) {
  Encoded encoded;
  encoded.actions.push_back(make_action(SHUNT_ACT_USERSPACE, static_cast<std::uint8_t>(reason), 0xffff));
  encoded.in_kernel = false;
  encoded.reason = reason;
  return encoded;
}

Encoded encode(const Translation& translation, DpPort in_port, const PortOutputs& ports) {
  if (translation.needs_packet) return encode_userspace(SHUNT_UPCALL_PACKET);
  if (translation.bridged) {
    Encoded encoded;
    encoded.actions.push_back(make_action(SHUNT_ACT_BRIDGE, 0, 0));
    encoded.flags = SHUNT_FLOW_BRIDGE | SHUNT_FLOW_TC;
    return encoded;
  }
  if (const shunt_action* only = only_output(translation, in_port, ports)) {
    const bool back = only->field == 1 && DpPort{only->arg} == in_port;
    return finish({}, {}, 0, make_action(SHUNT_ACT_OUTPUT, back ? 1 : 0, only->arg), {});
  }
  Parts parts = take_apart(translation.actions);
  if (parts.last_word && parts.last_word->type == SHUNT_ACT_USERSPACE)
    return encode_userspace(static_cast<shunt_upcall_reason>(parts.last_word->field));
  if (parts.controller) return encode_userspace(SHUNT_UPCALL_CONTROLLER);
  // With several samples userspace could not tell which of them picked the packet that comes up.
  if (parts.samples.size() > 1) return encode_userspace(SHUNT_UPCALL_UNSUPPORTED);
  if (parts.outputs.empty()) {
    if (parts.last_word) return drop(parts, static_cast<shunt_drop_reason>(parts.last_word->field));
    return drop(parts, translation.drop != SHUNT_DROP_NONE ? translation.drop : SHUNT_DROP_RULE);
  }

  // Outputs that lead nowhere: a port whose interface is gone; back out of the input port without having been told so.
  bool gone = false;
  std::erase_if(parts.outputs, [&](const Output& output) {
    const bool missing = !has_interface(output.port, ports);
    gone = gone || missing;
    return missing || (output.port == in_port && !output.to_in_port);
  });
  if (parts.outputs.empty()) return drop(parts, gone ? SHUNT_DROP_NO_OUTPUT_PORT : SHUNT_DROP_SAME_PORT);
  if (std::any_of(parts.outputs.begin(), parts.outputs.end(),
                  [&](const Output& output) { return !ports[output.port.value].xdp_transmit; }))
    return encode_userspace(SHUNT_UPCALL_UNSUPPORTED);

  if (parts.outputs.size() > 1) return encode_group(parts);
  const Output& only = parts.outputs.front();
  return finish(parts, only.edits, only.truncate,
                make_action(SHUNT_ACT_OUTPUT, only.to_in_port && only.port == in_port, only.port.value), {});
}

std::vector<DpPort> sent_to(const Translation& translation, DpPort in_port, const PortOutputs& ports) {
  std::vector<DpPort> list;
  for (const shunt_action& action : translation.actions) {
    const DpPort port{action.arg};
    if (action.type == SHUNT_ACT_OUTPUT && has_interface(port, ports) && (port != in_port || action.field == 1))
      list.push_back(port);
  }
  return list;
}

std::uint32_t features_of(const FlowMask& mask, const Encoded& encoded) {
  const KeyWords words = to_words(mask);
  const auto looks_at = [&](std::initializer_list<std::size_t> list) {
    return std::any_of(list.begin(), list.end(), [&](std::size_t word) { return words[word] != 0; });
  };
  std::uint32_t features = 0;
  if (mask.dp_hash != 0) features |= SHUNT_FEATURE_HASH;
  if (looks_at({4, 6, 7, 8, 9, 10, 11})) features |= SHUNT_FEATURE_L3;
  if (mask.tp_src.raw() != 0 || mask.tp_dst.raw() != 0 || mask.tcp_flags.raw() != 0)
    features |= SHUNT_FEATURE_L3 | SHUNT_FEATURE_L4;
  if (mask.ipv6_exthdr.raw() != 0) features |= SHUNT_FEATURE_L3 | SHUNT_FEATURE_EXTHDR;
  // Words 10 and 11 are ARP's hardware addresses too; which of them a mask means, its eth_type says, not the mask
  // alone.
  if (looks_at({10, 11, 12, 13})) features |= SHUNT_FEATURE_L3 | SHUNT_FEATURE_L4 | SHUNT_FEATURE_ND;
  if (std::any_of(std::begin(mask.mpls_lse), std::end(mask.mpls_lse), [](be32 entry) { return entry.raw() != 0; }))
    features |= SHUNT_FEATURE_MPLS;
  if (mask.pbb_itag.raw() != 0) features |= SHUNT_FEATURE_PBB;
  for (const shunt_action& action : encoded.actions) features |= features_of(action);
  return features;
}

}  // namespace shunt
