// SPDX-License-Identifier: Apache-2.0
// An instance's packet captures, and who watches it.
#include <utility>

#include "user/base/error.h"
#include "user/control/instance_impl.h"

namespace shunt {

StartedCapture Instance::start_capture(CaptureRequest request) {
  const BridgeId id = impl_->bridge(request.bridge).id;
  if (request.port) (void)impl_->port(request.bridge, *request.port);  // throws where there is none
  std::vector<CapturePort> ports;
  for (const auto& [dp, port] : impl_->ports)
    if (port.bridge == id) ports.push_back({dp, port.config.name});
  impl_->tap_awaited = true;
  impl_->await_features(SHUNT_FEATURE_CAPTURE, "a capture runs");
  impl_->tap_awaited = false;
  return impl_->captures.start(std::move(request), ports);
}

// Whoever waited for it may be gone.
void Instance::Impl::give_back_tap() {
  if (!tap_awaited || (datapath.pending_features() & SHUNT_FEATURE_CAPTURE) != 0) return;
  tap_awaited = false;
  if (captures.count() == 0) datapath.release_features(SHUNT_FEATURE_CAPTURE);
}

std::optional<CaptureTotals> Instance::stop_capture(std::uint64_t id) {
  return impl_->captures.stop(id);
}

std::vector<CaptureStatus> Instance::captures() const { return impl_->captures.list(); }

std::uint64_t Instance::watch(unsigned subjects, Watcher watcher) {
  return impl_->watchers.add(subjects, std::move(watcher));
}

void Instance::unwatch(std::uint64_t number) { impl_->watchers.remove(number); }
void Instance::announce(const SwitchEvent& event) { impl_->watchers.tell(event); }

}  // namespace shunt
