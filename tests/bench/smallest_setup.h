// SPDX-License-Identifier: Apache-2.0
// The smallest program that sets flows up: one thread that takes a batch of packets from one port's AF_XDP socket, puts
// each packet's headers into a BPF hash map with a key and a value of the switch's sizes, and sends it out of another
// port's socket. No parser, no rules, no counters: what of a set-up the kernel takes, and a bound for what a switch can
// do.
#pragma once

#include <string>

namespace shunt::bench {

// Runs until the process is ended. `in_batches`: the map is written once a batch of packets, not once a packet.
// Throws Error or std::system_error where it cannot start.
[[noreturn]] void run_smallest_setup(const std::string& in, const std::string& out, bool in_batches);

}  // namespace shunt::bench
