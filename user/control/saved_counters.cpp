// SPDX-License-Identifier: Apache-2.0
#include "user/control/saved_counters.h"

#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <span>
#include <string_view>
#include <type_traits>

#include "bpf/datapath/mask.h"
#include "maps/types.h"
#include "user/base/error.h"
#include "user/base/unique_fd.h"

namespace shunt {
namespace {

enum class Kind : std::uint64_t { kRule, kLookups, kMatches, kGroup, kBucket };

// Two hashes of the same words: 128 bits, so that a million rules do not collide.
class NameHash {
 public:
  NameHash(const std::string& bridge, Kind kind) {
    add(static_cast<std::uint64_t>(kind));
    for (const char c : bridge) add(static_cast<unsigned char>(c));
  }
  NameHash& add(std::uint64_t word) {
    name_.first = shunt_hash_step(name_.first, word, 0x9e3779b97f4a7c15);
    name_.second = shunt_hash_step(name_.second, word, 0xd6e8feb86659fd93);
    return *this;
  }
  [[nodiscard]] CounterName name() { return add(0).name_; }

 private:
  CounterName name_{0x243f6a8885a308d3, 0x13198a2e03707344};
};

CounterName rule_name(const std::string& bridge, const Rule& rule) {
  NameHash hash{bridge, Kind::kRule};
  hash.add(std::uint64_t{rule.table} << 16 | rule.priority);
  for (const std::uint64_t word : to_words(rule.match.value)) hash.add(word);
  for (const std::uint64_t word : to_words(rule.match.mask)) hash.add(word);
  return hash.name();
}

struct Header {
  std::uint64_t magic;
  std::uint64_t flows, values, ports;
  std::uint64_t checksum;  // of what follows
};
// Another layout of what is written is another magic.
constexpr std::uint64_t kMagic = 0x5368'756e'7443'0000 ^ (sizeof(FlowCredit) << 24) ^
                                 (sizeof(SavedCounters::Value) << 16) ^ sizeof(SavedCounters::Port) ^
                                 SHUNT_LAYOUT_VERSION;

template <typename T>
std::span<const std::byte> bytes_of(const std::vector<T>& items) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % sizeof(std::uint64_t) == 0);
  return std::as_bytes(std::span{items});
}

void write_all(int fd, std::span<const std::byte> bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0) throw_errno(errno, "write " + path);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

template <typename T>
void take(std::string_view& bytes, std::size_t count, std::vector<T>& items) {
  items.resize(count);
  if (count != 0) std::memcpy(items.data(), bytes.data(), count * sizeof(T));
  bytes.remove_prefix(count * sizeof(T));
}

}  // namespace

std::uint64_t checksum(const SavedCounters& counters) {
  const std::array parts{bytes_of(counters.flows), bytes_of(counters.values), bytes_of(counters.ports)};
  std::uint64_t sum = parts[0].size() + parts[1].size() + parts[2].size();
  for (std::span<const std::byte> bytes : parts)
    for (std::uint64_t word = 0; !bytes.empty(); bytes = bytes.subspan(sizeof word)) {
      std::memcpy(&word, bytes.data(), sizeof word);
      sum = shunt_hash_step(sum, word, 0x9e3779b97f4a7c15);
    }
  return sum;
}

void for_each_counter(const Switch& sw, const BridgeState& bridge,
                      const std::function<void(const CounterName&, const FlowCounters&)>& visit) {
  FlowMod all;
  all.command = FlowMod::Command::kDelete;
  for (const RuleRef& rule : sw.list(bridge.id, all)) visit(rule_name(bridge.name, *rule), rule->counters);
  for (std::size_t table = 0; table < kTableCount; ++table) {
    const TableCounters& counters = (*bridge.table_counters)[table];
    visit(NameHash{bridge.name, Kind::kLookups}.add(table).name(), counters.lookups);
    visit(NameHash{bridge.name, Kind::kMatches}.add(table).name(), counters.matches);
  }
  for (const auto& [id, group] : *bridge.groups) {
    visit(NameHash{bridge.name, Kind::kGroup}.add(id).name(), group->counters);
    for (const BucketRef& bucket : group->buckets)
      visit(NameHash{bridge.name, Kind::kBucket}.add(id).add(bucket->id).name(), bucket->counters);
  }
}

void write_saved_counters(const std::string& path, const SavedCounters& counters, std::uint64_t sum) {
  const Header header{kMagic, counters.flows.size(), counters.values.size(), counters.ports.size(), sum};
  const std::string fresh = path + ".new";
  {
    const UniqueFd fd{check(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640), "open " + fresh)};
    for (const std::span<const std::byte> bytes : {std::as_bytes(std::span{&header, 1}), bytes_of(counters.flows),
                                                   bytes_of(counters.values), bytes_of(counters.ports)})
      write_all(fd.get(), bytes, fresh);
  }
  check(std::rename(fresh.c_str(), path.c_str()), "rename " + fresh);
}

std::optional<SavedCounters> read_saved_counters(const std::string& path) {
  std::ifstream file{path, std::ios::binary};
  const std::string all{std::istreambuf_iterator<char>{file}, {}};
  Header header{};
  std::string_view bytes{all};
  if (bytes.size() < sizeof header) return std::nullopt;
  std::memcpy(&header, bytes.data(), sizeof header);
  bytes.remove_prefix(sizeof header);
  // Each count by itself first: their sum might wrap.
  if (header.magic != kMagic || header.flows > bytes.size() || header.values > bytes.size() ||
      header.ports > bytes.size() ||
      bytes.size() != header.flows * sizeof(FlowCredit) + header.values * sizeof(SavedCounters::Value) +
                          header.ports * sizeof(SavedCounters::Port))
    return std::nullopt;
  SavedCounters counters;
  take(bytes, header.flows, counters.flows);
  take(bytes, header.values, counters.values);
  take(bytes, header.ports, counters.ports);
  if (checksum(counters) != header.checksum) return std::nullopt;
  return counters;
}

}  // namespace shunt
