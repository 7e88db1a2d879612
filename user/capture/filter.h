// SPDX-License-Identifier: Apache-2.0
// Filters of captures: programs of classic BPF, as libpcap compiles them and `tcpdump -ddd` prints them. They come from
// clients: what is not checked here does not reach a packet. bpf/datapath/filter.h runs them.
//
// Threads: any; nothing is shared.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "maps/capture.h"

namespace shunt {

using FilterProgram = std::vector<shunt_filter_insn>;  // empty: every packet

// The text of `tcpdump -ddd`: the count, then "code jt jf k" in decimal, an instruction a line. Throws Error where it
// is no such text, is longer than SHUNT_FILTER_INSNS, or is a program that check_filter() refuses.
[[nodiscard]] FilterProgram parse_filter(std::string_view text);
[[nodiscard]] std::string format_filter(std::span<const shunt_filter_insn> program);

// Throws Error unless every instruction is one of classic BPF's, jumps lead forward and inside, scratch words are
// there, nothing is divided by a constant 0, and the last instruction returns.
void check_filter(std::span<const shunt_filter_insn> program);

// Whether a checked program wants a packet, of which `bytes` are the first.
[[nodiscard]] bool accepts(std::span<const shunt_filter_insn> program, std::span<const std::uint8_t> bytes,
                           std::uint32_t length) noexcept;

}  // namespace shunt
