// SPDX-License-Identifier: Apache-2.0
#include "tests/support/packet_builder.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <span>
#include <stdexcept>
#include <string>

#include "tests/support/frame_checks.h"

namespace shunt::test {
namespace {

using Octets = std::vector<std::uint8_t>;

void put16(Octets& bytes, std::size_t at, std::size_t value) {
  bytes.at(at) = static_cast<std::uint8_t>(value >> 8);
  bytes.at(at + 1) = static_cast<std::uint8_t>(value);
}

void put32(Octets& bytes, std::size_t at, std::uint32_t value) {
  put16(bytes, at, value >> 16);
  put16(bytes, at + 2, value & 0xffff);
}

void append(Octets& bytes, std::span<const std::uint8_t> more) { bytes.insert(bytes.end(), more.begin(), more.end()); }

Octets address(int family, const char* text) {
  Octets bytes(family == AF_INET ? 4 : 16);
  if (inet_pton(family, text, bytes.data()) != 1) throw std::invalid_argument(std::string("not an address: ") + text);
  return bytes;
}

Octets ports(std::uint16_t src, std::uint16_t dst, std::size_t size) {
  Octets bytes(size);
  put16(bytes, 0, src);
  put16(bytes, 2, dst);
  return bytes;
}

}  // namespace

Mac::Mac(const char* text) {
  unsigned b[6];
  char rest = 0;
  if (std::sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &rest) != 6)
    throw std::invalid_argument(std::string("not a MAC address: ") + text);
  for (std::size_t i = 0; i < 6; ++i) address.bytes[i] = static_cast<std::uint8_t>(b[i]);
}

PacketBuilder& PacketBuilder::eth(Mac src, Mac dst) {
  Octets bytes;
  append(bytes, dst.address.bytes);
  append(bytes, src.address.bytes);
  bytes.resize(14);
  add(Kind::kEth, std::move(bytes));
  return *this;
}

PacketBuilder& PacketBuilder::eth_type(std::uint16_t type) {
  last({Kind::kEth, Kind::kVlan, Kind::kLlc}).next = type;
  return *this;
}

PacketBuilder& PacketBuilder::vlan(std::uint16_t vid, std::uint16_t tpid, std::uint8_t pcp, bool dei) {
  last({Kind::kEth, Kind::kVlan}).next = tpid;
  Octets bytes(4);
  put16(bytes, 0, static_cast<unsigned>(pcp << 13 | (dei ? 0x1000 : 0) | vid));
  add(Kind::kVlan, std::move(bytes));
  return *this;
}

PacketBuilder& PacketBuilder::llc(std::uint8_t dsap, std::uint8_t ssap, std::uint8_t control) {
  add(Kind::kLlc, {dsap, ssap, control});
  return *this;
}

PacketBuilder& PacketBuilder::snap(std::uint32_t org) {
  add(Kind::kLlc, {0xaa, 0xaa, 0x03, static_cast<std::uint8_t>(org >> 16), static_cast<std::uint8_t>(org >> 8),
                   static_cast<std::uint8_t>(org), 0, 0});
  return *this;
}

PacketBuilder& PacketBuilder::mpls(std::uint32_t label, std::uint8_t tc, std::uint8_t ttl) {
  Octets bytes(4);
  put32(bytes, 0, label << 12 | static_cast<std::uint32_t>(tc << 9) | ttl);
  add(Kind::kMpls, std::move(bytes));
  return *this;
}

PacketBuilder& PacketBuilder::arp(std::uint16_t op, Mac sha, const char* spa, Mac tha, const char* tpa) {
  Octets bytes{0, 1, 8, 0, 6, 4, 0, 0};
  put16(bytes, 6, op);
  append(bytes, sha.address.bytes);
  append(bytes, address(AF_INET, spa));
  append(bytes, tha.address.bytes);
  append(bytes, address(AF_INET, tpa));
  add(Kind::kArp, std::move(bytes));
  return *this;
}

