// SPDX-License-Identifier: Apache-2.0
// Pipelines made by chance, against a reference that runs each action over the frame itself and looks rules up one by
// one: the translation's actions, run over the frame by the datapath's code, send the same bytes to the same ports. And
// every key that agrees under the mask gets the same translation.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "bpf/datapath/act.h"
#include "tests/support/packet_builder.h"
#include "tests/support/pipeline_fixture.h"
#include "tests/support/random_pipeline.h"
#include "user/pipeline/action_set.h"
#include "user/pipeline/flow_hash.h"

using namespace shunt;
using namespace shunt::test;

namespace {

constexpr __u32 kHeadroom = 256;

// A frame that can be copied.
struct Frame {
  Bytes bytes;

  struct Parsed {
    std::vector<__u8> buffer;
    shunt_user_frame frame{};
    shunt_headers headers{};
    FlowKey key{};
  };
  void parse(Parsed& parsed, std::uint32_t dp_port) const {
    parsed.buffer.assign(kHeadroom + bytes.size() + SHUNT_MIN_FRAME, 0);
    std::memcpy(parsed.buffer.data() + kHeadroom, bytes.data(), bytes.size());
    parsed.frame = {parsed.buffer.data() + kHeadroom, static_cast<__u32>(bytes.size()), kHeadroom, SHUNT_MIN_FRAME};
    REQUIRE(shunt_parse(&parsed.frame, parsed.frame.len, dp_port, SHUNT_FEATURE_ALL, &parsed.key, &parsed.headers) ==
            SHUNT_DROP_NONE);
  }
  void take(const shunt_user_frame& frame) {
    const auto* begin = reinterpret_cast<const std::byte*>(frame.data);
    bytes.assign(begin, begin + frame.len);
  }
};

struct Sent {
  std::uint32_t dp_port;
  Bytes bytes;
  friend bool operator==(const Sent&, const Sent&) = default;
};

Bytes cut(Bytes bytes, std::size_t max_len) {
  if (max_len != 0 && bytes.size() > max_len) bytes.resize(max_len);
  return bytes;
}

// --- The reference.

struct TooDeep {};
struct StackFull {};
struct ThirdTag {};  // behind it the parser sees no headers, and translation knows more than this reference

class Reference {
 public:
  Reference(HandmadeBridge& sw, Frame frame, std::uint32_t in_port, std::uint32_t dp_hash)
      : sw_{sw}, frame_{std::move(frame)}, in_port_{in_port}, original_in_port_{in_port}, dp_hash_{dp_hash} {
    write_field(field(FieldId::kActsetOutput), wide_, kPortUnset.value);
  }

  std::vector<Sent> run() {
    enter(0, in_port_, true);
    run_action_set();
    return std::move(sent_);
  }

 private:
  HandmadeBridge& sw_;
  Frame frame_;
  PipelineKey wide_{};  // its pipeline part only
  std::uint32_t in_port_, original_in_port_, dp_hash_;
  unsigned table_ = 0, depth_ = 0, resubmits_ = 0, hash_bits_ = 0;
  bool exit_ = false, started_ = false;
  ActionSet set_;
  std::vector<std::pair<FieldBits, unsigned>> stack_;
  std::vector<Sent> sent_;

  PipelineKey key() const {
    Frame::Parsed parsed;
    frame_.parse(parsed, 0);
    PipelineKey made = wide_;
    flow_part(made) = parsed.key;
    made.in_port = in_port_;
    made.dp_hash = dp_hash_;
    return made;
  }

  void check_limits() const {
    if (depth_ >= 64 || resubmits_ >= 4096) throw TooDeep{};
  }

