// SPDX-License-Identifier: Apache-2.0
// How a metric is written: escaping, numbers, histograms (https://prometheus.io/docs/instrumenting/exposition_formats).
#include <fmt/format.h>

#include "user/base/printable.h"
#include "user/stats/metrics.h"

namespace shunt {
namespace {

// Prometheus refuses a whole scrape for one byte that is no UTF-8.
void append_escaped(std::string& text, std::string_view value) {
  for (const char c : printable(value)) {
    if (c == '\\' || c == '"') text += '\\';
    text += c;
  }
}

}  // namespace

std::string_view name_of(MetricType type) {
  switch (type) {
    case MetricType::kCounter:
      return "counter";
    case MetricType::kGauge:
      return "gauge";
    case MetricType::kHistogram:
      return "histogram";
  }
  return "untyped";
}

void MetricWriter::begin(std::string_view suffix, std::initializer_list<Label> labels, std::string_view bound) {
  text_ += metric_;
  text_ += suffix;
  char separator = '{';
  const auto add = [&](std::string_view name, std::string_view value) {
    if (value.empty()) return;
    text_ += separator;
    text_ += name;
    text_ += "=\"";
    append_escaped(text_, value);
    text_ += '"';
    separator = ',';
  };
  for (const Label& label : labels) add(label.name, label.value);
  add("le", bound);
  if (separator == ',') text_ += '}';
  text_ += ' ';
}

void MetricWriter::sample(std::initializer_list<Label> labels, double value) {
  begin("", labels);
  text_ += fmt::format("{}\n", value);
}

void MetricWriter::sample(std::initializer_list<Label> labels, std::uint64_t value) {
  begin("", labels);
  text_ += fmt::format("{}\n", value);
}

void MetricWriter::histogram(std::initializer_list<Label> labels, const Latencies& latencies) {
  std::uint64_t count = 0;
  for (std::size_t bucket = 0; bucket < Latencies::kBounds; ++bucket) {
    count += latencies.counts[bucket];
    begin("_bucket", labels, fmt::format("{}", Latencies::bound_seconds(bucket)));
    text_ += fmt::format("{}\n", count);
  }
  count += latencies.counts.back();
  begin("_bucket", labels, "+Inf");
  text_ += fmt::format("{}\n", count);
  begin("_sum", labels);
  text_ += fmt::format("{}\n", static_cast<double>(latencies.nanoseconds) / 1e9);
  begin("_count", labels);
  text_ += fmt::format("{}\n", count);
}

std::string metrics_text(const StatsSnapshot& snapshot) {
  std::string text;
  for (const Metric& metric : metrics()) {
    text += fmt::format("# HELP {} {}\n# TYPE {} {}\n", metric.name, metric.help, metric.name, name_of(metric.type));
    MetricWriter writer{text, metric.name};
    metric.write(snapshot, writer);
  }
  return text;
}

}  // namespace shunt
