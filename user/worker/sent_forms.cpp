// SPDX-License-Identifier: Apache-2.0
#include "user/worker/sent_forms.h"

namespace shunt {

namespace {

constexpr int kTagSize = 4, kLabelSize = 4, kPbbSize = 18;

int length_delta(const shunt_action& action) {
  switch (action.type) {
    case SHUNT_ACT_PUSH_VLAN:
      return kTagSize;
    case SHUNT_ACT_POP_VLAN:
      return -kTagSize;
    case SHUNT_ACT_PUSH_MPLS:
      return kLabelSize;
    case SHUNT_ACT_POP_MPLS:
      return -kLabelSize;
    case SHUNT_ACT_PUSH_PBB:
      return kPbbSize;
    case SHUNT_ACT_POP_PBB:
      return -kPbbSize;
    default:
      return 0;
  }
}

}  // namespace

std::vector<SentForm> sent_forms(const Translation& translation, DpPort in_port, const PortOutputs& ports) {
  std::vector<SentForm> forms;
  std::vector<int> saved;
  int delta = 0;
  for (const shunt_action& action : translation.actions) {
    delta += length_delta(action);
    if (action.type == SHUNT_ACT_SAVE) {
      saved.push_back(delta);
    } else if (action.type == SHUNT_ACT_RESTORE && !saved.empty()) {
      delta = saved.back();
      saved.pop_back();
    } else if (action.type == SHUNT_ACT_OUTPUT) {
      const DpPort port{action.arg};
      const bool reached = port.value < ports.size() && ports[port.value].ifindex.value != 0;
      if (reached && (port != in_port || action.field == 1)) forms.push_back({port, delta});
    }
  }
  return forms;
}

}  // namespace shunt