  void enter(unsigned table, std::uint32_t in_port, bool honor_miss) {
    check_limits();
    const unsigned from = table_;
    const bool deepens = table <= from && started_;
    depth_ += deepens;
    for (;; ++table) {
      table_ = table;
      PipelineKey packet = key();
      packet.in_port = in_port;
      const Rule* best = nullptr;
      for (const RuleRef& rule : sw_.rules)
        if (rule->table == table && rule->match.matches(packet) && (best == nullptr || rule->priority > best->priority))
          best = rule.get();
      if (best != nullptr) {
        started_ = true;
        ++resubmits_;
        run_all(best->actions);
        break;
      }
      const auto config = sw_.configs.find(static_cast<std::uint8_t>(table));
      const bool goes_on = config != sw_.configs.end() && config->second.miss == TableConfig::Miss::kContinue;
      if (!honor_miss || !goes_on || table + 1 == kTableCount) break;
    }
    depth_ -= deepens;
    table_ = from;
  }

  void run_all(const ActionList& actions) {
    for (const Action& action : actions) {
      if (exit_) return;
      run_one(action);
    }
  }

  void run_action_set() {
    exit_ = false;
    const ActionSet set = std::exchange(set_, {});
    for (const Action* action : set.in_order()) {
      if (exit_) break;
      run_one(*action);
    }
    exit_ = false;
  }

  void run_one(const Action& action) {
    std::visit([&](const auto& concrete) { run(concrete); }, static_cast<const Action::variant&>(action));
  }

  template <typename Other>
  void run(const Other&) {
    FAIL("an action that the reference does not know");
  }

  void act(const shunt_action& action) {
    Frame::Parsed parsed;
    frame_.parse(parsed, 0);
    if (shunt_act(&parsed.frame, &parsed.headers, &action) == SHUNT_VERDICT_NEXT) frame_.take(parsed.frame);
  }
  void write(const Match& set) {
    DpActions edits;
    append_set_field(key(), set, edits);
    for (const shunt_action& edit : edits) act(edit);
    PipelineKey whole = key();
    const PipelineKey kept = without(whole, set.mask);
    add_mask(whole = kept, set.value);
    static_cast<PipelineFields&>(wide_) = whole;
    in_port_ = whole.in_port;
  }
  void push(std::uint16_t tpid, std::uint16_t tci) {
    if (holds(Prerequisite::kInnerVlan, key())) throw ThirdTag{};
    shunt_action action{};
    action.type = SHUNT_ACT_PUSH_VLAN;
    const be16 words[] = {be16{tpid}, be16{tci}};
    std::memcpy(action.value, words, 4);
    act(action);
  }
  void plain(shunt_action_type type) {
    shunt_action action{};
    action.type = static_cast<__u8>(type);
    act(action);
  }
  bool tagged() const { return holds(Prerequisite::kVlan, key()); }

  void run(const SetFieldAction& set) {
    if (holds(set.field->prerequisite, key())) write(written_by(set));
  }
  void run(const MoveAction& move) {
    const PipelineKey now = key();
    if (!holds(move.src->prerequisite, now) || !holds(move.dst->prerequisite, now)) return;
    write_bits({move.dst, move.dst_bit, move.bit_count}, read_subfield({move.src, move.src_bit, move.bit_count}, now));
  }
  void write_bits(const Subfield& target, FieldBits value) {
    if (!holds(target.field->prerequisite, key())) return;
    Match set;
    write_field(*target.field, set.mask, ((FieldBits{1} << target.bit_count) - 1) << target.first_bit);
    write_field(*target.field, set.value, value << target.first_bit);
    set.value = set.value & set.mask;
    write(set);
  }
  void run(const SetVlanVidAction& set) {
    if (tagged())
      run(set_field(FieldId::kVlanVid, set.vid));
    else
      push(0x8100, set.vid);
  }
  void run(const SetVlanPcpAction& set) {
    if (tagged())
      run(set_field(FieldId::kVlanPcp, set.pcp));
    else
      push(0x8100, static_cast<std::uint16_t>(set.pcp << 13));
  }
  // A second tag takes over VID and priority of the first (OpenFlow 1.3.5 section 5.12.1).
  void run(const PushVlanAction& push_vlan) {
    const std::uint16_t tci = tagged() ? key().vlan[0].tci.host() : std::uint16_t{0};
    push(push_vlan.tpid, static_cast<std::uint16_t>(tci & ~SHUNT_VLAN_PRESENT));
  }
  void run(const PopVlanAction&) { plain(SHUNT_ACT_POP_VLAN); }
  void run(const DecTtlAction&) { plain(SHUNT_ACT_DEC_TTL); }
  void run(const StackPushAction& action) {
    const PipelineKey now = key();
    const FieldBits bits =
        holds(action.source.field->prerequisite, now) ? read_subfield(action.source, now) : FieldBits{0};
    stack_.emplace_back(bits, (action.source.bit_count + 7) / 8);
    unsigned bytes = 0;
    for (const auto& entry : stack_) bytes += entry.second;
    if (bytes > 65536) throw StackFull{};
  }
  void run(const StackPopAction& action) {
    if (stack_.empty()) return;
    const FieldBits bits = stack_.back().first;
    stack_.pop_back();
    write_bits(action.target, bits);
  }
  void run(const WriteMetadataAction& action) { run(set_field(FieldId::kMetadata, action.value, action.mask)); }

