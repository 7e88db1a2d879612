// SPDX-License-Identifier: Apache-2.0
// Shunt against other switches, and against two programs that do less: packets a second that arrive, and CPU time a
// packet. Each has a lane of its own, with the same generator and sink: the first core is the generator's and whatever
// forwards within its softirqs, the second that of switches that poll. All are measured in turns within one run, so
// that a machine that is slower for a while is slower for all of them; who is not in its turn is halted.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <string_view>

#include "tests/bench/bench_main.h"
#include "tests/bench/measurement.h"
#include "tests/bench/rule_traffic.h"
#include "user/base/error.h"

namespace shunt::bench {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kSeed = 1;
constexpr auto kEachName = "Shunt, each flow cached";

enum class Spreading { kUniform, kZipf };

struct RuleSet {
  const char* kind;
  std::size_t count;
};

// One table's subject: all contestants forward the same packets.
struct Cell {
  std::uint32_t frame_size = 64, flow_count = 1'000;
  Spreading spreading = Spreading::kUniform;
  const char* rules = kNormalRule;  // where there is no rule set
  std::optional<RuleSet> rule_set{};
};

struct Plan {
  int rounds = 3;
  Window window;
  std::uint32_t zipf_draws = 4'000'000;
  std::chrono::seconds patience{60};
  std::vector<Cell> cells;
  std::string with;  // only contestants whose names have this in them, besides Shunt and the baselines
};

// A contestant and what is known of it.
struct Entrant {
  std::unique_ptr<Contestant> contestant;
  bool takes_rules = false;
  bool caches_each_flow = false;  // is there to compare rule sets with: numbered flows, each cached by itself
  std::string rules{};            // that it has now
  // Of this cell:
  SequencePart part{};
  std::vector<Sample> samples{};
  std::string note{}, failure{};
};

std::string describe(const Cell& cell) {
  const std::string rules = cell.rule_set ? fmt::format("{} rules ({})", cell.rule_set->count, cell.rule_set->kind)
                            : cell.rules == kOneRule ? std::string{"one rule"}
                                                     : std::string{"`normal`"};
  return fmt::format("{} bytes, {} flow{}{}, {}", cell.frame_size, cell.flow_count, cell.flow_count == 1 ? "" : "s",
                     cell.spreading == Spreading::kZipf ? ", Zipf" : "", rules);
}

class Comparison {
 public:
  explicit Comparison(Plan plan);
  int run_all();  // exit status

 private:
  Plan plan_;
  std::vector<Lane> lanes_;
  std::optional<Traffic> traffic_;
  std::vector<Entrant> entrants_;
  int status_ = 0;

  void enter(const ContestantKind& kind, const std::string& name, const Lane& lane, bool caches_each_flow = false);
  void run_cell(const Cell& cell);
  bool takes_part(const Entrant& entrant, const Cell& cell) const;
  void prepare(Entrant& entrant, const std::string& rules, SequencePart all);
  void take_turn(Entrant& entrant);
  void report(const Cell& cell) const;
  struct Yardsticks {
    const Entrant *nobody, *baseline, *shunt;  // null where one has failed
  };
  void report(const Entrant& entrant, const Yardsticks& yardsticks) const;

