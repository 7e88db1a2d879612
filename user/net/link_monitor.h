// SPDX-License-Identifier: Apache-2.0
// Follows the links of a namespace by netlink. LinkTable decides what happened, LinkMonitor reads the socket. Events
// that the kernel had to throw away (ENOBUFS) are made good by a new dump, compared with what was known.
//
// Invariant: applying the events in order to the first `links()` gives the kernel's state at the last read().
// Threads: one object, one thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "user/net/netlink.h"

namespace shunt {

struct LinkEvent {
  enum class Kind { kNew, kChanged, kRenamed, kGone };  // a renamed link may have changed otherwise too
  Kind kind;
  Link link;             // as it is now; kGone: as it was
  std::string old_name;  // of kRenamed
};

class LinkTable {
 public:
  // Takes in what the kernel said of one link. No event where nothing changed.
  [[nodiscard]] std::vector<LinkEvent> update(const Link& link);
  [[nodiscard]] std::vector<LinkEvent> remove(Ifindex index);
  // Takes in a dump of all links: those missing from it are gone.
  [[nodiscard]] std::vector<LinkEvent> replace(const std::vector<Link>& links);
  [[nodiscard]] std::vector<Link> links() const;  // ascending by ifindex

 private:
  std::map<Ifindex, Link> links_;
};

class LinkMonitor {
 public:
  // Follows the calling thread's namespace, from now on.
  LinkMonitor();

  [[nodiscard]] int fd() const;                                             // readable when read() has something to say
  [[nodiscard]] std::vector<LinkEvent> read();                              // what happened since; never waits
  [[nodiscard]] std::vector<Link> links() const { return table_.links(); }  // as of the last read()

 private:
  struct Close {
    void operator()(mnl_socket* socket) const noexcept;
  };
  std::vector<LinkEvent> take(const nlmsghdr* message);

  std::unique_ptr<mnl_socket, Close> socket_;
  Netlink dump_;
  LinkTable table_;
  std::vector<std::byte> buffer_;
};

}  // namespace shunt
