// SPDX-License-Identifier: Apache-2.0
// One daemon an instance: <rundir>/<instance>.pid, locked (flock) as long as the daemon lives, holding its pid. A
// daemon that died leaves the file but not the lock. Threads: the control thread only.
#pragma once

#include <string>

#include "user/base/unique_fd.h"

namespace shunt {

class InstanceLock {
 public:
  // Makes the run directory where it is missing (0755). Throws Error "instance 'x' is already running (pid N)".
  InstanceLock(const std::string& rundir, const std::string& instance);
  ~InstanceLock();  // removes the file
  InstanceLock(const InstanceLock&) = delete;
  InstanceLock& operator=(const InstanceLock&) = delete;

 private:
  std::string path_;
  UniqueFd fd_;
};

}  // namespace shunt
