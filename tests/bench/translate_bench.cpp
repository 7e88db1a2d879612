// SPDX-License-Identifier: Apache-2.0
// What translating a packet costs that `normal` forwards: one thread, 10,000 MAC addresses.
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "user/pipeline/switch.h"
#include "user/pipeline/translate.h"

using namespace shunt;

namespace {

// CPU time of this thread in ns: other work on the machine shows less than in elapsed time.
double cpu_now() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

}  // namespace

int main() {
  Switch config;
  const BridgeId id = config.add_bridge("br0");
  for (std::uint32_t i = 1; i <= 4; ++i) config.add_port(id, {PortNo{i}, DpPort{i}, fmt::format("p{}", i), {}});
  const auto state = config.state();
  for (std::uint64_t i = 0; i < 10'000; ++i)
    state->bridges[0]->fdb->learn({VlanId{0}, MacAddr::from_number(0x020000000000 + i)}, PortNo{2}, Clock::now());
  std::mt19937_64 random{1};
  std::vector<FlowKey> keys(16'384);
  for (FlowKey& key : keys) {
    key.in_port = 1;
    const auto dst = MacAddr::from_number(0x020000000000 + random() % 10'000);
    std::memcpy(key.eth_dst, dst.bytes.data(), 6);
    key.eth_src[0] = 2;
  }
  std::vector<double> runs;
  for (int run = 0; run < 5; ++run) {
    const double start = cpu_now();
    for (const FlowKey& key : keys)
      if (translate(*state, key).actions.size() != 1) std::abort();
    runs.push_back((cpu_now() - start) / static_cast<double>(keys.size()));
  }
  std::sort(runs.begin(), runs.end());
  fmt::print("translate, normal, 10,000 MACs: {:.0f} ns\n", runs[runs.size() / 2]);
}
