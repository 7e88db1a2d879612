// SPDX-License-Identifier: Apache-2.0
#include "user/stats/metrics.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

using namespace shunt;

namespace {

std::string written(void (*write)(MetricWriter&)) {
  std::string text;
  MetricWriter writer{text, "shunt_x"};
  write(writer);
  return text;
}

// The rows of docs/metrics.md's tables that begin with `prefix`.
std::set<std::string> documented(std::string_view prefix) {
  std::ifstream file{SHUNT_SOURCE_DIR "/docs/metrics.md"};
  std::set<std::string> rows;
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(prefix)) rows.insert(line);
  return rows;
}

StatsSnapshot two_ports() {
  StatsSnapshot snapshot;
  for (const char* name : {"veth1", "veth2"}) {
    PortStatus port;
    port.bridge = "br0";
    port.name = name;
    port.stats.rx_packets = 5;
    port.stats.drops[SHUNT_DROP_RULE] = 2;
    snapshot.ports.push_back(port);
  }
  snapshot.workers.resize(1);
  return snapshot;
}

bool has_line(const std::string& text, std::string_view line) {
  return ("\n" + text).find("\n" + std::string{line} + "\n") != std::string::npos;
}

}  // namespace

TEST_SUITE("metrics") {
  TEST_CASE("a label's quotes and backslashes are escaped") {
    CHECK(written([](MetricWriter& w) {
            w.sample({{"port", "a\"b\\c"}}, std::uint64_t{1});
          }) == "shunt_x{port=\"a\\\"b\\\\c\"} 1\n");
  }

  TEST_CASE("a label is UTF-8 without control characters, whatever a guest calls its interface") {
    CHECK(written([](MetricWriter& w) {
            w.sample({{"peer", "b\u00e4\xff\x1b\n"}}, std::uint64_t{1});
          }) == "shunt_x{peer=\"b\u00e4\\\\xff\\\\x1b\\\\x0a\"} 1\n");
  }

  TEST_CASE("an empty label is left out, and the braces with the last one") {
    CHECK(written([](MetricWriter& w) {
            w.sample({{"a", ""}, {"b", "c"}}, std::uint64_t{1});
          }) == "shunt_x{b=\"c\"} 1\n");
    CHECK(written([](MetricWriter& w) { w.sample({{"a", ""}}, 0.25); }) == "shunt_x 0.25\n");
  }

  TEST_CASE("a histogram's buckets add up to its count") {
    const std::string text = written([](MetricWriter& w) {
      Latencies latencies;
      latencies.record(std::chrono::microseconds{1});
      latencies.record(std::chrono::microseconds{3}, 2);
      latencies.record(std::chrono::seconds{5});
      w.histogram({{"stage", "x"}}, latencies);
    });
    CHECK(has_line(text, "shunt_x_bucket{stage=\"x\",le=\"1e-06\"} 1"));
    CHECK(has_line(text, "shunt_x_bucket{stage=\"x\",le=\"2e-06\"} 1"));
    CHECK(has_line(text, "shunt_x_bucket{stage=\"x\",le=\"4e-06\"} 3"));
    CHECK(has_line(text, "shunt_x_bucket{stage=\"x\",le=\"1.048576\"} 3"));
    CHECK(has_line(text, "shunt_x_bucket{stage=\"x\",le=\"+Inf\"} 4"));
    CHECK(has_line(text, "shunt_x_sum{stage=\"x\"} 5.000007"));
    CHECK(has_line(text, "shunt_x_count{stage=\"x\"} 4"));
  }

  TEST_CASE("every metric has its name, type and help once, in front of its samples") {
    const std::string text = metrics_text(two_ports());
    std::istringstream lines{text};
    std::string current;
    std::set<std::string> seen;
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with("# HELP ")) {
        current = line.substr(7, line.find(' ', 7) - 7);
        CHECK_MESSAGE(seen.insert(current).second, current);
      } else if (line.starts_with("# TYPE ")) {
        CHECK(line.substr(7, line.find(' ', 7) - 7) == current);
      } else {
        CHECK_MESSAGE(line.starts_with(current), line);
      }
    }
    CHECK(seen.size() == metrics().size());
    CHECK(has_line(text, "shunt_port_receive_packets_total{bridge=\"br0\",port=\"veth2\"} 5"));
    CHECK(has_line(text, "shunt_port_drops_total{bridge=\"br0\",port=\"veth1\",reason=\"rule\"} 2"));
  }

  TEST_CASE("counters end with _total, times are in seconds, and no label is Prometheus' own") {
    for (const Metric& metric : metrics()) {
      CAPTURE(metric.name);
      CHECK((metric.type == MetricType::kCounter) == metric.name.ends_with("_total"));
      CHECK(metric.name.find("_ms") == std::string_view::npos);
      CHECK(metric.labels.find("instance") == std::string_view::npos);
      CHECK(metric.help.find_first_of("\\\n|") == std::string_view::npos);
    }
  }

  TEST_CASE("docs/metrics.md has a row for each metric and each resource, and no other") {
    std::set<std::string> rows;
    for (const Metric& metric : metrics())
      rows.insert(
          fmt::format("| `{}` | {} | {} | {} |", metric.name, name_of(metric.type), metric.labels, metric.help));
    CHECK(documented("| `shunt_") == rows);
    std::set<std::string> resources;
    for (const FillKind& kind : fill_kinds()) resources.insert(fmt::format("| {} | {} |", kind.resource, kind.meaning));
    std::set<std::string> shown = documented("| ");
    std::erase_if(shown, [](const std::string& row) {
      return row.starts_with("| `") || row.starts_with("| resource") || row.starts_with("| metric") ||
             row.starts_with("| ---");
    });
    CHECK(shown == resources);
  }
}
