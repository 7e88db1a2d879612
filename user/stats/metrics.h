// SPDX-License-Identifier: Apache-2.0
// A StatsSnapshot in Prometheus' text format (version 0.0.4). One table says what metrics there are; docs/metrics.md is
// that table, and a test compares them.
//
// Every series of a port ends with the port, and that of a bridge with the bridge: sums over ports are Prometheus'
// business, so that no counter falls when a port goes. No label says which instance it is: `instance` is a label that
// Prometheus sets itself; shunt_build_info has the switch's name.
//
// Threads: any.
#pragma once

#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "user/stats/snapshot.h"

namespace shunt {

inline constexpr const char* kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";

enum class MetricType { kCounter, kGauge, kHistogram };
[[nodiscard]] std::string_view name_of(MetricType type);

class MetricWriter {
 public:
  struct Label {
    std::string_view name, value;  // an empty value: the label is left out
  };
  MetricWriter(std::string& text, std::string_view metric) : text_{text}, metric_{metric} {}

  void sample(std::initializer_list<Label> labels, double value);
  void sample(std::initializer_list<Label> labels, std::uint64_t value);
  void histogram(std::initializer_list<Label> labels, const Latencies& latencies);

 private:
  void begin(std::string_view suffix, std::initializer_list<Label> labels, std::string_view bound = {});

  std::string& text_;
  std::string_view metric_;
};

struct Metric {
  std::string_view name;
  MetricType type;
  std::string_view labels;  // "bridge, port"
  std::string_view help;
  void (*write)(const StatsSnapshot& snapshot, MetricWriter& writer);
};

[[nodiscard]] std::span<const Metric> metrics();
[[nodiscard]] std::string metrics_text(const StatsSnapshot& snapshot);

}  // namespace shunt
