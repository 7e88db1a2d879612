// SPDX-License-Identifier: Apache-2.0
#include "tests/oracle/action_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

namespace shunt::test {
namespace {

using L3 = FrameSpec::L3;
using L4 = FrameSpec::L4;

enum class Format { kNumber, kMac, kIpv4, kIpv6 };

// A field that actions may write or read, and how.
struct FieldUse {
  std::string name;
  unsigned width;
  Format format = Format::kNumber;
  bool maskable = true;
};

class ActionWriter {
 public:
  ActionWriter(Random& random, const ActionChoices& choices, Promise promise, std::uint8_t table)
      : random_{random}, choices_{choices}, promise_{promise}, table_{table} {}

  std::string rule();
  std::string bucket();

 private:
  Random& random_;
  const ActionChoices& choices_;
  Promise promise_;
  std::uint8_t table_;
  int depth_ = 0;
  bool in_bucket_ = false;
  int pushed_ = 0;  // onto the stack and not taken off: an empty stack is an error of both, but not the same one

  std::string action();
  std::string list(std::size_t count);
  std::string output();
  std::string reserved_output();
  std::string set_field();
  std::string load();
  std::string move();
  std::string vlan();
  std::string push_vlan();
  std::string resubmit();
  std::string group();
  [[nodiscard]] bool may_name_group() const;
  std::string clone();
  std::string stack();
  std::string mpls();
  std::string learn();
  std::string timeout(const std::string& name);
  std::string fin_timeout();
  std::string rare();
  std::string write_actions();
  std::vector<FieldUse> fields(bool to_write) const;
  std::string value(const FieldUse& use);
  std::optional<std::string> goto_table();
  std::string register_bits(unsigned width);
};

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) {
    if (word.empty()) continue;
    if (!text.empty()) text += ',';
    text += word;
  }
  return text;
}

std::vector<FieldUse> ActionWriter::fields(bool to_write) const {
  std::vector<FieldUse> all{{"eth_src", 48, Format::kMac},
                            {"eth_dst", 48, Format::kMac},
                            {"metadata", 64},
                            {"reg0", 32},
                            {"reg1", 32},
                            {"reg2", 32},
                            {"reg3", 32},
                            {"reg15", 32},
                            {"xreg0", 64},
                            {"xreg1", 64},
                            {"tun_id", 64}};
  const auto add = [&](std::vector<FieldUse> more) { all.insert(all.end(), more.begin(), more.end()); };
  if (promise_.tagged()) add({{"vlan_vid", 12}, {"vlan_pcp", 3, Format::kNumber, false}});
  if (promise_.is_ip()) {
    add({{"ip_dscp", 6, Format::kNumber, false},
         {"nw_ecn", 2, Format::kNumber, false},
         {"nw_ttl", 8, Format::kNumber, false}});
    if (!to_write) add({{"nw_proto", 8}});
  }
  if (promise_.l3 == L3::kIpv4) add({{"ip_src", 32, Format::kIpv4}, {"ip_dst", 32, Format::kIpv4}});
  if (promise_.l3 == L3::kIpv6)
    add({{"ipv6_src", 128, Format::kIpv6}, {"ipv6_dst", 128, Format::kIpv6}, {"ipv6_label", 20}});
  if (promise_.l3 == L3::kArp)
    // The upper half of an opcode is 0 in both keys.
    add({{"arp_op", 8, Format::kNumber, false},
         {"arp_spa", 32, Format::kIpv4},
         {"arp_tpa", 32, Format::kIpv4},
         {"arp_sha", 48, Format::kMac},
         {"arp_tha", 48, Format::kMac}});
  if (promise_.l3 == L3::kMpls)
    add({{"mpls_label", 20, Format::kNumber, false},
         {"mpls_tc", 3, Format::kNumber, false},
         {"mpls_ttl", 8, Format::kNumber, false}});
  if (promise_.l4 == L4::kTcp) add({{"tcp_src", 16}, {"tcp_dst", 16}});
  if (promise_.l4 == L4::kUdp) add({{"udp_src", 16}, {"udp_dst", 16}});
  if (promise_.l4 == L4::kSctp) add({{"sctp_src", 16}, {"sctp_dst", 16}});
  if (promise_.l4 == L4::kIcmp && promise_.l3 == L3::kIpv4)
    add({{"icmp_type", 8, Format::kNumber, false}, {"icmp_code", 8, Format::kNumber, false}});
  if (promise_.l4 == L4::kSolicit || promise_.l4 == L4::kAdvert) add({{"nd_target", 128, Format::kIpv6}});
  if (promise_.l4 == L4::kSolicit) add({{"nd_sll", 48, Format::kMac}});
  if (promise_.l4 == L4::kAdvert) add({{"nd_tll", 48, Format::kMac}});
  return all;
}

