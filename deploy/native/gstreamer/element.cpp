#include "element.h"

#include <stdexcept>

#include "formats.h"
#include "pads.h"
#include "properties.h"
#include "reports.h"

G_DEFINE_TYPE(GstCavsync, gst_cavsync, GST_TYPE_ELEMENT)
GST_ELEMENT_REGISTER_DEFINE(cavsync, "cavsync", GST_RANK_NONE, gst_cavsync_get_type())

using cavsync::Analysis;
using cavsync::ElementState;
using cavsync::Policy;
using cavsync::Settings;
using cavsync::Track;

namespace {

// As in live streams of the Python package: decisions come sooner, and missing audio is not waited for as in a file.
constexpr double kLivePatienceSeconds = 5.0;
constexpr double kLiveGroupSeconds = 0.32;

GstCavsync* element_of(gpointer object) { return static_cast<GstCavsync*>(object); }

bool opens_the_same(const Settings& one, const Settings& other) {
  return one.bundle_path == other.bundle_path && one.engine == other.engine && one.provider == other.provider &&
         one.threads == other.threads && one.device == other.device;
}

void open_bundle(ElementState& state, const Settings& settings) {
  if (settings.bundle_path.empty()) {
    throw std::runtime_error("no bundle is named: set the property bundle to a bundle folder");
  }
  if (state.bundle && opens_the_same(state.opened, settings)) return;
  cavsync_bundle_options options;
  cavsync_bundle_options_init(&options);
  options.engine = settings.engine.c_str();
  options.provider = settings.provider.c_str();
  options.threads = settings.threads;
  options.device = settings.device;
  cavsync_bundle* bundle = nullptr;
  if (cavsync_bundle_open(settings.bundle_path.c_str(), &options, &bundle) != CAVSYNC_OK) {
    throw std::runtime_error(cavsync_last_error());
  }
  state.bundle.reset(bundle);
  state.opened = settings;
}

// The result points into `settings`.
cavsync_options options_of(const cavsync_bundle* bundle, const Settings& settings) {
  cavsync_bundle_info info;
  cavsync_bundle_info_init(&info);
  cavsync_bundle_describe(bundle, &info);
  cavsync_options options;
  cavsync_options_init(&options);
  options.path = settings.path;
  options.profile = settings.profile.c_str();
  options.window_seconds = static_cast<double>(settings.window) / GST_SECOND;
  options.adaptive = settings.is_adaptive;
  options.follows_events = 1;
  options.begin_after = settings.begin_after;
  options.end_after = settings.end_after;
  if (settings.policy == Policy::kDropOldest) {
    options.max_lead_seconds = info.max_offset_ms / 1000 + kLivePatienceSeconds;
    options.group_seconds = kLiveGroupSeconds;
  }
  return options;
}

bool start(GstCavsync* self) {
  ElementState& state = *self->state;
  const Settings settings = cavsync::settings_of(self);
  try {
    open_bundle(state, settings);
    auto analysis = std::make_shared<Analysis>(
        state.bundle.get(), options_of(state.bundle.get(), settings), settings.policy,
        Analysis::Listener{
            [self](const cavsync_record& record, const cavsync_face& face) {
              cavsync::post_decision(self, record, face);
            },
            [self](const cavsync_event_change& change) { cavsync::post_event(self, change); },
            [self](const std::string& sentence) { cavsync::post_trouble(self, sentence); }});
    const std::lock_guard lock(state.mutex);
    state.analysis = std::move(analysis);
    state.num_dropped = 0;
    state.segments.clear();
    state.has_ended = {};
    state.has_posted = false;
  } catch (const std::exception& error) {
    GST_ELEMENT_ERROR(self, RESOURCE, SETTINGS, ("%s", error.what()), (nullptr));
    return false;
  }
  return true;
}

void stop(GstCavsync* self) {
  std::shared_ptr<Analysis> analysis = gst_cavsync_analysis(self);
  if (!analysis) return;
  const std::uint64_t num_dropped = analysis->num_dropped();
  std::unique_lock lock(self->state->mutex);
  self->state->analysis.reset();
  self->state->num_dropped = num_dropped;
  lock.unlock();
  // Ends its thread, outside the lock, which that may need.
  analysis.reset();
}

GstStateChangeReturn change_state(GstElement* element, GstStateChange transition) {
  GstCavsync* self = element_of(element);
  if (transition == GST_STATE_CHANGE_READY_TO_PAUSED && !start(self)) return GST_STATE_CHANGE_FAILURE;
  // Streaming threads that wait must return before the pads can be closed.
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY) {
    if (const auto analysis = gst_cavsync_analysis(self)) analysis->stop();
  }
  const GstStateChangeReturn result = GST_ELEMENT_CLASS(gst_cavsync_parent_class)->change_state(element, transition);
  const bool has_failed = result == GST_STATE_CHANGE_FAILURE;
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY ||
      (transition == GST_STATE_CHANGE_READY_TO_PAUSED && has_failed)) {
    stop(self);
  }
  if (transition == GST_STATE_CHANGE_READY_TO_NULL) self->state->bundle.reset();
  return result;
}

void finalize(GObject* object) {
  delete element_of(object)->state;
  G_OBJECT_CLASS(gst_cavsync_parent_class)->finalize(object);
}

void add_templates(GstElementClass* element_class) {
  for (const Track track : {Track::kAudio, Track::kVideo}) {
    GstCaps* caps = gst_caps_from_string(track == Track::kAudio ? cavsync::kAudioCaps : cavsync::kVideoCaps);
    gst_element_class_add_pad_template(
        element_class, gst_pad_template_new(cavsync::sink_name(track), GST_PAD_SINK, GST_PAD_ALWAYS, caps));
    gst_element_class_add_pad_template(
        element_class, gst_pad_template_new(cavsync::src_name(track), GST_PAD_SRC, GST_PAD_ALWAYS, caps));
    gst_caps_unref(caps);
  }
}

}  // namespace

std::shared_ptr<Analysis> gst_cavsync_analysis(GstCavsync* self) {
  const std::lock_guard lock(self->state->mutex);
  return self->state->analysis;
}

static void gst_cavsync_class_init(GstCavsyncClass* klass) {
  cavsync::init_debug_category();
  GObjectClass* object_class = G_OBJECT_CLASS(klass);
  object_class->finalize = finalize;
  cavsync::install_properties(object_class);
  GstElementClass* element_class = GST_ELEMENT_CLASS(klass);
  element_class->change_state = change_state;
  add_templates(element_class);
  gst_element_class_set_static_metadata(
      element_class, "Audio-visual sync", "Filter/Analyzer/Audio/Video",
      "Pass audio and video unchanged, and post how many milliseconds they are out of sync as element messages",
      "cavsync");
}

static void gst_cavsync_init(GstCavsync* self) {
  self->state = new ElementState;
  cavsync::add_pads(self);
}
