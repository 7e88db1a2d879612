// SPDX-License-Identifier: Apache-2.0
// Conjunctive match (ovs-fields(7), conj_id): a packet that meets all clauses of a conjunction, at one priority above
// that of the best other rule, is looked up once more with conj_id set, past all clauses.
#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <span>
#include <utility>
#include <variant>

#include "user/flow/search.h"

namespace shunt {

namespace {

// Ids whose clauses are all there among rules of one priority, ascending.
std::vector<std::uint32_t> complete_ids(std::span<const Found> clauses) {
  std::map<std::pair<std::uint32_t, std::uint8_t>, std::uint64_t> met;  // (id, number of clauses) -> bit per clause
  for (const Found& clause : clauses)
    for (const Action& action : clause.node->rule->actions)
      if (const auto* c = std::get_if<ConjunctionAction>(&action))
        met[{c->id, c->clause_count}] |= std::uint64_t{1} << (c->clause & 63);
  std::vector<std::uint32_t> ids;
  for (const auto& [which, bits] : met)
    if (std::popcount(bits) == which.second) ids.push_back(which.first);
  return ids;
}

}  // namespace

const RuleNode* Search::run_with_clauses() {
  trusts_entries_ = false;
  const Found hard = find_best();
  const int floor = hard.priority;
  const std::vector<Found> clauses = matching_clauses(floor);
  for (auto begin = clauses.begin(); begin != clauses.end();) {
    const int priority = begin->priority;
    const auto end =
        std::find_if(begin, clauses.end(), [&](const Found& clause) { return clause.priority < priority; });
    for (const std::uint32_t id : complete_ids({begin, end})) {
      const RuleNode* found = second_search(id);
      if (found == nullptr) continue;
      // A rule of the clauses' priority that is no clause would have won: the proof takes it in.
      begin_proofs(priority - 1);
      prove(Clauses::kMatter);
      return found;
    }
    begin = end;
  }
  if (hard) examine(hard);
  begin_proofs(floor);
  prove(Clauses::kMatter);
  return hard.node;
}

// By descending priority.
std::vector<Found> Search::matching_clauses(int above) const {
  std::vector<Found> clauses;
  Candidates candidates{list_, lengths_};
  for (std::size_t at = candidates.next(); at < list_.size() && list_[at].max_priority > above;
       at = candidates.next()) {
    const Subtable& subtable = *list_[at].subtable;
    const Chain chain = subtable.chain(chain_at(at).chain);
    const auto entries = chain.entries();
    const std::uint64_t tail = subtable.tail(key_);
    for (std::size_t i = 0; i < entries.size() && entries[i].priority > above; ++i) {
      if (!entries[i].is_clause || entries[i].differ(tail) != 0) continue;
      const Found found{&chain.node(entries[i]), &subtable, entries[i].priority};
      if (is_match(found)) clauses.push_back(found);
    }
  }
  std::stable_sort(clauses.begin(), clauses.end(),
                   [](const Found& a, const Found& b) { return a.priority > b.priority; });
  return clauses;
}

// The id follows from what the first search examined: bits of it need no mention.
const RuleNode* Search::second_search(std::uint32_t conj_id) const {
  PipelineKey key = from_words(key_);
  const be32 wire{conj_id};
  std::memcpy(key.conj_id.data(), &wire, sizeof wire);
  const PipelineWords words = to_words(key);
  PipelineWords examined{};
  const RuleNode* found = Search{list_, addresses_, words, version_, examined}.run();
  PipelineKey mask = from_words(examined);
  mask.conj_id = {};
  examined = to_words(mask);
  for (std::size_t i = 0; i < kPipelineWords; ++i) examined_[i] |= examined[i];
  return found;
}

}  // namespace shunt