  // Runs `action`; where it throws, that is the entrant's failure, and the others go on.
  template <typename Action>
  void attempt(Entrant& entrant, Action action) {
    try {
      action();
    } catch (const std::exception& error) {
      traffic_->stop_sending();
      entrant.failure = error.what();
      status_ = 1;
    }
  }
};

Comparison::Comparison(Plan plan) : plan_{std::move(plan)} {
  std::vector<ContestantKind> kinds;
  for (const ContestantKind& kind : contestant_kinds()) {
    const std::string name = kind.name;
    const bool always = kinds.size() < kAlwaysThere;
    if (!always && name.find(plan_.with) == std::string::npos) continue;
    if (const auto missing = kind.missing())
      fmt::print("{}: skipped: {}\n", name, *missing);
    else
      kinds.push_back(kind);
  }
  const bool rule_sets = std::ranges::any_of(plan_.cells, [](const Cell& cell) { return cell.rule_set.has_value(); });
  lanes_ = make_lanes(static_cast<unsigned>(kinds.size()) + 1);
  std::uint32_t most = 0;
  for (const Cell& cell : plan_.cells) most = std::max(most, cell.flow_count);
  traffic_.emplace(lanes_, 2 * most + plan_.zipf_draws);
  for (std::size_t i = 0; i < kinds.size(); i++) {
    enter(kinds[i], kinds[i].name, lanes_[i]);
    if (rule_sets && kinds[i].name == std::string_view{kShuntName}) {
      enter(kinds[i], kEachName, lanes_.back(), true);
    }
  }
}

void Comparison::enter(const ContestantKind& kind, const std::string& name, const Lane& lane, bool caches_each_flow) {
  try {
    auto contestant = kind.make(name, *traffic_, lane);
    contestant->halt();
    entrants_.push_back(
        {.contestant = std::move(contestant), .takes_rules = kind.takes_rules, .caches_each_flow = caches_each_flow});
  } catch (const std::exception& error) {
    fmt::print("{}: FAILED: {}\n", name, error.what());
    status_ = 1;
  }
}

int Comparison::run_all() {
  for (const Cell& cell : plan_.cells) {
    run_cell(cell);
    report(cell);
  }
  return status_;
}

bool Comparison::takes_part(const Entrant& entrant, const Cell& cell) const {
  if (entrant.caches_each_flow) return cell.rule_set.has_value();
  return entrant.takes_rules || !cell.rule_set;
}

void Comparison::run_cell(const Cell& cell) {
  // The sequence: the flows in random order, then numbered ones likewise, then draws of the first by Zipf's law.
  std::vector<sequence_entry> sequence = numbered_flows(cell.flow_count);
  std::string rules = cell.rules;
  if (cell.rule_set) {
    RuleTraffic made = make_rule_traffic(cell.rule_set->kind, cell.rule_set->count, cell.flow_count, kSeed);
    sequence = std::move(made.flows);
    rules = std::move(made.rules);
  }
  shuffle(sequence, kSeed);
  traffic_->fill_lookup_table(sequence);
  const SequencePart all{0, cell.flow_count}, numbered{cell.flow_count, cell.flow_count};
  SequencePart measured = all;
  if (cell.rule_set) {
    std::vector<sequence_entry> flows = numbered_flows(cell.flow_count);
    shuffle(flows, kSeed);
    sequence.insert(sequence.end(), flows.begin(), flows.end());
  }
  if (cell.spreading == Spreading::kZipf) {
    measured = {static_cast<std::uint32_t>(sequence.size()), plan_.zipf_draws};
    const auto draws = zipf_sequence(std::span{sequence}.first(cell.flow_count), plan_.zipf_draws, kSeed);
    sequence.insert(sequence.end(), draws.begin(), draws.end());
  }
  traffic_->set_sequence(sequence);
  traffic_->set_frame_size(cell.frame_size);

  for (Entrant& entrant : entrants_) {
    entrant.samples.clear();
    entrant.note.clear();
    entrant.failure.clear();
    if (!takes_part(entrant, cell)) continue;
    const bool each = entrant.caches_each_flow;
    entrant.part = each ? numbered : measured;
    attempt(entrant, [&] { prepare(entrant, each ? kNormalRule + rules_for_each_flow() : rules, each ? numbered : all); });
  }
  for (int round = 0; round < plan_.rounds; round++)
    for (Entrant& entrant : entrants_)
      if (takes_part(entrant, cell) && entrant.failure.empty()) attempt(entrant, [&] { take_turn(entrant); });
}

void Comparison::prepare(Entrant& entrant, const std::string& rules, SequencePart all) {
  Contestant& contestant = *entrant.contestant;
  contestant.resume();
  if (entrant.rules != rules) {
    entrant.rules.clear();
    contestant.set_rules(rules);
    entrant.rules = rules;
  }
  if (!warm_up(*traffic_, contestant, all, plan_.patience))
    entrant.note = fmt::format("still missing after {} s; ", plan_.patience.count());
  contestant.halt();
}

void Comparison::take_turn(Entrant& entrant) {
  Contestant& contestant = *entrant.contestant;
  contestant.resume();
  pause_for(100ms);
  entrant.samples.push_back(measure(*traffic_, contestant, entrant.part, plan_.window));
  if (entrant.samples.size() == static_cast<std::size_t>(plan_.rounds)) entrant.note += contestant.cache_size();
  contestant.halt();
}

// The median of ratios within a round.
double median_ratio(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); i++) ratios.push_back(a[i] / b[i]);
  return spread_of(ratios).median;
}

