// SPDX-License-Identifier: Apache-2.0
// Multipart requests: each becomes a dump, whose entries are written as the other side reads.
#include <algorithm>
#include <iterator>
#include <map>
#include <memory>
#include <utility>

#include "user/openflow/codec/bundle_codec.h"
#include "user/openflow/codec/group_codec.h"
#include "user/openflow/codec/meter_codec.h"
#include "user/openflow/codec/table_codec.h"
#include "user/openflow/session.h"
#include "user/pipeline/group_edit.h"
#include "user/pipeline/rule_walk.h"

namespace shunt::openflow {
namespace {

// The group or meter that a request is about; none: all.
std::optional<std::uint32_t> requested(Bytes body, std::uint32_t all) {
  const std::uint32_t id = Reader{body}.u32();
  return id == all ? std::nullopt : std::optional{id};
}

PortFigures figures_of(const PortStatus& port, TimePoint now) {
  PortFigures figures;
  figures.age = now - port.since;
  figures.number = port.number;
  figures.rx_packets = port.stats.rx_packets;
  figures.rx_bytes = port.stats.rx_bytes;
  figures.tx_packets = port.tx_packets;
  figures.tx_bytes = port.tx_bytes;
  for (const std::uint64_t drops : port.stats.drops) figures.rx_dropped += drops;
  return figures;
}

FlowMod checked(FlowMod&& filter) {
  if (filter.table && *filter.table >= kTableCount)
    throw OfError(OfErrorCode::kRequestBadTable, "table {}: tables are 0 to {}", *filter.table, kTableCount - 1);
  return std::move(filter);
}

template <typename T>
std::shared_ptr<const std::vector<T>> shared(std::vector<T>&& entries) {
  return std::make_shared<const std::vector<T>>(std::move(entries));
}

}  // namespace

void Session::multipart(std::uint32_t xid, Bytes message) {
  const MultipartRequest request = read_multipart_request(*version_, message);
  // The only request of several parts is one that sets the features of tables, which are what they are.
  if (request.more) throw OfError(OfErrorCode::kMultipartOverflow, "a request of several parts");
  answer(request, xid);
}

void Session::dump(const MultipartRequest& request, std::uint32_t xid, std::size_t count,
                   std::function<void(Writer&, std::size_t)> encode) {
  dumps_.push_back({request.format, xid, count, 0, std::move(encode)});
}

void Session::answer(const MultipartRequest& request, std::uint32_t xid) {
  const Version version = *version_;
  switch (request.format->kind) {
    case MultipartKind::kDescription: {
      return dump(request, xid, 1, [this](Writer& out, std::size_t) {
        encode_description(out, {"Shunt", "Linux XDP", SHUNT_VERSION, "None", agent_.name()});
      });
    }
    case MultipartKind::kFlow:
    case MultipartKind::kFlowStats:
      return dump_flows(request, xid, checked(decode_flow_filter(request.body, version)));
    case MultipartKind::kNxFlow:
      return dump_flows(request, xid, checked(decode_nx_flow_filter(request.body)));
    case MultipartKind::kAggregate:
    case MultipartKind::kNxAggregate: {
      const bool nicira = request.format->kind == MultipartKind::kNxAggregate;
      return aggregate(
          request, xid,
          checked(nicira ? decode_nx_flow_filter(request.body) : decode_flow_filter(request.body, version)));
    }
    case MultipartKind::kTable:
    case MultipartKind::kTableDescription:
      return dump_tables(request, xid);
    case MultipartKind::kTableFeatures:
      if (!request.body.empty())
        throw OfError(OfErrorCode::kTableFeaturesNotPermitted, "the features of tables cannot be changed");
      return dump_tables(request, xid);
    case MultipartKind::kPort:
    case MultipartKind::kPortDescription:
      return dump_ports(request, xid);
    case MultipartKind::kQueue:
    case MultipartKind::kQueueDescription: {
      const QueueFilter filter = decode_queue_filter(request.body, version);
      if (filter.port) check_queue_port(*filter.port);
      if (filter.queue) throw OfError(OfErrorCode::kQueueBadQueue, "no queue {}", *filter.queue);
      return dump(request, xid, 0, {});
    }
    case MultipartKind::kGroup:
    case MultipartKind::kGroupDescription:
      return dump_groups(request, xid);
    case MultipartKind::kGroupFeatures:
      return dump(request, xid, 1, [version](Writer& out, std::size_t) {
        encode_group_features(out, version, static_cast<std::uint32_t>(GroupEdit::kMaxGroups));
      });
    case MultipartKind::kMeter:
    case MultipartKind::kMeterConfig:
      return dump_meters(request, xid);
    case MultipartKind::kMeterFeatures:
      return dump(request, xid, 1, [](Writer& out, std::size_t) { encode_meter_features(out, SHUNT_MAX_METERS - 1); });
    case MultipartKind::kFlowMonitor:
      return monitor_flows(request, xid);
    case MultipartKind::kBundleFeatures:
      return bundle_features(request, xid);
  }
}

// OpenFlow 1.5.1 section 7.3.5.21: atomic and ordered, and at no time that is told.
void Session::bundle_features(const MultipartRequest& request, std::uint32_t xid) {
  constexpr std::uint32_t kSetSchedule = 1 << 1;  // OFPBFF_TIME_SET_SCHED
  if ((Reader{request.body}.u32() & kSetSchedule) != 0)
    throw OfError(OfErrorCode::kMultipartBadSchedule, "bundles are not scheduled");
  dump(request, xid, 1, [](Writer& out, std::size_t) {
    out.u16(kBundleAtomic | kBundleOrdered);
    out.zeros(6);
  });
}

void Session::dump_flows(const MultipartRequest& request, std::uint32_t xid, const FlowMod& filter) {
  dump_rules(request, xid, filter,
             [kind = request.format->kind, version = *version_, age = flow_age_, now = Clock::now()](
                 Writer& out, const Rule& rule) { encode_flow_entry(out, rule, now, kind, version, age); });
}

// In order where they are few enough for somebody to look at. Each is let go when the next one is written, so that the
// last of a million does not let all go at once.
void Session::dump_rules(const MultipartRequest& request, std::uint32_t xid, const FlowMod& filter,
                         std::function<void(Writer&, const Rule&)> encode) {
  constexpr std::size_t kMostInOrder = 10'000;
  struct Rules {
    InstanceApi::RuleSource source;
    std::vector<RuleRef> found;
  };
  const auto rules = std::make_shared<Rules>(Rules{agent_.instance().flow_walk(agent_.name(), filter), {}});
  dump(request, xid, 0, [rules, encode = std::move(encode)](Writer& out, std::size_t i) {
    if (i > 0) rules->found[i - 1].reset();
    encode(out, *rules->found[i]);
  });
  dumps_.back().prepare = [rules]() -> std::optional<std::size_t> {
    if (rules->source(rules->found)) return std::nullopt;
    rules->source = nullptr;
    if (rules->found.size() <= kMostInOrder) put_in_order(rules->found);
    return rules->found.size();
  };
}

void Session::aggregate(const MultipartRequest& request, std::uint32_t xid, const FlowMod& filter) {
  const auto sum = std::make_shared<FlowTotals>();
  dump(request, xid, 0, [sum, version = *version_](Writer& out, std::size_t) { encode_aggregate(out, *sum, version); });
  dumps_.back().prepare = [sum, source = agent_.instance().flow_walk(agent_.name(), filter)] {
    std::vector<RuleRef> rules;
    const bool more = source(rules);
    for (const RuleRef& rule : rules) {
      sum->packets += rule->counters.packets();
      sum->bytes += rule->counters.bytes();
      ++sum->flows;
    }
    return more ? std::nullopt : std::optional<std::size_t>{1};
  };
}

void Session::dump_tables(const MultipartRequest& request, std::uint32_t xid) {
  std::vector<TableFigures> tables(kTableCount);
  for (std::size_t i = 0; i < tables.size(); ++i) tables[i].table = static_cast<std::uint8_t>(i);
  for (const TableStatus& status : agent_.instance().table_list(agent_.name()))
    tables[status.table] = figures_of(status);
  for (TableFigures& table : tables) table.vacancy = agent_.vacancy(table.table);
  const auto figures = shared(std::move(tables));
  dump(request, xid, figures->size(),
       [figures, kind = request.format->kind, version = *version_](Writer& out, std::size_t i) {
         const TableFigures& table = (*figures)[i];
         if (kind == MultipartKind::kTable)
           encode_table_stats(out, table, version);
         else if (kind == MultipartKind::kTableFeatures)
           encode_table_features(out, table, version);
         else
           encode_table_description(out, table);
       });
}

void Session::dump_ports(const MultipartRequest& request, std::uint32_t xid) {
  const bool descriptions = request.format->kind == MultipartKind::kPortDescription;
  const bool has_filter = !descriptions || *version_ >= Version::k15;
  const std::optional<PortNo> wanted = has_filter ? decode_port_filter(request.body, *version_) : std::nullopt;
  const InstanceApi& instance = agent_.instance();
  std::vector<PortStatus> found = descriptions ? instance.port_settings(agent_.name()) : instance.ports(agent_.name());
  if (wanted) {
    std::erase_if(found, [&](const PortStatus& port) { return port.number != *wanted; });
    if (found.empty()) throw OfError(OfErrorCode::kBadPort, "no port {}", wanted->value);
  }
  const auto statuses = shared(std::move(found));
  dump(request, xid, statuses->size(),
       [statuses, descriptions, version = *version_, now = Clock::now()](Writer& out, std::size_t i) {
         if (descriptions)
           encode_port(out, description_of((*statuses)[i]), version);
         else
           encode_port_stats(out, figures_of((*statuses)[i], now), version);
       });
}

void Session::dump_groups(const MultipartRequest& request, std::uint32_t xid) {
  const bool descriptions = request.format->kind == MultipartKind::kGroupDescription;
  const bool has_filter = !descriptions || *version_ >= Version::k15 || *version_ == Version::k10;
  const auto wanted = has_filter ? requested(request.body, kGroupAll) : std::nullopt;
  std::vector<GroupStatus> found = agent_.instance().group_list(agent_.name());
  if (wanted) std::erase_if(found, [&](const GroupStatus& status) { return status.group->id != *wanted; });
  const auto groups = shared(std::move(found));
  dump(request, xid, groups->size(),
       [groups, descriptions, version = *version_, now = Clock::now()](Writer& out, std::size_t i) {
         const GroupStatus& status = (*groups)[i];
         if (descriptions)
           encode_group_description(out, *status.group, version);
         else
           encode_group_stats(out, *status.group, status.references, now, version);
       });
}

void Session::dump_meters(const MultipartRequest& request, std::uint32_t xid) {
  const auto wanted = requested(request.body, kMeterAll);
  std::vector<MeterStatus> found = agent_.instance().meter_list(agent_.name());
  if (wanted) {
    std::erase_if(found, [&](const MeterStatus& status) { return status.meter->config.id != *wanted; });
    if (found.empty()) throw OfError(OfErrorCode::kUnknownMeter, "no meter {}", *wanted);
  }
  const auto meters = shared(std::move(found));
  dump(request, xid, meters->size(),
       [meters, kind = request.format->kind, now = Clock::now()](Writer& out, std::size_t i) {
         const MeterStatus& status = (*meters)[i];
         if (kind == MultipartKind::kMeterConfig)
           encode_meter_config(out, status.meter->config);
         else
           encode_meter_stats(out, *status.meter, status.stats, now);
       });
}

}  // namespace shunt::openflow