  void send(std::uint32_t number, std::size_t max_len) {
    for (const BridgePort& port : sw_.bridge.ports)
      if (port.number.value == number && port.up && port.forward)
        sent_.push_back({port.dp.value, cut(frame_.bytes, max_len)});
  }
  void run(const OutputAction& output) {
    if (output.port == kPortInPort) return send(in_port_, output.max_len);
    if (output.port == kPortAll || output.port == kPortFlood) {
      for (const BridgePort& port : sw_.bridge.ports)
        if (port.number.value != in_port_ && (port.flood || output.port == kPortAll))
          send(port.number.value, output.max_len);
      return;
    }
    if (output.port.value != in_port_) send(output.port.value, output.max_len);
  }
  void run(const OutputFieldAction& output) {
    run(OutputAction{PortNo{static_cast<std::uint32_t>(read_subfield(output.source, key()))}, output.max_len});
  }
  void run(const GotoTableAction& go) { enter(go.table, in_port_, true); }
  void run(const ResubmitAction& resubmit) {
    const bool same = !resubmit.in_port || *resubmit.in_port == kPortInPort;
    enter(resubmit.table.value_or(static_cast<std::uint8_t>(table_)), same ? in_port_ : resubmit.in_port->value, false);
  }
  void run(const WriteActionsAction& action) {
    set_.write(action.actions);
    write_field(field(FieldId::kActsetOutput), wide_, set_.output().value);
  }
  void run(const ClearActionsAction&) {
    set_.clear();
    write_field(field(FieldId::kActsetOutput), wide_, kPortUnset.value);
  }
  void run(const ExitAction&) { exit_ = true; }

