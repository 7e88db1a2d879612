// SPDX-License-Identifier: Apache-2.0
// Bytes in network order, read with every bound checked, and written.
//
// A Reader that is asked for more than there is throws OfError with the code that it was made with: each part of a
// message has OpenFlow's own name for a wrong length. Threads: any.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "user/base/of_error.h"
#include "user/flow/fields.h"

namespace shunt::openflow {

using Bytes = std::span<const std::uint8_t>;

class Reader {
 public:
  explicit Reader(Bytes bytes, OfErrorCode too_short = OfErrorCode::kBadLength)
      : bytes_{bytes}, too_short_{too_short} {}

  [[nodiscard]] std::size_t left() const { return bytes_.size() - at_; }
  [[nodiscard]] bool done() const { return left() == 0; }
  [[nodiscard]] Bytes rest() const { return bytes_.subspan(at_); }

  Bytes take(std::size_t size) {
    if (size > left()) throw OfError(too_short_, "{} bytes are wanted where {} are left", size, left());
    at_ += size;
    return bytes_.subspan(at_ - size, size);
  }
  void skip(std::size_t size) { take(size); }
  // The next `size` bytes, as a part of their own.
  Reader part(std::size_t size, OfErrorCode too_short) { return Reader{take(size), too_short}; }

  std::uint8_t u8() { return take(1)[0]; }
  std::uint16_t u16() { return static_cast<std::uint16_t>(number(2)); }
  std::uint32_t u32() { return static_cast<std::uint32_t>(number(4)); }
  std::uint64_t u64() { return static_cast<std::uint64_t>(number(8)); }
  FieldBits number(std::size_t size) {  // at most 16 bytes
    FieldBits value = 0;
    for (const std::uint8_t byte : take(size)) value = value << 8 | byte;
    return value;
  }

 private:
  Bytes bytes_;
  OfErrorCode too_short_;
  std::size_t at_ = 0;
};

// Calls visit(type, value) for each property up to the end of `in`: a type, a length that counts from the type, the
// value, and padding to a multiple of 8 bytes, which may be missing behind the last one.
template <typename Visit>
void for_each_property(Reader& in, Visit&& visit) {
  constexpr std::size_t kHeader = 4;
  while (!in.done()) {
    if (in.left() < kHeader)
      throw OfError(OfErrorCode::kPropertyBadLength, "{} bytes behind the last property", in.left());
    const std::uint16_t type = in.u16(), size = in.u16();
    if (size < kHeader || size - kHeader > in.left())
      throw OfError(OfErrorCode::kPropertyBadLength, "property {} of {} bytes", type, size);
    Reader value = in.part(size - kHeader, OfErrorCode::kPropertyBadLength);
    in.skip(std::min<std::size_t>((8 - size % 8) % 8, in.left()));
    visit(type, value);
  }
}

class Writer {
 public:
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }
  [[nodiscard]] Bytes bytes() const { return bytes_; }
  [[nodiscard]] std::vector<std::uint8_t> release() { return std::move(bytes_); }

  void u8(std::uint8_t value) { bytes_.push_back(value); }
  void u16(std::uint16_t value) { number(value, 2); }
  void u32(std::uint32_t value) { number(value, 4); }
  void u64(std::uint64_t value) { number(value, 8); }
  void number(FieldBits value, std::size_t size) {
    for (std::size_t i = size; i-- > 0;) bytes_.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
  }
  void zeros(std::size_t count) { bytes_.resize(bytes_.size() + count); }
  void put(Bytes more) { bytes_.insert(bytes_.end(), more.begin(), more.end()); }
  // Exactly `size` bytes: cut, or filled with zeros; the last one is a zero.
  void text(std::string_view text, std::size_t size) {
    const std::size_t kept = std::min(text.size(), size - 1);
    bytes_.insert(bytes_.end(), text.begin(), text.begin() + static_cast<std::ptrdiff_t>(kept));
    zeros(size - kept);
  }
  // Zeros up to a multiple of `unit` bytes from `start`.
  void align(std::size_t start, std::size_t unit) { zeros((unit - (size() - start) % unit) % unit); }
  void patch16(std::size_t at, std::size_t value) {
    bytes_[at] = static_cast<std::uint8_t>(value >> 8);
    bytes_[at + 1] = static_cast<std::uint8_t>(value);
  }
  void shrink(std::size_t size) { bytes_.resize(size); }

 private:
  std::vector<std::uint8_t> bytes_;
};

// Seconds, and the nanoseconds beyond them.
inline void put_duration(Writer& out, std::chrono::nanoseconds duration) {
  const auto whole = std::chrono::duration_cast<std::chrono::seconds>(duration);
  out.u32(static_cast<std::uint32_t>(whole.count()));
  out.u32(static_cast<std::uint32_t>((duration - whole).count()));
}

// A type, a length that counts from the type, and what is written meanwhile: actions, instructions, properties,
// buckets.
class Tlv {
 public:
  Tlv(Writer& out, std::uint16_t type) : out_{out}, start_{out.size()} {
    out_.u16(type);
    out_.u16(0);
  }
  ~Tlv() { out_.patch16(start_ + 2, out_.size() - start_); }
  Tlv(const Tlv&) = delete;
  Tlv& operator=(const Tlv&) = delete;
  [[nodiscard]] std::size_t start() const { return start_; }
  void align(std::size_t unit = 8) { out_.align(start_, unit); }  // the padding counts

 private:
  Writer& out_;
  std::size_t start_;
};

}  // namespace shunt::openflow
