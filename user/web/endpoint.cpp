// SPDX-License-Identifier: Apache-2.0
#include "user/web/endpoint.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

#include "user/control/stats_json.h"
#include "user/stats/metrics.h"
#include "user/web/page.h"

namespace shunt {
namespace {

// The query is not one that the path takes.
class BadQuery : public Error {
  using Error::Error;
};

HttpAnswer json_answer(const Json& json) {
  return {.type = "application/json", .body = json.dump(-1, ' ', false, Json::error_handler_t::replace)};
}

HttpAnswer failure(int status, std::string_view text) {
  return {.status = status, .body = fmt::format("{}: {}\n", status, text)};
}

void check_query(const HttpRequest& request, std::initializer_list<std::string_view> known) {
  for (const auto& [name, value] : request.query) {
    if (std::ranges::find(known, name) == known.end()) throw BadQuery("unknown parameter '{}'", name);
    if (request.query.count(name) > 1) throw BadQuery("parameter '{}' is given twice", name);
  }
}

std::optional<std::string> parameter(const HttpRequest& request, const std::string& name) {
  const auto found = request.query.find(name);
  return found == request.query.end() ? std::nullopt : std::optional{found->second};
}

std::size_t flow_count(const HttpRequest& request) {
  const auto text = parameter(request, "flows");
  if (!text) return kTopFlows;
  std::size_t count = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), count);
  if (error != std::errc{} || end != text->data() + text->size() || count > kMostTopFlows)
    throw BadQuery("parameter 'flows': must be a number from 0 to {}", kMostTopFlows);
  return count;
}

FlowOrder flow_order(const HttpRequest& request) {
  const std::string text = parameter(request, "order").value_or("packets");
  if (text != "packets" && text != "bytes") throw BadQuery("parameter 'order': must be packets or bytes");
  return text == "bytes" ? FlowOrder::kBytes : FlowOrder::kPackets;
}

}  // namespace

Endpoint::Endpoint(const ListenAddress& address, EventLoop& loop, InstanceApi& instance, StatsSource& figures)
    : instance_{instance}, figures_{figures}, gate_{loop} {
  kept_[FlowOrder::kPackets];
  kept_[FlowOrder::kBytes];
  server_ = std::make_unique<HttpServer>(address, [this](const HttpRequest& request) { return answer(request); });
}

Endpoint::~Endpoint() {
  gate_.close();  // first: the server's threads would wait for this one
  server_.reset();
}

HttpAnswer Endpoint::answer(const HttpRequest& request) {
  try {
    if (request.path == "/metrics") {
      check_query(request, {});
      return {.type = kMetricsContentType, .body = metrics_text(read(FlowOrder::kPackets)->snapshot)};
    }
    if (request.path == "/api/stats") return stats(request);
    if (request.path == "/api/flow") return flow(request);
    if (request.path == "/healthz") {
      gate_.ask([] { return true; });
      return {.body = "ok\n"};
    }
    if (request.path == "/") return page();
    return failure(404, "there are /, /metrics, /api/stats, /api/flow and /healthz");
  } catch (const BadQuery& error) {
    return failure(400, error.what());
  } catch (const ControlBusy& error) {
    return failure(503, error.what());
  }
}

HttpAnswer Endpoint::stats(const HttpRequest& request) {
  check_query(request, {"flows", "order"});
  const std::size_t count = flow_count(request);
  const ReadingRef reading = read(flow_order(request));
  return json_answer(
      stats_json(reading->snapshot, std::span{reading->flows}.first(std::min(count, reading->flows.size()))));
}

HttpAnswer Endpoint::flow(const HttpRequest& request) {
  check_query(request, {"id"});
  const auto id = parse_flow_id(parameter(request, "id").value_or(""));
  if (!id) throw BadQuery("parameter 'id': must be a flow's id, of /api/stats");
  const std::string body = flow_body(*id);
  if (body.empty()) return failure(404, "this flow is not cached any more");
  return {.type = "application/json", .body = body};
}

std::string Endpoint::flow_body(std::uint64_t id) {
  const ReadingRef reading = read(FlowOrder::kPackets);
  const std::lock_guard lock{kept_flow_.mutex};
  if (kept_flow_.id == id && Clock::now() - kept_flow_.made < kFresh) return kept_flow_.body;
  kept_flow_.body = gate_.ask([this, id, reading]() -> std::string {
    const auto why = instance_.flow_why(id);
    if (!why) return {};
    const PortNames names{instance_.port_names(why->bridge)};
    return why_json(*why, names, port_places(reading->snapshot)).dump(-1, ' ', false, Json::error_handler_t::replace);
  });
  kept_flow_.id = id;
  kept_flow_.made = Clock::now();
  return kept_flow_.body;
}

Endpoint::ReadingRef Endpoint::read(FlowOrder order) {
  Kept& kept = kept_.at(order);
  const std::lock_guard lock{kept.mutex};
  if (kept.reading != nullptr && Clock::now() - kept.made < kFresh) return kept.reading;
  kept.reading = gate_.ask([this, order]() -> ReadingRef {
    auto reading = std::make_shared<Reading>();
    reading->snapshot = figures_.take();
    reading->flows = instance_.top_flows(kMostTopFlows, order);
    return reading;
  });
  kept.made = Clock::now();
  return kept.reading;
}

}  // namespace shunt