PacketBuilder& PacketBuilder::arp_request(const char* spa, const char* tpa) {
  const MacAddr src = MacAddr::from_wire(last({Kind::kEth}).bytes.data() + 6);
  return arp(1, src, spa, MacAddr{}, tpa);
}

PacketBuilder& PacketBuilder::arp_reply(const char* spa, const char* tpa) {
  const Octets& eth = last({Kind::kEth}).bytes;
  return arp(2, MacAddr::from_wire(eth.data() + 6), spa, MacAddr::from_wire(eth.data()), tpa);
}

PacketBuilder& PacketBuilder::ipv4(const char* src, const char* dst) {
  Octets bytes{0x45, 0, 0, 0, 0x12, 0x34, 0x40, 0, 64, 0, 0, 0};
  append(bytes, address(AF_INET, src));
  append(bytes, address(AF_INET, dst));
  add(Kind::kIpv4, std::move(bytes));
  return *this;
}

PacketBuilder& PacketBuilder::ipv6(const char* src, const char* dst) {
  Octets bytes{0x60, 0, 0, 0, 0, 0, 0, 64};
  append(bytes, address(AF_INET6, src));
  append(bytes, address(AF_INET6, dst));
  add(Kind::kIpv6, std::move(bytes));
  return *this;
}

PacketBuilder& PacketBuilder::ttl(std::uint8_t ttl) {
  Layer& ip = last({Kind::kIpv4, Kind::kIpv6});
  ip.bytes[ip.kind == Kind::kIpv4 ? 8 : 7] = ttl;
  return *this;
}

PacketBuilder& PacketBuilder::tos(std::uint8_t tos) {
  Layer& ip = last({Kind::kIpv4, Kind::kIpv6});
  if (ip.kind == Kind::kIpv4) {
    ip.bytes[1] = tos;
  } else {
    ip.bytes[0] = static_cast<std::uint8_t>(0x60 | tos >> 4);
    ip.bytes[1] = static_cast<std::uint8_t>((tos << 4) | (ip.bytes[1] & 0xf));
  }
  return *this;
}

PacketBuilder& PacketBuilder::label(std::uint32_t label) {
  Octets& bytes = last({Kind::kIpv6}).bytes;
  bytes[1] = static_cast<std::uint8_t>((bytes[1] & 0xf0) | (label >> 16 & 0xf));
  put16(bytes, 2, label & 0xffff);
  return *this;
}

PacketBuilder& PacketBuilder::proto(std::uint8_t proto) {
  last({Kind::kIpv4, Kind::kIpv6, Kind::kExt}).next = proto;
  return *this;
}

PacketBuilder& PacketBuilder::length(std::uint16_t length) {
  last({Kind::kIpv4, Kind::kIpv6}).length = length;
  return *this;
}

PacketBuilder& PacketBuilder::header_words(std::uint8_t ihl) {
  Octets& bytes = last({Kind::kIpv4}).bytes;
  bytes[0] = static_cast<std::uint8_t>(0x40 | ihl);
  return *this;
}

PacketBuilder& PacketBuilder::ip_options(std::size_t size) {
  Octets& bytes = last({Kind::kIpv4}).bytes;
  bytes.insert(bytes.end(), size, 1);
  bytes[0] = static_cast<std::uint8_t>(0x40 | bytes.size() / 4);
  return *this;
}

PacketBuilder& PacketBuilder::fragment(std::uint16_t offset, bool more) {
  if (last({Kind::kIpv4, Kind::kIpv6}).kind == Kind::kIpv4) {
    put16(last({Kind::kIpv4}).bytes, 6, static_cast<unsigned>(more ? 0x2000 : 0) | offset);
    return *this;
  }
  Octets bytes{0, 0, 0, 0, 0, 0, 0x56, 0x78};
  put16(bytes, 2, static_cast<unsigned>(offset << 3) | (more ? 1 : 0));
  return extension(44, std::move(bytes));
}

