// SPDX-License-Identifier: Apache-2.0
// The MACs of a cached flow: where its source was seen, and those that decided. Nearly all flows have at most one and
// two of them, and these lie here; more are a translation's vectors over again.
//
// Threads: its owner's.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <span>
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
  FlowMacs& operator=(const FlowMacs& other) {
    if (this != &other) *this = FlowMacs{other};
    return *this;
  }
  FlowMacs(FlowMacs&&) noexcept = default;
  FlowMacs& operator=(FlowMacs&&) noexcept = default;
  ~FlowMacs() = default;

  [[nodiscard]] bool empty() const { return learns().empty() && dependencies().empty(); }
  [[nodiscard]] std::span<const Translation::Learn> learns() const {
    return many_ ? std::span<const Translation::Learn>{many_->learns} : std::span{learns_}.first(learn_count_);
  }
  [[nodiscard]] std::span<const FdbDependency> dependencies() const {
    return many_ ? std::span<const FdbDependency>{many_->dependencies} : std::span{dependencies_}.first(dependency_count_);
  }

 private:
  struct Many {
    std::vector<Translation::Learn> learns;
    std::vector<FdbDependency> dependencies;
  };

  FlowMacs(std::span<const Translation::Learn> learns, std::span<const FdbDependency> dependencies) {
    if (learns.size() > learns_.size() || dependencies.size() > dependencies_.size()) {
      many_ = std::make_unique<Many>();
      many_->learns.assign(learns.begin(), learns.end());
      many_->dependencies.assign(dependencies.begin(), dependencies.end());
      return;
    }
    std::copy(learns.begin(), learns.end(), learns_.begin());
    std::copy(dependencies.begin(), dependencies.end(), dependencies_.begin());
    learn_count_ = static_cast<std::uint8_t>(learns.size());
    dependency_count_ = static_cast<std::uint8_t>(dependencies.size());
  }

  std::unique_ptr<Many> many_;
  std::array<Translation::Learn, 1> learns_{};
  std::array<FdbDependency, 2> dependencies_{};
  std::uint8_t learn_count_ = 0, dependency_count_ = 0;
};

}  // namespace shunt
