// SPDX-License-Identifier: Apache-2.0
// Walking netlink attributes: what libmnl's macros do, which are C only.
// Threads: any.
#pragma once

#include <libmnl/libmnl.h>

namespace shunt {

// Calls `each` with every attribute of `size` bytes at `first`; stops at the first one that is cut short.
template <typename Each>
void for_each_attribute(const void* first, long size, Each each) {
  const auto* attribute = static_cast<const nlattr*>(first);
  const auto* end = static_cast<const char*>(first) + size;
  while (mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute)))) {
    each(attribute);
    attribute = mnl_attr_next(attribute);
  }
}

// Those of a message after `header_size` bytes of the family's own header.
template <typename Each>
void for_each_attribute(const nlmsghdr* message, unsigned header_size, Each each) {
  const auto* first = static_cast<const char*>(mnl_nlmsg_get_payload_offset(message, header_size));
  for_each_attribute(first, static_cast<const char*>(mnl_nlmsg_get_payload_tail(message)) - first, each);
}

// Those inside an attribute.
template <typename Each>
void for_each_nested(const nlattr* parent, Each each) {
  for_each_attribute(mnl_attr_get_payload(parent), mnl_attr_get_payload_len(parent), each);
}

}  // namespace shunt
