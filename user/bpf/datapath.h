// SPDX-License-Identifier: Apache-2.0
// The kernel half, held by the daemon: programs and maps, loaded and pinned under /sys/fs/bpf/shunt/<instance>/.
//
// Specialisation: the XDP program is built for a set of features (maps/port.h, SHUNT_FEATURE_*). A larger one is loaded
// and swaps places with it on every link, atomically, before anything that needs it is published: by a thread of its
// own (request_features(), program_loader.h), or, where nothing else would be right, before the call returns
// (require_features()). If the verifier refuses a specialised program, its log is kept and the generic one (all
// features) stays.
//
// Threads: the mapped arrays are written by the revalidator (flows, action_lists, index, masks, fdb, ports' masks and
// generation) and control (ports otherwise, and meters' configurations); everything else here belongs to the control
// thread, but for set_group (revalidator).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "maps/fdb.h"
#include "maps/flow.h"
#include "maps/map_names.h"
#include "maps/meter.h"
#include "maps/port.h"
#include "user/base/strong_types.h"
#include "user/bpf/map.h"
#include "user/bpf/program.h"

namespace shunt {

class PinnedLink;

// An interface's XDP program as the kernel reports it.
struct AttachedProgram {
  std::uint32_t id = 0;
  std::string name;
  bool generic = false;
};

// What the loaded programs are specialised to.
struct ProgramStatus {
  struct Feature {
    std::uint32_t bit;    // SHUNT_FEATURE_*
    std::string because;  // who needed it first: "rule 'tcp,actions=drop'"
  };
  std::vector<Feature> features;
  // Of the XDP program: as it runs, and as it was compiled, before the verifier took out what no feature reaches
  // (0: not known, for an earlier daemon loaded it).
  std::size_t instructions = 0, compiled_instructions = 0;
  bool refused = false;        // the verifier refused one that was specialised: this one can do everything
  std::uint32_t loading = 0;   // features of a program that is being loaded
};

class Datapath {
 public:
  struct Options {
    std::string instance = "default";
    std::uint32_t flow_limit = 200'000;
    std::uint32_t features = SHUNT_FEATURE_ALL;
  };

  // Mounts bpffs where it is missing and loads. Maps that an earlier daemon of this instance left pinned are taken over
  // where this build lays them out alike (inherited()); else they are made and pinned. Throws Error naming what is
  // missing: kernel feature, capability, memory.
  explicit Datapath(const Options& options);
  // Detaches every link and removes the pins, unless they are kept. Not run by kill -9: links and maps are pinned,
  // forwarding goes on.
  ~Datapath();
  Datapath(const Datapath&) = delete;
  Datapath& operator=(const Datapath&) = delete;

  [[nodiscard]] const shunt_config& config() const;

  // The maps are those of an earlier daemon, with ports and flows in them.
  [[nodiscard]] bool inherited() const;
  // What the earlier daemon's links still hold, of which no attach() has taken over its own: detached.
  void drop_inherited_links();
  // Whether links and pins stay when this object goes. Until this is called: where some were there before.
  void keep(bool keep) noexcept;
  [[nodiscard]] bool keeps() const noexcept;

  MappedArray<shunt_flow> flows;
  MappedArray<shunt_action> action_lists;
  MappedArray<shunt_index_bucket> index;
  MappedArray<shunt_microflow_group> microflows;  // the kernel writes it
  MappedArray<shunt_flow_counters> counters;  // [cpu * flow_limit + slot]
  MappedArray<shunt_flow_delta> deltas;       // likewise
  MappedArray<shunt_mask> masks;
  MappedArray<shunt_port> ports;
  MappedArray<shunt_ifindex_slot> port_by_ifindex;
  MappedArray<shunt_order> order;
  MappedArray<shunt_fdb_bucket> fdb;
  MappedArray<shunt_meter> meters;   // by Meter::slot; see user/worker/meters.h
  MappedArray<shunt_layout> layout;  // one
  [[nodiscard]] BpfMap<shunt_megaflow_key, shunt_megaflow> megaflows() const;

