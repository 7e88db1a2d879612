// SPDX-License-Identifier: Apache-2.0
// One running switch: joins the configuration (Switch), the kernel half (Datapath), ports, workers and the revalidator,
// and offers what a command can do (InstanceApi). Every change returns when it is in force: no cache level answers with
// the older verdict.
//
// Threads: the control thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "user/control/instance_api.h"

namespace shunt {

struct InstanceOptions {
  std::string name = "default";
  std::vector<unsigned> cores;  // a worker pinned on each; empty: one worker, not pinned
  std::uint32_t flow_limit = 200'000;
  std::chrono::milliseconds idle_timeout{10'000};  // of cached flows
  std::uint32_t upcall_rate = 100'000;             // misses a second and port
  std::uint32_t upcall_burst = 1'024;
  std::uint32_t umem_frames = 32'768;  // of 4096 bytes
  std::optional<PortMode> port_mode;   // of ports that are attached without one; none: what suits each interface
  bool busy_poll = false;
  std::string counter_file;     // where counters outlive the daemon (saved_counters.h); empty: nowhere
  std::string state_directory;  // keeps what was set by command; empty: nothing is kept
};

// Who hears of what packets and time have done, as it happens: controllers, exporters. Any of them may be unset.
struct InstanceListener {
  enum class PortEvent { kAdded, kRemoved, kChanged };
  std::function<void(const std::string& name, bool added)> on_bridge;  // not of those that were restored
  std::function<void(BridgeId bridge, PortEvent event, const PortStatus& port)> on_port;
  std::function<void(const PacketInEvent& event)> on_packet_in;
  std::function<void(const RemovedRule& removed)> on_flow_removed;  // of rules with kSendFlowRemoved
  std::function<void(const SampleEvent& event)> on_sample;
  // Before the settings are kept: throws where they cannot be.
  std::function<void(const std::string& bridge, const OpenFlowSettings& settings, bool adapts_rules)> on_openflow;
  RuleObserver* rules = nullptr;  // of each rule that comes or goes
};

class Instance final : public InstanceApi {
 public:
  explicit Instance(const InstanceOptions& options);
  ~Instance() override;  // detaches all ports, restores what they changed, removes pins; but see keep_forwarding()
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  void add_bridge(const std::string& name) override;
  void del_bridge(const std::string& name) override;
  [[nodiscard]] BridgeId bridge_id(const std::string& name) const override;
  [[nodiscard]] std::vector<std::string> bridges() const override;

  PortStatus attach_port(const std::string& bridge, const PortRequest& request) override;
  void detach_port(const std::string& bridge, const std::string& interface) override;
  void set_port(const std::string& bridge, const std::string& interface, const VlanConfig& vlan,
                const PortFlags& flags) override;
  void place_queues(const std::string& bridge, const std::string& interface, const QueueWorkers& places) override;
  [[nodiscard]] std::vector<WorkerStatus> worker_list() const override;
  [[nodiscard]] std::vector<PortStatus> ports(const std::string& bridge) const override;
  [[nodiscard]] std::vector<PortStatus> port_settings(const std::string& bridge) const override;
  [[nodiscard]] shunt_port_stats stray_stats() const override;

  void batch(const std::function<void()>& work) override;
  void with_features(std::uint32_t features, const std::function<void()>& work) override;
  void flow_mod(const std::string& bridge, std::span<const FlowMod> mods) override;
  void flow_replace(const std::string& bridge, std::span<const FlowMod> rules) override;
  [[nodiscard]] std::vector<RuleRef> flow_list(const std::string& bridge, const FlowMod& filter) override;
  [[nodiscard]] RuleSource flow_walk(const std::string& bridge, const FlowMod& filter) override;
  [[nodiscard]] std::size_t rule_count(const std::string& bridge) const override;
  [[nodiscard]] std::map<std::string, PortNo> port_names(const std::string& bridge) const override;

