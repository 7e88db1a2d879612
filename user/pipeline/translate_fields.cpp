// SPDX-License-Identifier: Apache-2.0
// Translation of what reads and writes fields of the packet and of the pipeline: set_field, load, move, the stack.
#include <cstring>

#include "user/pipeline/translator.h"

namespace shunt {

namespace {

FieldBits low_bits(unsigned count) { return count >= 128 ? ~FieldBits{0} : (FieldBits{1} << count) - 1; }

FlowMask mask_of(const Subfield& part) {
  PipelineMask mask{};
  write_field(*part.field, mask, low_bits(part.bit_count) << part.first_bit);
  return mask;
}

}  // namespace

void Translator::run(const SetFieldAction& set) {
  if (has(set.field->prerequisite))
    write(set.set);
  else
    note([&] { return std::string{"the packet has no "} + std::string{set.field->name}; });
}

void Translator::run(const MoveAction& move) {
  const auto bits = read_from({move.src, move.src_bit, move.bit_count});
  if (bits) write_to({move.dst, move.dst_bit, move.bit_count}, *bits);
}

void Translator::run(const StackPushAction& push) {
  const auto bits = read_from(push.source);
  const auto size = static_cast<std::uint8_t>((push.source.bit_count + 7) / 8);
  if (stack_bytes_ + size > kMaxStackBytes) {
    note([] { return "the stack is full"; });
    return give_up(SHUNT_DROP_STACK);
  }
  // What the packet has not got reads as 0, so that pushes and pops stay in pairs.
  stack_.push_back({bits.value_or(0), size});
  stack_bytes_ += size;
}

void Translator::run(const StackPopAction& pop) {
  if (stack_.empty()) {
    note([] { return "pop from an empty stack"; });
    return fail(SHUNT_DROP_STACK);
  }
  const StackEntry top = stack_.back();
  stack_.pop_back();
  stack_bytes_ -= top.size;
  write_to(pop.target, top.value);
}

void Translator::run(const WriteMetadataAction& write_metadata) {
  Match set;
  write_field(field(FieldId::kMetadata), set.value, write_metadata.value & write_metadata.mask);
  write_field(field(FieldId::kMetadata), set.mask, write_metadata.mask);
  write(set);
}

std::optional<FieldBits> Translator::read_from(const Subfield& source) {
  if (!has(source.field->prerequisite)) {
    note([&] { return std::string{"the packet has no "} + std::string{source.field->name}; });
    return std::nullopt;
  }
  examine(mask_of(source));
  return read_subfield(source, working_);
}

void Translator::write_to(const Subfield& target, FieldBits value) {
  if (!has(target.field->prerequisite))
    return note([&] { return std::string{"the packet has no "} + std::string{target.field->name}; });
  Match set;
  const FieldBits bits = low_bits(target.bit_count);
  write_field(*target.field, set.mask, bits << target.first_bit);
  write_field(*target.field, set.value, (value & bits) << target.first_bit);
  write(set);
}

}  // namespace shunt
