// SPDX-License-Identifier: Apache-2.0
// Filters in the words of pcap-filter(7), compiled by libpcap for Ethernet.
#pragma once

#include <string>

#include "user/capture/filter.h"

namespace shunt::cli {

inline constexpr std::size_t kLongestFilter = 4096;  // characters

// Throws Error with libpcap's reason, or where the text or its program is too long.
[[nodiscard]] FilterProgram compile_filter(const std::string& expression);

}  // namespace shunt::cli
