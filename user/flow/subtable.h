// SPDX-License-Identifier: Apache-2.0
// A subtable holds the rules of a classifier that have one mask.
//
// The mask's words are hashed stage by stage: metadata, L2, L3, L4. Each stage but the last has an index of the hashes
// that its rules have so far, so that a miss is known, and un-wildcarded, as early as possible. Part of the classifier:
// see there for threads. What readers may hold goes to the Garbage.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <vector>

#include "user/flow/flow_key.h"
#include "user/flow/hash_index.h"
#include "user/flow/prefix_trie.h"
#include "user/pipeline/rule.h"

namespace shunt {

inline constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();

// Memory that was unlinked, until no reader can be in it.
class Garbage {
 public:
  Garbage() = default;
  Garbage(const Garbage&) = delete;
  Garbage& operator=(const Garbage&) = delete;
  ~Garbage() { free(kNever); }
  // Freed once every reader holds `tag` or a later version; set before add().
  void set_tag(std::uint64_t tag) { tag_ = tag; }
  template <typename T>
  void add(T* object) {
    items_.push_back({tag_, object, [](void* at) { delete static_cast<T*>(at); }});
  }
  void free(std::uint64_t version);

 private:
  struct Item {
    std::uint64_t tag;
    void* object;
    void (*destroy)(void*);
  };
  std::uint64_t tag_ = 0;
  std::vector<Item> items_;
};

// The fields with prefix tries. Values are left-aligned in the trie's type.
enum TrieField : std::uint8_t { kIpv4Src, kIpv4Dst, kPortSrc, kPortDst, kIpv6Src, kIpv6Dst, kTrieFields };
inline constexpr unsigned kNarrowTries = 4;  // the first ones hold std::uint32_t, the others Bits128

std::uint32_t narrow_value(const KeyWords& words, unsigned field) noexcept;
Bits128 wide_value(const KeyWords& words, unsigned field) noexcept;
// Adds the field's first `bits` bits to a mask.
void add_prefix(KeyWords& mask, unsigned field, unsigned bits) noexcept;
// The prefix length of each field under a mask; 0 where the mask has no bit of it or is no prefix.
std::array<std::uint8_t, kTrieFields> prefix_lengths(const KeyWords& mask);

// A rule's place in a subtable, and when it is visible. Rules of equal values form a list, by descending priority.
struct RuleNode {
  std::atomic<RuleNode*> next{nullptr};
  std::uint64_t added = 0;
  std::atomic<std::uint64_t> removed{kNever};
  std::uint16_t priority = 0;
  RuleRef rule;
  std::array<std::uint64_t, kKeyWords> value{};  // packed: one word for each of the mask's
  [[nodiscard]] bool visible(std::uint64_t version) const noexcept {
    return added <= version && version < removed.load(std::memory_order_relaxed);
  }
};

inline std::uint64_t hash_step(std::uint64_t hash, std::uint64_t word) noexcept {
  hash = (hash ^ word) * 0xff51afd7ed558ccd;
  return hash ^ hash >> 32;
}

class Subtable {
 public:
  Subtable(const FlowMask& mask, std::uint64_t seed, std::uint32_t serial);
  ~Subtable();
  Subtable(const Subtable&) = delete;
  Subtable& operator=(const Subtable&) = delete;

  static constexpr unsigned kStages = 4;

  // Readers. The classifier walks the stages itself.
  [[nodiscard]] std::uint64_t seed() const noexcept { return seed_; }
  [[nodiscard]] unsigned word_count() const noexcept { return word_count_; }
  [[nodiscard]] unsigned stage_end(unsigned stage) const noexcept { return stage_end_[stage]; }
  [[nodiscard]] unsigned word(unsigned i) const noexcept { return word_[i]; }
  [[nodiscard]] std::uint64_t bits(unsigned i) const noexcept { return bits_[i]; }
  [[nodiscard]] bool stage_has(unsigned stage, std::uint64_t hash) const noexcept {
    return stages_[stage].contains(hash);
  }
  // The best visible rule with this packed value.
  [[nodiscard]] const RuleNode* find(std::uint64_t hash, const std::uint64_t* value,
                                     std::uint64_t version) const noexcept;
  // True where no rule has the key's ports; then adds to `examined` the bits that prove it.
  [[nodiscard]] bool no_such_ports(const KeyWords& key, KeyWords& examined) const noexcept;

  // Writer.
  [[nodiscard]] const FlowMask& mask() const { return mask_; }
  [[nodiscard]] RuleNode* find(const FlowKey& value, std::uint16_t priority, std::uint64_t version) const;
  [[nodiscard]] RuleNode* find(const Rule& rule) const;  // not yet removed
  RuleNode* link(RuleRef rule, std::uint64_t version, Garbage& garbage);
  void unlink(RuleNode& node, Garbage& garbage);
  [[nodiscard]] bool empty() const { return priorities_.empty(); }
  [[nodiscard]] std::uint16_t max_priority() const { return max_priority_; }  // not of an empty one
  [[nodiscard]] std::uint32_t serial() const { return serial_; }              // older subtables have lower ones
  // Set while the classifier's list of subtables is not up to date about this one.
  bool is_stale = false;
  template <typename Visit>
  void for_each(Visit visit) const {
    rules_.for_each([&](const RuleNode* head) {
      for (; head != nullptr; head = head->next.load(std::memory_order_acquire)) visit(*head);
    });
  }
  // The list of rules of this value, or nullptr.
  [[nodiscard]] RuleNode* head(const FlowKey& value) const;

 private:
  struct Packed {
    std::array<std::uint64_t, kKeyWords> words{};
    std::array<std::uint64_t, kStages> hashes{};  // after each stage
  };

  std::uint64_t seed_;
  std::uint8_t word_count_ = 0;
  std::array<std::uint8_t, kStages> stage_end_{};  // in word_, cumulative
  std::array<std::uint8_t, kKeyWords> word_{};     // of the key, in the order of the stages
  std::array<std::uint64_t, kKeyWords> bits_{};
  unsigned last_stage_ = 0;  // the last stage with words: `rules_` is its index
  std::array<HashIndex<std::uint32_t>, kStages - 1> stages_;
  HashIndex<RuleNode*> rules_;
  std::uint32_t ports_mask_ = 0;  // tp_src << 16 | tp_dst
  std::uint8_t ports_length_ = 0;
  PrefixTrie<std::uint32_t> ports_;
  FlowMask mask_;
  std::uint32_t serial_;
  std::uint16_t max_priority_ = 0;
  std::map<std::uint16_t, std::uint32_t> priorities_;  // of linked rules, visible or not

  [[nodiscard]] Packed pack(const FlowKey& value) const;
  [[nodiscard]] bool has_index(unsigned stage) const;
};

}  // namespace shunt
