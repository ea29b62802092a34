#include "events.h"

#include <cmath>
#include <limits>

namespace cavsync {

namespace {

double farther(double extreme_ms, const Record& record) {
  const double offset_ms = record.audio_offset_ms.value_or(0.0);
  return std::abs(offset_ms) > std::abs(extreme_ms) ? offset_ms : extreme_ms;
}

}  // namespace

std::vector<cavsync_event_change> EventTracker::update(const Record& record) {
  last_seconds_ = record.time_seconds;
  if (record.state == CAVSYNC_UNDETERMINED) return {};
  if (current_ && record.state == current_->state) {
    row_.reset();
    current_->extreme_ms = farther(current_->extreme_ms, record);
    return {};
  }
  const bool is_fault = record.state != CAVSYNC_IN_SYNC;
  if (!is_fault && !current_) {
    row_.reset();
    return {};
  }
  extend(record);
  std::vector<cavsync_event_change> changes;
  if (current_ && row_->length >= end_after_) changes.push_back(end(row_->first_seconds, CAVSYNC_CAUSE_DECISIONS));
  if (!current_ && is_fault && row_->length >= begin_after_) {
    changes.push_back(begin());
  } else if (!current_ && !is_fault) {
    row_.reset();
  }
  return changes;
}

std::vector<cavsync_event_change> EventTracker::finish() {
  std::vector<cavsync_event_change> changes;
  if (current_) changes.push_back(end(last_seconds_, CAVSYNC_CAUSE_STREAM_ENDED));
  row_.reset();
  return changes;
}

void EventTracker::extend(const Record& record) {
  if (row_ && row_->state != record.state) row_.reset();
  if (!row_) row_ = Row{record.state, record.time_seconds, 0.0, 0};
  row_->extreme_ms = farther(row_->extreme_ms, record);
  ++row_->length;
}

cavsync_event_change EventTracker::begin() {
  current_ = cavsync_event{row_->first_seconds, std::numeric_limits<double>::quiet_NaN(), row_->extreme_ms, row_->state,
                           CAVSYNC_CAUSE_NONE};
  row_.reset();
  return {*current_, CAVSYNC_EVENT_BEGAN};
}

cavsync_event_change EventTracker::end(double time_seconds, cavsync_cause cause) {
  cavsync_event_change change{*current_, CAVSYNC_EVENT_ENDED};
  change.event.end_seconds = time_seconds;
  change.event.cause = cause;
  current_.reset();
  return change;
}

}  // namespace cavsync
