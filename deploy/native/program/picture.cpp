#include "picture.h"

extern "C" {
#include <libavutil/display.h>
}

#include <algorithm>
#include <cmath>
#include <utility>

#include "media_error.h"

namespace cavsync {

namespace {

// libswscale writes whole blocks of pixels, beyond the ends of rows.
constexpr int kBlockBytes = 64;

void set_size(Picture& picture, int width, int height) {
  picture.width = width;
  picture.height = height;
  picture.stride = (3 * width + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
  picture.rgb.resize(static_cast<std::size_t>(picture.stride) * static_cast<std::size_t>(height) + kBlockBytes);
}

// Counter-clockwise.
void turn(const Picture& picture, Picture& upright) {
  set_size(upright, picture.height, picture.width);
  for (int y = 0; y < upright.height; ++y) {
    for (int x = 0; x < upright.width; ++x) {
      const std::ptrdiff_t from = std::ptrdiff_t{x} * picture.stride + 3 * (picture.width - 1 - y);
      std::copy_n(picture.rgb.begin() + from, 3, upright.rgb.begin() + std::ptrdiff_t{y} * upright.stride + 3 * x);
    }
  }
}

}  // namespace

PictureConverter::PictureConverter(const AVStream& track) : quarter_turns_(0) {
  const std::uint8_t* matrix = av_stream_get_side_data(&track, AV_PKT_DATA_DISPLAYMATRIX, nullptr);
  if (matrix == nullptr) return;
  const double degrees = av_display_rotation_get(reinterpret_cast<const std::int32_t*>(matrix));
  if (std::isfinite(degrees)) quarter_turns_ = (static_cast<int>(std::nearbyint(degrees / 90)) % 4 + 4) % 4;
}

const Picture& PictureConverter::converted(const AVFrame& frame) {
  set_size(picture_, frame.width, frame.height);
  context_.reset(sws_getCachedContext(context_.release(), frame.width, frame.height,
                                      static_cast<AVPixelFormat>(frame.format), frame.width, frame.height,
                                      AV_PIX_FMT_RGB24, SWS_BILINEAR, nullptr, nullptr, nullptr));
  if (!context_) throw MediaError("its frames cannot be converted to RGB: convert the file");
  int *from = nullptr, *to = nullptr;
  int from_range = 0, to_range = 0, brightness = 0, contrast = 0, saturation = 0;
  if (sws_getColorspaceDetails(context_.get(), &from, &from_range, &to, &to_range, &brightness, &contrast,
                               &saturation) >= 0) {
    if (frame.color_range == AVCOL_RANGE_JPEG) from_range = 1;
    const int* matrix = sws_getCoefficients(frame.colorspace);
    sws_setColorspaceDetails(context_.get(), matrix, from_range, matrix, to_range, brightness, contrast, saturation);
  }
  std::uint8_t* planes[4] = {picture_.rgb.data(), nullptr, nullptr, nullptr};
  const int strides[4] = {picture_.stride, 0, 0, 0};
  if (sws_scale(context_.get(), frame.data, frame.linesize, 0, frame.height, planes, strides) != frame.height) {
    throw MediaError("its frames cannot be converted to RGB: convert the file");
  }
  for (int number = 0; number < quarter_turns_; ++number) {
    turn(picture_, turned_);
    std::swap(picture_, turned_);
  }
  return picture_;
}

}  // namespace cavsync
