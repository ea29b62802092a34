// Pushed frames of any size and pixel format, checked and made small.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "cavsync.h"

struct AVFrame;
struct SwsContext;

namespace cavsync {

class FrameInput {
 public:
  explicit FrameInput(int size) : size_(size) {}

  // Return the frame's central square as (size, size, 3) RGB. A media error for a frame that cannot be used.
  std::vector<std::uint8_t> small(const cavsync_frame& frame);

 private:
  struct Free {
    void operator()(SwsContext* context) const;
    void operator()(AVFrame* frame) const;
  };
  using Padded = std::unique_ptr<AVFrame, Free>;

  // The frame in RGB, which stays until the next call.
  const AVFrame& as_rgb(const cavsync_frame& frame);
  // Make `frame` one of this kind, unless it is one.
  static void fit(Padded& frame, int pixel_format, int width, int height);

  int size_;
  // Kept for frames like the last one.
  std::unique_ptr<SwsContext, Free> context_;
  Padded source_, rgb_;
};

}  // namespace cavsync
