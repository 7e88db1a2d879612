// SPDX-License-Identifier: Apache-2.0
// Loading, pinning, attaching: what is there afterwards, and what a refusal says.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <doctest/doctest.h>
#include <linux/capability.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sched.h>
#include <spdlog/spdlog.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <barrier>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/bpf/switch_fixture.h"
#include "user/base/error.h"
#include "user/bpf/link.h"
#include "user/bpf/object.h"
#include "user/bpf/requirements.h"

namespace shunt::test {
namespace {

namespace fs = std::filesystem;

std::string output_of(const std::string& command) {
  std::string text;
  FILE* pipe = ::popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::array<char, 4096> buffer{};
  while (std::size_t count = std::fread(buffer.data(), 1, buffer.size(), pipe)) text.append(buffer.data(), count);
  ::pclose(pipe);
  return text;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// How many mounts lie on one another there, as this thread sees it.
std::ptrdiff_t mounts_at(const std::string& path) {
  std::ifstream file{"/proc/thread-self/mountinfo"};
  std::ptrdiff_t count = 0;
  for (std::string line; std::getline(file, line);) count += has(line, " " + path + " ") ? 1 : 0;
  return count;
}

// The text of the Error that `action` throws.
template <typename Action>
std::string refusal(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// Ends in an orderly way: else what was there before it is kept.
struct Heir : Datapath {
  explicit Heir(const Options& options) : Datapath{options} { keep(false); }
};

struct Veth {
  std::string name;
  explicit Veth(std::string n) : name{std::move(n)} {
    enter_namespace();
    run_command(fmt::format("ip link add {0} type veth peer name {0}x && ip link set {0} up", name));
  }
  ~Veth() {
    (void)refusal([this] { run_command("ip link del " + name); });
  }
  Veth(const Veth&) = delete;
  [[nodiscard]] Ifindex ifindex() const { return Ifindex{::if_nametoindex(name.c_str())}; }
};

// Somebody else's program: passes everything.
UniqueFd foreign_program() {
  const bpf_insn pass[]{{BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, XDP_PASS}, {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}};
  return UniqueFd{check(bpf_prog_load(BPF_PROG_TYPE_XDP, "foreign_pass", "GPL", pass, 2, nullptr), "load a program")};
}

shunt_config small_config(std::uint32_t features) {
  shunt_config config{};
  config.features = features;
  config.flow_limit = 64;
  config.index_mask = index_buckets(64) - 1;
  config.microflow_groups = microflow_groups(64);
  config.cpu_count = 1;
  config.hash_seed = 0x0123456789abcdef;
  config.hash_multiplier = 0x9e3779b97f4a7c15;  // odd, as ever: the verifier knows it
  return config;
}

// Without CAP_PERFMON the verifier forbids what the program does with packet pointers: a real refusal. Capabilities are
// a thread's.
std::unique_ptr<SwitchObject> load_without_perfmon(const shunt_config& config) {
  std::exception_ptr failure;
  std::unique_ptr<SwitchObject> object;
  std::thread{[&] {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2]{};
    data[0].effective = data[0].permitted = 1U << CAP_NET_ADMIN;
    data[1].effective = data[1].permitted = 1U << (CAP_BPF - 32);
    if (::syscall(SYS_capset, &header, data) != 0) return;
    try {
      object = std::make_unique<SwitchObject>(config);
    } catch (...) {
      failure = std::current_exception();
    }
  }}.join();
  if (failure) std::rethrow_exception(failure);
  return object;
}

// A refused program is warned of with the verifier's whole log.
struct Quiet {
  const spdlog::level::level_enum before = spdlog::get_level();
  Quiet() { spdlog::set_level(spdlog::level::off); }
  ~Quiet() { spdlog::set_level(before); }
  Quiet(const Quiet&) = delete;
};

Datapath::Options small(std::string instance) { return {std::move(instance), 1024, SHUNT_FEATURE_ALL}; }
Datapath::Options lean(std::string instance) { return {std::move(instance), 1024, 0}; }

}  // namespace

TEST_SUITE("loader") {
  TEST_CASE("everything is pinned while the instance lives, and gone afterwards") {
    const std::string instance = new_instance_name();
    const fs::path directory = fs::path{SHUNT_PIN_ROOT} / instance;
    const Veth veth{"ld.1"};
    {
      Datapath datapath{small(instance)};
      datapath.attach(veth.ifindex(), veth.name, PortMode::kNative);
      for (const char* name : SwitchObject::map_names()) CHECK_MESSAGE(fs::exists(directory / name), name);
      CHECK(fs::exists(directory / "link-ld_1"));
      CHECK(Datapath::query(veth.ifindex()).name == "shunt_switch");
      CHECK(!Datapath::query(veth.ifindex()).generic);
      datapath.detach(veth.ifindex());
      CHECK(!fs::exists(directory / "link-ld_1"));
      CHECK(Datapath::query(veth.ifindex()).id == 0);
      datapath.attach(veth.ifindex(), veth.name, PortMode::kGeneric);
      CHECK(Datapath::query(veth.ifindex()).generic);
    }
    CHECK(!fs::exists(directory));
    CHECK(Datapath::query(veth.ifindex()).id == 0);
  }

  TEST_CASE("a daemon that died has an heir: maps, configuration, links and program go on") {
    const std::string instance = new_instance_name();
    const Veth veth{"ld6"}, other{"ld7"};
    std::uint32_t program = 0;
    std::uint64_t seed = 0;
    {
      Datapath first{lean(instance)};
      CHECK(!first.inherited());
      first.attach(veth.ifindex(), veth.name, PortMode::kNative);
      first.attach(other.ifindex(), other.name, PortMode::kNative);
      first.flows[7].head.mask = 42;
      program = Datapath::query(veth.ifindex()).id;
      seed = first.config().hash_seed;
      first.keep(true);
    }
    REQUIRE(Datapath::query(veth.ifindex()).id == program);
    SUBCASE("of the same build: nothing is swapped") {
      Heir second{lean(instance)};
      CHECK(second.inherited());
      CHECK(second.config().hash_seed == seed);
      CHECK(second.flows[7].head.mask == 42);
      CHECK(second.holds_link(veth.ifindex()));
      second.attach(veth.ifindex(), veth.name, PortMode::kNative);
      CHECK(Datapath::query(veth.ifindex()).id == program);
      second.drop_inherited_links();
      CHECK(Datapath::query(veth.ifindex()).id == program);
      CHECK(Datapath::query(other.ifindex()).id == 0);
      CHECK(!second.holds_link(other.ifindex()));
    }
    SUBCASE("with more features: the program is swapped, the maps stay") {
      Heir second{lean(instance)};
      second.require_features(second.features() | SHUNT_FEATURE_MPLS);
      second.attach(veth.ifindex(), veth.name, PortMode::kNative);
      CHECK(Datapath::query(veth.ifindex()).id != program);
      CHECK(second.flows[7].head.mask == 42);
    }
    SUBCASE("of another build, or where a daemon died over the pins: the program is swapped, the maps stay") {
      {
        const UniqueFd layout{
            check(bpf_obj_get((fs::path{SHUNT_PIN_ROOT} / instance / SHUNT_MAP_LAYOUT).c_str()), "layout")};
        const MappedArray<shunt_layout> mapped{layout.get(), 1, "layout"};
        SUBCASE("build") { mapped[0].build += 1; }
        SUBCASE("pins") { mapped[0].program_id += 1; }
        SUBCASE("features") { mapped[0].config.features |= SHUNT_FEATURE_MPLS, mapped[0].program_id = 0; }
      }
      Heir second{lean(instance)};
      CHECK(second.inherited());
      CHECK(Datapath::query(veth.ifindex()).id == program);
      second.attach(veth.ifindex(), veth.name, PortMode::kNative);
      CHECK(Datapath::query(veth.ifindex()).id != program);
      CHECK(second.flows[7].head.mask == 42);
    }
    SUBCASE("with another flow limit, or layout: new maps, the same link") {
      Datapath::Options options = lean(instance);
      SUBCASE("limit") { options.flow_limit *= 2; }
      SUBCASE("layout") {
        const UniqueFd layout{
            check(bpf_obj_get((fs::path{SHUNT_PIN_ROOT} / instance / SHUNT_MAP_LAYOUT).c_str()), "layout")};
        MappedArray<shunt_layout>{layout.get(), 1, "layout"}[0].version += 1;
      }
      Heir second{options};
      CHECK(!second.inherited());
      CHECK(second.flows[7].head.mask == 0);
      CHECK(Datapath::query(veth.ifindex()).id == program);  // until the new maps are ready
      second.attach(veth.ifindex(), veth.name, PortMode::kNative);
      CHECK(Datapath::query(veth.ifindex()).id != program);
      CHECK(Datapath::query(veth.ifindex()).id != 0);
    }
    SUBCASE("in another mode: attached anew") {
      Heir second{lean(instance)};
      second.attach(veth.ifindex(), veth.name, PortMode::kGeneric);
      CHECK(Datapath::query(veth.ifindex()).generic);
    }
    CHECK(!fs::exists(fs::path{SHUNT_PIN_ROOT} / instance));
  }

  TEST_CASE("daemons that start at once mount one bpffs") {
    // In a mount namespace of its own, which ends with the thread.
    constexpr int kRounds = 50, kDaemons = 4;
    std::vector<std::ptrdiff_t> mounted;
    std::string refused;
    std::thread([&] {
      try {
        check(::unshare(CLONE_NEWNS), "unshare");
        check(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "make mounts private");
        for (int round = 0; round < kRounds; ++round) {
          while (::umount2(SHUNT_BPFFS, MNT_DETACH) == 0) {
          }
          std::barrier start{kDaemons};
          std::array<std::future<void>, kDaemons> daemons;
          for (std::future<void>& daemon : daemons)
            daemon = std::async(std::launch::async, [&start] {
              start.arrive_and_wait();
              mount_bpffs();
            });
          for (std::future<void>& daemon : daemons) daemon.get();
          mounted.push_back(mounts_at(SHUNT_BPFFS));
        }
      } catch (const std::exception& error) {
        refused = error.what();
      }
    }).join();
    CHECK(refused.empty());
    CHECK(mounted == std::vector<std::ptrdiff_t>(kRounds, 1));
  }

  TEST_CASE("pins of a daemon that died and cannot be taken over are replaced, its programs detached") {
    const std::string instance = new_instance_name();
    const Veth veth{"ld2"};
    // What kill -9 leaves: a pinned map and a pinned link that nobody holds.
    const fs::path directory = fs::path{SHUNT_PIN_ROOT} / instance;
    mount_bpffs();
    fs::create_directories(directory);
    {
      const UniqueFd program = foreign_program();
      const UniqueFd link{
          check(bpf_link_create(program.get(), static_cast<int>(veth.ifindex().value), BPF_XDP, nullptr), "link")};
      REQUIRE(bpf_obj_pin(link.get(), (directory / "link-ld2").c_str()) == 0);
      const UniqueFd map{bpf_map_create(BPF_MAP_TYPE_ARRAY, "flows", 4, 4, 1, nullptr)};
      REQUIRE(bpf_obj_pin(map.get(), (directory / "flows").c_str()) == 0);
    }
    REQUIRE(Datapath::query(veth.ifindex()).id != 0);
    Heir datapath{small(instance)};
    SUBCASE("where it has the port again") {
      datapath.attach(veth.ifindex(), veth.name, PortMode::kNative);
      CHECK(Datapath::query(veth.ifindex()).name == "shunt_switch");
    }
    SUBCASE("where nobody wants the port") {
      datapath.drop_inherited_links();
      CHECK(Datapath::query(veth.ifindex()).id == 0);
    }
    CHECK(datapath.flows.size() == 1024);
  }

  TEST_CASE("two instances live side by side") {
    Datapath one{small(new_instance_name())};
    Datapath two{small(new_instance_name())};
    const Veth a{"ld3"}, b{"ld4"};
    one.attach(a.ifindex(), a.name, PortMode::kNative);
    two.attach(b.ifindex(), b.name, PortMode::kNative);
    CHECK(Datapath::query(a.ifindex()).id != Datapath::query(b.ifindex()).id);
    CHECK(one.config().hash_seed != two.config().hash_seed);
    CHECK(has(refusal([&] { two.attach(a.ifindex(), a.name, PortMode::kNative); }), "'shunt_switch'"));
  }

  TEST_CASE("a foreign program is named, and removed only when told so and not held by a link") {
    const Veth veth{"ld5"};
    Datapath datapath{small(new_instance_name())};
    const UniqueFd program = foreign_program();
    const int index = static_cast<int>(veth.ifindex().value);
    SUBCASE("attached by netlink") {
      REQUIRE(bpf_xdp_attach(index, program.get(), XDP_FLAGS_DRV_MODE, nullptr) == 0);
      const std::string text = refusal([&] { datapath.attach(veth.ifindex(), veth.name, PortMode::kNative); });
      CHECK_MESSAGE((has(text, "'foreign_pass'") && has(text, "--force")), text);
      CHECK(Datapath::query(veth.ifindex()).name == "foreign_pass");
      Datapath::remove_foreign(veth.ifindex());
      datapath.attach(veth.ifindex(), veth.name, PortMode::kNative);
      CHECK(Datapath::query(veth.ifindex()).name == "shunt_switch");
    }
    SUBCASE("held by a link") {
      const UniqueFd link{check(bpf_link_create(program.get(), index, BPF_XDP, nullptr), "link")};
      CHECK(has(refusal([&] { datapath.attach(veth.ifindex(), veth.name, PortMode::kNative); }), "'foreign_pass'"));
      CHECK(has(refusal([&] { Datapath::remove_foreign(veth.ifindex()); }), "held by a BPF link"));
      CHECK(Datapath::query(veth.ifindex()).name == "foreign_pass");
    }
  }

  TEST_CASE("refusals name the object and the remedy") {
    Datapath datapath{small(new_instance_name())};
    CHECK(has(refusal([&] { datapath.attach(Ifindex{0x7ffffff0}, "nope", PortMode::kNative); }),
              "'nope': no such interface"));
    const Veth veth{"ld6"};
    datapath.attach(veth.ifindex(), veth.name, PortMode::kNative);
    CHECK(has(refusal([&] { datapath.attach(veth.ifindex(), veth.name, PortMode::kNative); }), "already"));
    const auto text = [](int error, PortMode mode, unsigned mtu) {
      return explain_attach_error(error, "e0", mode, mtu, {});
    };
    CHECK(has(text(EOPNOTSUPP, PortMode::kNative, 1500), "--mode generic"));
    CHECK(has(text(ERANGE, PortMode::kNative, 9000), "set it to 3506 or less"));
    CHECK(has(text(EINVAL, PortMode::kNative, 9000), "set it to 3506 or less"));
    CHECK(has(text(EOPNOTSUPP, PortMode::kNative, 9000), "set it to 3506 or less"));
    CHECK(has(text(EPERM, PortMode::kNative, 1500), "CAP_NET_ADMIN"));
    CHECK(has(text(EBUSY, PortMode::kNative, 1500), "another XDP program"));
    CHECK(has(text(EINVAL, PortMode::kGeneric, 1500), "Invalid argument"));
    CHECK(has(refusal([] { Datapath d{small("../x")}; }), "instance name"));
    CHECK(has(refusal([] { Datapath d{small("")}; }), "instance name"));
    CHECK(has(refusal([] { Datapath d{Datapath::Options{"x", 0, 0}}; }), "flow limit 0"));
    CHECK(has(refusal([] { Datapath d{Datapath::Options{"x", 1U << 30, 0}}; }), "flow limit"));
    CHECK(has(refusal([&] { datapath.set_xsk(DpPort{1}, QueueId{SHUNT_MAX_QUEUES}, -1); }), "queue 16"));
  }

  TEST_CASE("a jumbo interface is taken, by multi-buffer XDP") {
    const Veth veth{"ld7"};
    run_command("ip link set ld7 mtu 9000 && ip link set ld7x mtu 9000");
    Datapath datapath{small(new_instance_name())};
    datapath.attach(veth.ifindex(), veth.name, PortMode::kNative);
    CHECK(Datapath::query(veth.ifindex()).id != 0);
  }

  TEST_CASE("a program that the verifier refuses leaves the verifier's log") {
    const shunt_config config = small_config(SHUNT_FEATURE_ALL);
    bool by_verifier = false;
    std::string log;
    try {
      (void)load_without_perfmon(config);
    } catch (const LoadFailure& failure) {
      by_verifier = failure.by_verifier();
      log = failure.log();
    }
    CHECK(by_verifier);
    CHECK_MESSAGE(has(log, "processed"), log);
    CHECK(SwitchObject{config}.program_fd() >= 0);
  }

  TEST_CASE("where the verifier refuses a specialised program, the generic one is loaded, with the log of the other") {
    shunt_config config = small_config(SHUNT_FEATURE_L3);
    std::string refusal;
    const Quiet quiet;
    SUBCASE("the generic one passes") {
      std::vector<std::uint32_t> tried;
      const auto object = load_or_generic(config, refusal, [&](const shunt_config& c) {
        tried.push_back(c.features);
        return c.features == SHUNT_FEATURE_ALL ? std::make_unique<SwitchObject>(c) : load_without_perfmon(c);
      });
      CHECK(object->program_fd() >= 0);
      CHECK(tried == std::vector<std::uint32_t>{SHUNT_FEATURE_L3, SHUNT_FEATURE_ALL});
      CHECK(config.features == SHUNT_FEATURE_ALL);
      CHECK_MESSAGE(has(refusal, "processed"), refusal);
    }
    SUBCASE("the generic one is refused as well") {
      CHECK_THROWS_AS((void)load_or_generic(config, refusal, load_without_perfmon), LoadFailure);
      CHECK_MESSAGE(has(refusal, "processed"), refusal);
    }
    SUBCASE("nothing was refused") {
      (void)load_or_generic(config, refusal, [](const shunt_config& c) { return std::make_unique<SwitchObject>(c); });
      CHECK(config.features == SHUNT_FEATURE_L3);
      CHECK(refusal.empty());
    }
    SUBCASE("a failure that is not the verifier's is not tried again") {
      int tried = 0;
      CHECK_THROWS_AS((void)load_or_generic(config, refusal,
                                            [&](const shunt_config&) -> std::unique_ptr<SwitchObject> {
                                              ++tried;
                                              throw LoadFailure{ENOMEM, "", "no memory"};
                                            }),
                      LoadFailure);
      CHECK(tried == 1);
    }
  }

  TEST_CASE("the verifier takes the programs with each feature alone, and without each: any two of them, both ways") {
    const SwitchObject maps{small_config(0)};
    const auto loads = [&](std::uint32_t features) {
      CAPTURE(features);
      try {
        (void)SwitchObject{small_config(features), maps, /*tc=*/has_tcx()};
      } catch (const LoadFailure& failure) {
        FAIL_CHECK(failure.what() << ":\n" << failure.log());
      }
    };
    for (std::uint32_t one = 1; one < SHUNT_FEATURE_ALL; one <<= 1) {
      loads(one);
      loads(SHUNT_FEATURE_ALL & ~one);
    }
  }

  TEST_CASE("the index has a bucket for every three flows, and a power of two") {
    CHECK(index_buckets(1) == 1024);
    CHECK(index_buckets(200'000) == 131072);
    CHECK(index_buckets(3 * 65536) == 65536);
    CHECK(microflow_groups(1) == 1024);
    CHECK(microflow_groups(200'001) == 200'002);
    CHECK(jiffy_ns() >= 1'000'000);  // CONFIG_HZ is 100 to 1000
    CHECK(jiffy_ns() <= 10'000'000);
  }

  TEST_CASE("bpftool shows flows by their fields") {
    if (std::system("command -v bpftool >/dev/null 2>&1") != 0) {
      MESSAGE("skipped: no bpftool");
      return;
    }
    Switch sw{0, 64, 1};
    shunt_flow_key key{};
    key.in_port = 1;
    const shunt_action drop = drop_for(SHUNT_DROP_RULE);
    sw.publish(key, port_mask(), std::span{&drop, 1});
    const std::string flows =
        output_of(fmt::format("bpftool map dump pinned {}/{}/megaflows", SHUNT_PIN_ROOT, sw.instance));
    for (const char* field : {"in_port", "eth_dst", "nw_proto", "generation", "actions"})
      CHECK_MESSAGE(has(flows, field), field);
    CHECK(has(output_of("bpftool net"), sw.interface(1)));
    CHECK(has(output_of("bpftool link"), "xdp"));
  }
}

}  // namespace shunt::test