  void group_mod(const std::string& bridge, std::span<const GroupMod> mods) override;
  void modify(const std::string& bridge, std::span<const Modification> mods) override;
  [[nodiscard]] std::vector<GroupStatus> group_list(const std::string& bridge) override;
  void meter_mod(const std::string& bridge, std::span<const MeterMod> mods) override;
  [[nodiscard]] std::vector<MeterStatus> meter_list(const std::string& bridge) override;
  void set_table(const std::string& bridge, std::uint8_t table, const TableConfig& config) override;
  void set_misses_to_old(const std::string& bridge, bool on) override;
  [[nodiscard]] std::vector<TableStatus> table_list(const std::string& bridge) override;
  void set_openflow(const std::string& bridge, const OpenFlowSettings& settings, bool adapts_rules) override;
  [[nodiscard]] OpenFlowSettings openflow(const std::string& bridge) const override;
  void set_flood_vlans(const std::string& bridge, const VlanSet& vlans) override;
  [[nodiscard]] VlanSet flood_vlans(const std::string& bridge) const override;
  void packet_out(const std::string& bridge, PacketOutSpec&& packet) override;
  [[nodiscard]] std::vector<PacketInRecord> packet_ins(const std::string& bridge) override;
  [[nodiscard]] TraceAnswer trace(const std::string& bridge, const TraceRequest& request) override;
  [[nodiscard]] std::uint32_t dp_hash(const FlowKey& key) const override;
  [[nodiscard]] std::optional<CacheWhy> cache_why(const std::string& bridge, const FlowKey& key) override;
  [[nodiscard]] std::vector<FlowSnapshot> cache_list(std::size_t limit) override;
  [[nodiscard]] CacheStats cache_stats() override;
  [[nodiscard]] InstanceStats stats() override;
  void collect_counters() override;
  [[nodiscard]] std::vector<FlowSnapshot> top_flows(std::size_t count, FlowOrder order) override;
  [[nodiscard]] std::optional<CacheWhy> flow_why(std::uint64_t id) override;
  void cache_flush() override;

  [[nodiscard]] std::vector<FdbEntry> fdb_list(const std::string& bridge) override;
  void fdb_add(const std::string& bridge, FdbKey key, const std::string& interface) override;
  void fdb_del(const std::string& bridge, FdbKey key) override;
  void fdb_flush(const std::string& bridge, std::optional<std::string> interface) override;
  void fdb_set(const std::string& bridge, std::optional<std::chrono::seconds> ageing,
               std::optional<std::size_t> limit) override;
  [[nodiscard]] FdbSettings fdb_settings(const std::string& bridge) override;

  // Packets that no cached flow answers are served from here on. What an earlier daemon of this name left in the kernel
  // is taken over for the ports and rules that there are by then: its cached flows go on forwarding, and are replaced
  // where they would be decided otherwise today.
  void start();
  // Whether the destructor leaves ports, programs and flows as they are, for a later daemon. Until this is called it
  // does where an earlier daemon's were found, so that a start that fails does not end what still forwards.
  void keep_forwarding(bool keep);

  void store_changes() override;
  void push_undo(const std::string& config) override;
  [[nodiscard]] std::optional<std::string> last_undo() const override;
  void pop_undo() override;

  StartedCapture start_capture(CaptureRequest request) override;
  std::optional<CaptureTotals> stop_capture(std::uint64_t id) override;
  [[nodiscard]] std::vector<CaptureStatus> captures() const override;
  std::uint64_t watch(unsigned subjects, Watcher watcher) override;
  void unwatch(std::uint64_t number) override;
  void announce(const SwitchEvent& event) override;

  // Called when who was told NotYet may ask again.
  void on_program(std::function<void()> tell);
  // Returns then. Before the event loop runs: it has the thread wait.
  void wait_for_program();

  // Returns when every worker and the revalidator have answered; throws where one does not within a minute.
  void wait_for_threads();

  // For the daemon's event loop: the file descriptor to poll, and what to call when it is readable.
  [[nodiscard]] int event_fd() const;
  void handle_events();

  void listen(InstanceListener listener);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace shunt
