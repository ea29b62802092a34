#include "track_ends.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "media_error.h"
#include "text.h"

namespace cavsync {

namespace {

// A file lacks its end if it stops earlier than declared by more than both, seconds and share of the declared end.
constexpr double kMissingSeconds = 1.0, kMissingShare = 0.05;
constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

std::int64_t known(std::int64_t time) { return time == AV_NOPTS_VALUE ? 0 : time; }

bool is_named(const AVFormatContext& container, const char* name) {
  return ("," + std::string(container.iformat->name) + ",").find("," + std::string(name) + ",") != std::string::npos;
}

double declared_end_of(const AVStream& track) {
  if (track.duration != AV_NOPTS_VALUE) return seconds_of(known(track.start_time) + track.duration, track.time_base);
  // Matroska; a tag of the whole file's form, an end on the clock or less.
  const AVDictionaryEntry* tag = av_dict_get(track.metadata, "DURATION", nullptr, 0);
  int hours = 0, minutes = 0;
  double seconds = 0;
  if (tag == nullptr || std::sscanf(tag->value, "%d:%d:%lf", &hours, &minutes, &seconds) != 3) return kUnknown;
  return 3600.0 * hours + 60.0 * minutes + seconds;
}

bool is_missing(double found_seconds, double declared_seconds) {
  return declared_seconds - found_seconds > std::max(kMissingSeconds, kMissingShare * declared_seconds);
}

}  // namespace

void TrackEnds::add(const AVPacket& packet) {
  if (packet.size == 0) return;
  is_cut_off_ = (packet.flags & AV_PKT_FLAG_CORRUPT) != 0;
  const std::int64_t time = packet.pts == AV_NOPTS_VALUE ? packet.dts : packet.pts;
  if (time == AV_NOPTS_VALUE) return;
  const double end_seconds = seconds_of(time + packet.duration, container_.streams[packet.stream_index]->time_base);
  const auto [entry, is_new] = ends_.emplace(packet.stream_index, end_seconds);
  if (!is_new) entry->second = std::max(entry->second, end_seconds);
}

void TrackEnds::require_whole(const std::vector<const AVStream*>& tracks, const std::string& source) const {
  // Times of transport and programme streams may jump.
  if ((container_.iformat->flags & AVFMT_TS_DISCONT) != 0) return;
  const double start_seconds = seconds_of(known(container_.start_time), AV_TIME_BASE_Q);
  double file_end_seconds = ends_.empty() ? start_seconds : -std::numeric_limits<double>::infinity();
  for (const auto& [index, end_seconds] : ends_) file_end_seconds = std::max(file_end_seconds, end_seconds);
  std::vector<std::pair<double, double>> pairs;
  for (const AVStream* track : tracks) {
    const auto found = ends_.find(track->index);
    pairs.emplace_back(found == ends_.end() ? start_seconds : found->second, declared_end_of(*track));
  }
  pairs.emplace_back(file_end_seconds, declared_end_seconds());
  for (const auto& [found, declared] : pairs) {
    if (std::isnan(declared) || !is_missing(found - start_seconds, declared - start_seconds)) continue;
    throw MediaError(format("%s is truncated (it ends after %.1f s of the %.1f s that its header declares): give a complete file",
                            source.c_str(), found - start_seconds, declared - start_seconds));
  }
  if (is_cut_off_) {
    throw MediaError(format("%s is truncated (it breaks off within a packet after %.1f s): give a complete file", source.c_str(),
                            file_end_seconds - start_seconds));
  }
}

// The end of the whole file where no track declares its own; FLV is written with a guess.
double TrackEnds::declared_end_seconds() const {
  if (container_.duration == AV_NOPTS_VALUE || is_named(container_, "flv") || is_named(container_, "live_flv")) return kUnknown;
  const double seconds = seconds_of(container_.duration, AV_TIME_BASE_Q);
  // The end on the clock, to some muxers less what precedes the first packet.
  if (is_named(container_, "matroska")) return seconds;
  for (unsigned index = 0; index < container_.nb_streams; ++index) {
    if (container_.streams[index]->duration != AV_NOPTS_VALUE) return kUnknown;
  }
  return seconds_of(known(container_.start_time), AV_TIME_BASE_Q) + seconds;
}

}  // namespace cavsync
