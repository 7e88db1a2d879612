// SPDX-License-Identifier: Apache-2.0
// Framing, versions, order: what reaches the handlers, and when what they write is due.
#include "user/openflow/session.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "user/control/not_yet.h"
#include "user/openflow/codec/error_codec.h"
#include "user/openflow/codec/group_codec.h"
#include "user/openflow/codec/meter_codec.h"

namespace shunt::openflow {
namespace {

constexpr std::size_t kMessagesPerTurn = 4096;
constexpr std::size_t kDumpMessage = 32 << 10;  // a message of a dump is full with so many bytes, or one entry more
constexpr std::size_t kErrorBytes = 256;        // of a failed message that is kept for its error
constexpr std::size_t kPacketInRest = 1024;     // of its message: header, properties, the fields of the context

}  // namespace

Session::Session(BridgeAgent& agent, Kind kind)
    : agent_{agent}, kind_{kind}, miss_send_len_{kind == Kind::kService ? std::uint16_t{0} : kDefaultMissSendLen} {
  agent_.join(*this);
  say_hello();
}

Session::~Session() {
  for (const auto& [id, bundle] : bundles_) agent_.bundle_bytes() -= bundle.bytes;
  agent_.leave(*this);
  if (main_ != nullptr) std::erase(main_->auxiliaries_, this);
  for (Session* auxiliary : auxiliaries_) auxiliary->main_ = nullptr;
}

void Session::add_auxiliary(Session& other, std::uint8_t id) {
  other.main_ = this;
  other.auxiliary_id_ = id;
  auxiliaries_.push_back(&other);
}

void Session::say_hello() { encode_hello(out_, kVersions, next_xid_++); }

void Session::send_echo() {
  const MessageScope echo{out_, version_.value_or(Version::k10), MessageKind::kEchoRequest, next_xid_++};
}

bool Session::process() {
  const TimePoint end = Clock::now() + kTurn;
  if (!waits_for_program_) handle_some(end);
  write_dumps(end);
  tell_held_changes();
  const Bytes left = Bytes{in_}.subspan(in_at_);
  const bool complete = left.size() >= kHeaderSize && left.size() >= read_header(left).length;
  if (in_at_ == in_.size() || in_at_ > (1 << 16)) {
    in_.erase(in_.begin(), in_.begin() + static_cast<std::ptrdiff_t>(in_at_));
    in_at_ = 0;
  }
  return !closing_ && ((complete && !waits_for_program_) || !dumps_.empty() || monitors_.holds_any());
}

void Session::handle_some(TimePoint end) {
  std::size_t begin = in_at_;  // of the message at hand
  try {
    for (std::size_t handled = 0; handled < kMessagesPerTurn && !closing_ && dumps_.empty() && !is_full(); ++handled) {
      if (handled > 0 && Clock::now() >= end) break;
      begin = in_at_;
      const Bytes left = Bytes{in_}.subspan(in_at_);
      if (left.size() < kHeaderSize) break;
      const Header header = read_header(left);
      if (header.length < kHeaderSize) {
        refuse(OfErrorCode::kBadLength, header.xid, left.first(kHeaderSize));
        closing_ = true;
        break;
      }
      // What does not speak OpenFlow hears so before it has sent as much as its first bytes happen to say.
      if (!version_ && header.type != kHelloType && header.type != kErrorType) {
        handle(left.first(std::min<std::size_t>(left.size(), header.length)));
        break;
      }
      if (left.size() < header.length) break;
      in_at_ += header.length;
      handle(left.first(header.length));
    }
    begin = in_at_;
    apply_gathered();
  } catch (const NotYet&) {
    in_at_ = begin;  // nothing of it was done
    waits_for_program_ = true;
  }
}

void Session::handle(Bytes message) {
  const Header header = read_header(message);
  if (!version_) return take_hello(message);
  // A hello or error may be of any version.
  const bool any_version = header.type == kHelloType || header.type == kErrorType;
  if (header.version != number_of(*version_) && !any_version) {
    refuse(OfErrorCode::kBadVersion, header.xid, message);
    closing_ = true;
    return;
  }
  const BridgeAgent::Asking asking{agent_, *this, header.xid};
  try {
    const MessageFormat* format = find_message(*version_, message);
    if (format == nullptr || format->direction == Direction::kToController)
      throw OfError(OfErrorCode::kBadMessageType, "OpenFlow {} has no request {}", name_of(*version_), header.type);
    dispatch(*format, header, message);
  } catch (const OfError& error) {
    spdlog::debug("bridge '{}': OpenFlow request refused: {}", agent_.name(), error.what());
    refuse(error.code(), header.xid, message);
  } catch (const std::exception& error) {
    spdlog::warn("bridge '{}': OpenFlow request failed: {}", agent_.name(), error.what());
    refuse(OfErrorCode::kNotPermitted, header.xid, message);
  }
}

void Session::take_hello(Bytes message) {
  const Header header = read_header(message);
  if (header.type == kErrorType) {
    closing_ = true;
    return;
  }
  if (header.type != kHelloType) {
    encode_hello_failed(out_, OfErrorCode::kIncompatible, header.version, header.xid, "expected OFPT_HELLO");
    closing_ = true;
    return;
  }
  version_ = negotiate(message, kVersions);
  if (!version_) {
    encode_hello_failed(out_, OfErrorCode::kIncompatible, header.version, header.xid,
                        "OpenFlow 1.0, 1.3, 1.4 and 1.5 are spoken here");
    closing_ = true;
    return;
  }
  async_ = default_async_config();
}

void Session::refuse(OfErrorCode code, std::uint32_t xid, Bytes message) {
  encode_error(out_, version_.value_or(Version::k10), code, xid, message);
}

void Session::dispatch(const MessageFormat& format, const Header& header, Bytes message) {
  const Bytes body = body_of(format, message);
  const std::uint32_t xid = header.xid;
  const MessageKind kind = format.kind;
  const auto may_change = [this] {
    if (role() == Role::kSlave) throw OfError(OfErrorCode::kIsSlave, "a slave changes nothing");
  };
  switch (kind) {
    case MessageKind::kFlowMod:
      may_change();
      return flow_mod(xid, decode_flow_mod(body, *version_, table_ids_), message);
    case MessageKind::kNxFlowMod:
      may_change();
      return flow_mod(xid, decode_nx_flow_mod(body, table_ids_), message);
    case MessageKind::kBarrierRequest:
      gathered_.push_back({xid, std::nullopt, {}});
      return;
    default:
      break;
  }
  apply_gathered();
  switch (kind) {
    case MessageKind::kHello:
    case MessageKind::kError:
    case MessageKind::kEchoReply:
      return;
    case MessageKind::kEchoRequest: {
      const MessageScope reply{out_, *version_, MessageKind::kEchoReply, xid};
      return out_.put(body);
    }
    case MessageKind::kFeaturesRequest:
      return features(xid);
    case MessageKind::kGetConfigRequest:
      return get_config(xid);
    case MessageKind::kSetConfig:
      return set_config(body);
    case MessageKind::kPacketOut:
      may_change();
      return packet_out(body);
    case MessageKind::kGroupMod:
    case MessageKind::kNxGroupMod: {
      may_change();
      const GroupMod mod = decode_group_mod(body, *version_, kind == MessageKind::kNxGroupMod);
      agent_.instance().group_mod(agent_.name(), std::span{&mod, 1});
      return agent_.forward_request(main(), ForwardReason::kGroupMod,
                                    [&](Writer& out, Version version) { encode_group_mod(out, mod, version, xid); });
    }
    case MessageKind::kMeterMod: {
      may_change();
      const MeterMod mod = decode_meter_mod(body);
      agent_.instance().meter_mod(agent_.name(), std::span{&mod, 1});
      return agent_.forward_request(main(), ForwardReason::kMeterMod,
                                    [&](Writer& out, Version version) { encode_meter_mod(out, mod, version, xid); });
    }
    case MessageKind::kPortMod:
      may_change();
      return port_mod(decode_port_mod(body, *version_));
    case MessageKind::kTableMod:
      may_change();
      return table_mod(body);
    case MessageKind::kMultipartRequest:
      return multipart(xid, message);
    case MessageKind::kQueueGetConfigRequest:
      return queue_config(xid, body);
    case MessageKind::kRoleRequest:
      return change_role(xid, body);
    case MessageKind::kGetAsyncRequest: {
      const MessageScope reply{out_, *version_, MessageKind::kGetAsyncReply, xid};
      return encode_async(out_, main().async_, *version_);
    }
    case MessageKind::kSetAsync:
      return set_async(body, *version_ >= Version::k14);
    case MessageKind::kNxSetAsyncConfig:
      return set_async(body, false);
    case MessageKind::kNxSetAsyncConfig2:
      return set_async(body, true);
    case MessageKind::kBundleControl:
      may_change();
      return bundle_control(xid, body, message);
    case MessageKind::kBundleAdd:
      may_change();
      return bundle_add(xid, body, message);
    case MessageKind::kNxResume:
      may_change();
      return resume(body);
    case MessageKind::kFlowMonitorCancel:
      return monitors_.cancel(Reader{body}.u32());
    case MessageKind::kNxSetFlowFormat: {
      constexpr std::uint32_t kOpenFlow10 = 0, kNxm = 2;  // enum nx_flow_format
      const std::uint32_t number = Reader{body}.u32();
      if (number != kOpenFlow10 && number != kNxm)
        throw OfError(OfErrorCode::kNotPermitted, "flow format {} is unknown", number);
      main().nxm_ = number == kNxm;
      return;
    }
    case MessageKind::kNxFlowModTableId:
      table_ids_ = Reader{body}.u8() != 0;
      return;
    case MessageKind::kNxFlowAge:
      flow_age_ = true;
      return;
    case MessageKind::kNxSetPacketInFormat: {
      const std::uint32_t number = Reader{body}.u32();
      if (number > static_cast<std::uint32_t>(PacketInFormat::kNicira2))
        throw OfError(OfErrorCode::kNotPermitted, "packet-in format {} is unknown", number);
      main().packet_in_format_ = static_cast<PacketInFormat>(number);
      return;
    }
    case MessageKind::kNxSetControllerId: {
      Reader in{body};
      in.skip(6);
      main().controller_id_ = in.u16();
      return;
    }
    default:
      throw OfError(OfErrorCode::kBadMessageType, "{} is not offered", format.name);
  }
}

// In one go where nothing is refused, which is all or nothing; else one by one. What has to wait stays gathered.
bool Session::apply_gathered() {
  if (gathered_.empty()) return true;
  std::vector<Gathered> gathered = std::exchange(gathered_, {});
  // Whoever follows the rules is told which request changed them.
  if (agent_.is_monitored()) return apply_one_by_one(std::move(gathered));
  std::vector<FlowMod> mods;
  for (const Gathered& each : gathered)
    if (each.change) mods.push_back(each.change->mod);
  try {
    if (!mods.empty()) agent_.instance().flow_mod(agent_.name(), mods);
  } catch (const NotYet&) {
    gathered_ = std::move(gathered);
    throw;
  } catch (const std::exception&) {
    return apply_one_by_one(std::move(gathered));
  }
  wants_flow_removed_ = false;
  for (const Gathered& each : gathered)
    if (!each.change) const MessageScope reply{out_, *version_, MessageKind::kBarrierReply, each.xid};
  return true;
}

bool Session::apply_one_by_one(std::vector<Gathered>&& gathered) {
  bool refused = false;
  for (auto each = gathered.begin(); each != gathered.end(); ++each) {
    refused = false;
    if (!each->change) {
      const MessageScope reply{out_, *version_, MessageKind::kBarrierReply, each->xid};
      continue;
    }
    const BridgeAgent::Asking asking{agent_, *this, each->xid};
    try {
      agent_.instance().flow_mod(agent_.name(), std::span{&each->change->mod, 1});
    } catch (const NotYet&) {
      gathered_.assign(std::move_iterator{each}, std::move_iterator{gathered.end()});
      throw;
    } catch (const OfError& error) {
      spdlog::debug("bridge '{}': flow-mod refused: {}", agent_.name(), error.what());
      refuse(error.code(), each->xid, each->head);
      refused = true;
    } catch (const std::exception& error) {
      spdlog::warn("bridge '{}': flow-mod failed: {}", agent_.name(), error.what());
      refuse(OfErrorCode::kNotPermitted, each->xid, each->head);
      refused = true;
    }
  }
  wants_flow_removed_ = false;
  return !refused;
}

void Session::flow_mod(std::uint32_t xid, FlowModMessage&& change, Bytes message) {
  // Who comes and goes within one step was never there, and nobody would hear of it.
  const bool removes =
      change.mod.command != FlowMod::Command::kModify && change.mod.command != FlowMod::Command::kModifyStrict;
  if (removes && wants_flow_removed_) apply_gathered();
  wants_flow_removed_ = wants_flow_removed_ || (change.mod.flags & kSendFlowRemoved) != 0;
  const std::uint32_t buffer = change.buffer_id;
  // They look at many rules: thousands of them at once would be a long turn.
  const bool searches = change.mod.command == FlowMod::Command::kDelete ||
                        change.mod.command == FlowMod::Command::kModify || (change.mod.flags & kCheckOverlap) != 0;
  const Bytes head = message.first(std::min(message.size(), kErrorBytes));
  gathered_.push_back({xid, std::move(change), {head.begin(), head.end()}});
  if (!searches && buffer == kNoBuffer) return;
  try {
    if (apply_gathered() && buffer != kNoBuffer) send_out(released(buffer), buffer);
  } catch (const NotYet&) {
    gathered_.pop_back();  // it is handled anew
    throw;
  }
}

void Session::write_dumps(TimePoint end) {
  constexpr std::size_t kEntriesBetweenLooks = 64;  // at the clock
  if (dumps_.empty()) return;
  end = std::min(end, TimePoint{Clock::now()} + kDumpTurn);
  bool late = false;
  while (!dumps_.empty() && !late) {
    Dump& dump = dumps_.front();
    while (dump.prepare) {
      if (const auto count = dump.prepare()) {
        dump.count = *count;
        dump.prepare = nullptr;
      } else if (Clock::now() >= end) {
        return;
      }
    }
    if (is_full()) return;
    {
      MultipartScope message{out_, *version_, *dump.format, dump.xid};
      bool is_first = true;
      while (dump.next < dump.count) {
        const std::size_t begin = out_.size();
        dump.encode(out_, dump.next);
        if (message.size() > kMaxMessage) {
          out_.shrink(begin);
          if (!is_first) break;  // of the next message
          spdlog::warn("bridge '{}': an entry of {} is too large for OpenFlow", agent_.name(), dump.format->name);
        }
        ++dump.next;
        is_first = false;
        late = dump.next % kEntriesBetweenLooks == 0 && Clock::now() >= end;
        if (message.size() > kDumpMessage || late) break;
      }
      if (dump.next < dump.count) message.set_more();
    }
    if (dump.next == dump.count) dumps_.pop_front();
  }
}

void Session::take_back_answers() {
  if (out_.size() == 0) return;
  out_ = Writer{};
  given_up_ = true;
}

bool Session::hears(AsyncKind kind, unsigned reason) const {
  if (!version_ || closing_ || main_ != nullptr) return false;
  if (kind_ == Kind::kService && miss_send_len_ == 0) return false;
  return async_.wants(kind, reason, role_);
}

void Session::packet_in(const PacketInEvent& event, PacketInNumbers& numbers) {
  const ControllerAction& action = event.what.action;
  if (action.controller_id != controller_id_ || (event.what.only_old && version_ != Version::k10)) return;
  PacketIn packet;
  packet.reason = action.reason;
  const Rule* rule = event.what.rule.get();
  // OpenFlow 1.3: what the table-miss rule sends up matched nothing.
  const bool table_miss = rule != nullptr && rule->priority == 0 && is_zero(rule->match.mask);
  if (table_miss && packet.reason == PacketInReason::kAction && version_ >= Version::k13)
    packet.reason = PacketInReason::kNoMatch;
  if (!hears(AsyncKind::kPacketIn,
             static_cast<unsigned>(reason_in(packet.reason, version_.value_or(Version::k10), packet_in_format_))))
    return;
  Session& way = way_of(event.what.in_port);
  // What a message has room for beside the action's userdata.
  const bool has_userdata = packet_in_format_ == PacketInFormat::kNicira2;
  const std::size_t taken = kPacketInRest + (has_userdata ? action.userdata.size() : 0);
  if (way.is_full() || taken >= kMaxMessage) {
    ++lost_;
    return;
  }
  packet.length = event.length;
  packet.table = event.what.table;
  if (rule != nullptr) packet.cookie = rule->cookie;
  packet.in_port = event.what.in_port;
  packet.fields = event.what.fields;
  packet.userdata = action.userdata;
  packet.data = event.frame;
  std::uint16_t most = rule == nullptr && packet.reason == PacketInReason::kNoMatch ? miss_send_len_ : action.max_len;
  if (event.what.paused != nullptr && packet_in_format_ == PacketInFormat::kNicira2) {
    if (!numbers.paused) numbers.paused = agent_.continuations().put({event.what.paused, event.what.fields});
    packet.paused = numbers.paused;
    most = kWholePacket;
  }
  most = static_cast<std::uint16_t>(std::min<std::size_t>(most, kMaxMessage - taken));
  if (most < event.frame.size()) {
    if (!numbers.buffer) numbers.buffer = agent_.buffers().put({event.frame, event.what.in_port});
    packet.buffer_id = *numbers.buffer;
    packet.data = packet.data.first(most);
  }
  encode_packet_in(way.out_, packet, packet_in_format_, *version_);
}

Session& Session::way_of(PortNo in_port) {
  std::vector<Session*> ways;
  for (Session* auxiliary : auxiliaries_)
    if (auxiliary->version_ == version_ && !auxiliary->closing_) ways.push_back(auxiliary);
  return ways.empty() ? *this : *ways[in_port.value % ways.size()];
}

void Session::flow_removed(const RemovedRule& removed) {
  if (!version_ || !hears(AsyncKind::kFlowRemoved, reason_in(removed.reason, *version_))) return;
  if (is_full()) {
    ++lost_;
    return;
  }
  encode_flow_removed(out_, removed, Clock::now(), *version_, *version_ == Version::k10 && nxm_);
}

void Session::port_changed(PortChange change, const PortDescription& port) {
  if (!hears(AsyncKind::kPortStatus, static_cast<unsigned>(change))) return;
  // One that missed it would be wrong about the ports for as long as it is connected.
  given_up_ = given_up_ || is_full();
  if (given_up_) return;
  encode_port_status(out_, change, port, *version_);
}

void Session::table_changed(TableReason reason, const TableFigures& figures) {
  if (!version_ || *version_ < Version::k14 || !hears(AsyncKind::kTableStatus, static_cast<unsigned>(reason))) return;
  if (is_full()) {
    ++lost_;
    return;
  }
  encode_table_status(out_, reason, figures, *version_);
}

// OpenFlow 1.5.1 section 7.4.6.
void Session::request_forwarded(ForwardReason reason, const std::function<void(Writer&, Version)>& encode) {
  if (!version_ || *version_ < Version::k14 || !hears(AsyncKind::kRequestForward, static_cast<unsigned>(reason)))
    return;
  if (is_full()) {
    ++lost_;
    return;
  }
  const std::size_t begin = out_.size();
  {
    const MessageScope message{out_, *version_, MessageKind::kRequestForward, 0};
    encode(out_, *version_);
  }
  if (out_.size() - begin > kMaxMessage) out_.shrink(begin);  // its form here has no room for it
}

}  // namespace shunt::openflow
