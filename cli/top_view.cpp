// SPDX-License-Identifier: Apache-2.0
#include "cli/top_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <utility>

#include "cli/pace.h"

namespace shunt::cli {
namespace {

using Kind = TopLine::Kind;

std::string text_of(const Json& value) { return value.is_null() ? "-" : value.get<std::string>(); }
double number_of(const Json& object, const char* name) { return object.at(name).get<double>(); }
std::string port_name(const Json& port) { return text_of(port.at("bridge")) + '/' + text_of(port.at("name")); }

// In two or three digits.
std::string duration(double seconds) {
  const auto in = [](double value, const char* unit) {
    return fmt::format("{:.{}f}{}", value, value < 10 ? 1 : 0, unit);
  };
  if (seconds < 1e-3) return in(seconds * 1e6, "us");
  if (seconds < 1) return in(seconds * 1e3, "ms");
  return in(seconds, "s");
}

std::string percent(double part, double whole) { return whole > 0 ? fmt::format("{:.1f} %", 100 * part / whole) : "-"; }

// What grew from one reading to the other, a second; what began anew in between counts from 0.
class Growth {
 public:
  Growth(const Json& before, const Json& after) : seconds_{number_of(after, "time_s") - number_of(before, "time_s")} {
    for (const Json& port : before.at("ports")) ports_[port_name(port)] = &port;
    for (const Json& flow : before.at("flows")) flows_[text_of(flow.at("id"))] = &flow;
  }
  double of_port(const Json& port, const char* name) const { return of(ports_, port_name(port), port, name); }
  double of_flow(const Json& flow, const char* name) const { return of(flows_, text_of(flow.at("id")), flow, name); }
  bool knows_flow(const Json& flow) const { return flows_.contains(text_of(flow.at("id"))); }
  // Of counters by reason, which are there only where they are not 0.
  double of_reason(const Json& port, const char* counters, const std::string& reason) const {
    const auto found = ports_.find(port_name(port));
    const double now = port.at(counters).value(reason, 0.0);
    return a_second(now, found == ports_.end() ? now : found->second->at(counters).value(reason, 0.0));
  }
  double a_second(double now, double then) const { return seconds_ > 0 && now >= then ? (now - then) / seconds_ : 0; }

 private:
  using Known = std::map<std::string, const Json*>;
  double of(const Known& known, const std::string& key, const Json& object, const char* name) const {
    const auto found = known.find(key);
    return found == known.end() ? 0 : a_second(number_of(object, name), number_of(*found->second, name));
  }

