// SPDX-License-Identifier: Apache-2.0
// One loaded copy of bpf/switch.bpf.c, and of bpf/tc.bpf.c where ports use it: programs specialised to a configuration,
// over maps of their own or over those of an earlier copy.
//
// Threads: control. libbpf's log goes to ours at level debug; what it said while a load failed is in LoadFailure.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "maps/port.h"
#include "user/base/error.h"
#include "user/base/unique_fd.h"
#include "user/bpf/program.h"

struct switch_bpf;
struct tc_bpf;

namespace shunt {

// The kernel refused to load. `log` is libbpf's, with the verifier's where it was the verifier.
class LoadFailure : public Error {
 public:
  LoadFailure(int error, std::string log, const std::string& text)
      : Error("{}", text), error_{error}, log_{std::move(log)} {}
  [[nodiscard]] int error() const { return error_; }
  [[nodiscard]] const std::string& log() const { return log_; }
  [[nodiscard]] bool by_verifier() const { return log_.find("BEGIN PROG LOAD LOG") != std::string::npos; }

 private:
  int error_;
  std::string log_;
};

using MapFds = std::map<std::string, UniqueFd>;  // by name

class SwitchObject {
 public:
  // With maps of its own, for config.flow_limit flows; kSwitch only.
  explicit SwitchObject(const shunt_config& config);
  // Shares the maps of an earlier copy, which must stay alive. `tc`: with kTc.
  SwitchObject(const shunt_config& config, const SwitchObject& maps_of, bool tc);
  // Over maps that are there, all of them, for which differs_from() said nothing. With a `program`, which is of this
  // build and configuration, the kernel has none to verify.
  SwitchObject(const shunt_config& config, const MapFds& maps, UniqueFd program = {});
  SwitchObject(const SwitchObject&) = delete;
  SwitchObject& operator=(const SwitchObject&) = delete;

  // kTc too, of the same configuration. Where that fails there is none.
  void load_tc(const shunt_config& config, const SwitchObject& maps_of);

  [[nodiscard]] int program_fd(Program program = Program::kSwitch) const;
  // Of the XDP program; 0: it was not compiled here, but an earlier daemon's.
  [[nodiscard]] std::size_t compiled_instructions() const;
  [[nodiscard]] int map_fd(const char* name) const;
  void pin_maps(const std::string& directory) const;

  // Why `maps` cannot be those of a copy for this configuration ("map flows: elements of 448 bytes, here 456"); empty:
  // they can.
  [[nodiscard]] static std::string differs_from(const shunt_config& config, const MapFds& maps);

  // What the programs are compiled from, as a hash.
  [[nodiscard]] static std::uint64_t build();

  // The names of the maps that are pinned and shared.
  static const std::vector<const char*>& map_names();

 private:
  void load(const shunt_config& config);

  struct Destroy {
    void operator()(switch_bpf* object) const noexcept;
    void operator()(tc_bpf* object) const noexcept;
  };
  template <typename Skeleton>
  using Owned = std::unique_ptr<Skeleton, Destroy>;

  Owned<switch_bpf> object_;
  Owned<tc_bpf> tc_;
  UniqueFd adopted_;
};

// Loads the program for config.features by `load`; where the verifier refuses it, the generic one (all features), and
// says so in config.features. `refusal` gets the log of what was refused. Throws where neither can be loaded.
[[nodiscard]] std::unique_ptr<SwitchObject> load_or_generic(
    shunt_config& config, std::string& refusal,
    const std::function<std::unique_ptr<SwitchObject>(const shunt_config&)>& load);

// Buckets of flow_index for a flow limit: a power of two.
[[nodiscard]] std::uint32_t index_buckets(std::uint32_t flow_limit);
// Elements of action_lists: two a flow, 32 bytes.
[[nodiscard]] std::uint32_t action_elements(std::uint32_t flow_limit);
// Groups of microflows: one for each flow, 128 bytes.
[[nodiscard]] std::uint32_t microflow_groups(std::uint32_t flow_limit);

// From now on libbpf speaks through our log.
void route_libbpf_log();

}  // namespace shunt
