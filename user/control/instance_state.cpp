// SPDX-License-Identifier: Apache-2.0
// What an Instance keeps over a restart: restoring it, and telling the store what has changed.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "user/base/error.h"
#include "user/control/instance_impl.h"
#include "user/control/rule_features.h"
#include "user/net/netns.h"
#include "user/pipeline/group_text.h"
#include "user/pipeline/meter_text.h"

namespace shunt {
namespace {

constexpr unsigned kBalanceSeconds = 10;
constexpr unsigned kRetrySeconds = 5;  // until what failed is tried again: storing everything, attaching a port
constexpr std::size_t kUndoLevels = 8;
constexpr unsigned kHeartbeatSeconds = 60;  // a daemon that changes nothing says that it is alive

std::span<const StateRow> rows_of(const StateImage& image, StateTable table, BridgeId bridge) {
  const auto found = image.find(table);
  if (found == image.end()) return {};
  const auto range = std::ranges::equal_range(found->second, bridge.value, {}, &StateRow::bridge);
  return {range.begin(), range.end()};
}

// What cannot be restored is told, and the rest goes on.
template <typename Action>
void attempt(const StateRow& row, std::string_view what, Action&& action) {
  try {
    action();
  } catch (const std::exception& error) {
    spdlog::error("{} {} of bridge {} is not restored: {}; it was: {}", what, row.id, row.bridge, error.what(),
                  row.text);
  }
}

// Restores all of them at once or, where that is refused, each that can be.
template <typename Thing, typename Restore>
void restore_all(std::span<const StateRow> rows, std::string_view what, const std::vector<Thing>& things,
                 const std::vector<const StateRow*>& row_of, Restore&& restore) {
  if (things.empty() || rows.empty()) return;
  try {
    restore(std::span{things});
  } catch (const Error&) {
    for (std::size_t i = 0; i < things.size(); ++i)
      attempt(*row_of[i], what, [&] { restore(std::span{things}.subspan(i, 1)); });
  }
}

// The things that rows say, and which row said which.
template <typename Thing, typename Read, typename Restore>
void restore_rows(std::span<const StateRow> rows, std::string_view what, Read&& read, Restore&& restore) {
  std::vector<Thing> things;
  std::vector<const StateRow*> row_of;
  things.reserve(rows.size());
  for (const StateRow& row : rows)
    attempt(row, what, [&] {
      things.push_back(read(row));
      row_of.push_back(&row);
    });
  restore_all<Thing>(rows, what, things, row_of, restore);
}

// Groups refer to each other in any order: first all of them without buckets, then each as it was.
std::vector<GroupMod> in_two_steps(std::span<const GroupMod> groups) {
  std::vector<GroupMod> mods;
  for (const GroupMod& group : groups) {
    GroupMod empty;
    empty.group = group.group;
    mods.push_back(std::move(empty));
  }
  for (GroupMod group : groups) {
    group.command = GroupMod::Command::kModify;
    mods.push_back(std::move(group));
  }
  return mods;
}

// Idle time passes while the switch runs. A daemon that was killed did not say when rules were last used: theirs begins
// anew.
RestoredRule restored_rule(const StateRow& row, const StateStore& store, TimePoint now) {
  const StateClock& clock = store.clock();
  const auto past = [&](std::int64_t time) { return std::min(clock.when(time), now); };
  RestoredRule rule;
  rule.mod = parse_stored_rule(row.text);
  rule.created = past(row.times.created);
  rule.modified = past(row.times.modified);
  rule.row = row.id;
  if (rule.mod.idle_timeout == 0) return rule;
  rule.used = now;
  if (!store.was_stopped() || !clock.last_alive()) return rule;
  const TimePoint used = clock.when(std::max(row.times.used, row.times.created));
  rule.used = std::min(now, std::max(now - (*clock.last_alive() - used), TimePoint{} + TimePoint::duration{1}));
  return rule;
}

}  // namespace

void Instance::Impl::restore() {
  if (!store) return;
  const StateImage image = store->take_image();
  const TimePoint now = Clock::now();
  std::uint32_t features = 0;
  std::int64_t next_rule = 1;
  std::size_t rule_count = 0;
  const auto bridge_rows = image.find(StateTable::kBridges);
  if (bridge_rows != image.end())
    for (const StateRow& row : bridge_rows->second)
      attempt(row, "bridge", [&] {
        const BridgeId id{row.bridge};
        const StoredBridge stored = parse_stored_bridge(row.text);
        sw.restore_bridge(id, stored.name);
        sw.set_flood_vlans(id, stored.flood_vlans);
        Fdb& fdb = *bridge(stored.name).fdb;
        fdb.set_ageing(stored.mac_ageing);
        fdb.set_limit(stored.mac_limit);
        recorder->set_fdb(id, stored.mac_limit, stored.mac_ageing);
        openflow[id] = stored.openflow;
        recorder->set_openflow(id, stored.openflow);

        restore_rows<MeterMod>(
            rows_of(image, StateTable::kMeters, id), "meter",
            [](const StateRow& meter) { return parse_meter(meter.text, MeterMod::Command::kAdd); },
            [&](std::span<const MeterMod> meters) { sw.apply_meter(id, meters, now); });
        restore_rows<GroupMod>(
            rows_of(image, StateTable::kGroups, id), "group",
            [&](const StateRow& group) {
              GroupMod mod = parse_group(group.text, GroupMod::Command::kAdd, {});
              features |= features_of(mod);
              return mod;
            },
            [&](std::span<const GroupMod> groups) { sw.apply_group(id, in_two_steps(groups), now); });
        restore_rows<RestoredRule>(
            rows_of(image, StateTable::kRules, id), "rule",
            [&](const StateRow& stored_rule) {
              next_rule = std::max(next_rule, stored_rule.id + 1);
              RestoredRule rule = restored_rule(stored_rule, *store, now);
              features |= features_of(rule.mod);
              ++rule_count;
              return rule;
            },
            [&](std::span<const RestoredRule> rules) { sw.restore_rules(id, rules); });
        // Behind the rules: a table that held more than it may holds them still.
        for (const StateRow& table : rows_of(image, StateTable::kTables, id))
          attempt(table, "table",
                  [&] { sw.set_table(id, static_cast<std::uint8_t>(table.id), parse_stored_table(table.text)); });
        // The ages of what was learned are not stored: they were seen, at the latest, when the last daemon ended.
        const TimePoint seen = store->clock().last_alive().value_or(now);
        for (const StateRow& mac : rows_of(image, StateTable::kMacs, id))
          attempt(mac, "MAC address", [&] {
            const FdbEntry entry = parse_stored_mac(mac.id, mac.text);
            if (entry.is_static)
              fdb.add_static(entry.key, entry.port);
            else if (seen + stored.mac_ageing > now)
              fdb.learn(entry.key, entry.port, seen);
          });
        (void)fdb.take_changes();
        for (const StateRow& port : rows_of(image, StateTable::kPorts, id))
          attempt(port, "port", [&] {
            StoredPort stored_port = parse_stored_port(port.text);
            features |= features_of(stored_port.request.vlan);
            const DpPort dp{static_cast<std::uint32_t>(port.id)};
            add_waiting_port(id, *stored_port.request.number, dp, stored_port.request);
            restored_ports.emplace(dp, std::move(stored_port));
          });
      });
  if (const auto texts = image.find(StateTable::kHistory); texts != image.end())
    for (const StateRow& row : texts->second) undo_texts[row.id] = row.text;
  recorder->begin(sw.state(), next_rule);
  sw.observe_rules(recorder.get());
  if (sw.state()->bridges.empty()) return;
  try {
    datapath.require_features(features, "the stored configuration");
  } catch (const std::exception& error) {
    spdlog::error("no larger XDP program: {}", error.what());
  }
  sw.collect(sw.version());
  spdlog::info("restored {} bridges, {} ports, {} rules from '{}'", sw.state()->bridges.size(), ports.size(),
               rule_count, store->path());
}

void Instance::Impl::attach_restored() {
  for (const auto& [dp, stored] : std::exchange(restored_ports, {})) {
    Port& port = ports.at(dp);
    try {
      join(port, prepare_restored(port, stored));
    } catch (const std::exception& error) {
      spdlog::warn("port '{}' of bridge '{}': {}; it waits for an interface of that name", port.config.name,
                   port.bridge_name, error.what());
      port.attachment.reset();
      port.failure = error.what();
      watcher.await(dp, port.config.name);
      store_port(port);
    }
  }
  arm_expiry();
  submit_changes();
}

// What a daemon that was killed changed of this very interface is remembered, so that detach restores it. In another
// boot or namespace the same number is another interface, which is left alone.
PortDevice Instance::Impl::prepare_restored(const Port& port, const StoredPort& stored) {
  const bool local = port.config.number == kPortLocal;
  const PortMode mode = choose_mode(port.request, local);
  const auto link = Netlink{}.find(port.config.name);
  const bool is_same = link && store->clock().same_boot() && stored.netns == current_namespace().id.inode &&
                       (local ? link->peer : link->index) == stored.ifindex;
  Changes changed;
  if (is_same) changed = Changes::parse(stored.changes);
  if (local) return PortDevice::prepare_local(options.name, port.bridge_name, mode, changed);
  return PortDevice::prepare({.interface = port.config.name,
                              .queues = port.request.queues,
                              .create_tap = port.makes_tap && !link,
                              .mode = mode,
                              .changed = std::move(changed)});
}

void Instance::Impl::store_port(const Port& port) {
  if (!recorder) return;
  StoredPort stored;
  stored.request = port.request;
  stored.request.interface = port.config.name;
  stored.request.number = port.config.number;
  stored.request.vlan = port.config.vlan;
  stored.request.flags = flags_of(port.config);
  stored.request.create_tap = port.makes_tap;
  if (port.attachment) {
    stored.ifindex = port.attachment->device().ifindex();
    stored.netns = current_namespace().id.inode;
    stored.changes = port.attachment->device().stored_changes();
  }
  recorder->put_port(port.bridge, port.config.dp, stored);
}

void Instance::Impl::store_macs() {
  if (!recorder) return;
  for (const SwitchStateRef state = sw.state(); const auto& bridge : state->bridges) {
    const std::uint64_t version = bridge->fdb->version();
    if (std::exchange(stored_fdbs[bridge->id], version) == version) continue;
    const FdbChanges changes = revalidator.take_fdb_changes(bridge->id);
    if (changes.everything) store->remove_rows(StateTable::kMacs, bridge->id.value);
    for (const FdbChanges::Change& change : changes.changes) {
      if (change.now)
        recorder->put_mac(bridge->id, *change.now);
      else if (!changes.everything)
        recorder->remove_mac(bridge->id, change.key);
    }
  }
}

void Instance::Impl::submit_changes() {
  if (!recorder) return;
  recorder->record(sw.state());
  if (!store->is_empty()) store->submit();
}

void Instance::store_changes() {
  if (!impl_->recorder) return;
  impl_->recorder->record(impl_->sw.state());
  if (impl_->store->is_empty()) return;
  impl_->store->submit();
  impl_->store->wait();
}

void Instance::push_undo(const std::string& config) {
  auto& texts = impl_->undo_texts;
  const std::int64_t id = texts.empty() ? 1 : texts.rbegin()->first + 1;
  texts[id] = config;
  if (impl_->store) impl_->store->put(StateTable::kHistory, 0, id, config);
  if (texts.size() <= kUndoLevels) return;
  if (impl_->store) impl_->store->remove(StateTable::kHistory, 0, texts.begin()->first);
  texts.erase(texts.begin());
}

std::optional<std::string> Instance::last_undo() const {
  if (impl_->undo_texts.empty()) return std::nullopt;
  return impl_->undo_texts.rbegin()->second;
}

void Instance::pop_undo() {
  const auto last = std::prev(impl_->undo_texts.end());
  if (impl_->store) impl_->store->remove(StateTable::kHistory, 0, last->first);
  impl_->undo_texts.erase(last);
}

void Instance::Impl::store_everything() {
  recorder->forget();
  recorder->record(sw.state());
  for (const SwitchStateRef state = sw.state(); const auto& bridge : state->bridges) {
    for (const auto& table : bridge->tables)
      if (table != nullptr)
        for (const RuleRef& rule : table->rules(sw.version())) recorder->put_rule(bridge->id, rule);
    (void)revalidator.take_fdb_changes(bridge->id);
    for (const FdbEntry& entry : revalidator.fdb_list(bridge->id)) recorder->put_mac(bridge->id, entry);
  }
  for (const auto& [dp, port] : ports) store_port(port);
  for (const auto& [id, text] : undo_texts) store->put(StateTable::kHistory, 0, id, text);
  store->rewrite();
}

void Instance::Impl::on_tick() {
  ++ticks;
  events.next_second();
  workers.measure();
  give_back_tap();
  if (ticks % kBalanceSeconds == 0) workers.balance();
  if (saver && started && saver->is_due(Clock::now())) save_counters();
  if (ticks % kRetrySeconds == 0) retry_waiting_ports();
  if (!store) return;
  store_macs();
  recorder->record_touched();
  if (store->failure()) {
    if (ticks % kRetrySeconds == 0) store_everything();
  } else if (ticks % kHeartbeatSeconds == 0) {
    store->submit();
  }
}

// The interfaces are given back, so nothing is left to restore of them; rules with timeouts are as they are now.
void Instance::Impl::close_state() {
  if (!recorder || !started) return;
  try {
    store_macs();
    revalidator.collect_counters();
    for (const SwitchStateRef state = sw.state(); const auto& bridge : state->bridges)
      for (const auto& table : bridge->tables)
        if (table != nullptr)
          for (const RuleRef& rule : table->rules(sw.version()))
            if (rule->idle_timeout != 0 || rule->hard_timeout != 0) recorder->put_rule(bridge->id, rule);
    for (auto& [dp, port] : ports) {
      if (datapath.keeps()) break;
      port.attachment.reset();
      store_port(port);
    }
    recorder->record(sw.state());
    store->submit();
  } catch (const std::exception& error) {
    spdlog::error("what the switch leaves behind: {}", error.what());
  }
}

}  // namespace shunt
