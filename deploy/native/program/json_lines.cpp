#include "json_lines.h"

#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "text.h"

namespace cavsync {

using Json = nlohmann::ordered_json;

namespace {

constexpr int kSecondsDecimals = 3, kMsDecimals = 1, kPixelDecimals = 1, kRatioDecimals = 4;

// Rounded to so many decimals, null for NaN; adding zero turns -0.0 into 0.0.
Json rounded(double value, int decimals) {
  if (!std::isfinite(value)) return nullptr;
  return std::strtod(format("%.*f", decimals, value).c_str(), nullptr) + 0.0;
}

Json cause_name(cavsync_cause cause) {
  switch (cause) {
    case CAVSYNC_CAUSE_DECISIONS: return "decisions";
    case CAVSYNC_CAUSE_UNDETERMINED: return "undetermined";
    case CAVSYNC_CAUSE_STREAM_ENDED: return "stream_ended";
    case CAVSYNC_CAUSE_NONE: break;
  }
  return nullptr;
}

const char* path_name(cavsync_path path) { return path == CAVSYNC_PATH_FACE ? "face" : "whole"; }

void add_record(Json& line, const cavsync_record& record) {
  line["time_seconds"] = rounded(record.time_seconds, kSecondsDecimals);
  line["window_seconds"] = rounded(record.window_seconds, kSecondsDecimals);
  line["audio_offset_ms"] = rounded(record.audio_offset_ms, kMsDecimals);
  line["offset_resolution_ms"] = rounded(record.offset_resolution_ms, kMsDecimals);
  line["suggested_audio_delay_ms"] = rounded(record.suggested_audio_delay_ms, kMsDecimals);
  line["similarity"] = rounded(record.similarity, kRatioDecimals);
  line["confidence"] = rounded(record.confidence, kRatioDecimals);
  line["state"] = cavsync_state_name(record.state);
  line["profile"] = record.profile;
  line["within_profile"] = record.within_profile < 0 ? Json(nullptr) : Json(record.within_profile == 1);
  line["reason"] = record.reason[0] == '\0' ? Json(nullptr) : Json(record.reason);
  line["path"] = path_name(record.path);
}

// Null where no face is judged.
Json face_of(const cavsync_face& face) {
  if (face.track < 0) return nullptr;
  Json box = Json::array();
  for (const double place : {face.left, face.top, face.right, face.bottom}) box.push_back(rounded(place, kPixelDecimals));
  return {{"track", face.track},
          {"box", box},
          {"frame_size", {face.frame_width, face.frame_height}},
          {"presence", rounded(face.presence, kRatioDecimals)},
          {"frontality", rounded(face.frontality, kRatioDecimals)},
          {"eye_distance_px", rounded(face.eye_distance_px, kPixelDecimals)},
          {"opening_range", rounded(face.opening_range, kRatioDecimals)},
          {"steadiness", rounded(face.steadiness, kRatioDecimals)},
          {"share", rounded(face.share, kRatioDecimals)}};
}

Json media_of(const MediaInfo& info, std::size_t num_ignored_frames) {
  const unsigned decoder = avcodec_version();
  return {{"container", info.container},
          {"duration_seconds", rounded(info.duration_seconds, kRatioDecimals)},
          {"start_seconds", rounded(info.start_seconds, kRatioDecimals)},
          {"video_codec", info.video_codec},
          {"width", info.width},
          {"height", info.height},
          {"frame_rate_hz", rounded(info.frame_rate_hz, kRatioDecimals)},
          {"audio_codec", info.audio_codec},
          {"audio_rate_hz", info.audio_rate_hz},
          {"audio_channels", info.audio_channels},
          {"decoder", format("libavcodec %u.%u.%u", AV_VERSION_MAJOR(decoder), AV_VERSION_MINOR(decoder),
                             AV_VERSION_MICRO(decoder))},
          {"ignored_frames", num_ignored_frames}};
}

// On one line; bytes of a name that are not UTF-8 become replacement characters.
std::string text_of(const Json& line) { return line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"; }

}  // namespace

std::string window_line(const std::string& source, const cavsync_record& record, const cavsync_face* face) {
  Json line = {{"kind", "window"}, {"source", source}};
  add_record(line, record);
  if (face != nullptr) line["face"] = face_of(*face);
  return text_of(line);
}

std::string event_line(const std::string& source, const cavsync_event_change& change) {
  const cavsync_event& event = change.event;
  return text_of({{"kind", "event"},
                  {"source", source},
                  {"phase", change.phase == CAVSYNC_EVENT_BEGAN ? "began" : "ended"},
                  {"state", cavsync_state_name(event.state)},
                  {"start", rounded(event.start_seconds, kSecondsDecimals)},
                  {"end", rounded(event.end_seconds, kSecondsDecimals)},
                  {"extreme", rounded(event.extreme_ms, kMsDecimals)},
                  {"cause", cause_name(event.cause)}});
}

std::string error_line(const std::string& source, const std::string& error) {
  return text_of({{"kind", "error"}, {"source", source}, {"error", error}});
}

std::string summary_line(const std::string& source, const cavsync_summary& summary,
                         const std::vector<cavsync_event>& events, const MediaFile& media,
                         const cavsync_bundle_info& bundle, bool has_face) {
  Json line = {{"kind", "summary"}, {"source", source}};
  add_record(line, summary.score);
  if (has_face) line["face"] = face_of(summary.face);
  line["early_limit_ms"] = rounded(summary.early_limit_ms, kMsDecimals);
  line["late_limit_ms"] = rounded(summary.late_limit_ms, kMsDecimals);
  line["duration_seconds"] = rounded(summary.duration_seconds, kSecondsDecimals);
  line["drift_ms_per_minute"] = rounded(summary.drift_ms_per_minute, kMsDecimals);
  line["worst_offset_ms"] = rounded(summary.worst_offset_ms, kMsDecimals);
  line["events"] = Json::array();
  for (const cavsync_event& event : events) {
    line["events"].push_back({{"start", rounded(event.start_seconds, kSecondsDecimals)},
                              {"end", rounded(event.end_seconds, kSecondsDecimals)},
                              {"state", cavsync_state_name(event.state)},
                              {"extreme", rounded(event.extreme_ms, kMsDecimals)},
                              {"cause", cause_name(event.cause)}});
  }
  line["undetermined_share"] = rounded(summary.undetermined_share, kRatioDecimals);
  line["num_windows"] = summary.num_windows;
  line["path_share"] = {{"face", rounded(summary.face_share, kRatioDecimals)},
                        {"whole", rounded(1 - summary.face_share, kRatioDecimals)}};
  line["num_faces"] = summary.num_faces;
  line["audio_stream"] = std::to_string(media.audio_number());
  line["media"] = media_of(media.info(), summary.num_ignored_frames);
  line["bundle"] = {{"name", bundle.name},
                    {"precision", bundle.precision},
                    {"audio_encoder", bundle.audio_encoder},
                    {"visual_encoder", bundle.visual_encoder}};
  if (bundle.has_faces != 0) {
    line["bundle"]["face_audio_encoder"] = bundle.face_audio_encoder;
    line["bundle"]["face_visual_encoder"] = bundle.face_visual_encoder;
  }
  line["versions"] = {{"cavsync", cavsync_version()}, {"onnxruntime", cavsync_runtime_version()}};
  // ONNX Runtime, which computes the front end with any engine, is named above.
  for (std::size_t place = 1; const char* name = cavsync_engine_name(place); ++place) {
    const std::string engine = bundle.engine;
    if (engine.substr(0, engine.find(':')) == name) line["versions"][name] = cavsync_engine_version(place);
  }
  return text_of(line);
}

}  // namespace cavsync