PacketBuilder& PacketBuilder::hop_by_hop(std::size_t size) {
  Octets bytes(size);
  bytes[1] = static_cast<std::uint8_t>(size / 8 - 1);
  return extension(0, std::move(bytes));
}

PacketBuilder& PacketBuilder::dst_options(std::size_t size) {
  Octets bytes(size);
  bytes[1] = static_cast<std::uint8_t>(size / 8 - 1);
  return extension(60, std::move(bytes));
}

PacketBuilder& PacketBuilder::routing(const std::vector<const char*>& addresses, std::uint8_t segments_left) {
  Octets bytes(8);
  bytes[1] = static_cast<std::uint8_t>(addresses.size() * 2);
  bytes[3] = segments_left;
  for (const char* text : addresses) append(bytes, address(AF_INET6, text));
  extension(43, std::move(bytes));
  if (segments_left != 0 && !addresses.empty()) layers_.back().final_dst = address(AF_INET6, addresses.back());
  return *this;
}

PacketBuilder& PacketBuilder::authentication(std::size_t size) {
  Octets bytes(size);
  bytes[1] = static_cast<std::uint8_t>(size / 4 - 2);
  return extension(51, std::move(bytes));
}

PacketBuilder& PacketBuilder::tcp(std::uint16_t src, std::uint16_t dst) {
  Octets bytes = ports(src, dst, 20);
  put32(bytes, 4, 0x01020304);
  put32(bytes, 8, 0x05060708);
  put16(bytes, 12, 0x5010);
  put16(bytes, 14, 0xffff);
  add(Kind::kTcp, std::move(bytes));
  return *this;
}

PacketBuilder& PacketBuilder::flags(std::uint16_t flags) {
  put16(last({Kind::kTcp}).bytes, 12, 0x5000u | flags);
  return *this;
}

PacketBuilder& PacketBuilder::udp(std::uint16_t src, std::uint16_t dst) {
  add(Kind::kUdp, ports(src, dst, 8));
  return *this;
}

PacketBuilder& PacketBuilder::sctp(std::uint16_t src, std::uint16_t dst) {
  Octets bytes = ports(src, dst, 12);
  put32(bytes, 4, 0xdeadbeef);
  add(Kind::kSctp, std::move(bytes));
  return *this;
}

PacketBuilder& PacketBuilder::icmp(std::uint8_t type, std::uint8_t code) {
  add(Kind::kIcmp, {type, code, 0, 0, 0, 7, 0, 1});
  return *this;
}

PacketBuilder& PacketBuilder::icmp6(std::uint8_t type, std::uint8_t code) {
  add(Kind::kIcmp6, {type, code, 0, 0, 0, 0, 0, 0});
  return *this;
}

PacketBuilder& PacketBuilder::igmp(std::uint8_t type, std::uint8_t code) {
  add(Kind::kIgmp, {type, code, 0, 0, 224, 0, 0, 1});
  return *this;
}

PacketBuilder& PacketBuilder::nd_solicit(const char* target) {
  icmp6(135, 0);
  append(layers_.back().bytes, address(AF_INET6, target));
  return *this;
}

PacketBuilder& PacketBuilder::nd_advert(const char* target) {
  icmp6(136, 0);
  append(layers_.back().bytes, address(AF_INET6, target));
  return *this;
}

PacketBuilder& PacketBuilder::nd_option(std::uint8_t type, Mac address) {
  Octets& bytes = last({Kind::kIcmp6}).bytes;
  append(bytes, Octets{type, 1});
  append(bytes, address.address.bytes);
  return *this;
}

PacketBuilder& PacketBuilder::nd_option(std::uint8_t type, std::uint8_t length, std::size_t size) {
  Octets& bytes = last({Kind::kIcmp6}).bytes;
  append(bytes, Octets{type, length});
  bytes.insert(bytes.end(), size - 2, 0x55);
  return *this;
}

PacketBuilder& PacketBuilder::no_checksum() {
  last({Kind::kUdp}).checksum = Layer::Checksum::kNone;
  return *this;
}

