// SPDX-License-Identifier: Apache-2.0
// One bridge as its controllers see it: what its sessions share, and who of them hears of what happens.
// Thread: control.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "user/control/instance.h"
#include "user/openflow/codec/port_codec.h"
#include "user/openflow/codec/switch_codec.h"
#include "user/openflow/codec/table_codec.h"
#include "user/openflow/continuations.h"
#include "user/openflow/flow_monitors.h"
#include "user/openflow/packet_buffers.h"

namespace shunt::openflow {

class Session;

[[nodiscard]] PortDescription description_of(const PortStatus& port);
[[nodiscard]] TableFigures figures_of(const TableStatus& table);  // without vacancy events

class BridgeAgent {
 public:
  BridgeAgent(InstanceApi& instance, BridgeId id, std::string name)
      : instance_{instance}, id_{id}, name_{std::move(name)} {}
  BridgeAgent(const BridgeAgent&) = delete;
  BridgeAgent& operator=(const BridgeAgent&) = delete;

  [[nodiscard]] InstanceApi& instance() const { return instance_; }
  [[nodiscard]] BridgeId id() const { return id_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] PacketBuffers& buffers() { return buffers_; }
  [[nodiscard]] std::size_t& bundle_bytes() { return bundle_bytes_; }  // of all sessions' bundles
  [[nodiscard]] Continuations& continuations() { return continuations_; }

  // As configured; else that of the LOCAL port's address.
  [[nodiscard]] std::uint64_t datapath_id() const;
  void set_datapath_id(std::optional<std::uint64_t> id) { datapath_id_ = id; }

  void join(Session& session) { sessions_.push_back(&session); }
  void leave(Session& session);
  [[nodiscard]] const std::vector<Session*>& sessions() const { return sessions_; }

  // OpenFlow 1.3.5 section 6.3.5: a master makes the others slaves; a generation that is older than one seen is
  // refused.
  void check_generation(std::uint64_t generation);
  [[nodiscard]] std::optional<std::uint64_t> generation() const { return generation_; }
  void make_master(Session& session);
  // A change to groups or meters, done by `by`: the other controllers hear of it.
  void forward_request(const Session& by, ForwardReason reason, const std::function<void(Writer&, Version)>& encode);

  // While it lasts, changes to rules are this session's, by this request.
  class Asking {
   public:
    Asking(BridgeAgent& agent, const Session& session, std::uint32_t xid)
        : agent_{agent}, session_{std::exchange(agent.asking_, &session)}, xid_{std::exchange(agent.asked_, xid)} {}
    ~Asking() {
      agent_.asking_ = session_;
      agent_.asked_ = xid_;
    }
    Asking(const Asking&) = delete;
    Asking& operator=(const Asking&) = delete;

   private:
    BridgeAgent& agent_;
    const Session* session_;
    std::uint32_t xid_;
  };
  [[nodiscard]] bool is_monitored() const;
  // True: a session has something to say.
  bool rule_added(const RuleRef& rule);
  bool rule_removed(const Rule& rule, std::optional<RemovedReason> reason);

  // OpenFlow 1.4 section 7.4.5: tables that tell when their free part becomes small, and large again.
  [[nodiscard]] std::optional<Vacancy> vacancy(std::uint8_t table) const;
  void set_vacancy(const TableFigures& table, std::optional<Vacancy> vacancy);  // as it is now
  void check_vacancies();

  void packet_in(const PacketInEvent& event);
  void flow_removed(const RemovedRule& removed);
  void port_changed(InstanceListener::PortEvent event, const PortStatus& port);

 private:
  InstanceApi& instance_;
  const BridgeId id_;
  const std::string name_;
  std::optional<std::uint64_t> datapath_id_;
  std::optional<std::uint64_t> generation_;
  PacketBuffers buffers_;
  std::size_t bundle_bytes_ = 0;
  Continuations continuations_;
  const Session* asking_ = nullptr;
  std::uint32_t asked_ = 0;
  RuleRef replaced_;  // the rule that is added next takes its place
  struct WatchedTable {
    Vacancy vacancy;
    bool is_low = false;  // OFPTR_VACANCY_UP is told next, else OFPTR_VACANCY_DOWN
  };
  std::map<std::uint8_t, WatchedTable> watched_tables_;
  bool tables_changed_ = false;  // some of them may have
  std::vector<Session*> sessions_;
  std::vector<PortDescription> ports_;  // as last told of
};

}  // namespace shunt::openflow