// What set_field takes, maybe under a mask.
std::string ActionWriter::value(const FieldUse& use) {
  if (use.format == Format::kIpv6) {
    Ipv6 address = random_ipv6(random_);
    if (!random_.one_in(4)) return ipv6_text(address);
    Ipv6 mask{};
    const auto bytes = 1 + random_.below(15);
    for (std::size_t i = 0; i < bytes; ++i) mask[random_.one_in(2) ? i : 15 - i] = 0xff;
    mask[0] = 0xff;  // ovs-ofctl takes a mask that begins with a decimal digit for a prefix length
    for (std::size_t i = 0; i < 16; ++i) address[i] &= mask[i];
    return ipv6_text(address) + "/" + ipv6_text(mask);
  }
  std::uint64_t number = 0;
  if (use.format == Format::kMac)
    number = random_mac(random_);
  else if (use.format == Format::kIpv4)
    number = random_ipv4(random_);
  else if (use.name == "arp_op")
    number = 1 + random_.below(2);
  else if (use.width == 16)
    number = random_port(random_);
  else if (use.name == "vlan_vid")
    number = random_vid(random_);
  else if (use.name == "mpls_label")
    number = random_label(random_);
  else if (use.width >= 32)
    number = random_.below(4);
  else
    number = random_.bits() & ((1u << use.width) - 1);
  const auto text = [&](std::uint64_t n) {
    return use.format == Format::kMac    ? mac_text(n)
           : use.format == Format::kIpv4 ? ipv4_text(static_cast<std::uint32_t>(n))
                                         : fmt::format("{:#x}", n);
  };
  const std::uint64_t present = use.name == "vlan_vid" ? 0x1000 : 0;
  if (!use.maskable || !random_.one_in(4)) return text(number | present);
  const std::uint64_t mask = random_mask(random_, use.width);
  if (mask == 0) return text(number | present);
  return text((number & mask) | present) + "/" + text(mask | present);
}

std::string ActionWriter::set_field() {
  const FieldUse use = random_.of(fields(true));
  // The older spellings of the same.
  if (random_.one_in(4)) {
    if (use.name == "eth_dst") return "mod_dl_dst:" + mac_text(random_mac(random_));
    if (use.name == "ip_src") return "mod_nw_src:" + ipv4_text(random_ipv4(random_));
    if (use.name == "ip_dst") return "mod_nw_dst:" + ipv4_text(random_ipv4(random_));
    if (use.name == "ip_dscp") return fmt::format("mod_nw_tos:{}", random_.below(64) * 4);
    if (use.name == "nw_ttl") return fmt::format("mod_nw_ttl:{}", 1 + random_.below(255));
    if (use.name == "tcp_dst" || use.name == "udp_dst") return fmt::format("mod_tp_dst:{}", random_port(random_));
  }
  return "set_field:" + value(use) + "->" + use.name;
}

std::string ActionWriter::load() {
  const FieldUse use = random_.of(fields(true));
  // Part of a VID is refused without the bit that says "present"; and opcode 0 is not written by Open vSwitch.
  if (use.name == "vlan_vid" || use.name == "arp_op") return set_field();
  const bool whole = !use.maskable;
  const auto width = static_cast<unsigned>(whole ? use.width : 1 + random_.below(std::min(use.width, 48u)));
  const auto first = whole ? 0 : random_.below(use.width - width + 1);
  const std::uint64_t number = random_.one_in(2) ? random_.bits() : random_.below(4);
  return fmt::format("load:{:#x}->{}[{}..{}]", number & ((std::uint64_t{1} << width) - 1), use.name, first,
                     first + width - 1);
}

