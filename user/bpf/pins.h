// SPDX-License-Identifier: Apache-2.0
// An instance's directory under bpffs: its maps by their names, its links as link-<interface>. What an earlier daemon
// left there goes on forwarding; Datapath takes it over or takes its place.
//
// Threads: control.
#pragma once

#include <string>
#include <vector>

namespace shunt {

class PinDirectory {
 public:
  // Makes it, mounting bpffs first where that is missing. The caller knows that no other daemon uses it.
  explicit PinDirectory(const std::string& instance);
  ~PinDirectory();  // removes it and what is left in it, links first, unless keep() was called
  PinDirectory(const PinDirectory&) = delete;
  PinDirectory& operator=(const PinDirectory&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::vector<std::string> link_paths() const;
  void remove_maps() const;  // the programs that use them keep them
  void keep() noexcept { keep_ = true; }

 private:
  std::string path_;
  bool keep_ = false;
};

}  // namespace shunt
