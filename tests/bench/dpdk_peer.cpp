// SPDX-License-Identifier: Apache-2.0
// dpdk-testpmd over net_af_xdp: DPDK's forwarder that looks at nothing. And what DPDK needs of the machine.
#include <fmt/format.h>
#include <unistd.h>

#include <fstream>

#include "tests/bench/contestant.h"
#include "user/base/error.h"

namespace shunt::bench {
namespace {

using namespace std::chrono_literals;

constexpr auto kTestpmd = "/usr/bin/dpdk-testpmd";
constexpr auto kHugePageCount = "/proc/sys/vm/nr_hugepages";

unsigned huge_page_count() {
  unsigned count = 0;
  std::ifstream{kHugePageCount} >> count;
  return count;
}

class Testpmd : public Contestant {
 public:
  Testpmd(const std::string& name, const Lane& lane)
      : Contestant{name, lane},
        pages_{128},
        // Two threads on one core, of which that with the prompt sleeps.
        process_{{"stdbuf", "-oL", kTestpmd, "--lcores", fmt::format("0@{0},1@{0}", switch_core()), "--no-pci",
                  "--in-memory", "--no-telemetry", "-m", "256", "--vdev", "net_af_xdp0,iface=" + lane.in, "--vdev",
                  "net_af_xdp1,iface=" + lane.out, "--", "--forward-mode=io", "--auto-start", "--nb-cores=1",
                  "--total-num-mbufs=32768"},
                 directory_.path() + "/log"} {
    wait_until_ready(process_, 30s,
                     [&] { return process_.last_words().find("Press enter to exit") != std::string::npos; });
  }
  void set_rules(const std::string&) override {}
  void halt() override { process_.halt(); }
  void resume() override { process_.resume(); }
  std::chrono::nanoseconds cpu_time() const override { return process_.cpu_time(); }
  std::string last_words() const override { return process_.last_words(); }

 private:
  TemporaryDirectory directory_;
  HugePages pages_;
  ChildProcess process_;
};

}  // namespace

HugePages::HugePages(unsigned count) : count_{count} {
  const unsigned before = huge_page_count();
  std::ofstream{kHugePageCount} << before + count << std::flush;
  if (const unsigned now = huge_page_count(); now < before + count) {
    std::ofstream{kHugePageCount} << before;
    throw Error("{} huge pages wanted, only {} to be had", count, now - before);
  }
}

HugePages::~HugePages() {
  const unsigned now = huge_page_count();
  std::ofstream{kHugePageCount} << (now > count_ ? now - count_ : 0);
}

std::optional<std::string> dpdk_missing() {
  if (::access(kHugePageCount, W_OK) != 0) return std::string{"there are no huge pages"};
  // Where Debian has drivers, under its triplet and DPDK's version.
  try {
    run({"sh", "-c", "ls /usr/lib/*/dpdk/pmds-*/librte_net_af_xdp.so.*"});
  } catch (const Error&) {
    return std::string{"DPDK's driver net_af_xdp is not installed (Debian: librte-net-af-xdp23)"};
  }
  return std::nullopt;
}

std::optional<std::string> testpmd_missing() {
  if (::access(kTestpmd, X_OK) != 0) return fmt::format("{} is not installed (Debian: dpdk-dev)", kTestpmd);
  return dpdk_missing();
}

std::unique_ptr<Contestant> make_testpmd(const std::string& name, Traffic&, const Lane& lane) {
  return std::make_unique<Testpmd>(name, lane);
}

}  // namespace shunt::bench
