// SPDX-License-Identifier: Apache-2.0
#include "user/openflow/bridge_agent.h"

#include <algorithm>

#include "user/control/text.h"
#include "user/openflow/session.h"

namespace shunt::openflow {

PortDescription description_of(const PortStatus& port) {
  PortDescription description;
  description.number = port.number;
  if (!port.mac.empty()) description.mac = parse_mac(port.mac);
  description.name = port.name;
  description.receive = port.flags.receive;
  description.forward = port.flags.forward;
  description.packet_in = port.flags.packet_in;
  description.flood = port.flags.flood;
  description.admin_down = port.flags.down;
  description.link_down = !port.up;
  description.speed_kbps = std::uint64_t{port.megabits} * 1000;
  return description;
}

TableFigures figures_of(const TableStatus& table) {
  return {table.table, table.config, static_cast<std::uint32_t>(table.rules), table.lookups, table.matches, {}};
}

std::uint64_t BridgeAgent::datapath_id() const {
  if (datapath_id_) return *datapath_id_;
  for (const PortStatus& port : instance_.port_settings(name_))
    if (port.number == kPortLocal && !port.mac.empty()) return parse_mac(port.mac).number();
  return id_.value;
}

void BridgeAgent::leave(Session& session) { std::erase(sessions_, &session); }

void BridgeAgent::check_generation(std::uint64_t generation) {
  if (generation_ && static_cast<std::int64_t>(generation - *generation_) < 0)
    throw OfError(OfErrorCode::kStaleRole, "generation {:#x} is older than {:#x}", generation, *generation_);
  generation_ = generation;
}

void BridgeAgent::make_master(Session& session) {
  for (Session* other : sessions_)
    if (other != &session && !other->is_auxiliary() && other->role() == Role::kMaster) other->demote();
}

void BridgeAgent::forward_request(const Session& by, ForwardReason reason,
                                  const std::function<void(Writer&, Version)>& encode) {
  for (Session* session : sessions_)
    if (session != &by) session->request_forwarded(reason, encode);
}

bool BridgeAgent::is_monitored() const {
  return std::ranges::any_of(sessions_, [](const Session* session) { return session->monitors_flows(); });
}

bool BridgeAgent::rule_added(const RuleRef& rule) {
  RuleRef old = std::exchange(replaced_, nullptr);
  tables_changed_ = tables_changed_ || watched_tables_.contains(rule->table);
  if (!is_monitored()) return tables_changed_;
  const auto is_same = [&] {
    return old->actions == rule->actions && old->cookie == rule->cookie && old->flags == rule->flags &&
           old->idle_timeout == rule->idle_timeout && old->hard_timeout == rule->hard_timeout;
  };
  if (old != nullptr && is_same()) {
    for (Session* session : sessions_) session->rule_renewed(old, rule);
    return tables_changed_;
  }
  RuleChange change{.rule = rule, .old = std::move(old), .by = asking_, .xid = asked_};
  if (change.old != nullptr) change.event = MonitorEvent::kModified;
  for (Session* session : sessions_) session->rule_changed(change);
  return true;
}

bool BridgeAgent::rule_removed(const Rule& rule, std::optional<RemovedReason> reason) {
  if (!reason) {
    replaced_ = rule.shared_from_this();
    return false;
  }
  tables_changed_ = tables_changed_ || watched_tables_.contains(rule.table);
  if (!is_monitored()) return tables_changed_;
  const RuleChange change{
      .event = MonitorEvent::kRemoved, .rule = rule.shared_from_this(), .reason = reason, .by = asking_, .xid = asked_};
  for (Session* session : sessions_) session->rule_changed(change);
  return true;
}

std::optional<Vacancy> BridgeAgent::vacancy(std::uint8_t table) const {
  const auto found = watched_tables_.find(table);
  return found == watched_tables_.end() ? std::nullopt : std::optional{found->second.vacancy};
}

// Which of the two is told first hangs on how full the table is then.
void BridgeAgent::set_vacancy(const TableFigures& table, std::optional<Vacancy> vacancy) {
  watched_tables_.erase(table.table);
  if (vacancy) watched_tables_[table.table] = {*vacancy, free_percent(table) < vacancy->up};
}

void BridgeAgent::check_vacancies() {
  if (!std::exchange(tables_changed_, false)) return;
  for (const TableStatus& status : instance_.table_list(name_)) {
    const auto found = watched_tables_.find(status.table);
    if (found == watched_tables_.end()) continue;
    WatchedTable& table = found->second;
    TableFigures figures = figures_of(status);
    figures.vacancy = table.vacancy;
    const unsigned free = free_percent(figures);
    const bool was_low = table.is_low;
    table.is_low = was_low ? free <= table.vacancy.up : free < table.vacancy.down;
    if (table.is_low == was_low) continue;
    for (Session* session : sessions_)
      session->table_changed(table.is_low ? TableReason::kVacancyDown : TableReason::kVacancyUp, figures);
  }
}

void BridgeAgent::packet_in(const PacketInEvent& event) {
  PacketInNumbers numbers;
  for (Session* session : sessions_) session->packet_in(event, numbers);
}

void BridgeAgent::flow_removed(const RemovedRule& removed) {
  for (Session* session : sessions_) session->flow_removed(removed);
}

// What of a change no controller can see is none.
void BridgeAgent::port_changed(InstanceListener::PortEvent event, const PortStatus& port) {
  const PortDescription description = description_of(port);
  const auto known = std::ranges::find(ports_, description.number, &PortDescription::number);
  PortChange change = PortChange::kModify;
  switch (event) {
    case InstanceListener::PortEvent::kAdded:
      change = PortChange::kAdd;
      if (known == ports_.end()) ports_.push_back(description);
      break;
    case InstanceListener::PortEvent::kRemoved:
      change = PortChange::kDelete;
      if (known != ports_.end()) ports_.erase(known);
      break;
    case InstanceListener::PortEvent::kChanged:
      if (known == ports_.end())
        ports_.push_back(description);
      else if (std::exchange(*known, description) == description)
        return;
      break;
  }
  for (Session* session : sessions_) session->port_changed(change, description);
}

}  // namespace shunt::openflow