  // Runs `inside` over a copy of the packet.
  template <typename Inside>
  void copied(Inside&& inside) {
    const Frame frame = frame_;
    const PipelineKey wide = wide_;
    const std::uint32_t in_port = in_port_;
    ++depth_;
    inside();
    --depth_;
    frame_ = frame;
    wide_ = wide;
    in_port_ = in_port;
  }
  void run(const CloneAction& clone) {
    check_limits();
    const ActionSet set = set_;
    const auto stack = stack_;
    copied([&] {
      run_all(clone.actions);
      const bool exited = exit_;  // ends what is around the clone, too
      run_action_set();
      exit_ = exited;
    });
    set_ = set;
    stack_ = stack;
  }
  void run(const GroupAction& action) {
    check_limits();
    const Group& group = *sw_.groups.at(action.group);
    const auto live = [&](const Bucket& bucket) {
      if (!bucket.watch_port) return true;
      for (const BridgePort& port : sw_.bridge.ports)
        if (port.number == *bucket.watch_port) return port.up;
      return false;
    };
    const auto run_bucket = [&](const Bucket& bucket) {
      copied([&] {
        ActionSet set;
        set.write(bucket.actions);
        for (const Action* each : set.in_order()) {
          if (exit_) break;
          run_one(*each);
        }
        exit_ = false;
      });
    };
    const unsigned hash_bits = hash_bits_;
    if (group.type == GroupType::kFastFailover) {
      for (const BucketRef& bucket : group.buckets) {
        if (!live(*bucket)) continue;
        run_bucket(*bucket);
        break;
      }
    } else if (group.type == GroupType::kSelect) {
      const bool by_fields = group.selection.method == Selection::Method::kHash;
      const std::uint32_t hash =
          by_fields ? hash_masked(key(), group.selection.fields, 0) : std::rotr(dp_hash_, static_cast<int>(hash_bits_));
      unsigned bits = 0;
      const auto chosen = choose_slot(
          group.slots, hash, [&](std::uint16_t index) { return live(*group.buckets[index]); }, bits);
      if (!by_fields) hash_bits_ += bits;
      if (chosen) run_bucket(*group.buckets[*chosen]);
    } else {
      for (const BucketRef& bucket : group.buckets) run_bucket(*bucket);
    }
    hash_bits_ = hash_bits;
  }
};

// --- The datapath.

std::vector<Sent> execute(const DpActions& actions, const Frame& frame, std::uint32_t dp_port) {
  struct State {
    Frame::Parsed parsed;
    State() = default;
    State(const State& other) { *this = other; }
    State& operator=(const State& other) {
      parsed = other.parsed;
      parsed.frame.data = parsed.buffer.data() + (other.parsed.frame.data - other.parsed.buffer.data());
      return *this;
    }
  };
  State now;
  frame.parse(now.parsed, dp_port);
  std::vector<State> saved;
  std::vector<Sent> sent;
  for (const shunt_action& action : actions) {
    if (action.type == SHUNT_ACT_SAVE) {
      saved.push_back(now);
    } else if (action.type == SHUNT_ACT_RESTORE) {
      REQUIRE_FALSE(saved.empty());
      now = saved.back();
      saved.pop_back();
    } else if (action.type == SHUNT_ACT_OUTPUT) {
      REQUIRE((action.field == 1) == (action.arg == dp_port));
      Frame out;
      out.take(now.parsed.frame);
      sent.push_back({action.arg, cut(std::move(out.bytes), now.parsed.headers.max_len)});
      now.parsed.headers.max_len = 0;
    } else {
      REQUIRE(shunt_act(&now.parsed.frame, &now.parsed.headers, &action) == SHUNT_VERDICT_NEXT);
    }
  }
  REQUIRE(saved.empty());
  return sent;
}

Frame random_frame(std::mt19937_64& random) {
  const auto below = [&](unsigned bound) { return static_cast<unsigned>(random() % bound); };
  PacketBuilder builder;
  builder.eth(MacAddr::from_number(kA), MacAddr::from_number(kA + below(4)));
  for (unsigned tags = below(3); tags > 0; --tags)
    builder.vlan(static_cast<std::uint16_t>(4 + below(4)), below(3) == 0 ? 0x88a8 : 0x8100,
                 static_cast<std::uint8_t>(below(8)));
  const std::string dst_address = "10.0.0." + std::to_string(below(4));
  const auto port = static_cast<std::uint16_t>(79 + below(3));
  const auto ttl = static_cast<std::uint8_t>(200 + below(2));
  switch (below(4)) {
    case 0:
      builder.ipv6("2001:db8::1", "2001:db8::2").ttl(ttl).udp(7, port);
      break;
    case 1:
      builder.eth_type(0x88b5);
      break;
    default:
      builder.ipv4("10.0.0.9", dst_address.c_str()).ttl(ttl).tcp(7, port);
  }
  return {builder.payload(20 + below(60)).build()};
}

std::string text_of(const std::vector<Sent>& sent) {
  std::string all;
  for (const Sent& each : sent)
    all += fmt::format(
        "{}:{} ", each.dp_port - 100,
        hex(reinterpret_cast<const __u8*>(each.bytes.data()), std::min<std::size_t>(each.bytes.size(), 34)));
  return all;
}

}  // namespace

