// SPDX-License-Identifier: Apache-2.0
// One OpenFlow connection, without its socket: bytes in, bytes out.
//
// Requests are handled in order. Changes to rules are gathered and applied together, as far as bytes have come; a
// barrier behind them is answered with them. Whoever runs the session does that within InstanceApi::batch(), and sends
// what it has written only afterwards: so a barrier's reply leaves when everything before it is in force, and thousands
// of them cost one such wait.
//
// A change that has to wait for a program (NotYet) is put off, with all that comes behind it, until resume(): other
// sessions go on meanwhile. What came before its end is handled then, too.
//
// Memory is bounded: a dump is written message by message as the other side reads, and while what was written waits,
// no more is handled. What happens meanwhile (packet-ins, removed rules) is lost for this session, and counted.
// Thread: control.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "user/openflow/bridge_agent.h"
#include "user/openflow/codec/flow_codec.h"
#include "user/openflow/codec/message.h"
#include "user/openflow/codec/packet_codec.h"
#include "user/openflow/codec/switch_codec.h"

namespace shunt::openflow {

struct BundleControl;

// Of a packet-in, the same for all who get it: made for the first who needs them.
struct PacketInNumbers {
  std::optional<std::uint32_t> buffer;
  std::optional<std::uint64_t> paused;
};

class Session {
 public:
  // Of a controller that the bridge was told of, or of whoever connects to its management socket: such a one hears of
  // nothing that happens until it asks to (as in Open vSwitch, by a miss_send_len other than 0).
  enum class Kind { kController, kService };
  static constexpr std::uint16_t kDefaultMissSendLen = 128;
  static constexpr std::size_t kMaxWaiting = 4 << 20;  // bytes written and not read: beyond, nothing more is handled
  static constexpr std::size_t kMaxBundles = 64;
  static constexpr std::size_t kMaxBundleBytes = 256 << 20;  // in the bundles of all sessions of a bridge
  static constexpr std::chrono::seconds kBundleTimeout{10};  // since something was last said of it
  static constexpr std::chrono::milliseconds kTurn{50};      // after which it is the others' turn
  static constexpr std::chrono::milliseconds kDumpTurn{10};  // of which for dumps

  Session(BridgeAgent& agent, Kind kind);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Bytes from the other side.
  void feed(Bytes bytes) { in_.insert(in_.end(), bytes.begin(), bytes.end()); }
  // Handles what is complete, a bounded piece of it. True: there is more to do once what was written has been read.
  bool process();
  // It is to go on though nothing of what was written has been read: what it goes over is kept for it meanwhile.
  [[nodiscard]] bool is_preparing() const { return !closing_ && !dumps_.empty() && dumps_.front().prepare; }
  [[nodiscard]] bool is_waiting() const { return waits_for_program_; }
  void resume() { waits_for_program_ = false; }
  // Takes what is to be sent.
  [[nodiscard]] std::vector<std::uint8_t> take_output() { return std::exchange(out_, Writer{}).release(); }
  // How much of that still waits with the caller.
  void set_waiting(std::size_t bytes) { waiting_ = bytes; }
  [[nodiscard]] std::size_t output_size() const { return out_.size(); }
  [[nodiscard]] std::size_t input_size() const { return in_.size() - in_at_; }
  [[nodiscard]] bool closing() const { return closing_; }  // after what it has written
  // At once: the other side has not read what it must not miss.
  [[nodiscard]] bool given_up() const { return given_up_; }
  void send_echo();  // an inactivity probe

  [[nodiscard]] std::optional<Version> version() const { return version_; }
  [[nodiscard]] Role role() const { return main_ == nullptr ? role_ : main_->role_; }
  [[nodiscard]] bool is_auxiliary() const { return main_ != nullptr; }
  void demote();  // another one is master now
  [[nodiscard]] std::uint64_t lost() const { return lost_; }

  // `other` is a connection beside this one, of the same controller (OpenFlow 1.3.5 section 6.3.5): its role is this
  // one's, what it asks is answered there, and packet-ins go by it. It is to end with this one.
  void add_auxiliary(Session& other, std::uint8_t id);

  // What it answered in this turn is not so: it is given up.
  void take_back_answers();

