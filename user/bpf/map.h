// SPDX-License-Identifier: Apache-2.0
// BPF maps as typed objects: MapFd for the syscalls, MappedArray<T> for an mmap-able array seen as memory.
//
// An element of a MappedArray is shared with programs that run at this moment: stores of up to 64 bits are atomic; what
// is larger must not be visible to them while it is written.
#pragma once

#include <bpf/bpf.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "user/base/error.h"
#include "user/base/unique_fd.h"

namespace shunt {

template <typename Key, typename Value>
class BpfMap {
 public:
  BpfMap(int fd, std::string name) : fd_{fd}, name_{std::move(name)} {}  // borrows fd

  void update(const Key& key, const Value& value) const {
    if (int error = bpf_map_update_elem(fd_, &key, &value, BPF_ANY); error != 0)
      throw_errno(error, "map " + name_ + ": update");
  }
  // 0, or -errno: for the slow path, which does not throw.
  [[nodiscard]] int try_update(const Key& key, const Value& value) const noexcept {
    return bpf_map_update_elem(fd_, &key, &value, BPF_ANY);
  }
  // How many of the elements are in the map now, from the first one on: all, or the next one was refused. None where
  // the kernel has no batches.
  [[nodiscard]] std::size_t try_update(std::span<const Key> keys, std::span<const Value> values) const noexcept {
    auto count = static_cast<__u32>(keys.size());
    LIBBPF_OPTS(bpf_map_batch_opts, options);
    const int error = bpf_map_update_batch(fd_, keys.data(), values.data(), &count, &options);
    if (error == 0) return keys.size();
    return error == -EFAULT || count >= keys.size() ? 0 : count;  // the kernel may have left it as it was
  }
  // Likewise how many are out of it, up to one that was not there.
  [[nodiscard]] std::size_t try_erase(std::span<const Key> keys) const noexcept {
    auto count = static_cast<__u32>(keys.size());
    LIBBPF_OPTS(bpf_map_batch_opts, options);
    const int error = bpf_map_delete_batch(fd_, keys.data(), &count, &options);
    if (error == 0) return keys.size();
    return error == -EFAULT || count >= keys.size() ? 0 : count;
  }
  int erase(const Key& key) const noexcept { return bpf_map_delete_elem(fd_, &key); }
  [[nodiscard]] std::optional<Value> find(const Key& key) const {
    Value value;
    if (bpf_map_lookup_elem(fd_, &key, &value) != 0) return std::nullopt;
    return value;
  }
  // Every element of a hash map, in any order, while nobody else changes it.
  template <typename Visit>
  void for_each(Visit&& visit) const {
    constexpr __u32 kBatch = 1024;
    std::vector<Key> keys(kBatch);
    std::vector<Value> values(kBatch);
    __u32 position = 0, count = kBatch;
    bool first = true;
    for (int error = 0; error == 0; first = false) {
      count = kBatch;
      error = bpf_map_lookup_batch(fd_, first ? nullptr : &position, &position, keys.data(), values.data(), &count,
                                   nullptr);
      if (error != 0 && error != -ENOENT) throw_errno(-error, "map " + name_ + ": read");
      for (__u32 i = 0; i < count; ++i) visit(keys[i], values[i]);
    }
  }
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
  std::string name_;
};

template <typename T>
class MappedArray {
 public:
  MappedArray() = default;
  MappedArray(int fd, std::size_t count, const std::string& name) : count_{count} {
    static_assert(sizeof(T) % 8 == 0, "an array map's elements are rounded up to 8 bytes");
    void* at = ::mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) throw_errno(errno, "map " + name + ": mmap");
    data_ = static_cast<T*>(at);
  }
  MappedArray(MappedArray&& o) noexcept : data_{std::exchange(o.data_, nullptr)}, count_{std::exchange(o.count_, 0)} {}
  MappedArray& operator=(MappedArray&& o) noexcept {
    std::swap(data_, o.data_);
    std::swap(count_, o.count_);
    return *this;
  }
  ~MappedArray() {
    if (data_ != nullptr) ::munmap(data_, bytes());
  }

  [[nodiscard]] T& operator[](std::size_t i) const { return data_[i]; }
  [[nodiscard]] std::size_t size() const { return count_; }
  [[nodiscard]] std::span<T> span() const { return {data_, count_}; }

 private:
  [[nodiscard]] std::size_t bytes() const { return (count_ * sizeof(T) + 4095) / 4096 * 4096; }
  T* data_ = nullptr;
  std::size_t count_ = 0;
};

}  // namespace shunt
