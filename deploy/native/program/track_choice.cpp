#include "track_choice.h"

#include <vector>

#include "media_error.h"

namespace cavsync {

namespace {

constexpr int kSpecialPicture = AV_DISPOSITION_TIMED_THUMBNAILS | AV_DISPOSITION_STILL_IMAGE | AV_DISPOSITION_DEPENDENT;

std::vector<AVStream*> tracks_of(const AVFormatContext& container, AVMediaType kind) {
  std::vector<AVStream*> tracks;
  for (unsigned index = 0; index < container.nb_streams; ++index) {
    AVStream* track = container.streams[index];
    // To FFmpeg a cover image is a video track with a single frame.
    if (track->codecpar->codec_type == kind && (track->disposition & AV_DISPOSITION_ATTACHED_PIC) == 0) tracks.push_back(track);
  }
  return tracks;
}

bool is_decodable(const AVStream* track) { return avcodec_find_decoder(track->codecpar->codec_id) != nullptr; }

AVStream* shown(const std::vector<AVStream*>& tracks, const std::string& source) {
  AVStream* best = nullptr;
  int best_rank = 0;
  for (AVStream* track : tracks) {
    const int rank = 2 * ((track->disposition & kSpecialPicture) != 0) + ((track->disposition & AV_DISPOSITION_DEFAULT) == 0);
    if (is_decodable(track) && (best == nullptr || rank < best_rank)) {
      best = track;
      best_rank = rank;
    }
  }
  if (best == nullptr) throw MediaError(source + " has a video track in a codec that this FFmpeg cannot decode: convert it");
  return best;
}

}  // namespace

Tracks choose_tracks(const AVFormatContext& container, const std::string& source, std::optional<int> audio_number) {
  const auto video = tracks_of(container, AVMEDIA_TYPE_VIDEO), audio = tracks_of(container, AVMEDIA_TYPE_AUDIO);
  if (video.empty()) throw MediaError(source + " has no video track: sync needs one video and one audio track");
  if (audio.empty()) throw MediaError(source + " has no audio track: sync needs one video and one audio track");
  if (container.nb_programs > 1) {
    throw MediaError(source + " has several programmes, among which this program does not choose: use `cavsync score`");
  }
  const std::string numbers = audio.size() == 1 ? "0 is the only one" : "give 0 to " + std::to_string(audio.size() - 1);
  if (!audio_number && audio.size() > 1) {
    throw MediaError(source + " has several audio tracks, among which this program does not choose: name one with "
                              "--audio-stream (" + numbers + "), or use `cavsync score`");
  }
  const int number = audio_number.value_or(0);
  if (number < 0 || number >= static_cast<int>(audio.size())) {
    throw MediaError(source + " has no audio track " + std::to_string(number) + ": " + numbers);
  }
  AVStream* heard = audio[static_cast<std::size_t>(number)];
  if (!is_decodable(heard)) throw MediaError(source + " has an audio track in a codec that this FFmpeg cannot decode: convert it");
  return {shown(video, source), heard, number};
}

}  // namespace cavsync