  // The program on an interface. An inherited link of this interface and mode is taken over, with its program where it
  // is the same; else the program is swapped, atomically. attach() throws where the kernel refuses: the text names the
  // MTU that would work (ERANGE), or the mode (EOPNOTSUPP: --mode generic). kTcx: require_tc() before.
  void attach(Ifindex ifindex, const std::string& name, PortMode mode);
  // The lane's entry, to which TC sends; `queues` that its exit has, where the program is attached as at a port. ifindex 0: there is no lane (any more).
  void set_lane(Ifindex ifindex, unsigned queues);
  void detach(Ifindex ifindex) noexcept;                        // also when the interface is gone
  [[nodiscard]] static AttachedProgram query(Ifindex ifindex);  // id 0: none
  [[nodiscard]] bool holds_link(Ifindex ifindex) const;         // of its own, or inherited
  // Detaches somebody else's program (--force). Throws where a link holds it.
  static void remove_foreign(Ifindex ifindex);

  void set_ifindex(Ifindex ifindex, DpPort port);           // port_by_ifindex; port 0 clears
  void set_tx_port(DpPort port, Ifindex ifindex);           // DEVMAP; ifindex 0 clears
  void clear_port(DpPort port);                             // of an earlier daemon's: nothing leads to it any more
  void set_xsk(DpPort port, QueueId queue, int socket_fd);  // fd -1 clears
  // Builds a DEVMAP of the members and puts it at `group`. Returns 0 or -errno.
  [[nodiscard]] int set_group(std::uint16_t group, std::span<const Ifindex> members) noexcept;
  [[nodiscard]] std::vector<Ifindex> group_members(std::uint16_t group) const;  // as they were set

  [[nodiscard]] shunt_port_stats port_stats(DpPort port) const;  // summed over CPUs
  void reset_port_stats(DpPort port);

  // Those too, `because` of what; nothing happens where they are loaded. In force when it returns, which may take
  // seconds: for what the kernel would do wrongly without. Throws where the kernel refuses.
  void require_features(std::uint32_t features, const std::string& because = {});
  // Those too, or no more, as soon as they are loaded; nothing may need what is released. A load that fails is logged,
  // and the program stays. Loads begin, and what is loaded is put in force, in go_on_loading(): to be called whenever
  // loading_fd() is readable.
  void request_features(std::uint32_t features, const std::string& because = {});
  void release_features(std::uint32_t features);
  [[nodiscard]] std::uint32_t pending_features() const;  // requested, and not yet in force
  [[nodiscard]] std::uint32_t failed_features() const;   // of which the last load failed
  [[nodiscard]] int loading_fd() const;
  void go_on_loading();
  // Called with the features in force, whenever these have changed.
  void on_features(std::function<void(std::uint32_t features)> tell);
  [[nodiscard]] ProgramStatus program_status() const;
  [[nodiscard]] std::uint32_t features() const;
  // Loads the programs of mode kTcx; nothing happens where they are loaded. Throws where the kernel refuses.
  void require_tc();

  // Returns when every program that ran at the time of the call has ended. Takes a tenth of a millisecond where a thread
  // can look on each CPU (CpuVisitor), else 8-20 ms (membarrier: synchronize_rcu).
  static void wait_grace_period();

  // libbpf's and the verifier's log of the last program that was refused (the generic one is used instead); empty:
  // none.
  [[nodiscard]] const std::string& verifier_log() const;

  [[nodiscard]] int map_fd(const char* name) const;  // of any map of the programs

  [[nodiscard]] int program_fd(Program program = Program::kSwitch) const;

 private:
  [[nodiscard]] bool take_over(PinnedLink& link, Program program, Ifindex ifindex, PortMode mode) const;

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace shunt
