// SPDX-License-Identifier: Apache-2.0
// An instance's directory under bpffs.
//
// Threads: control.
#pragma once

#include <string>

namespace shunt {

class PinDirectory {
 public:
  // Makes it, mounting bpffs first where that is missing. Pins of an earlier daemon of this name are removed, links
  // first, so that no port is left under a program whose maps are going. The caller knows that this daemon is dead.
  explicit PinDirectory(const std::string& instance);
  ~PinDirectory();  // removes it and what is left in it
  PinDirectory(const PinDirectory&) = delete;
  PinDirectory& operator=(const PinDirectory&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace shunt
