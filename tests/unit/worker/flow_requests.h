// SPDX-License-Identifier: Apache-2.0
// What a worker asks the revalidator for.
#pragma once

#include <memory>
#include <utility>

#include "user/worker/upcall.h"

namespace shunt::test {

inline FlowRequest request_for(const FlowKey& key, Translation translation) {
  auto decision = std::make_shared<Decision>();
  decision->key = key;
  decision->translation = std::move(translation);
  return {std::move(decision), DpPort{key.in_port}};
}

}  // namespace shunt::test
