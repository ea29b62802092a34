#include "formats.h"

#include <cstdint>
#include <utility>

namespace cavsync {

namespace {

std::optional<cavsync_pixel_format> pixel_format_of(GstVideoFormat format) {
  switch (format) {
    case GST_VIDEO_FORMAT_I420:
    case GST_VIDEO_FORMAT_YV12: return CAVSYNC_YUV420P;
    case GST_VIDEO_FORMAT_NV12: return CAVSYNC_NV12;
    case GST_VIDEO_FORMAT_Y42B: return CAVSYNC_YUV422P;
    case GST_VIDEO_FORMAT_YUY2: return CAVSYNC_YUYV422;
    case GST_VIDEO_FORMAT_GRAY8: return CAVSYNC_GRAY8;
    case GST_VIDEO_FORMAT_RGB: return CAVSYNC_RGB24;
    case GST_VIDEO_FORMAT_BGR: return CAVSYNC_BGR24;
    case GST_VIDEO_FORMAT_RGBA:
    case GST_VIDEO_FORMAT_RGBx: return CAVSYNC_RGBA;
    case GST_VIDEO_FORMAT_BGRA:
    case GST_VIDEO_FORMAT_BGRx: return CAVSYNC_BGRA;
    default: return std::nullopt;
  }
}

cavsync_yuv_matrix matrix_of(GstVideoColorMatrix matrix) {
  switch (matrix) {
    case GST_VIDEO_COLOR_MATRIX_BT601: return CAVSYNC_YUV_BT601;
    case GST_VIDEO_COLOR_MATRIX_BT709: return CAVSYNC_YUV_BT709;
    case GST_VIDEO_COLOR_MATRIX_BT2020: return CAVSYNC_YUV_BT2020;
    default: return CAVSYNC_YUV_DEFAULT;
  }
}

}  // namespace

std::optional<cavsync_frame> frame_of(const GstVideoFrame& mapped) {
  const std::optional<cavsync_pixel_format> format = pixel_format_of(GST_VIDEO_FRAME_FORMAT(&mapped));
  if (!format) return std::nullopt;
  cavsync_frame frame;
  cavsync_frame_init(&frame);
  frame.format = *format;
  frame.width = GST_VIDEO_FRAME_WIDTH(&mapped);
  frame.height = GST_VIDEO_FRAME_HEIGHT(&mapped);
  for (unsigned plane = 0; plane < GST_VIDEO_FRAME_N_PLANES(&mapped); ++plane) {
    frame.planes[plane] = static_cast<const std::uint8_t*>(GST_VIDEO_FRAME_PLANE_DATA(&mapped, plane));
    frame.strides[plane] = GST_VIDEO_FRAME_PLANE_STRIDE(&mapped, plane);
  }
  if (GST_VIDEO_FRAME_FORMAT(&mapped) == GST_VIDEO_FORMAT_YV12) {
    std::swap(frame.planes[1], frame.planes[2]);
    std::swap(frame.strides[1], frame.strides[2]);
  }
  frame.yuv_matrix = matrix_of(mapped.info.colorimetry.matrix);
  frame.is_full_range = mapped.info.colorimetry.range == GST_VIDEO_COLOR_RANGE_0_255;
  return frame;
}

cavsync_sample_format sample_format_of(const GstAudioInfo& info) {
  return GST_AUDIO_INFO_FORMAT(&info) == GST_AUDIO_FORMAT_S16 ? CAVSYNC_S16 : CAVSYNC_F32;
}

}  // namespace cavsync