std::vector<double> by_round(const Entrant& entrant, double Sample::*figure) {
  std::vector<double> values;
  for (const Sample& sample : entrant.samples) values.push_back(sample.*figure);
  return values;
}

double median(const Entrant& entrant, double Sample::*figure) { return spread_of(by_round(entrant, figure)).median; }

double ratio(const Entrant& a, const Entrant& b, double Sample::*figure) {
  return median_ratio(by_round(a, figure), by_round(b, figure));
}

// CPU time a packet beyond what generator and sink took in the same round; that of lost packets is nobody's.
std::vector<double> own_cpu(const Entrant* entrant, const Entrant* nobody) {
  if (entrant == nullptr || nobody == nullptr || entrant == nobody) return {};
  std::vector<double> own = by_round(*entrant, &Sample::cpu_without_lost);
  const std::vector<double> least = by_round(*nobody, &Sample::cpu_without_lost);
  own.resize(std::min(own.size(), least.size()));
  for (std::size_t i = 0; i < own.size(); i++) own[i] -= least[i];
  return own;
}

void Comparison::report(const Cell& cell) const {
  fmt::print("\n{} (medians of {} rounds)\n", describe(cell), plan_.rounds);
  fmt::print("{:<28} {:>6} {:>6} {:>6} {:>5} {:>6} {:>6} {:>6} {:>6} {:>6} {:>7} {:>6} {:>6} {:>6} {:>6}  {}\n", "",
             "Mpps", "min", "max", "of A", "ns>A", "sent", "us CPU", "-lost", "own", "Shunt x", "CPU x", "-lost",
             "own x", "others", "cached at the end");
  const auto find = [&](std::string_view name) -> const Entrant* {
    const auto found = std::ranges::find_if(entrants_, [&](const Entrant& entrant) {
      return entrant.contestant->name() == name && entrant.failure.empty() && !entrant.samples.empty();
    });
    return found == entrants_.end() ? nullptr : &*found;
  };
  const Yardsticks yardsticks{find(kNobodyName), find(kBaselineName), find(kShuntName)};
  for (const Entrant& entrant : entrants_)
    if (takes_part(entrant, cell)) report(entrant, yardsticks);
  std::fflush(stdout);
}

void Comparison::report(const Entrant& entrant, const Yardsticks& yardsticks) const {
  const auto& [nobody, baseline, shunt] = yardsticks;
  const std::string& name = entrant.contestant->name();
  if (!entrant.failure.empty()) {
    fmt::print("{:<28} FAILED: {}\n", name, entrant.failure);
    return;
  }
  std::vector<double> rates;
  for (const Sample& sample : entrant.samples) rates.push_back(sample.delivered);
  const Spread rate = spread_of(rates);
  fmt::print("{:<28} {:>6.3f} {:>6.3f} {:>6.3f}", name, rate.median, rate.min, rate.max);
  if (baseline != nullptr)
    fmt::print(" {:>5.2f} {:>6.0f}", ratio(entrant, *baseline, &Sample::delivered),
               1000 / rate.median - 1000 / median(*baseline, &Sample::delivered));
  else
    fmt::print(" {:>5} {:>6}", "-", "-");
  fmt::print(" {:>6.3f} {:>6.3f} {:>6.3f}", median(entrant, &Sample::sent), median(entrant, &Sample::cpu),
             median(entrant, &Sample::cpu_without_lost));
  const std::vector<double> own = own_cpu(&entrant, nobody), own_of_shunt = own_cpu(shunt, nobody);
  if (own.empty())
    fmt::print(" {:>6}", "-");
  else
    fmt::print(" {:>6.3f}", spread_of(own).median);
  if (shunt != nullptr)
    fmt::print(" {:>7.2f} {:>6.2f} {:>6.2f}", ratio(*shunt, entrant, &Sample::delivered),
               ratio(entrant, *shunt, &Sample::cpu), ratio(entrant, *shunt, &Sample::cpu_without_lost));
  else
    fmt::print(" {:>7} {:>6} {:>6}", "-", "-", "-");
  if (own.empty() || own_of_shunt.empty())
    fmt::print(" {:>6}", "-");
  else
    fmt::print(" {:>6.1f}", median_ratio(own, own_of_shunt));
  fmt::print(" {:>5.0f}%", 100 * median(entrant, &Sample::disturbance));
  fmt::print("  {}\n", entrant.note);
}