std::string ActionWriter::move() {
  const FieldUse from = random_.of(fields(false)), to = random_.of(fields(true));
  if (to.name == "arp_op") return set_field();
  const unsigned most = std::min(from.width, to.width);
  const auto width = static_cast<unsigned>(random_.one_in(2) ? most : 1 + random_.below(most));
  const auto first_from = random_.below(from.width - width + 1), first_to = random_.below(to.width - width + 1);
  return fmt::format("move:{}[{}..{}]->{}[{}..{}]", from.name, first_from, first_from + width - 1, to.name, first_to,
                     first_to + width - 1);
}

std::string ActionWriter::output() {
  const std::uint32_t port = random_.of(choices_.ports);
  switch (random_.below(8)) {
    case 0:
      return fmt::format("output(port={},max_len={})", port, 14 + random_.below(120));
    case 1:
      return fmt::format("load:{}->reg4[0..15],output:reg4[0..15]", port);
    default:
      return fmt::format("output:{}", port);
  }
}

std::string ActionWriter::reserved_output() {
  static const std::vector<std::string> kWords{"flood", "all", "in_port", "local", "flood"};
  return random_.of(kWords);
}

// A new tag repeats the one behind it, says OpenFlow (1.3.5 section 5.12), and so does Shunt; Open vSwitch's reads 0.
// Both are told what it shall read, unless the packet had no tag for sure.
std::string ActionWriter::push_vlan() {
  const bool repeats = promise_.tags > 0 || !promise_.no_tag;
  ++promise_.tags;
  std::string text = fmt::format("push_vlan:{:#x}", random_.one_in(3) ? 0x88a8 : 0x8100);
  if (repeats || random_.one_in(2))
    text += fmt::format(",set_field:{:#x}->vlan_vid,set_field:{}->vlan_pcp", 0x1000 | random_vid(random_),
                        random_.below(8));
  return text;
}

// Two tags are what Open vSwitch lets a rule push. What needs a tag is used where there is one for sure: OpenFlow
// from 1.1 on refuses the rest, and turns mod_vlan_vid into a push.
std::string ActionWriter::vlan() {
  const auto die = random_.below(5);
  if (promise_.tags == 0 || (die < 2 && promise_.tags < 2)) {
    return push_vlan();
  }
  // In a bucket ovs-ofctl makes a push_vlan and a set_field of the older actions, and the last push counts.
  if (die < 3 && in_bucket_) return fmt::format("set_field:{:#x}->vlan_vid", 0x1000 | random_vid(random_));
  if (die < 3) return fmt::format("mod_vlan_vid:{}", random_vid(random_));
  if (die < 4)
    return (in_bucket_ ? "set_field:" : "mod_vlan_pcp:") + std::to_string(random_.below(8)) +
           (in_bucket_ ? "->vlan_pcp" : "");
  --promise_.tags;
  return "strip_vlan";
}

std::optional<std::string> ActionWriter::goto_table() {
  if (table_ + 1 >= choices_.tables) return std::nullopt;
  return std::to_string(table_ + 1 + random_.below(choices_.tables - table_ - 1u));
}

std::string ActionWriter::resubmit() {
  const auto table = goto_table();
  if (!table) return output();
  promise_.no_tag = promise_.last_label = false;  // what is met there may push one
  if (random_.one_in(6)) return fmt::format("resubmit({},{})", random_.of(choices_.ports), *table);
  return fmt::format("resubmit(,{})", *table);
}

// Buckets resubmit to the last table: that may be a loop, which ends translation. What was learned until there stays
// learned in Open vSwitch.
bool ActionWriter::may_name_group() const {
  return choices_.group_count != 0 && !(choices_.learn && table_ + 1 == choices_.tables);
}

std::string ActionWriter::group() {
  if (!may_name_group()) return output();
  return fmt::format("group:{}", choices_.first_group + random_.below(choices_.group_count));
}

std::string ActionWriter::clone() {
  if (depth_ >= 2 || !choices_.clones) return output();
  const Promise before = promise_;
  const int pushed_before = pushed_;
  pushed_ = 0;
  ++depth_;
  const std::string inner = list(1 + random_.below(3));
  --depth_;
  promise_ = before;
  pushed_ = pushed_before;
  return "clone(" + inner + ")";
}

std::string ActionWriter::register_bits(unsigned width) {
  return fmt::format("reg{}[0..{}]", random_.below(4), width - 1);
}