  void packet_in(const PacketInEvent& event, PacketInNumbers& numbers);
  void flow_removed(const RemovedRule& removed);
  void port_changed(PortChange change, const PortDescription& port);
  void expire_bundles(TimePoint now);
  void table_changed(TableReason reason, const TableFigures& figures);
  // Of another controller: `encode` writes it as a version has it.
  void request_forwarded(ForwardReason reason, const std::function<void(Writer&, Version)>& encode);
  void rule_changed(const RuleChange& change);
  // One that is the same has taken its place: there is nothing to tell.
  void rule_renewed(const RuleRef& old, const RuleRef& rule) { monitors_.renew(old, rule); }
  [[nodiscard]] bool monitors_flows() const { return !monitors_.empty(); }

 private:
  // A change to rules, or a barrier among them, that waits for what comes with it.
  struct Gathered {
    std::uint32_t xid;
    std::optional<FlowModMessage> change;  // none: a barrier
    std::vector<std::uint8_t> head;        // of the message, for an error
  };
  // A multipart reply that goes out as it is read.
  struct Dump {
    const MultipartFormat* format;
    std::uint32_t xid;
    std::size_t count, next = 0;
    std::function<void(Writer&, std::size_t)> encode;  // may write nothing: then there is no such entry
    // What is to be done first, a piece at a time: how many entries there are; none: there is more to do.
    std::function<std::optional<std::size_t>()> prepare{};
  };
  struct Bundle {
    std::uint16_t flags;
    std::uint32_t xid;               // that of the last message about it
    std::vector<std::uint8_t> head;  // of that message
    TimePoint used;
    bool closed = false, has_packets = false;
    std::size_t bytes = 0;
    std::vector<std::vector<std::uint8_t>> messages;
  };

  // What the messages of a bundle say; `message`: the number of the (last) one that says it.
  struct Bundled {
    struct Port {
      std::size_t message;
      PortStatus before;
      PortFlags flags;
    };
    struct Packet {
      std::size_t message;
      PacketOutSpec packet;
      std::uint32_t buffer;  // that it waits in
    };
    std::vector<Modification> mods;
    std::vector<Port> ports;
    std::vector<Packet> packets;
  };

  // session.cpp: framing, order, errors.
  void handle(Bytes message);
  void say_hello();
  void take_hello(Bytes message);
  void dispatch(const MessageFormat& format, const Header& header, Bytes message);
  void refuse(OfErrorCode code, std::uint32_t xid, Bytes message);
  bool apply_gathered();  // false: the last of them was refused
  bool apply_one_by_one(std::vector<Gathered>&& gathered);
  void handle_some(TimePoint end);
  void write_dumps(TimePoint end);
  [[nodiscard]] bool is_full() const { return out_.size() + waiting_ >= kMaxWaiting; }
  [[nodiscard]] bool hears(AsyncKind kind, unsigned reason) const;
  // Where packet-ins of a port go: always the same way, so that their order is kept.
  [[nodiscard]] Session& way_of(PortNo in_port);

  // Who has the role, and whom the asynchronous messages go to.
  [[nodiscard]] Session& main() { return main_ == nullptr ? *this : *main_; }

  // session_config.cpp
  void features(std::uint32_t xid);
  void get_config(std::uint32_t xid);
  void set_config(Bytes body);
  [[nodiscard]] std::uint32_t& packet_ins();  // whose reasons it hears of
  void change_role(std::uint32_t xid, Bytes body);
  void set_async(Bytes body, bool with_properties);
  void queue_config(std::uint32_t xid, Bytes body);
  void check_queue_port(PortNo port) const;
  [[nodiscard]] std::vector<PortDescription> ports() const;

  // session_changes.cpp
  void flow_mod(std::uint32_t xid, FlowModMessage&& change, Bytes message);
  void packet_out(Bytes body);
  void send_out(PacketOutSpec&& packet, std::uint32_t buffer);  // and the buffer is free
  void resume(Bytes body);
  void port_mod(const PortMod& mod);
  void table_mod(Bytes body);
  // Sets `buffer` to where the packet waits, or kNoBuffer; it still does.
  [[nodiscard]] PacketOutSpec read_packet_out(Bytes body, std::uint32_t& buffer) const;
  [[nodiscard]] PacketOutSpec released(std::uint32_t buffer) const;
  [[nodiscard]] static const PortStatus& find_port(std::span<const PortStatus> ports, const PortMod& mod);
  [[nodiscard]] static PortFlags flags_after(const PortMod& mod, PortFlags flags);

