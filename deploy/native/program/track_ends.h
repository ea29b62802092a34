// Where the tracks of a container end, against what it declares of each: to notice that a file was cut off.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "av_pointers.h"

namespace cavsync {

// A track that starts late, or ends before another, is no damage. Declared durations are used only where the writer
// states them after the fact: of a track itself, or of a whole Matroska file.
class TrackEnds {
 public:
  explicit TrackEnds(const AVFormatContext& container) : container_(container) {}

  // Note a packet of any track.
  void add(const AVPacket& packet);
  // A media error if the file was cut off, judged by these tracks and the whole.
  void require_whole(const std::vector<const AVStream*>& tracks, const std::string& source) const;

 private:
  double declared_end_seconds() const;

  const AVFormatContext& container_;
  std::map<int, double> ends_;
  bool is_cut_off_ = false;
};

}  // namespace cavsync
