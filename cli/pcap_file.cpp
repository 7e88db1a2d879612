// SPDX-License-Identifier: Apache-2.0
#include "cli/pcap_file.h"

#include <pcap/pcap.h>

#include "user/base/error.h"

namespace shunt::cli {

void PcapFile::Close::operator()(pcap* capture) const noexcept { ::pcap_close(capture); }

PcapFile::PcapFile(const std::string& name) : name_{name} {
  char reason[PCAP_ERRBUF_SIZE] = "";
  capture_.reset(::pcap_open_offline(name.c_str(), reason));
  if (!capture_) throw Error("capture '{}': {}", name, reason);
  if (const int type = ::pcap_datalink(capture_.get()); type != DLT_EN10MB) {
    const char* text = ::pcap_datalink_val_to_name(type);
    throw Error("capture '{}': its frames are not Ethernet but {}", name,
                text != nullptr ? text : "of an unknown kind");
  }
}

std::optional<PcapFile::Frame> PcapFile::next() {
  pcap_pkthdr* header = nullptr;
  const u_char* bytes = nullptr;
  switch (::pcap_next_ex(capture_.get(), &header, &bytes)) {
    case 1:
      return Frame{{bytes, header->caplen}, header->len};
    case PCAP_ERROR_BREAK:  // the end of the file
      return std::nullopt;
    default:
      throw Error("capture '{}': {}", name_, ::pcap_geterr(capture_.get()));
  }
}

}  // namespace shunt::cli
