// SPDX-License-Identifier: Apache-2.0
#include "user/afxdp/socket.h"

#include <linux/if_xdp.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

#include "user/base/error.h"

namespace shunt {
namespace {

// Newer than Debian 12's headers.
constexpr std::uint16_t kUseSg = 1 << 4;  // XDP_USE_SG, Linux 6.6
constexpr int kMaxTxSkbBudget = 9;        // XDP_MAX_TX_SKB_BUDGET, Linux 6.17
constexpr int kPreferBusyPoll = 69;       // SO_PREFER_BUSY_POLL, Linux 5.11
constexpr int kBusyPollBudget = 70;       // SO_BUSY_POLL_BUDGET
static_assert(sizeof(XskDescriptor) == sizeof(xdp_desc));

// Longer than the kernel takes to let go of a socket whose owner died.
constexpr std::chrono::seconds kBusyLimit{5};
constexpr std::chrono::milliseconds kBusyPause{20};
// A socket that closes waits so long for what it still sends.
constexpr std::chrono::milliseconds kDrainLimit{50};
// Fewer frames than this starve a queue at once; more than a sixteenth of what is free starves later ports.
constexpr std::uint32_t kLeastFill = 32;
constexpr std::uint32_t kFreeShare = 16;

std::uint32_t load_acquire(std::uint32_t* at) noexcept {
  return std::atomic_ref<std::uint32_t>{*at}.load(std::memory_order_acquire);
}
void store_release(std::uint32_t* at, std::uint32_t value) noexcept {
  std::atomic_ref<std::uint32_t>{*at}.store(value, std::memory_order_release);
}
bool needs_wakeup(std::uint32_t* flags) noexcept {
  return (std::atomic_ref<std::uint32_t>{*flags}.load(std::memory_order_relaxed) & XDP_RING_NEED_WAKEUP) != 0;
}

std::string remedy(int error) {
  switch (error) {
    case EBUSY:
      return ": another program has an AF_XDP socket on this queue; stop it, or take fewer queues (--queues)";
    case ENOBUFS:
    case ENOMEM:
      return ": not enough memory may be locked; grant CAP_IPC_LOCK, raise the limit (ulimit -l), or ask for fewer "
             "frames "
             "(--umem-frames)";
    case EPERM:
      return ": CAP_NET_RAW is missing; run as root";
    case EAFNOSUPPORT:
      return ": this kernel has no AF_XDP (CONFIG_XDP_SOCKETS)";
    default:
      return "";
  }
}

}  // namespace

XskSocket::XskSocket(Umem& umem, const Options& options) : umem_{umem}, options_{options} {
  const auto give_up = std::chrono::steady_clock::now() + kBusyLimit;
  int error = 0;
  do {
    for (const Attempt& attempt : attempts()) {
      error = open(attempt);
      if (error == 0) {
        mode_ = attempt.mode;
        break;
      }
      if (error == -EBUSY) break;  // another mode would find the queue just as taken
    }
    if (error == -EBUSY) std::this_thread::sleep_for(kBusyPause);
  } while (error == -EBUSY && std::chrono::steady_clock::now() < give_up);
  if (error != 0)
    throw Error("port '{}': AF_XDP socket on queue {}: {}{}", options.name, options.queue.value,
                std::generic_category().message(-error), remedy(-error));
  try {
    number_ = umem_.enlist(fd_.get(), mode_);
  } catch (...) {
    close_rings();
    throw;
  }
  tune();
  if (options.fill_target == 0) return;
  fill_target_ =
      std::clamp(std::min(options.fill_target, umem_.pool().free_count() / kFreeShare), kLeastFill, options.ring_size);
}

XskSocket::~XskSocket() {
  drain();
  close_rings();
  umem_.dismiss(number_);
  umem_.reclaim(number_);
}

// From the best to what always works.
std::vector<XskSocket::Attempt> XskSocket::attempts() const {
  std::vector<Attempt> list;
  for (const bool zero_copy : {true, false}) {
    if (zero_copy && !options_.try_zero_copy) continue;
    for (const bool multi_buffer : {true, false}) {
      const XskMode mode{zero_copy, multi_buffer};
      if (const int fd = umem_.sharable(mode); fd >= 0) list.push_back({mode, fd});
      list.push_back({mode, -1});
    }
  }
  return list;
}

int XskSocket::open(const Attempt& attempt) noexcept {
  fd_.reset(::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (!fd_) return -errno;
  int error = attempt.shared_fd < 0 ? register_umem() : 0;
  if (error == 0) error = map_rings();
  if (error == 0) error = bind(attempt);
  if (error != 0) close_rings();
  return error;
}

int XskSocket::register_umem() noexcept {
  xdp_umem_reg registration{};
  registration.addr = reinterpret_cast<std::uintptr_t>(umem_.area());
  registration.len = umem_.size();
  registration.chunk_size = Umem::kFrameSize;
  return ::setsockopt(fd_.get(), SOL_XDP, XDP_UMEM_REG, &registration, sizeof registration) != 0 ? -errno : 0;
}

int XskSocket::map_rings() noexcept {
  const int fd = fd_.get();
  const std::uint32_t size = options_.ring_size;
  for (const int ring : {XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING, XDP_TX_RING})
    if (::setsockopt(fd, SOL_XDP, ring, &size, sizeof size) != 0) return -errno;
  xdp_mmap_offsets offsets{};
  socklen_t length = sizeof offsets;
  if (::getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &length) != 0) return -errno;

  const auto map = [&](Ring& ring, const xdp_ring_offset& at, std::uint64_t page, std::size_t entry_size) {
    ring.mapping_size = at.desc + size * entry_size;
    void* mapping = ::mmap(nullptr, ring.mapping_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
                           static_cast<off_t>(page));
    if (mapping == MAP_FAILED) return -errno;
    auto* base = static_cast<std::byte*>(mapping);
    ring.mapping = mapping;
    ring.producer = reinterpret_cast<std::uint32_t*>(base + at.producer);
    ring.consumer = reinterpret_cast<std::uint32_t*>(base + at.consumer);
    ring.flags = reinterpret_cast<std::uint32_t*>(base + at.flags);
    ring.entries = base + at.desc;
    ring.mask = size - 1;
    ring.cached = 0;
    return 0;
  };
  if (int error = map(fill_, offsets.fr, XDP_UMEM_PGOFF_FILL_RING, sizeof(std::uint64_t)); error != 0) return error;
  if (int error = map(completion_, offsets.cr, XDP_UMEM_PGOFF_COMPLETION_RING, sizeof(std::uint64_t)); error != 0)
    return error;
  if (int error = map(rx_, offsets.rx, XDP_PGOFF_RX_RING, sizeof(xdp_desc)); error != 0) return error;
  return map(tx_, offsets.tx, XDP_PGOFF_TX_RING, sizeof(xdp_desc));
}

int XskSocket::bind(const Attempt& attempt) noexcept {
  sockaddr_xdp address{};
  address.sxdp_family = AF_XDP;
  address.sxdp_ifindex = options_.ifindex.value;
  address.sxdp_queue_id = options_.queue.value;
  if (attempt.shared_fd >= 0) {
    address.sxdp_flags = XDP_SHARED_UMEM;  // the rest is inherited
    address.sxdp_shared_umem_fd = static_cast<std::uint32_t>(attempt.shared_fd);
  } else {
    address.sxdp_flags =
        static_cast<std::uint16_t>(XDP_USE_NEED_WAKEUP | (attempt.mode.zero_copy ? XDP_ZEROCOPY : XDP_COPY) |
                                   (attempt.mode.multi_buffer ? kUseSg : 0));
  }
  return ::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ? -errno : 0;
}

void XskSocket::close_rings() noexcept {
  for (Ring* ring : {&fill_, &completion_, &rx_, &tx_}) {
    if (ring->mapping != nullptr) ::munmap(ring->mapping, ring->mapping_size);
    *ring = Ring{};
  }
  fd_.reset();
}

// Each of these is a help that older kernels lack, and that forwarding does without.
void XskSocket::tune() noexcept {
  const int budget = 1024;  // descriptors that one sendto() sends; 32 otherwise
  (void)::setsockopt(fd_.get(), SOL_XDP, kMaxTxSkbBudget, &budget, sizeof budget);
  if (!options_.busy_poll) return;
  const int on = 1, microseconds = 20, packets = 64;
  (void)::setsockopt(fd_.get(), SOL_SOCKET, kPreferBusyPoll, &on, sizeof on);
  (void)::setsockopt(fd_.get(), SOL_SOCKET, SO_BUSY_POLL, &microseconds, sizeof microseconds);
  (void)::setsockopt(fd_.get(), SOL_SOCKET, kBusyPollBudget, &packets, sizeof packets);
}

XskStatistics XskSocket::statistics() const noexcept {
  xdp_statistics raw{};
  socklen_t length = sizeof raw;
  if (::getsockopt(fd_.get(), SOL_XDP, XDP_STATISTICS, &raw, &length) != 0) return {};
  return {raw.rx_dropped,   raw.rx_invalid_descs,         raw.tx_invalid_descs,
          raw.rx_ring_full, raw.rx_fill_ring_empty_descs, raw.tx_ring_empty_descs};
}

std::uint64_t XskSocket::take_lost() noexcept {
  const XskStatistics now = statistics();
  const std::uint64_t before = lost_;
  lost_ = std::max(before, now.rx_ring_full + now.rx_dropped);
  return lost_ - before;
}

std::uint32_t XskSocket::receive(std::span<XskDescriptor> into) noexcept {
  const auto* entries = static_cast<const XskDescriptor*>(rx_.entries);
  std::uint32_t count = std::min(load_acquire(rx_.producer) - rx_.cached, static_cast<std::uint32_t>(into.size()));
  for (std::uint32_t i = 0; i < count; ++i) into[i] = entries[(rx_.cached + i) & rx_.mask];
  while (count > 0 && (into[count - 1].options & kContinued) != 0) --count;  // the rest of it comes next time
  if (count == 0) return 0;
  for (std::uint32_t i = 0; i < count; ++i) umem_.hand(Umem::frame_of(into[i].address), Hand::kBatch);
  rx_.cached += count;
  store_release(rx_.consumer, rx_.cached);
  receiving_ -= count;
  return count;
}

void XskSocket::refill(FrameCache& frames) noexcept {
  if (receiving_ >= fill_target_) return;
  auto* entries = static_cast<std::uint64_t*>(fill_.entries);
  const std::uint32_t room = fill_.mask + 1 - (fill_.cached - load_acquire(fill_.consumer));
  std::uint32_t count = std::min(room, fill_target_ - receiving_);
  std::uint32_t filled = 0;
  for (Frame frame; filled < count && frames.take(frame); ++filled) {
    umem_.hand(frame, Hand::kKernelRx, number_);
    entries[fill_.cached++ & fill_.mask] = Umem::address_of(frame);
  }
  if (filled == 0) return;
  store_release(fill_.producer, fill_.cached);
  receiving_ += filled;
  // The kernel sees what was put there, or says that it wants to be woken.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (needs_wakeup(fill_.flags)) (void)::recvfrom(fd_.get(), nullptr, 0, MSG_DONTWAIT, nullptr, nullptr);
}

bool XskSocket::send(std::span<const XskDescriptor> packet) noexcept {
  const std::uint32_t room = tx_.mask + 1 - (tx_.cached - load_acquire(tx_.consumer));
  // The completion ring must have room for all that is under way, or the kernel stops.
  if (packet.size() > room || in_flight_ + packet.size() > completion_.mask + 1) return false;
  auto* entries = static_cast<XskDescriptor*>(tx_.entries);
  for (const XskDescriptor& descriptor : packet) {
    umem_.hand(Umem::frame_of(descriptor.address), Hand::kKernelTx, number_);
    entries[tx_.cached++ & tx_.mask] = descriptor;
  }
  in_flight_ += static_cast<std::uint32_t>(packet.size());
  return true;
}

bool XskSocket::kick() noexcept {
  store_release(tx_.producer, tx_.cached);
  std::atomic_thread_fence(std::memory_order_seq_cst);  // as in refill()
  // A call sends up to its budget and says EAGAIN when something is left, or EBUSY when the device has refused a frame:
  // as many calls as an old kernel's budget of 32 needs.
  for (std::uint32_t calls = 0; calls <= (tx_.mask + 1) / 32; ++calls) {
    if (load_acquire(tx_.consumer) == tx_.cached || !needs_wakeup(tx_.flags)) return true;
    if (::sendto(fd_.get(), nullptr, 0, MSG_DONTWAIT, nullptr, 0) < 0 && errno != EAGAIN && errno != EBUSY)
      return false;
  }
  return load_acquire(tx_.consumer) == tx_.cached;
}

void XskSocket::poll_device() noexcept { (void)::recvfrom(fd_.get(), nullptr, 0, MSG_DONTWAIT, nullptr, nullptr); }

std::uint32_t XskSocket::reap(FrameCache& frames) noexcept {
  if (in_flight_ == 0) return 0;
  const auto* entries = static_cast<const std::uint64_t*>(completion_.entries);
  const std::uint32_t count = load_acquire(completion_.producer) - completion_.cached;
  for (std::uint32_t i = 0; i < count; ++i) {
    const Frame frame = Umem::frame_of(entries[completion_.cached++ & completion_.mask]);
    umem_.hand(frame, Hand::kPool);
    frames.give(frame);
  }
  if (count > 0) store_release(completion_.consumer, completion_.cached);
  in_flight_ -= count;
  return count;
}

void XskSocket::drain() noexcept {
  FrameCache frames{umem_.pool()};
  const auto give_up = std::chrono::steady_clock::now() + kDrainLimit;
  while (in_flight_ > 0 && std::chrono::steady_clock::now() < give_up) {
    const bool sent = kick();
    if (reap(frames) > 0) continue;
    if (!sent && errno != EBUSY && errno != ENOBUFS) return;  // the interface is down or gone: nothing will leave
    std::this_thread::sleep_for(std::chrono::milliseconds{1});
  }
}

}  // namespace shunt
