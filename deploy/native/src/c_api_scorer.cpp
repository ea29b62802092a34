// The C interface over the classes: scorers.
#include <optional>
#include <vector>

#include "c_api_common.h"
#include "enum_number.h"
#include "scorer.h"

using namespace cavsync;

struct cavsync_scorer {
  Scorer scorer;
};

namespace {

cavsync_record copied(const Record& record) {
  cavsync_record found{};
  found.time_seconds = record.time_seconds;
  found.window_seconds = record.window_seconds;
  found.audio_offset_ms = record.audio_offset_ms.value_or(kNaN);
  found.offset_resolution_ms = record.offset_resolution_ms.value_or(kNaN);
  found.suggested_audio_delay_ms = record.suggested_audio_delay_ms.value_or(kNaN);
  found.similarity = record.similarity.value_or(kNaN);
  found.confidence = record.confidence.value_or(kNaN);
  found.state = record.state;
  found.within_profile = record.state == CAVSYNC_UNDETERMINED ? -1 : record.state == CAVSYNC_IN_SYNC;
  found.path = record.path;
  found.is_measured = record.is_measured;
  copy_text(record.profile, found.profile);
  copy_text(record.reason, found.reason);
  return found;
}

cavsync_face copied(const std::optional<FaceView>& face) {
  cavsync_face found{};
  found.track = -1;
  if (!face) return found;
  found.track = face->track;
  found.frame_width = face->frame_size.width;
  found.frame_height = face->frame_size.height;
  found.left = face->box[0];
  found.top = face->box[1];
  found.right = face->box[2];
  found.bottom = face->box[3];
  found.presence = face->presence;
  found.frontality = face->frontality;
  found.eye_distance_px = face->eye_distance_px;
  found.opening_range = face->lips.opening_range;
  found.steadiness = face->lips.steadiness;
  found.share = face->share;
  return found;
}

// `faces` may be null.
void process(Scorer& scorer, cavsync_record* records, cavsync_face* faces, std::size_t capacity, std::size_t& count) {
  for (const Record& record : scorer.process(capacity)) {
    if (faces != nullptr) faces[count] = copied(record.face);
    records[count++] = copied(record);
  }
}

}  // namespace

cavsync_status cavsync_scorer_create(const cavsync_bundle* bundle, const cavsync_options* options,
                                     cavsync_scorer** scorer) {
  return guarded([&] {
    clear(scorer);
    require(bundle, scorer);
    if (options != nullptr) require_known(*options, kFirstOptionsSize);
    *scorer = new cavsync_scorer{{bundle->bundle, options_for(bundle->bundle->manifest(), options)}};
  });
}

void cavsync_scorer_destroy(cavsync_scorer* scorer) { delete scorer; }

cavsync_status cavsync_scorer_push_video(cavsync_scorer* scorer, const cavsync_frame* frame, double pts_seconds) {
  return guarded([&] {
    require(scorer, frame);
    require_known(*frame);
    scorer->scorer.push_video(*frame, pts_seconds);
  });
}

cavsync_status cavsync_scorer_push_audio(cavsync_scorer* scorer, const void* samples, cavsync_sample_format format,
                                         size_t num_samples, int32_t num_channels, int32_t sample_rate_hz,
                                         double pts_seconds) {
  return guarded([&] {
    require(scorer);
    if (num_samples > 0) require(samples);
    scorer->scorer.push_audio({samples, number_of(format), num_samples, num_channels, sample_rate_hz, pts_seconds});
  });
}

cavsync_status cavsync_scorer_process(cavsync_scorer* scorer, cavsync_record* records, size_t capacity,
                                      size_t* num_records) {
  return guarded([&] {
    clear(num_records);
    require(scorer, num_records);
    if (capacity > 0) require(records);
    process(scorer->scorer, records, nullptr, capacity, *num_records);
  });
}

cavsync_status cavsync_scorer_process_faces(cavsync_scorer* scorer, cavsync_record* records, cavsync_face* faces,
                                            size_t capacity, size_t* num_records) {
  return guarded([&] {
    clear(num_records);
    require(scorer, num_records);
    if (capacity > 0) require(records, faces);
    process(scorer->scorer, records, faces, capacity, *num_records);
  });
}

cavsync_status cavsync_scorer_take_events(cavsync_scorer* scorer, cavsync_event_change* changes, size_t capacity,
                                          size_t* num_changes) {
  return guarded([&] {
    clear(num_changes);
    require(scorer, num_changes);
    if (capacity > 0) require(changes);
    const std::vector<cavsync_event_change> found = scorer->scorer.take_events(capacity);
    std::copy(found.begin(), found.end(), changes);
    *num_changes = found.size();
  });
}

cavsync_status cavsync_scorer_drop_oldest(cavsync_scorer* scorer, double keep_seconds, size_t* num_dropped) {
  return guarded([&] {
    clear(num_dropped);
    require(scorer, num_dropped);
    if (!(keep_seconds >= 0)) throw argument_error("keep_seconds is negative or no number: give 0 or more");
    *num_dropped = scorer->scorer.drop_oldest(keep_seconds);
  });
}

cavsync_status cavsync_scorer_flush(cavsync_scorer* scorer) {
  return guarded([&] {
    require(scorer);
    scorer->scorer.flush();
  });
}

cavsync_status cavsync_scorer_reset(cavsync_scorer* scorer) {
  return guarded([&] {
    require(scorer);
    scorer->scorer.reset();
  });
}

cavsync_status cavsync_scorer_summarise(cavsync_scorer* scorer, cavsync_summary* summary, cavsync_event* events,
                                        size_t capacity) {
  return guarded([&] {
    require(scorer, summary);
    require_size(*summary, kFirstSummarySize);
    if (capacity > 0) require(events);
    const Summary found = scorer->scorer.summary();
    cavsync_summary filled{};
    filled.score = copied(found.score);
    filled.early_limit_ms = found.limits.early_ms;
    filled.late_limit_ms = found.limits.late_ms;
    filled.duration_seconds = found.duration_seconds;
    filled.drift_ms_per_minute = found.drift_ms_per_minute.value_or(kNaN);
    filled.worst_offset_ms = found.worst_offset_ms.value_or(kNaN);
    filled.undetermined_share = found.undetermined_share;
    filled.num_windows = found.num_windows;
    filled.num_ignored_frames = found.num_ignored_frames;
    filled.num_events = found.events.size();
    filled.is_varying = found.score.is_varying;
    filled.face_share = found.face_share;
    filled.num_faces = found.num_faces;
    filled.face = copied(found.score.face);
    fill(summary, filled);
    std::copy_n(found.events.begin(), std::min(capacity, found.events.size()), events);
  });
}