TEST_SUITE("translate: by chance") {
  TEST_CASE("what the datapath sends is what the rules say, action by action over the frame") {
    unsigned sending = 0, restoring = 0, limited = 0;
    for (unsigned seed = 0; seed < 400; ++seed) {
      std::mt19937_64 random{seed};
      HandmadeBridge sw;
      RandomPipeline{[&](unsigned bound) { return static_cast<unsigned>(random() % bound); }}.fill(sw);
      for (int frames = 0; frames < 6; ++frames) {
        const Frame frame = random_frame(random);
        const auto in_port = static_cast<std::uint32_t>(1 + random() % RandomPipeline::kPorts);
        Frame::Parsed parsed;
        frame.parse(parsed, 100 + in_port);
        parsed.key.dp_hash = static_cast<std::uint32_t>(random());
        const PacketView view{{reinterpret_cast<const std::uint8_t*>(frame.bytes.data()), frame.bytes.size()},
                              static_cast<std::uint32_t>(frame.bytes.size())};
        const Translation result = translate(sw.state(), parsed.key, &view);
        if (result.drop == SHUNT_DROP_TRANSLATION) continue;  // longer than anybody runs
        std::vector<Sent> wanted;
        try {
          wanted = Reference{sw, frame, in_port, parsed.key.dp_hash}.run();
        } catch (const TooDeep&) {
          CHECK(result.drop == SHUNT_DROP_RESUBMIT_LIMIT);
          ++limited;
          continue;
        } catch (const StackFull&) {
          CHECK(result.drop == SHUNT_DROP_STACK);
          continue;
        } catch (const ThirdTag&) {
          continue;
        }
        const std::vector<Sent> got = execute(result.actions, frame, 100 + in_port);
        sending += !got.empty();
        restoring += std::any_of(result.actions.begin(), result.actions.end(),
                                 [](const shunt_action& action) { return action.type == SHUNT_ACT_SAVE; });
        CHECK_MESSAGE(got == wanted, "seed ", seed, "\n got ", text_of(got), "\n wanted ", text_of(wanted), "\n by ",
                      text(result));
        CHECK(got.empty() == (result.drop != SHUNT_DROP_NONE));
      }
    }
    CHECK(sending > 300);
    CHECK(restoring > 50);
    CHECK(limited > 0);
  }

  TEST_CASE("no bit outside the mask changes anything that follows from a translation") {
    for (unsigned seed = 1000; seed < 1150; ++seed) {
      std::mt19937_64 random{seed};
      HandmadeBridge sw;
      RandomPipeline{[&](unsigned bound) { return static_cast<unsigned>(random() % bound); }}.fill(sw);
      const SwitchState& state = sw.state();
      for (int frames = 0; frames < 4; ++frames) {
        Frame::Parsed parsed;
        random_frame(random).parse(parsed, static_cast<std::uint32_t>(101 + random() % RandomPipeline::kPorts));
        FlowKey key = parsed.key;
        key.dp_hash = static_cast<std::uint32_t>(random());
        const Translation result = translate(state, key);
        REQUIRE(result.mask.in_port == ~std::uint32_t{0});
        const KeyWords mask = to_words(result.mask);
        int wrong = 0;
        std::string first;
        const auto compare = [&](const KeyWords& words) {
          const Translation other = translate(state, from_words(words));
          std::string what;
          if (text(other) != text(result)) what = text(result) + " | " + text(other);
          if (other.rules != result.rules) what += " rules";
          if (other.credits != result.credits) what += " credits";
          if (other.needs_packet != result.needs_packet) what += " needs_packet";
          if (other.dependencies.tags != result.dependencies.tags) what += " dependencies";
          if (what.empty()) return;
          if (wrong++ == 0) first = what;
        };
        for (int i = 0; i < 60; ++i) {
          const std::size_t bit = random() % (kKeyWords * 64);
          if ((mask[bit / 64] >> (bit % 64) & 1) != 0) continue;
          KeyWords flipped = to_words(key);
          flipped[bit / 64] ^= std::uint64_t{1} << (bit % 64);
          compare(flipped);
        }
        for (int i = 0; i < 20; ++i) {
          KeyWords other = to_words(key);
          for (std::size_t w = 0; w < kKeyWords; ++w) other[w] = (other[w] & mask[w]) | (random() & ~mask[w]);
          compare(other);
        }
        CHECK_MESSAGE(wrong == 0, "seed ", seed, ": ", first);
      }
    }
  }
}
