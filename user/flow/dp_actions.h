// SPDX-License-Identifier: Apache-2.0
// Lists of datapath actions (maps/actions.h). As many as most flows have lie within the list: a block of memory less,
// which another thread would give back.
#pragma once

#include <boost/container/small_vector.hpp>
#include <cstring>
#include <span>

#include "maps/actions.h"

namespace shunt {

using DpActions = boost::container::small_vector<shunt_action, 4>;

// To std::span its iterators are none of a contiguous range (Boost 1.74).
inline std::span<const shunt_action> as_span(const DpActions& actions) noexcept {
  return {actions.data(), actions.size()};
}

inline bool equal(const DpActions& a, const DpActions& b) noexcept {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(shunt_action)) == 0);
}

}  // namespace shunt
