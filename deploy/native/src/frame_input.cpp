#include "frame_input.h"

extern "C" {
#include <libavutil/frame.h>
#include <libavutil/imgutils.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
}

#include <new>

#include "enum_number.h"
#include "error.h"
#include "text.h"

namespace cavsync {

namespace {

constexpr int kMaxSide = 16'384;

AVPixelFormat av_format(const cavsync_pixel_format& format) {
  switch (number_of(format)) {
    case CAVSYNC_RGB24: return AV_PIX_FMT_RGB24;
    case CAVSYNC_BGR24: return AV_PIX_FMT_BGR24;
    case CAVSYNC_RGBA: return AV_PIX_FMT_RGBA;
    case CAVSYNC_BGRA: return AV_PIX_FMT_BGRA;
    case CAVSYNC_YUV420P: return AV_PIX_FMT_YUV420P;
    case CAVSYNC_NV12: return AV_PIX_FMT_NV12;
    case CAVSYNC_YUV422P: return AV_PIX_FMT_YUV422P;
    case CAVSYNC_YUYV422: return AV_PIX_FMT_YUYV422;
    case CAVSYNC_GRAY8: return AV_PIX_FMT_GRAY8;
  }
  throw argument_error("the pixel format is unknown: give one of cavsync_pixel_format");
}

int sws_matrix(const cavsync_yuv_matrix& matrix) {
  switch (number_of(matrix)) {
    case CAVSYNC_YUV_BT709: return SWS_CS_ITU709;
    case CAVSYNC_YUV_BT2020: return SWS_CS_BT2020;
    case CAVSYNC_YUV_BT601: return SWS_CS_ITU601;
    case CAVSYNC_YUV_DEFAULT: return SWS_CS_DEFAULT;
  }
  throw argument_error("the YUV matrix is unknown: give one of cavsync_yuv_matrix");
}

void check(const cavsync_frame& frame, AVPixelFormat pixel_format) {
  if (frame.width < 1 || frame.height < 1 || frame.width > kMaxSide || frame.height > kMaxSide) {
    throw media_error(format("a frame has %d x %d pixels: push frames of 1 to %d pixels a side", frame.width,
                             frame.height, kMaxSide));
  }
  int row_bytes[4] = {};
  if (av_image_fill_linesizes(row_bytes, pixel_format, frame.width) < 0)
    throw media_error("a frame has no known size: push another");
  for (int plane = 0; plane < av_pix_fmt_count_planes(pixel_format); ++plane) {
    if (frame.planes[plane] == nullptr || frame.strides[plane] < row_bytes[plane]) {
      throw media_error(format("plane %d of a frame is missing or has rows of %d bytes, at least %d are needed", plane,
                               frame.strides[plane], row_bytes[plane]));
    }
  }
}

}  // namespace

void FrameInput::Free::operator()(SwsContext* context) const { sws_freeContext(context); }

void FrameInput::Free::operator()(AVFrame* frame) const { av_frame_free(&frame); }

KeptFrame FrameInput::kept(const cavsync_frame& frame) {
  check(frame, av_format(frame.format));
  if (frame.format == CAVSYNC_RGB24) {
    return kept_of({frame.planes[0], frame.width, frame.height, frame.strides[0]});
  }
  const AVFrame& rgb = as_rgb(frame);
  return kept_of({rgb.data[0], frame.width, frame.height, rgb.linesize[0]});
}

KeptFrame FrameInput::kept_of(const RgbView& rgb) const {
  KeptFrame found{use_.is_sampled ? sampled(rgb, use_.size) : resize_center_crop(rgb, use_.size), nullptr};
  if (use_.keeps_frame) found.full = std::make_shared<const RgbImage>(rgb);
  return found;
}

// The frame in RGB, as FFmpeg's tools convert it.
const AVFrame& FrameInput::as_rgb(const cavsync_frame& frame) {
  const AVPixelFormat pixel_format = av_format(frame.format);
  context_.reset(sws_getCachedContext(context_.release(), frame.width, frame.height, pixel_format, frame.width,
                                      frame.height, AV_PIX_FMT_RGB24, SWS_BILINEAR, nullptr, nullptr, nullptr));
  if (!context_) throw media_error("frames of this kind cannot be converted to RGB: push RGB");
  const int* matrix = sws_getCoefficients(sws_matrix(frame.yuv_matrix));
  sws_setColorspaceDetails(context_.get(), matrix, frame.is_full_range != 0, matrix, 1, 0, 1 << 16, 1 << 16);
  fit(source_, pixel_format, frame.width, frame.height);
  fit(rgb_, AV_PIX_FMT_RGB24, frame.width, frame.height);
  const std::uint8_t* planes[4] = {frame.planes[0], frame.planes[1], frame.planes[2], frame.planes[3]};
  av_image_copy(source_->data, source_->linesize, planes, frame.strides, pixel_format, frame.width, frame.height);
  if (sws_scale(context_.get(), source_->data, source_->linesize, 0, frame.height, rgb_->data, rgb_->linesize) !=
      frame.height) {
    throw media_error("a frame cannot be converted to RGB: push RGB");
  }
  return *rgb_;
}

// libswscale reads and writes whole blocks of pixels, beyond the ends of rows.
void FrameInput::fit(Padded& frame, int pixel_format, int width, int height) {
  if (frame && frame->format == pixel_format && frame->width == width && frame->height == height) return;
  frame.reset(av_frame_alloc());
  if (!frame) throw std::bad_alloc();
  frame->format = pixel_format;
  frame->width = width;
  frame->height = height;
  if (av_frame_get_buffer(frame.get(), 0) < 0) {
    frame.reset();
    throw std::bad_alloc();
  }
}

}  // namespace cavsync
