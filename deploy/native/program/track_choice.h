// Choice of a file's video and audio tracks.
#pragma once

#include <optional>
#include <string>

#include "av_pointers.h"

namespace cavsync {

struct Tracks {
  AVStream* video;
  AVStream* audio;
  int audio_number;  // among the audio tracks, from 0 on
};

// The tracks that a player selects: those with the default flag, or the first. A media error where a kind is missing or
// cannot be decoded, and where the choice needs rules that only the Python package has: several programmes, or several
// audio tracks of which none is named.
Tracks choose_tracks(const AVFormatContext& container, const std::string& source, std::optional<int> audio_number);

}  // namespace cavsync
