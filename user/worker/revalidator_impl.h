// SPDX-License-Identifier: Apache-2.0
// What the revalidator's thread has and does. revalidator.cpp is the other threads' way to it, revalidator_thread.cpp
// what it does by itself and when asked.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "user/worker/affected_index.h"
#include "user/worker/events.h"
#include "user/worker/fair_queue.h"
#include "user/worker/grace_periods.h"
#include "user/worker/mailbox.h"
#include "user/worker/megaflow_table.h"
#include "user/worker/megaflow_writer.h"
#include "user/worker/revalidator.h"

namespace shunt {

struct Revalidator::Impl {
  Impl(const Switch& configuration, FlowMaps& flow_maps, const Options& opts)
      : sw{configuration},
        options{opts},
        mailbox{doorbell, "the revalidator"},
        youth{opts.workers, flow_maps.order},
        table{flow_maps},
        grace{[this, &flow_maps] {
                table.writer().settle();
                flow_maps.wait_grace_period();
              },
              [this] { doorbell.ring(); }} {
    for (unsigned worker = 0; worker < options.workers; ++worker)
      queues.push_back(std::make_unique<RequestQueue>(doorbell));
    table.set_credit(
        [this](std::uint32_t slot, const MegaflowTable::Flow& flow, const MegaflowTable::Counted& counted) {
          credits.follow(table, slot, counted);
          credit(slot, flow, counted);
        });
  }

  // Runs `work` in the thread and passes its result on. What it changed is in the hash map then, too.
  template <typename Work>
  auto call(Work work) {
    using Result = std::invoke_result_t<Work>;
    if constexpr (std::is_void_v<Result>) {
      mailbox.run([this, work = std::move(work)]() mutable {
        work();
        table.settle();
      });
    } else {
      // Owned by the work too: it may outlive a caller that gave up.
      auto result = std::make_shared<Result>();
      mailbox.run([this, result, work = std::move(work)]() mutable {
        *result = work();
        table.settle();
      });
      return std::move(*result);
    }
  }

  void run();
  void rest();
  std::size_t serve_requests();
  void take_requests();  // from the workers' rings
  void serve(std::span<FlowRequest> requests);
  void serve(FlowRequest& request);
  void collect_counters();
  void sweep_slice(std::uint32_t begin, bool decay);
  void expire_macs();
  void housekeeping(std::size_t served);  // requests, since the last time
  void free_retired();
  void give_back_memory();
  void tell_wanted_features();

  void refresh_state() {
    if (state == nullptr || state->version != sw.version()) state = sw.state();
  }
  TranslationRef translate_now(const FlowKey& key) const {
    auto made = std::make_shared<Translation>();
    translate(*state, key, nullptr, *made);
    return made;
  }
  // As the flow is: a bridged one without a look at MACs.
  [[nodiscard]] TranslationRef translate_as(std::uint32_t slot, const FlowKey& key) const {
    if (!table.flow(slot)->bridged) return translate_now(key);
    return std::make_shared<const Translation>(translate_bridged(*state, key));
  }
  [[nodiscard]] const BridgeState* bridge_of(const Translation& translation) const;
  [[nodiscard]] bool is_stale(const Translation& translation) const;

  // A flow may have been retired on the way to the command, by a request or a timer: programs that run may still hold
  // it.
  [[nodiscard]] bool needs_grace_period(bool changed) const { return changed || table.awaits_grace_period(); }
  bool learn(const Translation& translation);  // which the caller keeps alive
  // --- revalidator_bridges.cpp: flows of bridged packets, and the kernel's FDB that they ask (BridgeTable).
  // Whether a bridged flow answers the packet, of which there is one then.
  bool answered_as_bridged(const FlowKey& key, const Translation& translation);
  [[nodiscard]] std::optional<BridgeTable::Place> place_of(const BridgeState& bridge, const FdbKey& key) const;
  bool write_mac(const BridgeState& bridge, const FdbKey& key);  // as the FDB has it now. True: it was known otherwise
  // Entries follow ports that may have changed: of a bridge, of all. True: some say something else.
  bool follow_ports(std::optional<BridgeId> bridge);
  bool rewrite_macs(std::optional<BridgeId> bridge, std::optional<DpPort> port);
  void write_macs();
  void turn_round();
  [[nodiscard]] std::chrono::seconds round_length() const;
  void inherit_macs(std::span<const std::uint32_t> slots);

  bool mac_changed(const BridgeState& bridge, FdbKey key, MacChange change, std::optional<PortNo> old_port = {});
  bool retranslate(std::uint32_t slot, const FlowKey& key);
  bool affects(const Change& change, std::uint32_t slot, const FlowKey& key) const;
  // Of a port's flows, so far: those that a change's walk met and may alter, and did.
  struct Extent {
    std::uint32_t met = 0, altered = 0;
    std::uint32_t next_try = 2048;  // altered ones, for may_end_all() to look further
  };
  bool may_end_all(Extent& extent, const AffectedIndex::Query& query, std::uint32_t next, DpPort port) const;
  bool revalidate(const Change& change);
  bool meets(const Change& change);
  Inherited inherit(std::span<const FlowCredit> credited);
  void credit(std::uint32_t slot, const MegaflowTable::Flow& flow, const MegaflowTable::Counted& counted);
  void count_sent(const MegaflowTable::Flow& flow, const MegaflowTable::Counted& counted);
  void refresh_macs();
  std::vector<FlowSnapshot> list(std::size_t limit);
  std::vector<FlowSnapshot> top(std::size_t count, FlowOrder order);
  void count_busy(TimePoint& since, TimePoint until);
  FlowSnapshot snapshot(std::uint32_t slot) const;

  const Switch& sw;
  const Options options;
  Doorbell doorbell;
  Mailbox mailbox;
  std::vector<std::unique_ptr<RequestQueue>> queues;
  Youth youth;
  SwitchStateRef state;
  MegaflowTable table;
  CreditSnapshot credits;
  GracePeriods grace;
  TimePoint now{}, next_sweep{}, sweep_began{};
  std::optional<std::uint32_t> sweep_at;  // the slot where the walk of each second goes on; none: it is over
  std::uint64_t reclaimed = 0;  // epoch
  std::uint64_t changes_before = 0, let_go_before = 0;  // of the table's stats: at the last sweep, at the last trim
  // MACs whose flows had hits: refreshed after the walk that found them, for learning can retire flows.
  struct Seen {
    BridgeId bridge;
    Translation::Learn learn;
    friend bool operator==(const Seen& a, const Seen& b) {
      return a.bridge == b.bridge && a.learn.key == b.learn.key && a.learn.port == b.learn.port;
    }
  };
  std::vector<Seen> seen;
  TimePoint round_began{};
  std::map<BridgeId, std::vector<BridgePort>> followed;  // ports as the entries say them
  FairQueue backlog{RequestQueue::kCapacity};
  std::vector<FlowRequest> taken;  // from it, to be served
  RevalidatorStats stats;
  std::uint32_t waiting = 0, waited = 0;  // requests: the most of this second, of the one before
  std::atomic<std::uint32_t> wanted{0};
  std::uint32_t loaded = SHUNT_FEATURE_ALL;
  struct Transmitted {
    std::atomic<std::uint64_t> packets{0}, bytes{0};
  };
  std::array<Transmitted, SHUNT_MAX_PORTS> transmitted{};
  std::atomic<bool> stopping{false};
  std::thread thread;
};

}  // namespace shunt
