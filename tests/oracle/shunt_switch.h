// SPDX-License-Identifier: Apache-2.0
// Shunt's pipeline in one process: text to rules, frames through parser, cache, translation and the executor, and what
// the revalidator would do between frames. Translations are reused for every frame that agrees with an earlier one
// under its mask, so that a mask with a bit too few shows as a wrong output; a second translation of the same frame
// must make the same actions.
//
// Threads: one.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "maps/port.h"
#include "tests/oracle/open_vswitch.h"
#include "tests/oracle/scenario.h"
#include "user/pipeline/switch.h"
#include "user/pipeline/translate.h"
#include "user/worker/executor.h"

namespace shunt::test {

class ShuntSwitch {
 public:
  explicit ShuntSwitch(std::uint32_t port_count);

  void configure(const Layout& layout);
  // Forgets rules, groups, MACs and cached flows, and installs these. Throws Error.
  void load(const std::vector<std::string>& groups, const std::vector<std::string>& rules);

  // What of the actions that ran over a frame is done otherwise by Open vSwitch (known_differences.cpp).
  struct Met {
    unsigned third_tags = 0;    // tags put in front of two
    bool fourth_label = false;  // a label pushed onto three
    bool normal = false;
    bool normal_empty_tag = false,
         normal_two_tags = false;  // what the frame had then, or in the bridge; empty: VID and priority 0
    bool max_len = false, max_len_unsent = false;  // unsent: to a port that takes nothing
    bool exit_before_set = false;                  // while the action set held something
    bool learns_then_begins_anew = false;          // learn, then what Open vSwitch cannot go on behind in one translation
    bool dec_ttl = false, dec_mpls_ttl = false, push_mpls = false, pop_mpls = false;
    bool gave_up = false;  // translation failed
    // Where the TTL runs out and the flow serves every TTL: what it learned until there. Open vSwitch translates no
    // further.
    bool expired = false;
    std::size_t normals = 0, learn_actions = 0, fin_timeouts = 0;
    bool fin_timeout_of_nd = false;  // the packet is of neighbour discovery
  };
  struct Result {
    Outputs outputs;
    bool cached = false;  // an earlier frame's translation was used
    Met met;
    std::string fault;        // a cache that contradicts itself
    std::string explanation;  // key, mask and actions, for messages
  };
  Result send(PortNo in_port, const Bytes& frame);
  // A controller's packet-out, from no port.
  Result packet_out(const Bytes& frame, const std::string& actions);
  // What its rules have become, as the requests that would add them, in any order.
  [[nodiscard]] std::vector<FlowMod> rules() const;

  [[nodiscard]] std::size_t flow_count() const { return cache_.size(); }

 private:
  struct Sink;
  class Watcher;
  struct CachedFlow {
    FlowKey masked;
    Translation translation;
  };

  Switch switch_;
  BridgeId bridge_;
  std::uint32_t port_count_;
  Layout layout_;
  std::vector<CachedFlow> cache_;
  Umem umem_{64, false};
  std::vector<shunt_port> ports_;
  FrameCache frames_;
  Executor executor_;

  [[nodiscard]] Translation translate_frame(const FlowKey& key, const Bytes& frame, Met& met) const;
  [[nodiscard]] bool load_frame(DpPort in_port, const Bytes& frame);
  [[nodiscard]] Outputs run(const Translation& translation);
  void follow_up(const Translation& translation, const Met& met);
};

[[nodiscard]] DpPort dp_port(PortNo port);

}  // namespace shunt::test
