// SPDX-License-Identifier: Apache-2.0
// Power that goes at any byte of a write: the state opens as one of the commits left it, and as the last one for what
// was acknowledged.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "tests/unit/state/recording_vfs.h"
#include "tests/unit/state/temporary_directory.h"
#include "user/state/state_database.h"

using namespace shunt;
using namespace shunt::test;

namespace {

// The tables as a map, by which a batch is carried out without SQLite.
using Model = std::map<std::tuple<StateTable, std::uint32_t, std::int64_t>, StateRow>;

void carry_out(Model& model, const StateBatch& batch) {
  for (const StateOp& op : batch) switch (op.kind) {
      case StateOp::Kind::kPut:
        model[{op.table, op.bridge, op.id}] = {op.bridge, op.id, std::get<std::string>(op.text), op.times};
        break;
      case StateOp::Kind::kRemove:
        model.erase({op.table, op.bridge, op.id});
        break;
      case StateOp::Kind::kRemoveRows:
        std::erase_if(model, [&](const auto& row) {
          return std::get<0>(row.first) == op.table && std::get<1>(row.first) == op.bridge;
        });
        break;
      case StateOp::Kind::kRemoveBridge:
        std::erase_if(model, [&](const auto& row) { return std::get<1>(row.first) == op.bridge; });
        break;
      case StateOp::Kind::kClear:
        std::erase_if(model, [&](const auto& row) { return std::get<0>(row.first) != StateTable::kHistory; });
        break;
    }
}

StateImage image_of(const Model& model) {
  StateImage image;
  for (const auto& [key, row] : model) image[std::get<0>(key)].push_back(row);
  return image;
}

class RandomBatches {
 public:
  explicit RandomBatches(std::uint64_t seed) : random_{seed} {}

  StateBatch next() {
    StateBatch batch;
    const std::size_t count = below(20) == 0 ? 2000 : 1 + below(40);
    for (std::size_t i = 0; i < count; ++i) batch.push_back(op());
    return batch;
  }

 private:
  std::uint64_t below(std::uint64_t end) { return random_() % end; }

  StateOp op() {
    StateOp op;
    op.table = static_cast<StateTable>(below(kStateTables.size()));
    op.bridge = op.table == StateTable::kHistory ? 0 : 1 + static_cast<std::uint32_t>(below(3));
    op.id = static_cast<std::int64_t>(below(500));
    switch (below(600)) {
      case 0:
        op.kind = StateOp::Kind::kRemoveBridge;
        op.bridge = 1 + static_cast<std::uint32_t>(below(3));
        return op;
      case 1:
        op.kind = StateOp::Kind::kRemoveRows;
        return op;
      case 2:
        op.kind = StateOp::Kind::kClear;
        return op;
      default:
        break;
    }
    if (below(4) == 0) {
      op.kind = StateOp::Kind::kRemove;
      return op;
    }
    op.text = std::string(below(300), static_cast<char>('a' + below(26)));
    if (op.table == StateTable::kRules)
      op.times = {static_cast<std::int64_t>(random_() >> 20), static_cast<std::int64_t>(random_() >> 20), 7};
    return op;
  }

  std::mt19937_64 random_;
};

// What was written, and what each commit left behind.
struct Record {
  std::vector<DiskOp> ops;
  std::vector<StateImage> images;        // after 0, 1, 2… commits
  std::vector<std::size_t> acknowledged;  // number of disk operations when commit i had returned; 0: the schema's
};

Record record(const std::string& path, std::uint64_t seed, int commits) {
  const RecordingVfs vfs;
  Record record;
  Model model;
  RandomBatches batches{seed};
  StateDatabase database{path};
  record.images.push_back({});
  record.acknowledged.push_back(RecordingVfs::ops.size());
  for (int i = 0; i < commits; ++i) {
    const StateBatch batch = batches.next();
    database.commit(std::span{&batch, 1}, i);
    if (i % 3 == 0) database.tidy();
    carry_out(model, batch);
    record.images.push_back(image_of(model));
    record.acknowledged.push_back(RecordingVfs::ops.size());
  }
  record.ops = RecordingVfs::ops;
  return record;
}

// The state after a cut within disk operation `at` is that of the last commit that had returned, or of the one under way.
void check_cut(const TemporaryDirectory& directory, const Record& record, const Files& files, std::size_t at) {
  directory.empty();
  write_files(files);
  const auto later = std::upper_bound(record.acknowledged.begin(), record.acknowledged.end(), at);
  const auto last = static_cast<std::size_t>(later - record.acknowledged.begin());  // commits that had returned, and 1
  StateImage found;
  REQUIRE_NOTHROW(found = StateDatabase{directory.file("cut.db")}.load());
  const std::size_t sure = last == 0 ? 0 : last - 1;
  const bool is_committed =
      found == record.images[sure] || (sure + 1 < record.images.size() && found == record.images[sure + 1]);
  CAPTURE(at);
  CAPTURE(sure);
  CHECK(is_committed);
}

}  // namespace

TEST_SUITE("state cut off") {
  TEST_CASE("a write cut at any byte leaves a committed state, the last one that was acknowledged or newer") {
    const TemporaryDirectory directory;
    const Record written = record(directory.file("cut.db"), 1, 120);
    const auto checkpointed = [](const DiskOp& op) {
      return op.kind == DiskOp::Kind::kWrite && op.file.ends_with(".db") && op.offset > 8 * 4096;
    };
    REQUIRE(std::ranges::any_of(written.ops, checkpointed));  // the log was written back: cuts hit that, too
    std::mt19937_64 random{2};
    for (int i = 0; i < 300; ++i) {
      const std::size_t at = random() % written.ops.size();
      const std::size_t bytes = written.ops[at].bytes.size();
      check_cut(directory, written, cut_at(written.ops, at, bytes == 0 ? 0 : random() % bytes), at);
    }
    check_cut(directory, written, cut_at(written.ops, written.ops.size(), 0), written.ops.size());
  }

  TEST_CASE("every byte of the first writes can be the last") {
    const TemporaryDirectory directory;
    const Record written = record(directory.file("cut.db"), 3, 2);
    std::mt19937_64 random{4};
    for (std::size_t at = 0; at < written.ops.size(); ++at)
      for (int i = 0; i < 4; ++i)
        check_cut(directory, written, cut_at(written.ops, at, random() % (written.ops[at].bytes.size() + 1)), at);
  }

  TEST_CASE("what was not synced may be lost in any part") {
    const TemporaryDirectory directory;
    const Record written = record(directory.file("cut.db"), 5, 120);
    std::mt19937_64 random{6};
    for (int i = 0; i < 300; ++i) {
      const std::size_t at = random() % (written.ops.size() + 1);
      check_cut(directory, written, cut_with_losses(written.ops, at, random), at);
    }
  }
}
