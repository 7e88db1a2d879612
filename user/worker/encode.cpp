// SPDX-License-Identifier: Apache-2.0
#include "user/worker/encode.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <span>

#include "maps/port.h"

namespace shunt {
namespace {

// One output of a translation: where to, after how many of the edits, cut to how many bytes (0: whole).
struct Output {
  DpPort port;
  std::size_t edits = 0;
  std::uint16_t truncate = 0;
  bool to_in_port = false;
};

// The translation's actions taken apart.
struct Parts {
  std::vector<shunt_action> edits;
  std::vector<Output> outputs;
  std::optional<shunt_action> last_word;  // an explicit DROP or USERSPACE
};

Parts take_apart(const DpActions& actions) {
  Parts parts;
  std::uint16_t truncate = 0;
  for (const shunt_action& action : actions) {
    switch (action.type) {
      case SHUNT_ACT_NONE:
        break;
      case SHUNT_ACT_OUTPUT:
        parts.outputs.push_back({DpPort{action.arg}, parts.edits.size(), truncate, action.field == 1});
        truncate = 0;
        break;
      case SHUNT_ACT_TRUNCATE:
        truncate = action.arg;
        break;
      case SHUNT_ACT_DROP:
      case SHUNT_ACT_USERSPACE:
        parts.last_word = action;
        break;
      default:
        parts.edits.push_back(action);
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

Encoded drop(shunt_drop_reason reason) {
  Encoded encoded;
  encoded.actions.push_back(make_action(SHUNT_ACT_DROP, static_cast<std::uint8_t>(reason), 0));
  return encoded;
}

bool all_ports_differ(std::vector<Output> outputs) {
  std::sort(outputs.begin(), outputs.end(), [](const Output& a, const Output& b) { return a.port < b.port; });
  return std::adjacent_find(outputs.begin(), outputs.end(),
                            [](const Output& a, const Output& b) { return a.port == b.port; }) == outputs.end();
}

// How several ports get the frame: the edits that make the canonical form, and the ports that get it less its outer
// tag.
struct Forms {
  std::size_t edits = 0;           // of the canonical form
  std::size_t untagged_edits = 0;  // outputs after so many edits get it popped; equal to `edits`: one form only
};

// At most two forms, which differ by one tag: the last edit between them is a push (the later form is the tagged one)
// or a pop (the earlier one is).
std::optional<Forms> find_forms(const Parts& parts) {
  const auto [first, last] = std::minmax_element(parts.outputs.begin(), parts.outputs.end(),
                                                 [](const Output& a, const Output& b) { return a.edits < b.edits; });
  const std::size_t early = first->edits, late = last->edits;
  if (early == late) return Forms{early, early};
  if (late != early + 1) return std::nullopt;
  switch (parts.edits[early].type) {
    case SHUNT_ACT_PUSH_VLAN:
      return Forms{late, early};
    case SHUNT_ACT_POP_VLAN:
      return Forms{early, late};
    default:
      return std::nullopt;
  }
}

Encoded finish(const Parts& parts, std::size_t edit_count, std::uint16_t truncate, const shunt_action& output,
               GroupPorts group) {
  Encoded encoded;
  encoded.actions.assign(parts.edits.begin(), parts.edits.begin() + static_cast<std::ptrdiff_t>(edit_count));
  if (edit_count > 0) encoded.flags |= SHUNT_FLOW_EDITS;
  if (truncate != 0) encoded.actions.push_back(make_action(SHUNT_ACT_TRUNCATE, 0, truncate));
  encoded.actions.push_back(output);
  if (encoded.actions.size() > SHUNT_MAX_ACTIONS) return encode_userspace(SHUNT_UPCALL_UNSUPPORTED);
  encoded.group = std::move(group);
  if (encoded.actions.size() == 1 && output.type == SHUNT_ACT_OUTPUT && output.field == 0) {
    encoded.flags |= SHUNT_FLOW_SINGLE_OUTPUT;
    encoded.output = DpPort{output.arg};
  }
  return encoded;
}

Encoded encode_group(const Parts& parts) {
  const auto& outputs = parts.outputs;
  const std::uint16_t truncate = outputs.front().truncate;
  const bool same_length =
      std::all_of(outputs.begin(), outputs.end(), [&](const Output& o) { return o.truncate == truncate; });
  const bool to_in_port = std::any_of(outputs.begin(), outputs.end(), [](const Output& o) { return o.to_in_port; });
  const std::optional<Forms> forms = find_forms(parts);
  // A broadcast redirect leaves out the ingress interface and sends one copy a port.
  if (!same_length || to_in_port || !forms || !all_ports_differ(outputs))
    return encode_userspace(SHUNT_UPCALL_UNSUPPORTED);
  // Cut before the pop or after it is not the same.
  if (truncate != 0 && forms->edits != forms->untagged_edits) return encode_userspace(SHUNT_UPCALL_UNSUPPORTED);

  GroupPorts group;
  for (const Output& output : outputs) group.push_back({output.port, output.edits != forms->edits});
  std::sort(group.begin(), group.end());
  return finish(parts, forms->edits, truncate, make_action(SHUNT_ACT_OUTPUT_GROUP, 0, 0), std::move(group));
}

}  // namespace

bool is_edit(const shunt_action& action) {
  switch (action.type) {
    case SHUNT_ACT_SET_FIELD:
    case SHUNT_ACT_PUSH_VLAN:
    case SHUNT_ACT_POP_VLAN:
    case SHUNT_ACT_DEC_TTL:
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
  Parts parts = take_apart(translation.actions);
  if (parts.last_word && parts.last_word->type == SHUNT_ACT_USERSPACE)
    return encode_userspace(static_cast<shunt_upcall_reason>(parts.last_word->field));
  if (parts.outputs.empty()) {
    if (parts.last_word) return drop(static_cast<shunt_drop_reason>(parts.last_word->field));
    return drop(translation.drop != SHUNT_DROP_NONE ? translation.drop : SHUNT_DROP_RULE);
  }

  // Outputs that lead nowhere: a port whose interface is gone; back out of the input port without having been told so.
  bool gone = false;
  std::erase_if(parts.outputs, [&](const Output& output) {
    const bool missing = output.port.value >= ports.size() || ports[output.port.value].ifindex.value == 0;
    gone = gone || missing;
    return missing || (output.port == in_port && !output.to_in_port);
  });
  if (parts.outputs.empty()) return drop(gone ? SHUNT_DROP_NO_OUTPUT_PORT : SHUNT_DROP_SAME_PORT);
  if (std::any_of(parts.outputs.begin(), parts.outputs.end(),
                  [&](const Output& output) { return !ports[output.port.value].xdp_transmit; }))
    return encode_userspace(SHUNT_UPCALL_UNSUPPORTED);

  if (parts.outputs.size() > 1) return encode_group(parts);
  const Output& only = parts.outputs.front();
  return finish(parts, only.edits, only.truncate,
                make_action(SHUNT_ACT_OUTPUT, only.to_in_port && only.port == in_port, only.port.value), {});
}

std::uint32_t features_of(const FlowMask& mask, const Encoded& encoded) {
  const KeyWords words = to_words(mask);
  const auto looks_at = [&](std::initializer_list<std::size_t> list) {
    return std::any_of(list.begin(), list.end(), [&](std::size_t word) { return words[word] != 0; });
  };
  std::uint32_t features = 0;
  if (looks_at({4, 6, 7, 8, 9, 10, 11})) features |= SHUNT_FEATURE_L3;
  if (looks_at({5})) features |= SHUNT_FEATURE_L3 | SHUNT_FEATURE_L4;
  // Words 10 and 11 are ARP's hardware addresses too; which of them a mask means, its eth_type says, not the mask
  // alone.
  if (looks_at({10, 11, 12, 13})) features |= SHUNT_FEATURE_L3 | SHUNT_FEATURE_L4 | SHUNT_FEATURE_ND;
  if (looks_at({14, 15})) features |= SHUNT_FEATURE_MPLS;
  for (const shunt_action& action : encoded.actions) {
    if (!is_edit(action)) continue;
    features |= SHUNT_FEATURE_EDITS;
    // An edit of a header needs its place, and that of the checksums above it.
    if (action.type == SHUNT_ACT_PUSH_VLAN || action.type == SHUNT_ACT_POP_VLAN) continue;
    if (action.type == SHUNT_ACT_SET_FIELD && action.field <= SHUNT_FIELD_VLAN_TPID) continue;
    features |= SHUNT_FEATURE_L3 | SHUNT_FEATURE_L4;
    if (action.field >= SHUNT_FIELD_ND_TARGET0 && action.field <= SHUNT_FIELD_ND_TLL) features |= SHUNT_FEATURE_ND;
    if (action.field == SHUNT_FIELD_MPLS_LSE) features |= SHUNT_FEATURE_MPLS;
  }
  return features;
}

}  // namespace shunt
