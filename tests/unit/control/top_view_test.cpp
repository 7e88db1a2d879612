// SPDX-License-Identifier: Apache-2.0
#include "cli/top_view.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

using namespace shunt::cli;

namespace {

Json port(const char* name, int rx, int drops) {
  return {{"bridge", "br0"},
          {"name", name},
          {"rx_packets", rx},
          {"rx_bytes", rx * 100},
          {"tx_packets", 0},
          {"tx_bytes", 0},
          {"misses", 0},
          {"exact_hits", 0},
          {"megaflow_hits", rx},
          {"lookups", rx},
          {"drops", drops},
          {"drop_reasons", Json::object()},
          {"upcall_reasons", Json::object()}};
}

Json reading(double time, std::initializer_list<Json> ports, int flow_packets = 0) {
  const Json none = {{"count", 0}, {"sum_s", 0.0}, {"buckets", Json::array()}};
  return {{"instance", "default"},
          {"time_s", time},
          {"bridges", Json::array({{{"name", "br0"}}})},
          {"ports", Json(std::vector<Json>(ports))},
          {"cache", {{"flows", 1}, {"flow_limit", 100}, {"masks", 1}}},
          {"workers", Json::array({{{"busy_s", time / 4}}})},
          {"revalidator", {{"busy_s", 0.0}}},
          {"megaflow_writer", {{"busy_s", time / 10}}},
          {"stages", {{"wait", {{"count", 100}, {"sum_s", 0.01}, {"buckets", {0, 98, 2}}}}, {"send", none}}},
          {"bounds_s", {1e-6, 2e-6, 4e-6}},
          {"fills", Json::array({{{"nearly_full", time > 5}, {"text", "flows: 90 of 100 (90 %)"}}})},
          {"flows", Json::array({{{"id", "1"},
                                  {"packets", flow_packets},
                                  {"bytes", flow_packets * 100},
                                  {"actions", "veth2"},
                                  {"reason", nullptr},
                                  {"key", "in_port(veth1)"}}})}};
}

bool shows(const std::vector<TopLine>& lines, std::string_view text) {
  return std::ranges::any_of(lines, [&](const TopLine& line) { return line.text.find(text) != std::string::npos; });
}

}  // namespace

TEST_SUITE("top view") {
  TEST_CASE("rates are what grew, by the time between the readings") {
    const auto lines =
        top_lines(reading(10, {port("a", 100, 0)}, 10), reading(12, {port("a", 300, 0)}, 50), TopOrder::kPackets, 0, 0);
    CHECK(shows(lines, "br0/a      100    80.0k        0        0       0       0  100.0"));
    CHECK(shows(lines, "      20    16.0k veth2              in_port(veth1)"));
    CHECK(shows(lines, "megaflow 100.0 %"));
    CHECK(shows(lines, "worker0 25.0 %"));
    CHECK(shows(lines, "megaflow writer 10.0 %"));
    CHECK(shows(lines, "wait 100us/4.0us"));
  }

  TEST_CASE("a port that is new, or whose counters began anew, has no rate") {
    const auto lines = top_lines(reading(1, {port("a", 300, 0)}), reading(2, {port("a", 5, 0), port("b", 7, 0)}),
                                 TopOrder::kPackets, 0, 0);
    CHECK(shows(lines, "br0/a        0"));
    CHECK(shows(lines, "br0/b        0"));
  }

  TEST_CASE("ports are in the order that was asked for") {
    const Json before = reading(1, {port("a", 0, 0), port("b", 0, 0)});
    const Json after = reading(2, {port("a", 10, 1), port("b", 5, 9)});
    const auto place = [&](TopOrder order, std::string_view name) {
      const auto lines = top_lines(before, after, order, 0, 0);
      return std::ranges::find_if(lines, [&](const TopLine& line) { return line.text.starts_with(name); }) -
             lines.begin();
    };
    CHECK(place(TopOrder::kPackets, "br0/a") < place(TopOrder::kPackets, "br0/b"));
    CHECK(place(TopOrder::kDrops, "br0/b") < place(TopOrder::kDrops, "br0/a"));
  }

  TEST_CASE("what is nearly full is said") {
    CHECK(shows(top_lines(reading(6, {}), reading(7, {}), TopOrder::kPackets, 0, 0), "nearly full: flows: 90 of 100"));
    CHECK_FALSE(shows(top_lines(reading(1, {}), reading(2, {}), TopOrder::kPackets, 0, 0), "nearly full"));
  }

  TEST_CASE("it fits the terminal, however small, and shows both ports and flows where there is room") {
    std::vector<Json> many;
    for (int i = 0; i < 64; ++i) many.push_back(port(("veth" + std::to_string(i)).c_str(), i, 0));
    Json before = reading(1, {}), after = reading(2, {});
    before["ports"] = after["ports"] = many;
    for (std::size_t height = 1; height < 40; ++height) {
      CAPTURE(height);
      const auto lines = top_lines(before, after, TopOrder::kPackets, 80, height);
      CHECK(lines.size() <= height);
      CHECK(std::ranges::all_of(lines, [](const TopLine& line) { return line.text.size() <= 80; }));
      if (height >= 12) CHECK(shows(lines, "in_port(veth1)"));
      if (height >= 12) CHECK(shows(lines, "br0/veth"));
    }
  }
}
