// SPDX-License-Identifier: Apache-2.0
#include "user/control/params.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "user/control/text.h"

using namespace shunt;

namespace {

const std::vector<ParamSpec> kSpecs = {
    {.name = "bridge", .type = ParamType::kInterface, .required = true},
    {.name = "count", .type = ParamType::kInteger, .min = 2, .max = 9},
    {.name = "mac", .type = ParamType::kMac},
    {.name = "trunks", .type = ParamType::kVlans},
    {.name = "mode", .type = ParamType::kChoice, .choices = "native|generic"},
    {.name = "rule", .type = ParamType::kText},
    {.name = "force", .type = ParamType::kFlag},
};

// The refusal of br0's parameters with `extra` among them; empty where they are taken.
std::string refusal(Json extra) {
  extra["bridge"] = extra.value("bridge", Json("br0"));
  try {
    Arguments{kSpecs, extra};
  } catch (const RpcError& error) {
    CHECK(error.code() == RpcCode::kInvalidParams);
    return error.what();
  }
  return {};
}

bool names(const std::string& message, const char* part) { return message.find(part) != std::string::npos; }

}  // namespace

TEST_SUITE("parameters") {
  TEST_CASE("what the specs allow is taken, and comes out typed") {
    const Json params = {{"bridge", "br0"},   {"count", 9},    {"mac", "02:00:00:00:00:0a"}, {"trunks", "1,5-7"},
                         {"mode", "generic"}, {"force", true}, {"rule", "actions=drop"}};
    const Arguments arguments{kSpecs, params};
    CHECK(arguments.text("bridge") == "br0");
    CHECK(arguments.integer("count") == 9);
    CHECK(arguments.mac("mac") == MacAddr{{2, 0, 0, 0, 0, 10}});
    CHECK(arguments.vlans("trunks")->count() == 4);
    CHECK(arguments.optional_text("mode") == "generic");
    CHECK(arguments.flag("force"));
  }

  TEST_CASE("what is left out has no value") {
    const Json params = {{"bridge", "br0"}};
    const Arguments arguments{kSpecs, params};
    CHECK_FALSE(arguments.integer("count"));
    CHECK_FALSE(arguments.vlans("trunks"));
    CHECK_FALSE(arguments.optional_text("rule"));
    CHECK_FALSE(arguments.flag("force"));
  }

  TEST_CASE("an unknown parameter is refused by its name, with the known ones") {
    const std::string message = refusal({{"brigde", "br1"}});
    CHECK(names(message, "'brigde'"));
    CHECK(names(message, "'bridge'"));
  }

  TEST_CASE("a missing parameter is refused by its name") {
    const Json none = Json::object();
    CHECK_THROWS_WITH_AS((Arguments{kSpecs, none}), "parameter 'bridge' is missing", RpcError);
  }

  TEST_CASE("a wrong type is refused by the parameter's name") {
    for (const Json& wrong : {Json(1), Json(true), Json(nullptr), Json::array({"x"}), Json::object()}) {
      CHECK(names(refusal({{"rule", wrong}}), "'rule'"));
      CHECK(names(refusal({{"mac", wrong}}), "'mac'"));
      CHECK(names(refusal({{"mode", wrong}}), "'mode'"));
    }
    for (const Json& wrong : {Json("3"), Json(3.0), Json(-3), Json(true), Json(nullptr)})
      CHECK(names(refusal({{"count", wrong}}), "'count' must be an integer from 2 to 9"));
    for (const Json& wrong : {Json("true"), Json(1)}) CHECK(names(refusal({{"force", wrong}}), "'force'"));
  }

  TEST_CASE("a value out of range is refused") {
    CHECK(refusal({{"count", 2}}).empty());
    CHECK_FALSE(refusal({{"count", 1}}).empty());
    CHECK_FALSE(refusal({{"count", 10}}).empty());
    CHECK_FALSE(refusal({{"count", std::uint64_t{1} << 63}}).empty());
    CHECK(names(refusal({{"mode", "nativ"}}), "native|generic"));
    CHECK_FALSE(refusal({{"mode", ""}}).empty());
    CHECK_FALSE(refusal({{"mode", "native|generic"}}).empty());
  }

  TEST_CASE("a refusal does not carry a megabyte of what was refused") {
    const std::string large(1 << 20, 'x');
    for (const char* name : {"bridge", "mac", "trunks", "mode"}) CHECK(refusal({{name, large}}).size() < 500);
    CHECK(refusal({{large, 1}}).size() < 500);
  }
}

TEST_SUITE("values as text") {
  TEST_CASE("MAC addresses go both ways") {
    CHECK(format_mac(parse_mac("02:00:5E:10:aB:01")) == "02:00:5e:10:ab:01");
    for (const char* wrong : {"", "02:00:5e:10:00", "02:00:5e:10:00:1", "02-00-5e-10-00-01", "02:00:5e:10:00:0g",
                              "02:00:5e:10:00:01:02", "02:00:5e:10:00:+1", "0x:00:5e:10:00:01", "02:00:5e:10:00:01 "})
      CHECK_THROWS_AS(parse_mac(wrong), Error);
  }

  TEST_CASE("sets of VLANs go both ways, in their shortest form") {
    CHECK(format_vlans(parse_vlans("7,1,5-6,10-20,4095,0")) == "0-1,5-7,10-20,4095");
    CHECK(format_vlans(parse_vlans("0-4095")) == "0-4095");
    for (const char* wrong : {"", ",", "1,", ",1", "4096", "-1", "5-", "-", "9-5", "1-2-3", "a", "1 2", "0x10", "1,,2"})
      CHECK_THROWS_AS(parse_vlans(wrong), Error);
  }

  TEST_CASE("names that the kernel or rule text cannot hold are refused") {
    for (const char* good : {"br0", "eth0.100", "a-b_c", "fifteen-chars-x"}) CHECK_NOTHROW(check_interface_name(good));
    for (const char* wrong : {"", ".", "..", "a/b", "a b", "sixteen-chars-xx", "a,b", "a:b", "a\nb", "\xc3\xa4"})
      CHECK_THROWS_AS(check_interface_name(wrong), Error);
    for (const char* good : {"default", "a-b_9"}) CHECK_NOTHROW(check_instance_name(good));
    for (const char* wrong : {"", "a.b", "../x", "-x", "a b", "an-instance-name-of-thirty-three-c"})
      CHECK_THROWS_AS(check_instance_name(wrong), Error);
  }
}
