// What follows from decisions. Read lines from standard input: `events BEGIN_AFTER END_AFTER`, or `search FRAME_RATE_HZ
// HOP_MS MAX_OFFSET_MS WINDOW_SECONDS GROUP`, then decisions as `TIME_SECONDS STATE IS_MEASURED OFFSET_MS PEAK_LAG_MS`, nan
// for what is unknown. Write the beginnings and ends of events, or the plan of the next group after each decision.
#include <cmath>
#include <cstdio>
#include <iostream>
#include <string>

#include "events.h"
#include "search.h"

namespace {

using cavsync::Record;

bool read(Record& record) {
  std::string time, offset, peak;
  int state = 0;
  record = {};
  if (!(std::cin >> time >> state >> record.is_measured >> offset >> peak)) return false;
  record.time_seconds = std::stod(time);
  record.state = static_cast<cavsync_state>(state);
  if (offset != "nan") record.audio_offset_ms = std::stod(offset);
  if (peak != "nan") record.peak_lag_ms = std::stod(peak);
  return true;
}

void write(const std::vector<cavsync_event_change>& changes) {
  for (const auto& [event, phase] : changes) {
    std::printf("%d %d %.17g %.17g %.17g %d\n", phase, event.state, event.start_seconds, event.end_seconds,
                event.extreme_ms, event.cause);
  }
}

void write(const cavsync::SearchStep& plan) {
  std::printf("%lld %lld ", static_cast<long long>(plan.stride), static_cast<long long>(plan.phase));
  for (const bool is_used : plan.lags) std::printf("%d", is_used);
  std::printf("\n");
}

}  // namespace

int main() {
  std::string what;
  Record record;
  std::cin >> what;
  if (what == "events") {
    std::size_t begin_after = 0, end_after = 0;
    std::cin >> begin_after >> end_after;
    cavsync::EventTracker tracker(begin_after, end_after);
    while (read(record)) write(tracker.update(record));
    write(tracker.finish());
    return 0;
  }
  cavsync::SyncSpec sync;
  std::size_t group = 0;
  std::cin >> sync.frame_rate_hz >> sync.hop_ms >> sync.max_offset_ms >> sync.window_seconds >> group;
  sync.decision_step_seconds = 0.5;
  cavsync::Search search(cavsync::Grid(sync), true, group);
  write(search.next_group());
  while (read(record)) {
    search.note(record);
    write(search.next_group());
  }
  return 0;
}