std::string ActionWriter::stack() {
  if (pushed_ > 0 && random_.one_in(2)) {
    --pushed_;
    const FieldUse to = random_.of(fields(true));
    return fmt::format("pop:{}[{}..{}]", to.name, 0, to.width - 1);
  }
  ++pushed_;
  const FieldUse from = random_.of(fields(false));
  return fmt::format("push:{}[{}..{}]", from.name, 0, from.width - 1);
}

std::string ActionWriter::mpls() {
  promise_.l4 = L4::kNone;
  if (promise_.l3 == L3::kMpls) {
    // Not in clones: Open vSwitch aborts when it looks below a label in there.
    // To an EtherType that is none of MPLS, Open vSwitch takes all labels off; OpenFlow: the outermost.
    switch (depth_ > 0 ? 2 + random_.below(2) : random_.below(4)) {
      case 0:
        if (promise_.last_label) {
          promise_.l3 = L3::kIpv4;
          return "pop_mpls:0x0800";
        }
        [[fallthrough]];
      case 1:
        promise_.last_label = false;
        return "pop_mpls:0x8847";
      case 2:
        return "dec_mpls_ttl";
      default:
        return fmt::format("set_mpls_ttl:{}", 1 + random_.below(255));
    }
  }
  // What a new label does not copy is 0 (OpenFlow 1.3.5 section 5.12.1). In Open vSwitch the label is an explicit null,
  // the traffic class comes from the DSCP, and the TTL is 64.
  const bool has_ttl = promise_.is_ip();
  promise_.last_label = promise_.is_ip() || promise_.l3 == L3::kArp;  // else it may have had labels before
  promise_.l3 = L3::kMpls;
  std::string text = fmt::format("push_mpls:0x8847,set_field:{}->mpls_label,set_field:{}->mpls_tc",
                                 random_label(random_), random_.below(8));
  if (!has_ttl || random_.one_in(2)) text += fmt::format(",set_mpls_ttl:{}", 1 + random_.below(255));
  return text;
}

// Timeouts that no case outlives.
std::string ActionWriter::timeout(const std::string& name) {
  return random_.one_in(2) ? fmt::format(",{}={}", name, 100 + random_.below(900)) : std::string{};
}

// What a packet lowers is lowered for ever: few values, so that some are above and some below what is there.
std::string ActionWriter::fin_timeout() {
  const auto seconds = [&] { return 200 + 100 * random_.below(4); };
  switch (random_.below(3)) {
    case 0:
      return fmt::format("fin_timeout(idle_timeout={})", seconds());
    case 1:
      return fmt::format("fin_timeout(hard_timeout={})", seconds());
    default:
      return fmt::format("fin_timeout(idle_timeout={},hard_timeout={})", seconds(), seconds());
  }
}

std::string ActionWriter::learn() {
  std::string spec =
      fmt::format("learn(table={},priority={}", choices_.tables - 1, kLearnedPriority + random_.below(100));
  for (const char* name : {"idle_timeout", "hard_timeout", "fin_idle_timeout", "fin_hard_timeout"})
    if (random_.one_in(3)) spec += timeout(name);
  if (random_.one_in(4)) spec += ",send_flow_rem";
  if (random_.one_in(3)) spec += fmt::format(",cookie={:#x}", 1 + random_.below(2));
  switch (random_.below(3)) {
    case 0:
      spec += ",eth_dst=eth_src,output:in_port";
      break;
    case 1:
      spec += ",eth_src=eth_src,load:0x2->reg1[0..3]";
      break;
    default:
      spec += ",eth_type=0x800,ip_dst=ip_src";
      if (promise_.l3 != L3::kIpv4) return output();
      spec += ",load:eth_src[0..15]->reg2[0..15],output:in_port";
  }
  return spec + ")";
}

std::string ActionWriter::rare() {
  switch (random_.below(10)) {
    case 9:
      return promise_.l4 == L4::kTcp ? fin_timeout() : output();
    case 0:
      return "note:00.11.22";
    case 1:
      return "exit";
    case 2:
      return fmt::format("set_queue:{}", random_.below(3));
    case 3:
      return "pop_queue";
    case 4:
      return "multipath(eth_src,50,modulo_n,1,0," + register_bits(8) + ")";
    case 5:
      return fmt::format("bundle(eth_src,0,active_backup,ofport,members:{},{})", random_.of(choices_.ports),
                         random_.of(choices_.ports));
    case 6:
      if (!choices_.checks_length || table_ != 0 || depth_ > 0) return output();
      return fmt::format("check_pkt_larger({})->reg0[{}]", 60 + random_.below(100), random_.below(4));
    case 7:
      return "controller(max_len=64)";
    default:
      return fmt::format("enqueue:{}:0", random_.of(choices_.ports));
  }
}

