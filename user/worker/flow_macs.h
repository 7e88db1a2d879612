// SPDX-License-Identifier: Apache-2.0
// The MACs of a cached flow: where its source was seen, and those that decided. Nearly all flows have at most one and
// two of them, and these lie here; more are a translation's vectors over again.
//
// Threads: its owner's.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "user/pipeline/translate.h"

namespace shunt {

class FlowMacs {
 public:
  FlowMacs() = default;
  explicit FlowMacs(const Translation& translation)
      : FlowMacs{{translation.learns.data(), translation.learns.size()},
                 {translation.fdb_dependencies.data(), translation.fdb_dependencies.size()}} {}
  FlowMacs(const FlowMacs& other) : FlowMacs{other.learns(), other.dependencies()} {}
  FlowMacs(FlowMacs&& other) noexcept { swap(other); }
  FlowMacs& operator=(FlowMacs other) noexcept {
    swap(other);
    return *this;
  }
  ~FlowMacs() {
    if (has_many()) delete many();
  }

  [[nodiscard]] bool empty() const { return learns().empty() && dependencies().empty(); }
  [[nodiscard]] std::span<const Translation::Learn> learns() const {
    return has_many() ? std::span<const Translation::Learn>{many()->learns} : std::span{learns_}.first(learn_count_);
  }
  [[nodiscard]] std::span<const FdbDependency> dependencies() const {
    return has_many() ? std::span<const FdbDependency>{many()->dependencies}
                      : std::span{dependencies_}.first(dependency_count_);
  }

 private:
  struct Many {
    std::vector<Translation::Learn> learns;
    std::vector<FdbDependency> dependencies;
  };
  static constexpr std::uint8_t kMany = 0xff;  // as learn_count_: many() is where learns_ would be

  std::array<Translation::Learn, 1> learns_{};
  std::array<FdbDependency, 2> dependencies_{};
  std::uint8_t learn_count_ = 0, dependency_count_ = 0;

  FlowMacs(std::span<const Translation::Learn> learns, std::span<const FdbDependency> dependencies) {
    if (learns.size() > learns_.size() || dependencies.size() > dependencies_.size()) {
      const auto* made = new Many{{learns.begin(), learns.end()}, {dependencies.begin(), dependencies.end()}};
      std::memcpy(static_cast<void*>(learns_.data()), &made, sizeof made);
      learn_count_ = kMany;
      return;
    }
    std::copy(learns.begin(), learns.end(), learns_.begin());
    std::copy(dependencies.begin(), dependencies.end(), dependencies_.begin());
    learn_count_ = static_cast<std::uint8_t>(learns.size());
    dependency_count_ = static_cast<std::uint8_t>(dependencies.size());
  }

  [[nodiscard]] bool has_many() const { return learn_count_ == kMany; }
  [[nodiscard]] const Many* many() const {
    static_assert(std::is_trivially_copyable_v<Translation::Learn> && sizeof learns_ >= sizeof(Many*));
    const Many* at = nullptr;
    std::memcpy(&at, learns_.data(), sizeof at);
    return at;
  }
  void swap(FlowMacs& other) noexcept {
    std::swap(learns_, other.learns_);
    std::swap(dependencies_, other.dependencies_);
    std::swap(learn_count_, other.learn_count_);
    std::swap(dependency_count_, other.dependency_count_);
  }
};
static_assert(sizeof(FlowMacs) == 40);

}  // namespace shunt
