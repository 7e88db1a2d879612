// SPDX-License-Identifier: Apache-2.0
// What the classifier costs and makes: one thread, rule sets in the manner of ClassBench's seeds, next to tuple space
// search over the same rules and packets.
//
//   classifier_bench                1k, 10k and 100k rules
//   classifier_bench --large        1M, too
//   classifier_bench --flows 100000 as many flows for the count of megaflows (minutes for the larger sets)
#include <fmt/format.h>
#include <malloc.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <random>
#include <span>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "tests/bench/tuple_space.h"
#include "tests/support/class_bench.h"
#include "user/base/error.h"
#include "user/flow/classifier.h"

using namespace shunt;

namespace {

// CPU time of this thread in ns: other work on the machine shows less than in elapsed time.
double cpu_now() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

// The median of some runs, in ns a round.
template <typename Run>
double measure(int runs, std::size_t rounds, Run run) {
  std::vector<double> results;
  for (int i = 0; i < runs; ++i) {
    const double start = cpu_now();
    for (std::size_t r = 0; r < rounds; ++r) run(r);
    results.push_back((cpu_now() - start) / static_cast<double>(rounds));
  }
  std::sort(results.begin(), results.end());
  return results[results.size() / 2];
}

std::size_t heap_bytes() {
  const auto info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

struct Cached {
  std::size_t megaflows, masks;
  double bits;  // of a mask, on average
};

// The words of a key that these rules look at: eth_type, nw_proto, ports, addresses.
using FiveWords = std::array<std::uint64_t, 5>;
FiveWords five_words(const PipelineKey& key) {
  const PipelineWords words = to_words(key);
  return {words[2], words[4], words[5], words[7], words[9]};
}
struct FiveWordsHash {
  std::size_t operator()(const FiveWords& words) const {
    std::uint64_t hash = 0;
    for (const auto word : words) hash = hash_step(hash, word);
    return hash * 0xc4ceb9fe1a85ec53 >> 8;
  }
};

// What a cache of megaflows holds after these packets: one is looked up only if no megaflow covers it.
template <typename Lookup>
Cached cached(std::span<const PipelineKey> keys, Lookup lookup) {
  const auto under = [](FiveWords words, const FiveWords& mask) {
    for (std::size_t i = 0; i < words.size(); ++i) words[i] &= mask[i];
    return words;
  };
  std::vector<std::pair<FiveWords, std::unordered_set<FiveWords, FiveWordsHash>>> by_mask;
  std::unordered_map<FiveWords, std::size_t, FiveWordsHash> index;
  Cached result{};
  for (const PipelineKey& key : keys) {
    const FiveWords words = five_words(key);
    const auto covers = [&](const auto& flows) { return flows.second.contains(under(words, flows.first)); };
    if (std::any_of(by_mask.begin(), by_mask.end(), covers)) continue;
    PipelineMask examined{};
    lookup(key, examined);
    const FiveWords mask = five_words(examined);
    const auto [at, is_new] = index.try_emplace(mask, by_mask.size());
    if (is_new) by_mask.push_back({mask, {}});
    by_mask[at->second].second.insert(under(words, mask));
    ++result.megaflows;
    for (const auto word : mask) result.bits += std::popcount(word);
  }
  result.masks = by_mask.size();
  result.bits /= static_cast<double>(result.megaflows);
  return result;
}

// Looks up all the time, in a thread of its own, at the newest version that it was told of.
class Reader {
 public:
  Reader(const Classifier& table, std::span<const PipelineKey> keys, std::uint64_t version)
      : newest_{version}, thread_{[this, &table, keys] { run(table, keys); }} {}
  ~Reader() {
    ended_ = true;
    thread_.join();
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  void publish(std::uint64_t version) { newest_ = version; }
  [[nodiscard]] std::uint64_t oldest(std::uint64_t version) const { return std::min<std::uint64_t>(held_, version); }
  [[nodiscard]] std::uint64_t lookups() const { return lookups_; }

 private:
  static constexpr std::uint64_t kNone = ~std::uint64_t{0};
  std::atomic<std::uint64_t> newest_, held_{kNone}, lookups_{0};
  std::atomic<bool> ended_{false};
  std::thread thread_;  // the last: it uses the others

  void run(const Classifier& table, std::span<const PipelineKey> keys) {
    for (std::size_t i = 0; !ended_; i = i + 1 == keys.size() ? 0 : i + 1) {
      std::uint64_t version = newest_;
      for (held_ = version; version != newest_; held_ = version) version = newest_;
      PipelineMask examined{};
      if (table.lookup(keys[i], version, examined) == nullptr) std::abort();
      held_ = kNone;
      lookups_.store(lookups_ + 1, std::memory_order_relaxed);
    }
  }
};

// Rules that are there already come and go once more with another priority. `reader`: who reads meanwhile, if anybody.
struct Update {
  double insert, remove;  // ns a rule
};
Update measure_updates(Classifier& table, const std::vector<RuleRef>& rules, std::size_t batch, std::uint64_t& version,
                       Reader* reader) {
  constexpr std::size_t kUpdates = 16'384;
  std::vector<RuleRef> extra;
  std::mt19937_64 random{7};
  for (std::size_t i = 0; i < kUpdates; ++i) {
    auto rule = std::make_shared<Rule>();
    rule->match = rules[random() % rules.size()]->match;
    rule->priority = static_cast<std::uint16_t>(1 + random() % 65'000);
    extra.push_back(std::move(rule));
  }
  const auto publish = [&] {
    table.publish();
    if (reader != nullptr) reader->publish(version);
  };
  const auto oldest = [&] { return reader == nullptr ? version : reader->oldest(version); };
  std::vector<double> inserts, removes;
  for (int run = 0; run < 3; ++run) {
    double start = cpu_now();
    for (std::size_t i = 0; i < kUpdates; ++i) {
      if (i % batch == 0) ++version;
      table.insert(extra[i], version);
      if (i % batch == batch - 1) publish();
    }
    inserts.push_back((cpu_now() - start) / kUpdates);
    start = cpu_now();
    for (std::size_t i = 0; i < kUpdates; ++i) {
      if (i % batch == 0) ++version;
      table.remove(*extra[i], version);
      if (i % batch != batch - 1) continue;
      publish();
      table.collect(oldest(), version);
    }
    for (int i = 0; i < 2; ++i, ++version) {  // what a reader has kept so far goes as well
      while (oldest() < version) std::this_thread::yield();
      table.collect(version, version);
      if (reader != nullptr) reader->publish(version + 1);
    }
    removes.push_back((cpu_now() - start) / kUpdates);
  }
  std::sort(inserts.begin(), inserts.end());
  std::sort(removes.begin(), removes.end());
  return {inserts[1], removes[1]};
}

void report(const RuleMix& mix, std::size_t count, std::size_t flow_count) {
  std::mt19937_64 random{count};
  const auto rules = rules_of(mix, count, random);
  const bool is_large = count > 100'000;
  const std::size_t before = heap_bytes();
  Classifier table;
  std::uint64_t version = 1;
  const double start = cpu_now();
  for (const RuleRef& rule : rules) table.insert(rule, version);
  table.publish();
  const double load = (cpu_now() - start) / static_cast<double>(count);
  table.collect(version, version);
  table.collect(version + 1, version + 1);
  ++version;
  const double bytes = static_cast<double>(heap_bytes() - before + table.page_bytes()) / static_cast<double>(count);

  std::vector<PipelineKey> keys, flows;
  for (int i = 0; i < 16'384; ++i) keys.push_back(packet_of(rules, random));
  for (std::size_t i = 0; i < flow_count; ++i) flows.push_back(packet_of(rules, random));
  const auto ours = [&](const PipelineKey& key, PipelineMask& mask) {
    if (table.lookup(key, version, mask) == nullptr) std::abort();
  };
  PipelineMask scratch{};
  const double lookup = measure(5, keys.size(), [&](std::size_t i) {
    scratch = {};
    ours(keys[i], scratch);
  });
  const TupleSpace tuples{rules};
  const auto theirs = [&](const PipelineKey& key, PipelineMask& mask) {
    if (tuples.lookup(key, mask) == nullptr) std::abort();
  };
  const double tuple_lookup = measure(is_large ? 1 : 3, keys.size(), [&](std::size_t i) {
    scratch = {};
    theirs(keys[i], scratch);
  });
  const Update single = measure_updates(table, rules, 1, version, nullptr);
  const Update batch = measure_updates(table, rules, 256, version, nullptr);
  Update beside;
  {
    Reader reader{table, keys, version};
    beside = measure_updates(table, rules, 1, version, &reader);
    if (reader.lookups() == 0) throw Error("the reader has read nothing: updates beside it say nothing");
  }
  fmt::print(
      "{:<4} {:>7} {:>6} {:>8.0f} {:>8.0f} {:>6.1f} {:>7.0f} {:>7.0f} {:>7.0f} {:>7.0f} {:>7.0f} {:>7.0f} {:>7.0f} "
      "{:>6.0f}",
      mix.name, count, tuples.tuple_count(), lookup, tuple_lookup, tuple_lookup / lookup, load, single.insert,
      single.remove, batch.insert, batch.remove, beside.insert, beside.remove, bytes);
  const Cached a = cached(flows, ours), b = cached(flows, theirs);
  fmt::print(" {:>6} {:>9} {:>6} {:>5.1f} {:>9} {:>6} {:>5.1f}\n", flow_count, a.megaflows, a.masks, a.bits,
             b.megaflows, b.masks, b.bits);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  std::size_t least = 1'000, most = 100'000, flows = 0;
  for (int i = 1; i < argc; ++i) {
    const std::string_view option{argv[i]};
    if (option == "--quick") {
      most = 10'000;
    } else if (option == "--large") {
      most = 1'000'000;
    } else if (option == "--only-large") {
      least = most = 1'000'000;
    } else if (option == "--flows" && i + 1 < argc) {
      flows = std::strtoul(argv[++i], nullptr, 10);
    } else {
      fmt::print(stderr, "usage: {} [--quick | --large | --only-large] [--flows COUNT]\n", argv[0]);
      return 2;
    }
  }
  fmt::print(
      "ns a look-up or rule (beside: while another thread looks up); bytes a rule, without the Rule; megaflows and "
      "masks in a cache after some flows\n");
  fmt::print(
      "{:<4} {:>7} {:>6} {:>8} {:>8} {:>6} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>6} {:>6} {:>9} {:>6} {:>5} "
      "{:>9} {:>6} "
      "{:>5}\n",
      "mix", "rules", "tuples", "look-up", "tuple s.", "ratio", "load", "insert", "remove", "in 256", "in 256",
      "beside", "beside", "bytes", "flows", "megaflows", "masks", "bits", "tuple s.", "masks", "bits");
  // Telling whether a megaflow covers a flow asks every mask: fewer flows where rules make many.
  for (const auto& [count, default_flows] :
       {std::pair{1'000u, 100'000u}, {10'000u, 20'000u}, {100'000u, 10'000u}, {1'000'000u, 10'000u}})
    for (const RuleMix& mix : rule_mixes())
      if (count >= least && count <= most) report(mix, count, flows != 0 ? flows : default_flows);
}