std::string ActionWriter::action() {
  const auto die = random_.below(100);
  if (die < 26) return output();
  if (die < 43) return set_field();
  if (die < 48) return load();
  if (die < 55) return move();
  if (die < 66) return vlan();
  if (die < 70) return promise_.is_ip() ? "dec_ttl" : set_field();
  if (die < 77) return resubmit();
  if (die < 83) return group();
  if (die < 88) return choices_.normal ? "normal" : output();
  if (die < 91) return reserved_output();
  if (die < 94) return clone();
  if (die < 96) return stack();
  if (die < 98) return choices_.mpls ? mpls() : set_field();
  if (choices_.learn && random_.one_in(2)) return learn();
  return rare();
}

std::string ActionWriter::list(std::size_t count) {
  std::vector<std::string> words;
  for (; count > 0; --count) words.push_back(action());
  return joined(words);
}

// One of a kind: a second one would take the place of the first.
std::string ActionWriter::write_actions() {
  std::vector<std::string> words;
  const Promise before = promise_;
  promise_.no_tag = promise_.last_label = false;  // the set runs last: who knows what is pushed until then
  if (promise_.tags < 2 && random_.one_in(4)) {
    words.push_back(push_vlan());
  }
  if (random_.one_in(2)) {
    const FieldUse use = random_.of(fields(true));
    words.push_back("set_field:" + value(use) + "->" + use.name);
  }
  if (promise_.is_ip() && random_.one_in(5)) words.emplace_back("dec_ttl");
  if (!random_.one_in(6)) words.push_back(fmt::format("output:{}", random_.of(choices_.ports)));
  if (may_name_group() && random_.one_in(4)) words.push_back(group());
  promise_ = before;
  if (words.empty()) words.push_back(fmt::format("output:{}", random_.of(choices_.ports)));
  std::shuffle(words.begin() + (words.front().starts_with("push") ? 1 : 0), words.end(),
               std::mt19937_64{random_.bits()});
  return "write_actions(" + joined(words) + ")";
}

std::string ActionWriter::rule() {
  if (random_.one_in(25)) return "drop";
  std::vector<std::string> words;
  words.push_back(list(random_.one_in(8) ? 0 : 1 + random_.below(4)));
  if (random_.one_in(12)) words.emplace_back("clear_actions");
  if (random_.one_in(5) && !choices_.checks_length) words.push_back(write_actions());
  if (random_.one_in(8)) {
    const std::uint64_t mask = random_.one_in(2) ? 3 : 0xffff;
    words.push_back(fmt::format("write_metadata:{:#x}/{:#x}", random_.below(4) & mask, mask));
  }
  const auto table = goto_table();
  if (table && random_.one_in(3)) words.push_back("goto_table:" + *table);
  std::string text = joined(words);
  return text.empty() ? "drop" : text;
}

std::string ActionWriter::bucket() {
  in_bucket_ = true;
  std::vector<std::string> words;
  for (auto left = 1 + random_.below(3); left > 0; --left) {
    const auto die = random_.below(10);
    if (die < 4)
      words.push_back(fmt::format("output:{}", random_.of(choices_.ports)));
    else if (die < 7)
      words.push_back(set_field());
    else if (die < 8)
      words.push_back(vlan());
    else if (!choices_.buckets_lead_on)
      words.push_back(set_field());
    else if (die < 9 && choices_.group_count != 0)
      words.push_back(group());
    else
      words.push_back(fmt::format("resubmit(,{})", choices_.tables - 1));
  }
  return joined(words);
}

}  // namespace

std::string random_actions(Random& random, const ActionChoices& choices, const Promise& promise, std::uint8_t table) {
  return ActionWriter{random, choices, promise, table}.rule();
}

std::string random_bucket(Random& random, const ActionChoices& choices) {
  return ActionWriter{random, choices, Promise{}, 0}.bucket();
}

}  // namespace shunt::test