  double seconds_;
  Known ports_, flows_;
};

double sum(const Json& ports, const std::function<double(const Json&)>& figure) {
  double total = 0;
  for (const Json& port : ports) total += figure(port);
  return total;
}

// By reason, over all ports: what grew, the most first.
std::vector<std::pair<double, std::string>> growth_by_reason(const Growth& growth, const Json& ports,
                                                             const char* counters) {
  std::map<std::string, double> rates;
  for (const Json& port : ports)
    for (const auto& [reason, count] : port.at(counters).items())
      rates[reason] += growth.of_reason(port, counters, reason);
  std::vector<std::pair<double, std::string>> sorted;
  for (const auto& [reason, rate] : rates)
    if (rate > 0) sorted.emplace_back(rate, reason);
  std::ranges::sort(sorted, std::greater{});
  return sorted;
}

std::string reasons_text(const std::vector<std::pair<double, std::string>>& rates) {
  if (rates.empty()) return "none";
  std::string text;
  for (const auto& [rate, reason] : rates)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", reason, rate_text(rate));
  return text;
}

// The time that 99 of 100 did not exceed, as far as the buckets tell.
std::string at_most(const Json& latencies, const Json& bounds) {
  double left = latencies.at("count").get<double>() * 0.99;
  std::size_t bucket = 0;
  for (const Json& count : latencies.at("buckets")) {
    left -= count.get<double>();
    if (left <= 0) return bucket < bounds.size() ? duration(bounds[bucket].get<double>()) : ">1s";
    ++bucket;
  }
  return "-";
}

std::string latency_text(const Json& after) {
  std::string text;
  for (const auto& [stage, latencies] : after.at("stages").items()) {
    const double count = number_of(latencies, "count");
    text += fmt::format("{}{} ", text.empty() ? "" : "  ", stage);
    text += count > 0 ? fmt::format("{}/{}", duration(number_of(latencies, "sum_s") / count),
                                    at_most(latencies, after.at("bounds_s")))
                      : "-";
  }
  return text;
}

std::string busy_text(const Growth& growth, const Json& before, const Json& after) {
  const auto share = [&](const Json& then, const Json& now) {
    return percent(std::min(1.0, growth.a_second(number_of(now, "busy_s"), number_of(then, "busy_s"))), 1);
  };
  std::string text;
  const Json& workers = after.at("workers");
  for (std::size_t i = 0; i < workers.size() && i < before.at("workers").size(); ++i)
    text += fmt::format("worker{} {}  ", i, share(before.at("workers")[i], workers[i]));
  return text + "revalidator " + share(before.at("revalidator"), after.at("revalidator")) + "  megaflow writer " +
         share(before.at("megaflow_writer"), after.at("megaflow_writer"));
}

void add_head(std::vector<TopLine>& lines, const Growth& growth, const Json& before, const Json& after) {
  const Json& ports = after.at("ports");
  const Json& cache = after.at("cache");
  const auto grown = [&](const char* name) {
    return sum(ports, [&](const Json& port) { return growth.of_port(port, name); });
  };
  const double exact = grown("exact_hits"), megaflow = grown("megaflow_hits"), misses = grown("misses");
  const double all = exact + megaflow + misses;
  lines.push_back(
      {Kind::kTitle,
       fmt::format("shunt top: {}  up {:.0f} s  {} bridges  {} ports  flows {} of {}  masks {}",
                   text_of(after.at("instance")), number_of(after, "time_s"), after.at("bridges").size(), ports.size(),
                   number_of(cache, "flows"), number_of(cache, "flow_limit"), number_of(cache, "masks"))});
  lines.push_back({Kind::kPlain, fmt::format("hits     exact {}  megaflow {}  miss {}  look-ups a packet {}",
                                             percent(exact, all), percent(megaflow, all), percent(misses, all),
                                             all > 0 ? fmt::format("{:.2f}", grown("lookups") / all) : "-")});
  lines.push_back({Kind::kPlain, "upcalls  " + reasons_text(growth_by_reason(growth, ports, "upcall_reasons"))});
  lines.push_back({Kind::kPlain, "drops    " + reasons_text(growth_by_reason(growth, ports, "drop_reasons"))});
  lines.push_back({Kind::kPlain, "busy     " + busy_text(growth, before, after)});
  lines.push_back({Kind::kPlain, "mean/99%  " + latency_text(after)});
}

std::vector<TopLine> warning_lines(const Json& after) {
  std::vector<TopLine> lines;
  for (const Json& fill : after.at("fills"))
    if (fill.at("nearly_full").get<bool>())
      lines.push_back({Kind::kWarning, "nearly full: " + text_of(fill.at("text"))});
  return lines;
}

std::vector<TopLine> port_lines(const Growth& growth, const Json& after, TopOrder order) {
  struct Row {
    double rank;
    std::string name, text;
  };
  std::vector<Row> rows;
  std::size_t name_width = 4;
  for (const Json& port : after.at("ports")) name_width = std::max(name_width, port_name(port).size());
  for (const Json& port : after.at("ports")) {
    const auto grown = [&](const char* name) { return growth.of_port(port, name); };
    const double hits = grown("exact_hits") + grown("megaflow_hits"), asked = hits + grown("misses");
    const double rank = order == TopOrder::kDrops   ? grown("drops")
                        : order == TopOrder::kBytes ? grown("rx_bytes") + grown("tx_bytes")
                                                    : grown("rx_packets") + grown("tx_packets");
    rows.push_back(
        {rank, port_name(port),
         fmt::format("{:<{}} {:>8} {:>8} {:>8} {:>8} {:>7} {:>7} {:>6}", port_name(port), name_width,
                     rate_text(grown("rx_packets")), rate_text(8 * grown("rx_bytes")), rate_text(grown("tx_packets")),
                     rate_text(8 * grown("tx_bytes")), rate_text(grown("misses")), rate_text(grown("drops")),
                     asked > 0 ? fmt::format("{:.1f}", 100 * hits / asked) : "-")});
  }
  std::ranges::stable_sort(rows, [](const Row& a, const Row& b) { return a.rank > b.rank; });
  std::vector<TopLine> lines{
      {Kind::kHeader, fmt::format("{:<{}} {:>8} {:>8} {:>8} {:>8} {:>7} {:>7} {:>6}", "PORT", name_width, "RX-PPS",
                                  "RX-BPS", "TX-PPS", "TX-BPS", "MISS/S", "DROPS/S", "HIT-%")}};
  for (const Row& row : rows) lines.push_back({Kind::kPlain, row.text});
  return lines;
}

std::vector<TopLine> flow_lines(const Growth& growth, const Json& after) {
  std::vector<TopLine> lines{{Kind::kHeader, fmt::format("{:>8} {:>8} {:<18} {}", "PPS", "BPS", "ACTIONS", "FLOW")}};
  for (const Json& flow : after.at("flows")) {
    const bool known = growth.knows_flow(flow);
    std::string actions = text_of(flow.at("actions"));
    if (!flow.at("reason").is_null()) actions = text_of(flow.at("reason")) + ":" + actions;
    lines.push_back(
        {Kind::kPlain,
         fmt::format("{:>8} {:>8} {:<18} {}", known ? rate_text(growth.of_flow(flow, "packets")) : "-",
                     known ? rate_text(8 * growth.of_flow(flow, "bytes")) : "-",
                     actions.size() > 18 ? actions.substr(0, 17) + "+" : actions, text_of(flow.at("key")))});
  }
  return lines;
}

void append(std::vector<TopLine>& lines, std::vector<TopLine>&& more, std::size_t most) {
  if (more.size() > most) more.resize(most);
  lines.insert(lines.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

}  // namespace

std::vector<TopLine> top_lines(const Json& before, const Json& after, TopOrder order, std::size_t width,
                               std::size_t height) {
  const Growth growth{before, after};
  std::vector<TopLine> lines;
  add_head(lines, growth, before, after);
  const std::size_t room = height == 0 ? ~std::size_t{0} : height;
  append(lines, warning_lines(after), height == 0 ? room : 2);
  lines.push_back({});
  std::vector<TopLine> ports = port_lines(growth, after, order), flows = flow_lines(growth, after);
  // Half for each, and to one what the other leaves; a line stands between them.
  const std::size_t left = room > lines.size() + 1 ? room - lines.size() - 1 : 0;
  const std::size_t for_ports = std::max(left / 2, left > flows.size() ? left - flows.size() : 0);
  append(lines, std::move(ports), for_ports);
  lines.push_back({});
  append(lines, std::move(flows), room > lines.size() ? room - lines.size() : 0);
  if (lines.size() > room) lines.resize(room);
  for (TopLine& line : lines)
    if (width != 0 && line.text.size() > width) line.text.resize(width);
  return lines;
}

}  // namespace shunt::cli
