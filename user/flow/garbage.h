// SPDX-License-Identifier: Apache-2.0
// Memory that was unlinked, until no reader can be in it. Part of the classifier; its writer only.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>

#include "user/flow/arena.h"

namespace shunt {

class Garbage {
 public:
  explicit Garbage(Arena& arena) : arena_{arena} {}
  Garbage(const Garbage&) = delete;
  Garbage& operator=(const Garbage&) = delete;
  ~Garbage() { free(std::numeric_limits<std::uint64_t>::max()); }

  // Freed once every reader holds `tag` or a later version; set before add(). Tags do not go down.
  void set_tag(std::uint64_t tag) { tag_ = std::max(tag_, tag); }
  template <typename T>
  void add(const T* object) {
    items_.push_back({tag_, const_cast<T*>(object), [](void* at) { delete static_cast<T*>(at); }, 0, 0});
  }
  // A block of the arena; `destroy` is called before it is freed.
  void add(BlockRef block, std::size_t size, void (*destroy)(void*) = nullptr) {
    items_.push_back({tag_, arena_.at<void>(block), destroy, block, static_cast<std::uint32_t>(size)});
  }
  void free(std::uint64_t version) {
    for (; !items_.empty() && items_.front().tag <= version; items_.pop_front()) {
      const Item& item = items_.front();
      if (item.destroy != nullptr) item.destroy(item.object);
      if (item.block != 0) arena_.free(item.block, item.size);
    }
  }

 private:
  struct Item {
    std::uint64_t tag;
    void* object;
    void (*destroy)(void*);
    BlockRef block;
    std::uint32_t size;
  };
  Arena& arena_;
  std::uint64_t tag_ = 0;
  std::deque<Item> items_;
};

}  // namespace shunt