PacketBuilder& PacketBuilder::partial_checksum() {
  last({Kind::kTcp, Kind::kUdp, Kind::kSctp}).checksum = Layer::Checksum::kPartial;
  return *this;
}

PacketBuilder& PacketBuilder::bad_checksum() {
  last({Kind::kTcp, Kind::kUdp, Kind::kSctp, Kind::kIcmp, Kind::kIcmp6, Kind::kIgmp}).checksum = Layer::Checksum::kBad;
  return *this;
}

PacketBuilder& PacketBuilder::payload(std::size_t size) {
  Octets bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(i * 7 + 1);
  add(Kind::kPayload, std::move(bytes));
  return *this;
}

PacketBuilder& PacketBuilder::payload(std::string_view text) {
  add(Kind::kPayload, Octets(text.begin(), text.end()));
  return *this;
}

PacketBuilder& PacketBuilder::pad(std::size_t size) {
  pad_ = size;
  return *this;
}

PacketBuilder& PacketBuilder::truncate(std::size_t size) {
  truncate_ = size;
  return *this;
}

Bytes PacketBuilder::build() const {
  Octets frame;
  std::vector<Layer> layers = layers_;
  for (std::size_t i = layers.size(); i-- > 0;) {
    Layer& layer = layers[i];
    switch (layer.kind) {
      case Kind::kEth:
      case Kind::kVlan:
      case Kind::kLlc:
      case Kind::kMpls:
        finish_type(layer, i, frame.size());
        break;
      case Kind::kIpv4:
      case Kind::kIpv6:
      case Kind::kExt:
        finish_proto(layer, i, frame.size());
        break;
      case Kind::kArp:
      case Kind::kPayload:
        break;
      default:
        finish_l4(layer, i, frame);
    }
    frame.insert(frame.begin(), layer.bytes.begin(), layer.bytes.end());
  }
  if (frame.size() < pad_) frame.resize(pad_);
  if (truncate_ && *truncate_ < frame.size()) frame.resize(*truncate_);
  Bytes out(frame.size());
  std::transform(frame.begin(), frame.end(), out.begin(), [](std::uint8_t b) { return static_cast<std::byte>(b); });
  return out;
}

PacketBuilder::Layer& PacketBuilder::add(Kind kind, std::vector<std::uint8_t> bytes) {
  Layer layer;
  layer.kind = kind;
  layer.bytes = std::move(bytes);
  layers_.push_back(std::move(layer));
  return layers_.back();
}

PacketBuilder::Layer& PacketBuilder::last(std::initializer_list<Kind> kinds) {
  for (auto layer = layers_.rbegin(); layer != layers_.rend(); ++layer)
    if (std::find(kinds.begin(), kinds.end(), layer->kind) != kinds.end()) return *layer;
  throw std::logic_error("packet builder: a setting without its header");
}

PacketBuilder& PacketBuilder::extension(std::uint8_t proto, std::vector<std::uint8_t> bytes) {
  add(Kind::kExt, std::move(bytes)).proto = proto;
  return *this;
}

// EtherType (or 802.3 length) of an Ethernet header or tag; SNAP's type; MPLS's bottom bit.
void PacketBuilder::finish_type(Layer& layer, std::size_t index, std::size_t tail_size) const {
  const Layer* next = index + 1 < layers_.size() ? &layers_[index + 1] : nullptr;
  if (layer.kind == Kind::kMpls) {
    if (!next || next->kind != Kind::kMpls) layer.bytes[2] |= 1;
    return;
  }
  if (layer.kind == Kind::kLlc && layer.bytes.size() < 8) return;
  std::size_t type = 0x88b5;  // IEEE 802 local experimental
  if (layer.next) {
    type = *layer.next;
  } else if (next) {
    if (next->kind == Kind::kIpv4) type = 0x0800;
    if (next->kind == Kind::kIpv6) type = 0x86dd;
    if (next->kind == Kind::kArp) type = 0x0806;
    if (next->kind == Kind::kMpls) type = 0x8847;
    if (next->kind == Kind::kLlc) type = tail_size;
  }
  put16(layer.bytes, layer.bytes.size() - 2, type);
}

