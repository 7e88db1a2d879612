// SPDX-License-Identifier: Apache-2.0
#include "user/openflow/connection.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>

namespace shunt::openflow {

Connection::Connection(EventLoop& loop, std::unique_ptr<Transport> transport, BridgeAgent& agent, Session::Kind kind,
                       std::function<void()> on_ready)
    : loop_{loop},
      transport_{std::move(transport)},
      session_{agent, kind},
      on_ready_{std::move(on_ready)},
      awaited_{EPOLLIN | EPOLLOUT},
      since_{Clock::now()},
      heard_{since_} {
  loop_.add(transport_->fd(), awaited_, [this](std::uint32_t events) { on_events(events); });
}

Connection::~Connection() { loop_.remove(transport_->fd()); }

// What came before the other side closed is handled, even where it has not read what it was told (EPOLLERR then).
void Connection::on_events(std::uint32_t events) {
  if ((events & EPOLLERR) != 0) {
    socklen_t size = sizeof error_;
    ::getsockopt(transport_->fd(), SOL_SOCKET, SO_ERROR, &error_, &size);
  }
  if (!over_ && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) read_some();
  if (!over_ && (events & EPOLLOUT) != 0) flush();
  on_ready_();
}

void Connection::read_some() {
  static thread_local std::array<std::uint8_t, kReadSize> buffer;
  const Transport::Result result = transport_->read(buffer);
  if (result.outcome == Transport::Outcome::kClosed) (lingers_ ? over_ : ended_) = true;
  if (result.outcome != Transport::Outcome::kMoved || lingers_) return;
  session_.feed(std::span{buffer}.first(result.bytes));
  heard_ = Clock::now();
  probed_ = {};
}

bool Connection::run() {
  if (over_) return false;
  session_.set_waiting(waiting());
  more_ = session_.process();
  finished_ = ended_ && !more_ && !session_.is_waiting();
  return more_ && (session_.is_preparing() || waiting() + session_.output_size() < Session::kMaxWaiting);
}

void Connection::flush() {
  if (over_) return;
  if (session_.output_size() > 0) {
    const std::vector<std::uint8_t> fresh = session_.take_output();
    if (sent_ == out_.size()) {
      out_ = fresh;
      sent_ = 0;
    } else {
      out_.insert(out_.end(), fresh.begin(), fresh.end());
    }
  }
  while (waiting() > 0) {
    const Transport::Result result = transport_->write(std::span{out_}.subspan(sent_));
    if (result.outcome == Transport::Outcome::kClosed) over_ = true;
    if (result.outcome != Transport::Outcome::kMoved) break;
    sent_ += result.bytes;
  }
  if (sent_ == out_.size() || sent_ > (1 << 20)) {
    out_.erase(out_.begin(), out_.begin() + static_cast<std::ptrdiff_t>(sent_));
    sent_ = 0;
  }
  session_.set_waiting(waiting());
  if (session_.given_up() || (finished_ && waiting() == 0)) over_ = true;
  if (over_) return;
  if (waiting() == 0 && session_.closing() && !lingers_) linger();
  await();
  // run() may have stopped because this was full: nothing else says that it is not any more.
  if (more_ && waiting() == 0) on_ready_();
}

// The last thing said was an error. Were the socket closed while something comes in, the error would be lost on its way
// (TCP resets): what comes is thrown away until the other side closes, or the next probe.
void Connection::linger() {
  lingers_ = true;
  transport_->end_writing();
}

void Connection::await() {
  std::uint32_t events = 0;
  // A TLS peer that is silent in the handshake would have EPOLLOUT come at once, for nothing, again and again.
  const bool writes = waiting() > 0 && !transport_->waits_to_read();
  const bool has_room = !session_.closing() && session_.input_size() < kEnoughInput;
  if (!ended_ && (lingers_ || has_room || (waiting() > 0 && !writes))) events |= EPOLLIN;
  if (writes || transport_->wants_to_write()) events |= EPOLLOUT;
  // Its end is told in any case: once, for it may have to wait to be heard.
  if (events == 0) events = EPOLLET;
  if (events == awaited_) return;
  awaited_ = events;
  loop_.modify(transport_->fd(), events);
}

void Connection::probe(TimePoint now, std::chrono::milliseconds interval) {
  const bool late = !session_.version() && now - since_ >= 2 * interval;
  if (lingers_ || late) over_ = true;
  if (session_.is_waiting()) heard_ = now;  // it may have enough, and hears nothing more
  if (over_ || !session_.version() || now - heard_ < interval) return;
  if (probed_ == TimePoint{}) {
    probed_ = now;
    session_.send_echo();
    flush();
  } else if (now - probed_ >= interval) {
    over_ = true;
  }
}

}  // namespace shunt::openflow
