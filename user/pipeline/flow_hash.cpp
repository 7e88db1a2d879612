// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/flow_hash.h"

#include <compare>
#include <cstring>
#include <utility>

#include "user/flow/fields.h"

namespace shunt {
namespace {

constexpr std::uint16_t kVidBits = 0x0fff;
constexpr std::uint8_t kTcp = 6, kUdp = 17, kSctp = 132;

// Multiply and fold, with the constants of MurmurHash3's finalizer at the end.
class Hasher {
 public:
  explicit Hasher(std::uint32_t basis) : state_{basis ^ 0x9e3779b97f4a7c15} {}

  void add(std::uint64_t word) {
    state_ = (state_ ^ word) * 0xd6e8feb86659fd93;
    state_ ^= state_ >> 32;
  }
  [[nodiscard]] std::uint32_t finish() const {
    std::uint64_t hash = state_;
    hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccd;
    hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53;
    return static_cast<std::uint32_t>(hash >> 32);
  }

 private:
  std::uint64_t state_;
};

struct Address {
  std::uint64_t high, low;
  friend auto operator<=>(const Address&, const Address&) = default;
};

Address read_address(const __u8 (&bytes)[16], bool is_ipv4) {
  Address value{};
  if (is_ipv4)
    std::memcpy(&value.low, bytes + 12, 4);
  else
    std::memcpy(&value, bytes, sizeof value);
  return value;
}

std::uint64_t mac(const __u8 (&bytes)[6]) {
  std::uint64_t value = 0;
  std::memcpy(&value, bytes, sizeof bytes);
  return value;
}

// Hashes one packet's fields and notes which bits it looked at. Two ends of a conversation are added in order of
// value where the hash is to be symmetric: that keeps more of them apart than their exclusive or.
class FieldHasher {
 public:
  FieldHasher(const PipelineKey& key, std::uint32_t basis, bool symmetric, PipelineMask& examined)
      : key_{key}, hash_{basis}, symmetric_{symmetric}, examined_{examined} {}

  void macs() {
    look_at(FieldId::kEthSrc);
    look_at(FieldId::kEthDst);
    pair(mac(key_.eth_src), mac(key_.eth_dst));
  }
  void source_mac() {
    look_at(FieldId::kEthSrc);
    hash_.add(mac(key_.eth_src));
  }
  void type_and_vlans() {
    look_at(FieldId::kEthType);
    hash_.add(key_.eth_type.host());
    for (int i = 0; i < 2; ++i) {
      constexpr std::uint16_t kBits = SHUNT_VLAN_PRESENT | kVidBits;
      examined_.vlan[i].tci = be16{static_cast<std::uint16_t>(examined_.vlan[i].tci.host() | kBits)};
      hash_.add(key_.vlan[i].tci.host() & kBits);
    }
  }
  // False: no IP.
  bool addresses() {
    if (!is_ip()) return false;
    const auto [first, second] = in_order(address(true), address(false));
    add(first);
    add(second);
    return true;
  }
  void one_address(bool source) {
    if (is_ip()) add(address(source));
  }
  void protocol_and_ports(bool udp) {
    examined_.nw_proto = 0xff;
    hash_.add(key_.nw_proto);
    if (key_.nw_proto != kTcp && key_.nw_proto != kSctp && !(udp && key_.nw_proto == kUdp)) return;
    examined_.nw_frag |= SHUNT_FRAG_ANY;
    if ((key_.nw_frag & SHUNT_FRAG_ANY) != 0) return;
    look_at(FieldId::kTpSrc);
    look_at(FieldId::kTpDst);
    pair(key_.tp_src.host(), key_.tp_dst.host());
  }
  [[nodiscard]] std::uint32_t finish() const { return hash_.finish(); }

 private:
  void look_at(FieldId id) { add_mask(examined_, field_mask(field(id))); }
  bool is_ip() {
    look_at(FieldId::kEthType);
    return holds(Prerequisite::kIp, key_);
  }
  Address address(bool source) {
    const bool ipv4 = holds(Prerequisite::kIpv4, key_);
    if (ipv4)
      look_at(source ? FieldId::kIpSrc : FieldId::kIpDst);
    else
      look_at(source ? FieldId::kIpv6Src : FieldId::kIpv6Dst);
    return read_address(source ? key_.ip_src : key_.ip_dst, ipv4);
  }
  template <typename T>
  [[nodiscard]] std::pair<T, T> in_order(T source, T destination) const {
    return symmetric_ && destination < source ? std::pair{destination, source} : std::pair{source, destination};
  }
  void pair(std::uint64_t source, std::uint64_t destination) {
    const auto [first, second] = in_order(source, destination);
    hash_.add(first);
    hash_.add(second);
  }
  void add(const Address& address) {
    hash_.add(address.high);
    hash_.add(address.low);
  }

  const PipelineKey& key_;
  Hasher hash_;
  const bool symmetric_;
  PipelineMask& examined_;
};

}  // namespace

std::uint32_t hash_fields(const PipelineKey& key, HashFields fields, std::uint32_t basis,
                          PipelineMask& examined) noexcept {
  FieldHasher hash{key, basis, true, examined};
  switch (fields) {
    case HashFields::kEthSrc:
      hash.source_mac();
      break;
    case HashFields::kSymmetricL4:
      hash.macs();
      hash.type_and_vlans();
      if (hash.addresses()) hash.protocol_and_ports(false);
      break;
    case HashFields::kSymmetricL3L4:
      if (hash.addresses()) hash.protocol_and_ports(false);
      break;
    case HashFields::kSymmetricL3L4Udp:
      if (hash.addresses()) hash.protocol_and_ports(true);
      break;
    case HashFields::kSymmetricL3:
      hash.addresses();
      break;
    case HashFields::kNwSrc:
    case HashFields::kNwDst:
      hash.one_address(fields == HashFields::kNwSrc);
      break;
  }
  return hash.finish();
}

std::uint32_t hash_l2_to_l4(const PipelineKey& key, std::uint32_t basis, PipelineMask& examined) noexcept {
  FieldHasher hash{key, basis, false, examined};
  hash.macs();
  hash.type_and_vlans();
  if (hash.addresses()) hash.protocol_and_ports(true);
  return hash.finish();
}

std::uint32_t hash_masked(const PipelineKey& key, const PipelineMask& mask, std::uint32_t basis) noexcept {
  Hasher hash{basis};
  const PipelineWords words = to_words(key & mask);
  const PipelineWords bits = to_words(mask);
  for (std::size_t i = 0; i < words.size(); ++i)
    if (bits[i] != 0) hash.add(words[i]);
  return hash.finish();
}

std::uint32_t rehash(std::uint32_t hash, std::uint32_t salt) noexcept {
  Hasher other{hash};
  other.add(salt);
  return other.finish();
}

}  // namespace shunt
