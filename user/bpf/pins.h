// SPDX-License-Identifier: Apache-2.0
// An instance's directory under bpffs: its maps by their names, its programs, its links as link-<interface>. What an
// earlier daemon left there goes on forwarding; Datapath takes it over or takes its place.
//
// Threads: control.
#pragma once

#include <string>
#include <vector>

#include "user/base/unique_fd.h"

namespace shunt {

class PinDirectory {
 public:
  // Makes it, mounting bpffs first where that is missing. The caller knows that no other daemon uses it.
  explicit PinDirectory(const std::string& instance);
  ~PinDirectory();  // removes it and what is left in it, links first, unless it is kept
  PinDirectory(const PinDirectory&) = delete;
  PinDirectory& operator=(const PinDirectory&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::vector<std::string> link_paths() const;
  [[nodiscard]] UniqueFd open(const char* name) const;  // none: invalid
  void replace(const char* name, int fd) const;         // at no moment is there neither the old nor the new
  void remove_maps() const;                             // and programs: links that use them keep them
  // Whether it stays when this object goes. Until this is called: where something was in it before, so that a start
  // that fails does not end what still forwards.
  void keep(bool keep) noexcept { keep_ = keep; }
  [[nodiscard]] bool keeps() const noexcept { return keep_; }

 private:
  std::string path_;
  bool keep_ = false;
};

}  // namespace shunt
