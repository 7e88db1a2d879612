// SPDX-License-Identifier: Apache-2.0
// A classifier finds the highest-priority rule that matches a key, at any number of rules without a linear scan.
//
// Rules of many masks share a subtable, hashed by bits that all of their masks have, so that a look-up is a hash probe
// for each of a few subtables, by descending best priority, until no better rule can follow. Then it is proven by as
// few bits as possible that no better rule matches, so that the mask of the answer is as wide as can be. Rules whose
// only actions are `conjunction` are clauses of conjunctive matches (ovs-fields(7)): lookup() never returns one, but
// the rule that the conjunction's id finds.
//
// Rules are versioned: visible from the version that added them until the version that removed them. What a version
// adds is in force for its readers after publish(): call that before the version is handed to them.
// Threads: one writer; any number of readers, which never wait. Memory that readers may hold is freed by collect().
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "user/flow/flow_key.h"
#include "user/pipeline/rule.h"

namespace shunt {

class Classifier {
 public:
  Classifier();
  ~Classifier();
  Classifier(const Classifier&) = delete;
  Classifier& operator=(const Classifier&) = delete;

  // Readers. The best rule for `key` at `version`, or nullptr. Adds to `examined` each bit the answer depended on. The
  // pointer stays good while the reader holds its SwitchState.
  // Allocates nothing, but where the table has clauses.
  [[nodiscard]] const Rule* lookup(const PipelineKey& key, std::uint64_t version,
                                   PipelineMask& examined) const noexcept;

  // Readers. Whether exactly this rule is there, at `version`; and how many rules have the cookie, of the newest
  // version or of one that is being made. Neither looks at more than a few rules.
  [[nodiscard]] bool contains(const Match& match, std::uint16_t priority, std::uint64_t version) const noexcept;
  [[nodiscard]] std::uint32_t count(std::uint64_t cookie) const noexcept;

  // Writer. Versions never go down, but for the one that rollback() took back. A rule is in one classifier at a time.
  void insert(RuleRef rule, std::uint64_t version);      // visible from `version` on; no such rule may be visible there
  void remove(const Rule& rule, std::uint64_t version);  // invisible from `version` on
  void publish();                                        // lets readers of the newest version see it whole
  [[nodiscard]] RuleRef find(const Match& match, std::uint16_t priority,
                             std::uint64_t version) const;  // exactly this one
  [[nodiscard]] std::vector<RuleRef> rules(std::uint64_t version) const;
  // Rules that match no packet which `filter` does not match: OpenFlow's non-strict selection. Any priority.
  // Adds to `looked_at` how many were looked at.
  [[nodiscard]] std::vector<RuleRef> select(const Match& filter, std::uint64_t version, std::size_t& looked_at) const;
  [[nodiscard]] std::vector<RuleRef> select(const Match& filter, std::uint64_t version) const {
    std::size_t looked_at = 0;
    return select(filter, version, looked_at);
  }
  // select() in pieces, of a version that is published: goes on where `place` is, looks at about `most` rules and adds
  // those that `filter` selects; false: that was all. Between the calls nothing that the version sees is collected.
  struct Place {
    const void* list = nullptr;  // null: the beginning
    std::size_t subtable = 0;
    const void* array = nullptr;
    std::size_t entry = 0;
  };
  bool select_some(const Match& filter, std::uint64_t version, Place& place, std::size_t most,
                   std::vector<RuleRef>& selected) const;
  // A rule of this priority that some packet meets which `match` matches too; null: none.
  [[nodiscard]] RuleRef find_overlap(const Match& match, std::uint16_t priority, std::uint64_t version,
                                     std::size_t& looked_at) const;
  [[nodiscard]] std::size_t size() const;        // visible at the newest version
  [[nodiscard]] std::size_t page_bytes() const;  // of its memory, what it has in pages of its own and not from malloc
  void rollback(std::uint64_t version);          // undoes insert() and remove() at `version`, the newest one
  // Takes apart what no reader at `version` or later can see. Readers hold versions from `version` to `newest`. What
  // they may be looking at just now is freed by a later call, whose `version` is above this one's `newest`.
  void collect(std::uint64_t version, std::uint64_t newest);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace shunt
