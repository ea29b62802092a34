// Pushed frames of any size and pixel format, checked and made small.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "cavsync.h"
#include "resize.h"

struct AVFrame;
struct SwsContext;

namespace cavsync {

// What is kept of a frame: its central square as (size, size, 3) RGB, or a few of its pixels where only motion is
// measured; and the frame itself where faces are looked for.
struct FrameUse {
  int size;
  bool is_sampled;
  bool keeps_frame;
};

struct KeptFrame {
  std::vector<std::uint8_t> small;
  std::shared_ptr<const RgbImage> full;
};

class FrameInput {
 public:
  explicit FrameInput(const FrameUse& use) : use_(use) {}

  // A media error for a frame that cannot be used, an argument error for a format that does not exist.
  KeptFrame kept(const cavsync_frame& frame);

 private:
  struct Free {
    void operator()(SwsContext* context) const;
    void operator()(AVFrame* frame) const;
  };
  using Padded = std::unique_ptr<AVFrame, Free>;

  KeptFrame kept_of(const RgbView& rgb) const;
  // The frame in RGB, which stays until the next call.
  const AVFrame& as_rgb(const cavsync_frame& frame);
  // Make `frame` one of this kind, unless it is one.
  static void fit(Padded& frame, int pixel_format, int width, int height);

  FrameUse use_;
  // Kept for frames like the last one.
  std::unique_ptr<SwsContext, Free> context_;
  Padded source_, rgb_;
};

}  // namespace cavsync
