// SPDX-License-Identifier: Apache-2.0
// TAP interfaces that outlive the process that made them: an emulator opens them later by name.
// Threads: any.
#pragma once

#include <string>

namespace shunt {

// Makes a persistent TAP in the calling thread's namespace, with virtio-net headers for whoever opens it. Throws
// std::system_error: the name is taken (EBUSY, EEXIST), no /dev/net/tun, no CAP_NET_ADMIN.
void create_tap(const std::string& name, bool multi_queue = false);

// Removes it, also from under whoever has it open. Throws where there is no such TAP.
void remove_tap(const std::string& name);

}  // namespace shunt
