// The GStreamer element `cavsync`: two tracks that pass unchanged, and what is known about each.
#pragma once

#include <gst/audio/audio.h>
#include <gst/gst.h>
#include <gst/video/video.h>

#include <array>
#include <memory>
#include <mutex>
#include <string>

#include "analysis.h"
#include "message.h"

namespace cavsync {

// One track: its pads, and the state that belongs to its streaming thread.
struct PadPair {
  Track track = Track::kAudio;
  GstPad* sink = nullptr;
  GstPad* src = nullptr;
  GstSegment segment{};
  GstAudioInfo audio{};
  GstVideoInfo video{};
  bool has_format = false;
};

struct BundleCloser {
  void operator()(cavsync_bundle* bundle) const { cavsync_bundle_close(bundle); }
};

// The properties.
struct Settings {
  std::string bundle_path;
  std::string engine = "onnxruntime";
  std::string provider = "cpu";
  int threads = 0;
  int device = 0;
  std::string profile = "itu-bt1359-detect";
  cavsync_path path = CAVSYNC_PATH_AUTO;
  GstClockTime window = 0;
  GstClockTime interval = 0;
  bool posts_messages = true;
  bool is_adaptive = false;
  guint begin_after = 2;
  guint end_after = 3;
  Policy policy = Policy::kDropOldest;
};

struct ElementState {
  std::array<PadPair, kNumTracks> pads;
  // Used by state changes, which follow each other: the bundle that is open, and what it was opened with.
  std::unique_ptr<cavsync_bundle, BundleCloser> bundle;
  Settings opened;
  // Guards the rest. Not the object's lock, because ThreadSanitizer does not see what GLib's locks order.
  std::mutex mutex;
  Settings settings;
  std::shared_ptr<Analysis> analysis;
  // Of the last analysis, once it has ended.
  std::uint64_t num_dropped = 0;
  Segments segments;
  std::array<bool, kNumTracks> has_ended{};
  // The last message: when, and of which state.
  double posted_seconds = 0;
  cavsync_state posted_state = CAVSYNC_UNDETERMINED;
  bool has_posted = false;
  // When the last event began; its segment may be gone when it ends.
  MessageTimes event_times;
};

}  // namespace cavsync

struct GstCavsync {
  GstElement parent;
  cavsync::ElementState* state;
};

struct GstCavsyncClass {
  GstElementClass parent_class;
};

GType gst_cavsync_get_type();
GST_ELEMENT_REGISTER_DECLARE(cavsync)

// The analysis while the element is at least paused; null otherwise.
std::shared_ptr<cavsync::Analysis> gst_cavsync_analysis(GstCavsync* self);