constexpr RuleSet kRuleSets[] = {{"acl", 10'000},  {"fw", 10'000},  {"ipc", 10'000},
                                 {"acl", 100'000}, {"fw", 100'000}, {"ipc", 100'000}};

// What can be asked for by name, and in which order it is measured.
using Questions = std::vector<std::pair<const char*, std::vector<Cell>>>;

Questions questions() {
  Questions all{{"flows", {}}, {"zipf", {}}, {"one-rule", {}}, {"sizes", {}}, {"rules", {}}};
  for (const std::uint32_t flows : {1u, 1'000u, 100'000u, 1'000'000u}) all[0].second.push_back({.flow_count = flows});
  for (const std::uint32_t flows : {100'000u, 1'000'000u})
    all[1].second.push_back({.flow_count = flows, .spreading = Spreading::kZipf});
  all[2].second.push_back({.flow_count = 100'000, .rules = kOneRule});
  for (const std::uint32_t size : {512u, 1500u}) all[3].second.push_back({.frame_size = size});
  // 10,000 flows, since Open vSwitch needs a millisecond for each that it caches; of one set more.
  for (const RuleSet& set : kRuleSets) all[4].second.push_back({.flow_count = 10'000, .rule_set = set});
  all[4].second.push_back({.flow_count = 100'000, .rule_set = kRuleSets[0]});
  return all;
}

std::vector<Cell> full_matrix() {
  std::vector<Cell> cells;
  for (const std::uint32_t size : {64u, 512u, 1500u})
    for (const Spreading spreading : {Spreading::kUniform, Spreading::kZipf}) {
      for (const char* rules : {kNormalRule, kOneRule})
        for (const std::uint32_t flows : {1u, 1'000u, 100'000u, 1'000'000u})
          if (flows != 1 || spreading == Spreading::kUniform) cells.push_back({size, flows, spreading, rules, {}});
      for (const RuleSet& set : kRuleSets) cells.push_back({size, 100'000, spreading, kNormalRule, set});
    }
  return cells;
}

std::vector<Cell> quick_cells() {
  return {{.flow_count = 1},
          {.flow_count = 100'000},
          {.flow_count = 100'000, .spreading = Spreading::kZipf},
          {.frame_size = 1500},
          {.flow_count = 100'000, .rule_set = RuleSet{"acl", 10'000}}};
}

constexpr auto kUsage =
    "usage: peers_bench [--quick | --full | --only QUESTION]... [--with NAME] [--rounds N]\n"
    "  QUESTION: flows, zipf, one-rule, sizes, rules; without --only each of them\n"
    "  --with NAME: besides Shunt and the baselines only peers whose name has NAME in it\n";

Plan plan_of(int argc, char** argv) {
  Plan plan;
  const auto value = [&](int& i) -> std::string_view {
    if (++i == argc) throw Error("{} takes a value\n{}", argv[i - 1], kUsage);
    return argv[i];
  };
  for (int i = 1; i < argc; i++) {
    const std::string_view option{argv[i]};
    if (option == "--quick") {
      plan.cells = quick_cells();
      plan.rounds = 1;
      plan.zipf_draws = 1'000'000;
      plan.patience = 20s;
      plan.window = {100ms, 300ms};
    } else if (option == "--full") {
      plan.cells = full_matrix();
      plan.patience = 300s;
    } else if (option == "--only") {
      const std::string_view name = value(i);
      const Questions all = questions();
      const auto found = std::ranges::find_if(all, [&](const auto& question) { return name == question.first; });
      if (found == all.end()) throw Error("'{}': no question\n{}", name, kUsage);
      plan.cells.insert(plan.cells.end(), found->second.begin(), found->second.end());
    } else if (option == "--with") {
      plan.with = value(i);
    } else if (option == "--rounds") {
      plan.rounds = std::max(1, std::atoi(std::string{value(i)}.c_str()));
    } else {
      throw Error("what is '{}'?\n{}", option, kUsage);
    }
  }
  if (plan.cells.empty())
    for (const auto& [name, cells] : questions()) plan.cells.insert(plan.cells.end(), cells.begin(), cells.end());
  return plan;
}

}  // namespace
}  // namespace shunt::bench

int main(int argc, char** argv) {
  using namespace shunt::bench;
  return run_as_root("peers_bench", [&] { return Comparison{plan_of(argc, argv)}.run_all(); });
}
