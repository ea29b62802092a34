// Beginnings and ends of events, from the decisions of a stream that runs, with hysteresis.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "record.h"

namespace cavsync {

// An event begins after `begin_after` decisions in a row outside the limits on one side, and starts at the first of them.
// It ends after `end_after` decisions in a row of another state. Undetermined decisions are ignored: they neither count
// nor interrupt a row, so an alarm lasts until there is evidence of its end.
class EventTracker {
 public:
  EventTracker(std::size_t begin_after, std::size_t end_after) : begin_after_(begin_after), end_after_(end_after) {}

  // Add a decision; return the changes that it causes, an end before a beginning.
  std::vector<cavsync_event_change> update(const Record& record);
  // End the open event, if any, at the last decision, because the stream has ended; begin again.
  std::vector<cavsync_event_change> finish();

 private:
  // Decisions in a row of a state other than the current one.
  struct Row {
    cavsync_state state;
    double first_seconds;
    double extreme_ms;
    std::size_t length;
  };

  void extend(const Record& record);
  cavsync_event_change begin();
  cavsync_event_change end(double time_seconds, cavsync_cause cause);

  std::size_t begin_after_, end_after_;
  std::optional<Row> row_;
  std::optional<cavsync_event> current_;
  double last_seconds_ = 0;
};

}  // namespace cavsync