  // session_bundles.cpp
  void bundle_control(std::uint32_t xid, Bytes body, Bytes message);
  void bundle_add(std::uint32_t xid, Bytes body, Bytes message);
  void commit_bundle(const Bundle& bundle);
  void forward_groups(const Bundle& bundle, std::span<const Modification> mods);
  // `at`: the message that is looked at.
  void read_bundle(const Bundle& bundle, Bundled& bundled, std::size_t& at) const;
  void note_port(const PortMod& mod, std::span<const PortStatus> ports, std::size_t message, Bundled& bundled) const;
  void put_back(std::span<const Bundled::Port> ports) noexcept;
  Bundle& open_bundle(std::uint32_t id, std::uint16_t flags);
  void touch_bundle(Bundle& bundle, std::uint32_t xid, Bytes message);
  std::map<std::uint32_t, Bundle>::iterator drop_bundle(std::map<std::uint32_t, Bundle>::iterator at);
  void check_packets(const Bundled& bundled, std::size_t& at) const;

  // session_multipart.cpp
  void multipart(std::uint32_t xid, Bytes message);
  void answer(const MultipartRequest& request, std::uint32_t xid);
  void dump(const MultipartRequest& request, std::uint32_t xid, std::size_t count,
            std::function<void(Writer&, std::size_t)> encode);
  void bundle_features(const MultipartRequest& request, std::uint32_t xid);
  void dump_flows(const MultipartRequest& request, std::uint32_t xid, const FlowMod& filter);
  // `encode` is called with each of the rules, in order.
  void dump_rules(const MultipartRequest& request, std::uint32_t xid, const FlowMod& filter,
                  std::function<void(Writer&, const Rule&)> encode);
  void aggregate(const MultipartRequest& request, std::uint32_t xid, const FlowMod& filter);
  void dump_tables(const MultipartRequest& request, std::uint32_t xid);
  void dump_ports(const MultipartRequest& request, std::uint32_t xid);
  void dump_groups(const MultipartRequest& request, std::uint32_t xid);
  void dump_meters(const MultipartRequest& request, std::uint32_t xid);

  // session_monitors.cpp
  void monitor_flows(const MultipartRequest& request, std::uint32_t xid);
  void tell(const RuleChange& change, std::uint16_t flags);
  void tell_held_changes();

  BridgeAgent& agent_;
  const Kind kind_;
  std::optional<Version> version_;  // once agreed
  std::vector<std::uint8_t> in_;
  std::size_t in_at_ = 0;  // handled so far
  Writer out_;
  std::size_t waiting_ = 0;
  bool closing_ = false, given_up_ = false;
  bool waits_for_program_ = false;  // what is gathered, or the message at in_at_
  std::uint64_t lost_ = 0;
  std::uint32_t next_xid_ = 1;

  Session* main_ = nullptr;  // of an auxiliary connection
  std::uint8_t auxiliary_id_ = 0;
  std::vector<Session*> auxiliaries_;

  Role role_ = Role::kEqual;
  AsyncConfig async_;
  std::uint16_t miss_send_len_;
  std::uint16_t controller_id_ = 0;
  PacketInFormat packet_in_format_ = PacketInFormat::kStandard;
  bool table_ids_ = false, flow_age_ = false;
  bool nxm_ = false;  // NXT_SET_FLOW_FORMAT

  std::vector<Gathered> gathered_;
  bool wants_flow_removed_ = false;  // a rule that was gathered asks to be told of
  std::deque<Dump> dumps_;
  std::map<std::uint32_t, Bundle> bundles_;

  FlowMonitors monitors_;
  bool monitors_paused_ = false;              // it was told so
  std::optional<std::uint32_t> abbreviated_;  // the request whose changes were told last, abbreviated
};

}  // namespace shunt::openflow
