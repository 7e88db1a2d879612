// SPDX-License-Identifier: Apache-2.0
// docs/openflow.md says what the codec's tables say. With SHUNT_WRITE_DOCS set it is written.
#include "user/openflow/codec/reference.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

TEST_CASE("docs/openflow.md is what the codec's tables make of it") {
  const std::string path = SHUNT_SOURCE_DIR "/docs/openflow.md";
  const std::string text = shunt::openflow::reference_text();
  if (std::getenv("SHUNT_WRITE_DOCS") != nullptr) std::ofstream{path} << text;
  std::ifstream file{path};
  const std::string found{std::istreambuf_iterator<char>{file}, {}};
  CHECK_MESSAGE(found == text, "docs/openflow.md is out of date: run unit_openflow with SHUNT_WRITE_DOCS=1");
}