// Next header, length and header checksum.
void PacketBuilder::finish_proto(Layer& layer, std::size_t index, std::size_t tail_size) const {
  const Layer* next = index + 1 < layers_.size() ? &layers_[index + 1] : nullptr;
  std::uint8_t proto = layer.kind == Kind::kIpv4 ? 253 : 59;  // experimental; no next header
  if (layer.next) {
    proto = static_cast<std::uint8_t>(*layer.next);
  } else if (next) {
    if (next->kind == Kind::kExt) proto = next->proto;
    if (next->kind == Kind::kTcp) proto = 6;
    if (next->kind == Kind::kUdp) proto = 17;
    if (next->kind == Kind::kSctp) proto = 132;
    if (next->kind == Kind::kIcmp) proto = 1;
    if (next->kind == Kind::kIgmp) proto = 2;
    if (next->kind == Kind::kIcmp6) proto = 58;
  }
  if (layer.kind == Kind::kIpv4) {
    layer.bytes[9] = proto;
    put16(layer.bytes, 2, layer.length.value_or(static_cast<std::uint16_t>(layer.bytes.size() + tail_size)));
    put16(layer.bytes, 10, internet_checksum(layer.bytes));
  } else if (layer.kind == Kind::kIpv6) {
    layer.bytes[6] = proto;
    put16(layer.bytes, 4, layer.length.value_or(static_cast<std::uint16_t>(tail_size)));
  } else {
    layer.bytes[0] = proto;
  }
}

// UDP's length, and the checksum over header, tail and pseudo-header.
void PacketBuilder::finish_l4(Layer& layer, std::size_t index, const std::vector<std::uint8_t>& tail) const {
  const std::size_t size = layer.bytes.size() + tail.size();
  const bool bad = layer.checksum == Layer::Checksum::kBad;
  const bool partial = layer.checksum == Layer::Checksum::kPartial;
  if (layer.kind == Kind::kUdp) put16(layer.bytes, 4, size);
  Octets all = layer.bytes;
  append(all, tail);
  if (layer.kind == Kind::kSctp) {
    const std::uint32_t crc = partial ? 0 : crc32c(all) ^ (bad ? 1 : 0);
    for (std::size_t i = 0; i < 4; ++i) layer.bytes[8 + i] = static_cast<std::uint8_t>(crc >> 8 * i);
    return;
  }
  std::size_t at = 2;
  Octets covered;
  if (layer.kind == Kind::kTcp || layer.kind == Kind::kUdp) {
    at = layer.kind == Kind::kTcp ? 16 : 6;
    covered = pseudo_header(index, layer.kind == Kind::kTcp ? 6 : 17, size);
  }
  if (layer.kind == Kind::kIcmp6) covered = pseudo_header(index, 58, size);
  if (!partial) append(covered, all);
  std::uint16_t checksum = internet_checksum(covered);
  if (partial) checksum = static_cast<std::uint16_t>(~checksum);
  if (layer.kind == Kind::kUdp && checksum == 0) checksum = 0xffff;
  if (layer.checksum == Layer::Checksum::kNone) checksum = 0;
  if (bad) checksum ^= 1;
  put16(layer.bytes, at, checksum);
}

std::vector<std::uint8_t> PacketBuilder::pseudo_header(std::size_t index, std::uint8_t proto, std::size_t size) const {
  const std::vector<std::uint8_t>* final_dst = nullptr;
  for (std::size_t i = index; i-- > 0;) {
    const Layer& ip = layers_[i];
    if (ip.kind == Kind::kExt && !ip.final_dst.empty()) final_dst = &ip.final_dst;
    if (ip.kind != Kind::kIpv4 && ip.kind != Kind::kIpv6) continue;
    return pseudo_header_of(ip.bytes, final_dst ? *final_dst : Octets{}, proto, size);
  }
  return {};
}

}  // namespace shunt::test
