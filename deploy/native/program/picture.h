// Decoded frames as upright RGB.
#pragma once

#include <cstdint>
#include <vector>

#include "av_pointers.h"

namespace cavsync {

// RGB (height, width, 3), rows `stride` bytes apart.
struct Picture {
  int width;
  int height;
  int stride;
  std::vector<std::uint8_t> rgb;
};

class PictureConverter {
 public:
  // Phones store the camera's rotation as metadata of the track and leave the pixels unrotated.
  explicit PictureConverter(const AVStream& track);

  // The picture, which stays until the next call. A media error for a frame that cannot be converted.
  const Picture& converted(const AVFrame& frame);

 private:
  int quarter_turns_;
  // Kept for frames of the same size: new memory for each would cost as much as the conversion.
  Picture picture_{}, turned_{};
  Av<SwsContext> context_;
};

}  // namespace cavsync
