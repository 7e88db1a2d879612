// SPDX-License-Identifier: Apache-2.0
#include "user/control/json_rpc.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace shunt;

namespace {

std::vector<std::string> lines_of(std::string_view stream, std::size_t chunk, std::size_t limit = 1 << 20) {
  LineFramer framer{limit};
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < stream.size(); at += chunk) {
    framer.feed(stream.substr(at, chunk));
    while (const auto line = framer.next()) lines.emplace_back(*line);
  }
  return lines;
}

RpcCode code_of(std::string_view line, Json* id_seen = nullptr) {
  Json id;
  try {
    parse_request(line, id);
  } catch (const RpcError& error) {
    if (id_seen != nullptr) *id_seen = id;
    return error.code();
  }
  FAIL("the request was taken: " << std::string{line});
  return RpcCode::kInternal;
}

}  // namespace

TEST_SUITE("line framer") {
  TEST_CASE("lines come out the same however the stream is cut") {
    const std::string stream = "first\n\nthird with \"text\"\r\n" + std::string(100'000, 'x') + "\nlast\n";
    const std::vector<std::string> whole = lines_of(stream, stream.size());
    REQUIRE(whole.size() == 5);
    CHECK(whole[1].empty());
    CHECK(whole[2] == "third with \"text\"");
    CHECK(whole[3].size() == 100'000);
    for (const std::size_t chunk : {1, 2, 3, 7, 64, 65'536}) CHECK(lines_of(stream, chunk) == whole);
  }

  TEST_CASE("a line without its end is not handed out") {
    LineFramer framer{100};
    framer.feed("begun");
    CHECK_FALSE(framer.next());
    CHECK(framer.partial());
    framer.feed(" and ended\nnext");
    CHECK(framer.next() == "begun and ended");
    CHECK_FALSE(framer.next());
    CHECK(framer.partial());
    CHECK(framer.size() == 4);
  }

  TEST_CASE("a line is too long from the first byte over the limit, ended or not") {
    LineFramer framer{10};
    framer.feed("0123456789");
    CHECK_FALSE(framer.oversized());
    SUBCASE("its end comes in time") {
      framer.feed("\n");
      CHECK_FALSE(framer.oversized());
    }
    SUBCASE("one more byte") {
      framer.feed("X");
      CHECK(framer.oversized());
    }
    SUBCASE("one more byte and the end") {
      framer.feed("X\n");
      CHECK(framer.oversized());
    }
  }

  TEST_CASE("many small lines behind each other stay whole while the buffer moves up") {
    LineFramer framer{1 << 20};
    std::string stream;
    for (int i = 0; i < 50'000; ++i) stream += std::to_string(i) + '\n';
    framer.feed(stream);
    for (int i = 0; i < 50'000; ++i) {
      REQUIRE(framer.next() == std::to_string(i));
      if (i % 1'000 == 0) framer.feed("");
    }
    CHECK_FALSE(framer.next());
    CHECK(framer.size() == 0);
  }
}

TEST_SUITE("requests") {
  TEST_CASE("a request's parts arrive as they were sent") {
    Json id;
    const RpcRequest request = parse_request(
        R"({"jsonrpc":"2.0","id":7,"method":"flow.add","params":{"bridge":"br0","rule":"actions=drop\n"}})", id);
    CHECK(id == 7);
    CHECK(request.method == "flow.add");
    CHECK(request.params["rule"] == "actions=drop\n");
  }

  TEST_CASE("params may be left out, and are an empty object then") {
    Json id;
    CHECK(parse_request(R"({"jsonrpc":"2.0","id":"a","method":"stats"})", id).params == Json::object());
    CHECK(id == "a");
  }

  TEST_CASE("what is no JSON is refused as such") {
    for (const char* text :
         {"", "{", "nonsense", R"({"a":})", "\xff\xfe", R"({"id":1e999999})", "{} {}", "\"\\ud800\""})
      CHECK(code_of(text) == RpcCode::kParse);
  }

  TEST_CASE("a request that is no request is refused, with its id where that was readable") {
    Json id;
    CHECK(code_of(R"([{"jsonrpc":"2.0","id":1,"method":"stats"}])") == RpcCode::kInvalidRequest);
    CHECK(code_of("3") == RpcCode::kInvalidRequest);
    CHECK(code_of(R"({"jsonrpc":"2.0","method":"stats"})") == RpcCode::kInvalidRequest);
    CHECK(code_of(R"({"jsonrpc":"2.0","id":null,"method":"stats"})") == RpcCode::kInvalidRequest);
    CHECK(code_of(R"({"jsonrpc":"2.0","id":1.5,"method":"stats"})") == RpcCode::kInvalidRequest);
    CHECK(code_of(R"({"id":4,"method":"stats"})", &id) == RpcCode::kInvalidRequest);
    CHECK(id == 4);
    CHECK(code_of(R"({"jsonrpc":"1.0","id":5,"method":"stats"})", &id) == RpcCode::kInvalidRequest);
    CHECK(id == 5);
    CHECK(code_of(R"({"jsonrpc":"2.0","id":6,"method":9})", &id) == RpcCode::kInvalidRequest);
    CHECK(code_of(R"({"jsonrpc":"2.0","id":6,"method":"stats","params":[1]})") == RpcCode::kInvalidRequest);
    CHECK(code_of(R"({"jsonrpc":"2.0","id":6,"method":"stats","extra":1})") == RpcCode::kInvalidRequest);
    CHECK(code_of(R"({"jsonrpc":"2.0","id":")" + std::string(65, 'i') + R"(","method":"stats"})") ==
          RpcCode::kInvalidRequest);
  }

  TEST_CASE("deep and wide trees are refused before they are built") {
    const std::string deep = R"({"jsonrpc":"2.0","id":1,"method":"stats","params":{"a":)" + std::string(1'000'000, '[');
    CHECK(code_of(deep) == RpcCode::kParse);
    std::string wide = R"({"jsonrpc":"2.0","id":1,"method":"stats","params":{"a":[)";
    for (int i = 0; i < 100'000; ++i) wide += "1,";
    CHECK(code_of(wide + "1]}}") == RpcCode::kParse);
  }
}

TEST_SUITE("replies") {
  TEST_CASE("a reply is one line of JSON, whatever the text in it") {
    const std::string reply = format_result(3, {{"text", "two\nlines and no UTF-8: \xff"}});
    CHECK(reply.find('\n') == std::string::npos);
    const Json parsed = Json::parse(reply);
    CHECK(parsed["id"] == 3);
    CHECK(parsed["result"]["text"].get<std::string>().starts_with("two\nlines"));
  }

  TEST_CASE("an error carries code, message and data") {
    const Json parsed = Json::parse(format_error("x", RpcCode::kRefused, "no", {{"column", 4}}));
    CHECK(parsed["error"]["code"] == 1);
    CHECK(parsed["error"]["message"] == "no");
    CHECK(parsed["error"]["data"]["column"] == 4);
    CHECK_FALSE(Json::parse(format_error(nullptr, RpcCode::kParse, "bad"))["error"].contains("data"));
  }
}
