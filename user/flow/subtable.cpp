// SPDX-License-Identifier: Apache-2.0
#include "user/flow/subtable.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace shunt {

namespace {

constexpr unsigned kPortsWord = offsetof(shunt_flow_key, tp_src) / 8;
constexpr unsigned kIpSrcWord = offsetof(shunt_flow_key, ip_src) / 8;
constexpr unsigned kIpDstWord = offsetof(shunt_flow_key, ip_dst) / 8;
static_assert(offsetof(shunt_flow_key, tp_src) % 8 == 0 && offsetof(shunt_flow_key, tp_dst) % 8 == 2);
static_assert(offsetof(shunt_flow_key, ip_src) % 8 == 0 && offsetof(shunt_flow_key, ip_dst) % 8 == 0);
static_assert(std::endian::native == std::endian::little);

// The words of the key by stage: metadata, L2, L3, L4. Within a rule's match an earlier stage decides more often.
constexpr std::array<std::array<std::int8_t, 11>, Subtable::kStages> kStageWords{{
    {0, -1},
    {1, 2, 3, 14, 15, -1},
    {4, 6, 7, 8, 9, 10, 11, 12, 13, -1},
    {5, -1},
}};
static_assert(offsetof(shunt_flow_key, vlan) / 8 == 3 && offsetof(shunt_flow_key, mpls_lse) / 8 == 14);
static_assert(offsetof(shunt_flow_key, nw_proto) / 8 == 4 && kPortsWord == 5);

unsigned first_word(unsigned field) { return field == kIpv4Src || field == kIpv6Src ? kIpSrcWord : kIpDstWord; }

std::uint64_t top_bits(unsigned bits) noexcept { return bits == 0 ? 0 : ~std::uint64_t{0} << (64 - bits); }

// Ports of a key or a mask as one number, tp_src above tp_dst.
std::uint32_t ports_of(std::uint64_t word) noexcept { return __builtin_bswap32(static_cast<std::uint32_t>(word)); }

template <typename Value>
std::uint8_t prefix_length(Value mask) {
  const unsigned length = mask == 0 ? 0 : leading_zeros(static_cast<Value>(~mask));
  if (length >= sizeof(Value) * 8) return sizeof(Value) * 8;
  return length != 0 && static_cast<Value>(mask << length) == 0 ? static_cast<std::uint8_t>(length) : 0;
}

}  // namespace

void Garbage::free(std::uint64_t version) {
  std::erase_if(items_, [&](const Item& item) {
    if (item.tag > version) return false;
    item.destroy(item.object);
    return true;
  });
}

std::uint32_t narrow_value(const KeyWords& words, unsigned field) noexcept {
  switch (field) {
    case kPortSrc:
      return ports_of(words[kPortsWord]) & 0xffff0000;
    case kPortDst:
      return ports_of(words[kPortsWord]) << 16;
    default:
      return __builtin_bswap32(static_cast<std::uint32_t>(words[first_word(field) + 1] >> 32));
  }
}

Bits128 wide_value(const KeyWords& words, unsigned field) noexcept {
  const unsigned first = first_word(field);
  return Bits128{__builtin_bswap64(words[first])} << 64 | __builtin_bswap64(words[first + 1]);
}

void add_prefix(KeyWords& mask, unsigned field, unsigned bits) noexcept {
  switch (field) {
    case kPortSrc:
      mask[kPortsWord] |= __builtin_bswap64(top_bits(bits));
      break;
    case kPortDst:
      mask[kPortsWord] |= __builtin_bswap64(top_bits(bits) >> 16);
      break;
    case kIpv4Src:
    case kIpv4Dst:
      mask[first_word(field) + 1] |= __builtin_bswap64(top_bits(bits) >> 32);
      break;
    default:
      mask[first_word(field)] |= __builtin_bswap64(top_bits(std::min(bits, 64u)));
      if (bits > 64) mask[first_word(field) + 1] |= __builtin_bswap64(top_bits(bits - 64));
  }
}

std::array<std::uint8_t, kTrieFields> prefix_lengths(const KeyWords& mask) {
  std::array<std::uint8_t, kTrieFields> lengths{};
  for (unsigned field = 0; field < kTrieFields; ++field) {
    if (field >= kNarrowTries) {
      lengths[field] = prefix_length(wide_value(mask, field));
      continue;
    }
    // An IPv4 address is the last quarter of the field; where the rest is masked too, the wide trie serves.
    const bool is_address = field == kIpv4Src || field == kIpv4Dst;
    if (is_address && wide_value(mask, field) >> 32 != 0) continue;
    lengths[field] = prefix_length(narrow_value(mask, field));
  }
  return lengths;
}

Subtable::Subtable(const FlowMask& mask, std::uint64_t seed, std::uint32_t serial)
    : seed_{seed}, mask_{mask}, serial_{serial} {
  const KeyWords words = to_words(mask);
  for (unsigned stage = 0; stage < kStages; ++stage) {
    for (unsigned i = 0; kStageWords[stage][i] >= 0; ++i) {
      const auto word = static_cast<std::uint8_t>(kStageWords[stage][i]);
      if (words[word] == 0) continue;
      word_[word_count_] = word;
      bits_[word_count_] = words[word];
      ++word_count_;
      last_stage_ = stage;
    }
    stage_end_[stage] = word_count_;
  }
  ports_mask_ = ports_of(words[kPortsWord]);
  if (ports_mask_ != 0) ports_length_ = static_cast<std::uint8_t>(32 - std::countr_zero(ports_mask_));
}

