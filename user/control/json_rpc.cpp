// SPDX-License-Identifier: Apache-2.0
#include "user/control/json_rpc.h"

#include <algorithm>
#include <exception>
#include <utility>

template class nlohmann::basic_json<nlohmann::ordered_map>;

namespace shunt {
namespace {

// A request is a flat object of parameters. The limits leave room and keep a hostile one from becoming a tree that
// needs many times its own size.
constexpr int kMaxDepth = 8;
constexpr std::size_t kMaxValues = 256;
constexpr std::size_t kMaxIdBytes = 64;
constexpr std::size_t kMaxMethodBytes = 64;
// A buffer that once held a large request is given back when it is empty.
constexpr std::size_t kKeepBytes = 64 * 1024;

Json parse_bounded(std::string_view line) {
  std::size_t values = 0;
  const auto bound = [&values](int depth, Json::parse_event_t event, Json&) {
    using Event = Json::parse_event_t;
    if (depth > kMaxDepth) throw RpcError(RpcCode::kParse, "the request is nested deeper than {} levels", kMaxDepth);
    if (event == Event::value || event == Event::key || event == Event::object_start || event == Event::array_start)
      if (++values > kMaxValues) throw RpcError(RpcCode::kParse, "the request has more than {} values", kMaxValues);
    return true;
  };
  try {
    return Json::parse(line, bound);
  } catch (const nlohmann::json::parse_error& error) {
    throw RpcError(RpcCode::kParse, "the request is no JSON: byte {}", error.byte);
  } catch (const nlohmann::json::exception&) {  // a number that no type holds
    throw RpcError(RpcCode::kParse, "the request is no JSON that can be read");
  }
}

Json checked_id(const Json& request) {
  const auto found = request.find("id");
  if (found == request.end())
    throw RpcError(RpcCode::kInvalidRequest, "the request has no 'id': notifications are not served");
  const bool text = found->is_string() && found->get_ref<const std::string&>().size() <= kMaxIdBytes;
  if (!text && !found->is_number_integer())
    throw RpcError(RpcCode::kInvalidRequest, "'id' must be an integer or a string of at most {} bytes", kMaxIdBytes);
  return *found;
}

std::string dump(const Json& message) { return message.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace); }

}  // namespace

void LineFramer::feed(std::string_view bytes) {
  compact();
  buffer_.append(bytes);
  find_line();
}

std::optional<std::string_view> LineFramer::next() {
  if (!has_line()) {
    compact();
    return std::nullopt;
  }
  std::string_view line{buffer_.data() + begin_, end_of_line_ - begin_};
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  begin_ = scanned_ = end_of_line_ + 1;
  find_line();
  return line;
}

bool LineFramer::oversized() const { return (has_line() ? end_of_line_ : buffer_.size()) - begin_ > limit_; }

void LineFramer::find_line() {
  if (scanned_ < begin_) scanned_ = begin_;
  end_of_line_ = buffer_.find('\n', scanned_);
  scanned_ = has_line() ? end_of_line_ : buffer_.size();
}

void LineFramer::compact() {
  if (begin_ == 0) return;
  if (begin_ == buffer_.size()) {
    if (buffer_.capacity() > kKeepBytes)
      std::string{}.swap(buffer_);
    else
      buffer_.clear();
  } else if (begin_ >= kKeepBytes && begin_ >= buffer_.size() / 2) {
    // At least half goes, so that what is moved is paid for by what was read.
    buffer_.erase(0, begin_);
  } else {
    return;
  }
  const std::size_t gone = std::exchange(begin_, 0);
  scanned_ -= gone;
  if (has_line()) end_of_line_ -= gone;
}

RpcRequest parse_request(std::string_view line, Json& id) {
  id = nullptr;
  Json message = parse_bounded(line);
  if (message.is_array()) throw RpcError(RpcCode::kInvalidRequest, "batches are not served: send one request a line");
  if (!message.is_object()) throw RpcError(RpcCode::kInvalidRequest, "the request is not a JSON object");
  id = checked_id(message);

  RpcRequest request;
  request.id = id;
  request.params = Json::object();
  bool versioned = false;
  bool named = false;
  for (auto& [name, value] : message.items()) {
    if (name == "jsonrpc") {
      versioned = value == "2.0";
    } else if (name == "method") {
      named = value.is_string() && value.get_ref<const std::string&>().size() <= kMaxMethodBytes;
      if (named) request.method = value.get<std::string>();
    } else if (name == "params") {
      if (!value.is_object())
        throw RpcError(RpcCode::kInvalidRequest, "'params' must be an object: parameters go by name");
      request.params = std::move(value);
    } else if (name != "id") {
      throw RpcError(RpcCode::kInvalidRequest, "unknown member '{}' in the request", name.substr(0, kMaxMethodBytes));
    }
  }
  if (!versioned) throw RpcError(RpcCode::kInvalidRequest, "'jsonrpc' must be \"2.0\"");
  if (!named)
    throw RpcError(RpcCode::kInvalidRequest, "'method' must be a string of at most {} bytes", kMaxMethodBytes);
  return request;
}

std::string format_result(const Json& id, const Json& result) {
  // Assembled around the result, which may be large: no copy of it into another tree.
  return R"({"jsonrpc":"2.0","id":)" + dump(id) + R"(,"result":)" + dump(result) + "}";
}

std::string format_error(const Json& id, RpcCode code, std::string_view message, const Json& data) {
  Json error = {{"code", static_cast<int>(code)}, {"message", message}};
  if (!data.is_null()) error["data"] = data;
  return R"({"jsonrpc":"2.0","id":)" + dump(id) + R"(,"error":)" + dump(error) + "}";
}

}  // namespace shunt
