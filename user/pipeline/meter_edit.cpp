// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/meter_edit.h"

#include "user/base/of_error.h"

namespace shunt {

namespace {

void check(const MeterConfig& config) {
  const std::uint32_t id = config.id;
  if (id == kMeterSlowpath)
    throw OfError(OfErrorCode::kInvalidMeter,
                  "meter slowpath: what goes to userspace is limited port by port: shuntd --upcall-rate");
  // The virtual one meters what goes to controllers; rules do not name it.
  if (id == 0 || (id > kMeterMax && id != kMeterController))
    throw OfError(OfErrorCode::kInvalidMeter, "meter {}: meters are 1 to {}", id, kMeterMax);
  if (config.bands.size() > SHUNT_METER_BANDS)
    throw OfError(OfErrorCode::kOutOfBands, "meter {}: {} bands: at most {}", id, config.bands.size(),
                  SHUNT_METER_BANDS);
  for (const MeterBand& band : config.bands) {
    if (band.type != SHUNT_BAND_DROP && band.type != SHUNT_BAND_DSCP_REMARK)
      throw OfError(OfErrorCode::kBadBand, "meter {}: unknown band type", id);
    if (band.rate == 0) throw OfError(OfErrorCode::kBadRate, "meter {}: a band without a rate", id);
    if (band.type == SHUNT_BAND_DSCP_REMARK && band.precedence == 0)
      throw OfError(OfErrorCode::kBadBandValue, "meter {}: dscp_remark by 0 levels remarks nothing", id);
  }
}

}  // namespace

MeterSlots::MeterSlots() {
  for (std::uint16_t slot = 1; slot < SHUNT_MAX_METERS; ++slot) free_.insert(free_.end(), slot);
}

std::uint16_t MeterSlots::take() {
  if (free_.empty()) throw OfError(OfErrorCode::kOutOfMeters, "all {} meters are in use", SHUNT_MAX_METERS - 1);
  return free_.extract(free_.begin()).value();
}

void MeterSlots::collect(std::uint64_t version) {
  std::erase_if(retired_, [&](const auto& retired) {
    if (retired.first > version) return false;
    free_.insert(retired.second);
    return true;
  });
}

MeterEdit::MeterEdit(RuleEdit& edit, MeterSlots& slots)
    : edit_{edit}, slots_{slots}, meters_{std::make_shared<std::map<std::uint32_t, MeterRef>>(*edit.bridge().meters)} {}

MeterEdit::~MeterEdit() {
  if (committed_) return;
  for (const MeterRef& meter : fresh_) slots_.give_back(meter->slot);
}

void MeterEdit::apply(const MeterMod& mod) {
  try {
    apply_unlined(mod);
  } catch (OfError& error) {
    if (error.line() == 0) error.set_line(mod.line);
    throw;
  }
}

void MeterEdit::apply_unlined(const MeterMod& mod) {
  const auto found = meters_->find(mod.config.id);
  switch (mod.command) {
    case MeterMod::Command::kAdd:
      check(mod.config);
      if (found != meters_->end())
        throw OfError(OfErrorCode::kMeterExists, "meter {} exists already", mod.config.id).about("meter");
      return put(mod.config, edit_.now());
    case MeterMod::Command::kModify: {
      check(mod.config);
      if (found == meters_->end())
        throw OfError(OfErrorCode::kUnknownMeter, "no meter {}", mod.config.id).about("meter");
      const TimePoint created = found->second->created;
      retired_.push_back(found->second->slot);
      return put(mod.config, created);
    }
    case MeterMod::Command::kDelete:
      if (mod.config.id == kMeterAll) {
        while (!meters_->empty()) take_out(meters_->begin());
      } else if (found != meters_->end()) {  // else it is gone already: no error (OpenFlow 1.3.5 section 6.7)
        take_out(found);
      }
      return;
  }
}

void MeterEdit::finish() {
  edit_.bridge().meters = meters_;
  for (const std::uint32_t id : deleted_) edit_.remove_meter_users(id);
}

void MeterEdit::commit() {
  committed_ = true;
  for (const std::uint16_t slot : retired_) slots_.retire(slot, edit_.version());
}

void MeterEdit::put(const MeterConfig& config, TimePoint created) {
  auto meter = std::make_shared<Meter>();
  meter->config = config;
  meter->created = created;
  meter->slot = slots_.take();
  fresh_.push_back(meter);
  edit_.mark_changed(tag_of(DependencyKind::kMeter, config.id));
  (*meters_)[config.id] = std::move(meter);
}

void MeterEdit::take_out(std::map<std::uint32_t, MeterRef>::iterator meter) {
  edit_.mark_changed(tag_of(DependencyKind::kMeter, meter->first));
  deleted_.insert(meter->first);
  retired_.push_back(meter->second->slot);
  meters_->erase(meter);
}

}  // namespace shunt