Subtable::~Subtable() {
  rules_.for_each([](RuleNode* head) {
    while (head != nullptr) delete std::exchange(head, head->next.load(std::memory_order_relaxed));
  });
}

const RuleNode* Subtable::find(std::uint64_t hash, const std::uint64_t* value, std::uint64_t version) const noexcept {
  const RuleNode* node = rules_.find(hash, [&](const RuleNode* head) {
    for (unsigned i = 0; i < word_count_; ++i)
      if (head->value[i] != value[i]) return false;
    return true;
  });
  while (node != nullptr && !node->visible(version)) node = node->next.load(std::memory_order_acquire);
  return node;
}

bool Subtable::no_such_ports(const KeyWords& key, KeyWords& examined) const noexcept {
  if (ports_mask_ == 0) return false;
  const PrefixMatches found = ports_.lookup(ports_of(key[kPortsWord]) & ports_mask_);
  if (found.has(ports_length_)) return false;
  const auto prefix = static_cast<std::uint32_t>(top_bits(found.bits) >> 32);
  examined[kPortsWord] |= __builtin_bswap32(ports_mask_ & prefix);
  return true;
}

RuleNode* Subtable::head(const FlowKey& value) const {
  const Packed packed = pack(value);
  return rules_.find(packed.hashes[last_stage_], [&](const RuleNode* node) { return node->value == packed.words; });
}

RuleNode* Subtable::find(const FlowKey& value, std::uint16_t priority, std::uint64_t version) const {
  for (RuleNode* node = head(value); node != nullptr; node = node->next.load(std::memory_order_relaxed))
    if (node->priority == priority && node->visible(version)) return node;
  return nullptr;
}

RuleNode* Subtable::find(const Rule& rule) const {
  for (RuleNode* node = head(rule.match.value); node != nullptr; node = node->next.load(std::memory_order_relaxed))
    if (node->rule.get() == &rule && node->removed.load(std::memory_order_relaxed) == kNever) return node;
  return nullptr;
}

RuleNode* Subtable::link(RuleRef rule, std::uint64_t version, Garbage& garbage) {
  const Packed packed = pack(rule->match.value);
  auto* node = new RuleNode;
  node->added = version;
  node->priority = rule->priority;
  node->value = packed.words;
  node->rule = std::move(rule);
  ++priorities_[node->priority];
  max_priority_ = std::max(max_priority_, node->priority);

  // Earlier stages first: once the rule can be found, its way there is open.
  for (unsigned stage = 0; stage < last_stage_; ++stage) {
    if (!has_index(stage)) continue;
    auto* count = stages_[stage].place(packed.hashes[stage], [](std::uint32_t) { return true; });
    if (count != nullptr)
      count->store(count->load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    else
      stages_[stage].add(packed.hashes[stage], 1, [&](auto* array) { garbage.add(array); });
  }
  if (ports_length_ != 0) ports_.insert(ports_of(to_words(node->rule->match.value)[kPortsWord]), ports_length_);

  const std::uint64_t hash = packed.hashes[last_stage_];
  auto* edge = rules_.place(hash, [&](const RuleNode* other) { return other->value == packed.words; });
  if (edge == nullptr) {
    rules_.add(hash, node, [&](auto* array) { garbage.add(array); });
    return node;
  }
  for (RuleNode* other = edge->load(std::memory_order_relaxed); other != nullptr && other->priority > node->priority;
       other = edge->load(std::memory_order_relaxed))
    edge = &other->next;
  node->next.store(edge->load(std::memory_order_relaxed), std::memory_order_relaxed);
  edge->store(node, std::memory_order_release);
  return node;
}

void Subtable::unlink(RuleNode& node, Garbage& garbage) {
  const Packed packed = pack(node.rule->match.value);
  const std::uint64_t hash = packed.hashes[last_stage_];
  auto* const first = rules_.place(hash, [&](const RuleNode* other) { return other->value == packed.words; });
  auto* edge = first;
  while (edge->load(std::memory_order_relaxed) != &node) edge = &edge->load(std::memory_order_relaxed)->next;
  edge->store(node.next.load(std::memory_order_relaxed), std::memory_order_release);
  if (first->load(std::memory_order_relaxed) == nullptr) rules_.died();

  if (ports_length_ != 0)
    ports_.remove(ports_of(to_words(node.rule->match.value)[kPortsWord]), ports_length_,
                  [&](auto* gone) { garbage.add(gone); });
  for (unsigned stage = 0; stage < last_stage_; ++stage) {
    if (!has_index(stage)) continue;
    auto* count = stages_[stage].place(packed.hashes[stage], [](std::uint32_t) { return true; });
    count->store(count->load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
    if (count->load(std::memory_order_relaxed) == 0) stages_[stage].died();
  }
  const auto priority = priorities_.find(node.priority);
  if (--priority->second == 0) priorities_.erase(priority);
  max_priority_ = priorities_.empty() ? std::uint16_t{0} : priorities_.rbegin()->first;
  garbage.add(&node);
}

Subtable::Packed Subtable::pack(const FlowKey& value) const {
  const KeyWords words = to_words(value);
  Packed packed;
  std::uint64_t hash = seed_;
  unsigned i = 0;
  for (unsigned stage = 0; stage < kStages; ++stage) {
    for (; i < stage_end_[stage]; ++i) {
      packed.words[i] = words[word_[i]] & bits_[i];
      hash = hash_step(hash, packed.words[i]);
    }
    packed.hashes[stage] = hash;
  }
  return packed;
}

bool Subtable::has_index(unsigned stage) const { return stage_end_[stage] != (stage == 0 ? 0 : stage_end_[stage - 1]); }

}  // namespace shunt
