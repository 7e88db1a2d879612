// SPDX-License-Identifier: Apache-2.0
#include "user/base/privileges.h"

#include <cap-ng.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "user/base/capabilities.h"
#include "user/base/error.h"

namespace shunt {
namespace {

void take_group(const std::string& name) {
  errno = 0;
  const group* found = ::getgrnam(name.c_str());
  if (found == nullptr) throw Error("no group '{}'; make it (groupadd --system {}), or leave --group out", name, name);
  if (::setresgid(found->gr_gid, found->gr_gid, found->gr_gid) != 0)
    throw Error("group '{}': {}; only root may take another group", name, std::strerror(errno));
}

}  // namespace

void drop_privileges(const std::optional<std::string>& group) {
  if (group) take_group(*group);
  ::umask(0027);
  if (capng_get_caps_process() != 0) throw Error("cannot read the process's capabilities");
  std::vector<unsigned> kept;
  for (const Capability& capability : used_capabilities())
    if (capng_have_capability(CAPNG_PERMITTED, capability.number) != 0) kept.push_back(capability.number);
  // The bounding set is for who may change it.
  const bool bounding = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP) != 0;
  const capng_select_t sets = bounding ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS;
  capng_clear(sets);
  for (const unsigned number : kept)
    if (capng_update(CAPNG_ADD, static_cast<capng_type_t>(CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET),
                     number) != 0)
      throw Error("cannot keep capability {}", number);
  if (capng_apply(sets) != 0) throw Error("cannot drop capabilities: {}", std::strerror(errno));
  check(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS");
}

}  // namespace shunt
