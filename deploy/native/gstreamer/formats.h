// Raw audio and video of GStreamer as what the library takes.
#pragma once

#include <gst/audio/audio.h>
#include <gst/video/video.h>

#include <optional>

#include "cavsync.h"

namespace cavsync {

// Formats that pads accept; what they name is converted by audioconvert and videoconvert.
constexpr const char* kAudioCaps =
    GST_AUDIO_CAPS_MAKE("{ " GST_AUDIO_NE(F32) ", " GST_AUDIO_NE(S16) " }") ", layout = (string) interleaved";
constexpr const char* kVideoCaps =
    GST_VIDEO_CAPS_MAKE("{ I420, YV12, NV12, Y42B, YUY2, GRAY8, RGB, BGR, RGBA, RGBx, BGRA, BGRx }");

// A view of a mapped frame, or nothing if it has another format.
std::optional<cavsync_frame> frame_of(const GstVideoFrame& mapped);
cavsync_sample_format sample_format_of(const GstAudioInfo& info);

}  // namespace cavsync
