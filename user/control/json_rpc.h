// SPDX-License-Identifier: Apache-2.0
// JSON-RPC 2.0 over a byte stream, one message a line: framing, checking of requests, making of replies. Pure: no
// socket.
//
// What comes in is hostile until it was checked here: a line has a limit, a message a limit of nesting and of values,
// and the parts of a request have their types. Batches and notifications are refused: every request has an id and an
// answer. Threads: any; nothing is shared.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "user/base/error.h"

extern template class nlohmann::basic_json<nlohmann::ordered_map>;  // compiled once, in json_rpc.cpp

namespace shunt {

using Json = nlohmann::ordered_json;  // replies keep the order in which their fields are documented

// Codes of JSON-RPC 2.0 section 5.1, and ours. kRefused: the request was understood, the switch says no. kNotStored: it
// was carried out, but a restart forgets it.
enum class RpcCode : int {
  kParse = -32700,
  kInvalidRequest = -32600,
  kMethodNotFound = -32601,
  kInvalidParams = -32602,
  kInternal = -32603,
  kRefused = 1,
  kNotStored = 2,
};

class RpcError : public Error {
 public:
  template <typename... Args>
  explicit RpcError(RpcCode code, fmt::format_string<Args...> format, Args&&... args)
      : Error(format, std::forward<Args>(args)...), code_{code} {}
  [[nodiscard]] RpcCode code() const { return code_; }

 private:
  RpcCode code_;
};

// Cuts a stream into lines. Memory grows with what has come, never ahead of it.
class LineFramer {
 public:
  explicit LineFramer(std::size_t limit) : limit_{limit} {}

  void feed(std::string_view bytes);
  // The next whole line without its end ("\n" or "\r\n"), or nothing. Good until the next call of feed() or next().
  [[nodiscard]] std::optional<std::string_view> next();
  // True where the line in the making is longer than the limit: the stream cannot be followed any more.
  [[nodiscard]] bool oversized() const;
  // True where a line has begun and not ended.
  [[nodiscard]] bool partial() const { return !has_line() && buffer_.size() > begin_; }
  [[nodiscard]] bool has_line() const { return end_of_line_ != std::string::npos; }
  [[nodiscard]] std::size_t size() const { return buffer_.size() - begin_; }

 private:
  void find_line();
  void compact();

  std::size_t limit_;
  std::string buffer_;
  std::size_t begin_ = 0;    // first byte not handed out
  std::size_t scanned_ = 0;  // no line end between begin_ and here: each byte is looked at once
  std::size_t end_of_line_ = std::string::npos;
};

struct RpcRequest {
  Json id;  // integer or string
  std::string method;
  Json params;  // an object, empty where the request had none
};

// Throws RpcError(kParse, kInvalidRequest). `id` is set as soon as it is known, so that the refusal can carry it.
RpcRequest parse_request(std::string_view line, Json& id);

// One line each, without its end. Text that is not UTF-8 is replaced, so that a reply always parses.
std::string format_result(const Json& id, const Json& result);
std::string format_error(const Json& id, RpcCode code, std::string_view message, const Json& data = nullptr);

}  // namespace shunt
