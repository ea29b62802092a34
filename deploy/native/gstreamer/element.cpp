#include "element.h"

#include <stdexcept>

#include "formats.h"
#include "pads.h"
#include "reports.h"

G_DEFINE_TYPE(GstCavsync, gst_cavsync, GST_TYPE_ELEMENT)
GST_ELEMENT_REGISTER_DEFINE(cavsync, "cavsync", GST_RANK_NONE, gst_cavsync_get_type())

using cavsync::Analysis;
using cavsync::ElementState;
using cavsync::Policy;
using cavsync::Track;

namespace {

enum Property {
  kBundle = 1,
  kEngine,
  kProvider,
  kProfile,
  kPath,
  kWindow,
  kInterval,
  kPostMessages,
  kPolicy,
  kAdaptive,
  kBeginAfter,
  kEndAfter,
  kDropped
};

// As in live streams of the Python package: decisions come sooner, and missing audio is not waited for as in a file.
constexpr double kLivePatienceSeconds = 5.0;
constexpr double kLiveGroupSeconds = 0.32;

GstCavsync* element_of(gpointer object) { return static_cast<GstCavsync*>(object); }

GType policy_type() {
  static const GType type = [] {
    static const GEnumValue values[] = {
        {static_cast<int>(Policy::kDropOldest), "Drop what waits longest: for live pipelines", "drop-oldest"},
        {static_cast<int>(Policy::kBlock), "Hold the buffers back: for files", "block"},
        {0, nullptr, nullptr},
    };
    return g_enum_register_static("GstCavsyncPolicy", values);
  }();
  return type;
}

GType path_type() {
  static const GType type = [] {
    static const GEnumValue values[] = {
        {CAVSYNC_PATH_AUTO, "Both, by the clearer evidence; the whole picture with a bundle without a face path", "auto"},
        {CAVSYNC_PATH_WHOLE, "The whole picture", "whole"},
        {CAVSYNC_PATH_FACE, "The faces in the picture", "face"},
        {0, nullptr, nullptr},
    };
    return g_enum_register_static("GstCavsyncPath", values);
  }();
  return type;
}

void open_bundle(ElementState& state, const std::string& path) {
  if (path.empty()) throw std::runtime_error("no bundle is named: set the property bundle to a bundle folder");
  if (state.bundle && state.opened_path == path && state.opened_engine == state.engine &&
      state.opened_provider == state.provider) {
    return;
  }
  cavsync_bundle_options options;
  cavsync_bundle_options_init(&options);
  options.engine = state.engine.c_str();
  options.provider = state.provider.c_str();
  cavsync_bundle* bundle = nullptr;
  if (cavsync_bundle_open(path.c_str(), &options, &bundle) != CAVSYNC_OK) {
    throw std::runtime_error(cavsync_last_error());
  }
  state.bundle.reset(bundle);
  state.opened_path = path;
  state.opened_engine = state.engine;
  state.opened_provider = state.provider;
}

cavsync_options options_of(const ElementState& state) {
  cavsync_bundle_info info;
  cavsync_bundle_info_init(&info);
  cavsync_bundle_describe(state.bundle.get(), &info);
  cavsync_options options;
  cavsync_options_init(&options);
  options.path = state.path;
  options.profile = state.profile.c_str();
  options.window_seconds = static_cast<double>(state.window) / GST_SECOND;
  options.adaptive = state.is_adaptive;
  options.follows_events = 1;
  options.begin_after = state.begin_after;
  options.end_after = state.end_after;
  if (state.policy == Policy::kDropOldest) {
    options.max_lead_seconds = info.max_offset_ms / 1000 + kLivePatienceSeconds;
    options.group_seconds = kLiveGroupSeconds;
  }
  return options;
}

bool start(GstCavsync* self) {
  ElementState& state = *self->state;
  try {
    // Only this function and its opposite, which follow each other, change what is open.
    open_bundle(state, state.bundle_path);
    auto analysis = std::make_shared<Analysis>(
        state.bundle.get(), options_of(state), state.policy,
        Analysis::Listener{
            [self](const cavsync_record& record, const cavsync_face& face) {
              cavsync::post_decision(self, record, face);
            },
            [self](const cavsync_event_change& change) { cavsync::post_event(self, change); },
            [self](const std::string& sentence) { cavsync::post_trouble(self, sentence); }});
    GST_OBJECT_LOCK(self);
    state.analysis = std::move(analysis);
    state.segments.clear();
    state.has_ended = {};
    state.has_posted = false;
    GST_OBJECT_UNLOCK(self);
  } catch (const std::exception& error) {
    GST_ELEMENT_ERROR(self, RESOURCE, SETTINGS, ("%s", error.what()), (nullptr));
    return false;
  }
  return true;
}

void stop(GstCavsync* self) {
  GST_OBJECT_LOCK(self);
  std::shared_ptr<Analysis> analysis = std::move(self->state->analysis);
  GST_OBJECT_UNLOCK(self);
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
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY) stop(self);
  if (transition == GST_STATE_CHANGE_READY_TO_NULL) self->state->bundle.reset();
  return result;
}

std::string text_of(const GValue* value) {
  const char* text = g_value_get_string(value);
  return text == nullptr ? "" : text;
}

void set_property(GObject* object, guint id, const GValue* value, GParamSpec* spec) {
  ElementState& state = *element_of(object)->state;
  GST_OBJECT_LOCK(object);
  switch (id) {
    case kBundle: state.bundle_path = text_of(value); break;
    case kEngine: state.engine = text_of(value); break;
    case kProvider: state.provider = text_of(value); break;
    case kProfile: state.profile = text_of(value); break;
    case kPath: state.path = static_cast<cavsync_path>(g_value_get_enum(value)); break;
    case kWindow: state.window = g_value_get_uint64(value); break;
    case kInterval: state.interval = g_value_get_uint64(value); break;
    case kPostMessages: state.posts_messages = g_value_get_boolean(value); break;
    case kPolicy: state.policy = static_cast<Policy>(g_value_get_enum(value)); break;
    case kAdaptive: state.is_adaptive = g_value_get_boolean(value); break;
    case kBeginAfter: state.begin_after = g_value_get_uint(value); break;
    case kEndAfter: state.end_after = g_value_get_uint(value); break;
    default: G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
  }
  GST_OBJECT_UNLOCK(object);
}

void get_property(GObject* object, guint id, GValue* value, GParamSpec* spec) {
  const auto analysis = gst_cavsync_analysis(element_of(object));
  const ElementState& state = *element_of(object)->state;
  GST_OBJECT_LOCK(object);
  switch (id) {
    case kBundle: g_value_set_string(value, state.bundle_path.c_str()); break;
    case kEngine: g_value_set_string(value, state.engine.c_str()); break;
    case kProvider: g_value_set_string(value, state.provider.c_str()); break;
    case kProfile: g_value_set_string(value, state.profile.c_str()); break;
    case kPath: g_value_set_enum(value, static_cast<int>(state.path)); break;
    case kWindow: g_value_set_uint64(value, state.window); break;
    case kInterval: g_value_set_uint64(value, state.interval); break;
    case kPostMessages: g_value_set_boolean(value, state.posts_messages); break;
    case kPolicy: g_value_set_enum(value, static_cast<int>(state.policy)); break;
    case kAdaptive: g_value_set_boolean(value, state.is_adaptive); break;
    case kBeginAfter: g_value_set_uint(value, state.begin_after); break;
    case kEndAfter: g_value_set_uint(value, state.end_after); break;
    case kDropped: g_value_set_uint64(value, analysis ? analysis->num_dropped() : 0); break;
    default: G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
  }
  GST_OBJECT_UNLOCK(object);
}

void finalize(GObject* object) {
  delete element_of(object)->state;
  G_OBJECT_CLASS(gst_cavsync_parent_class)->finalize(object);
}

void install_properties(GObjectClass* object_class) {
  const auto fixed = static_cast<GParamFlags>(G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_READY);
  const auto live = static_cast<GParamFlags>(G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_PLAYING);
  const auto seen = static_cast<GParamFlags>(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  const auto install = [&](Property id, GParamSpec* spec) { g_object_class_install_property(object_class, id, spec); };
  install(kBundle, g_param_spec_string("bundle", "Bundle", "Folder of the bundle to score with", "", fixed));
  install(kEngine, g_param_spec_string("engine", "Engine",
                                       "What computes the encoders, as in `cavsync score --engine`: onnxruntime, "
                                       "openvino, either with :PRECISION, or auto",
                                       "onnxruntime", fixed));
  install(kProvider, g_param_spec_string("provider", "Provider",
                                         "Execution provider of the engine onnxruntime: cpu, cuda or tensorrt", "cpu",
                                         fixed));
  install(kProfile, g_param_spec_string("profile", "Profile",
                                        "Limits of in-sync, as in `cavsync score --profile`: itu-bt1359-detect, "
                                        "itu-bt1359-accept, ebu-r37, atsc-is191 or one-frame",
                                        "itu-bt1359-detect", fixed));
  install(kPath, g_param_spec_enum("path", "Path", "What is judged", path_type(), CAVSYNC_PATH_AUTO, fixed));
  install(kWindow, g_param_spec_uint64("window", "Window",
                                       "Length of the window of a decision (in nanoseconds, 0 = the bundle's)", 0,
                                       G_MAXUINT64, 0, fixed));
  install(kInterval, g_param_spec_uint64("interval", "Interval",
                                         "Least time between messages of the same state (in nanoseconds, 0 = post "
                                         "every decision)",
                                         0, G_MAXUINT64, 0, live));
  install(kPostMessages,
          g_param_spec_boolean("post-messages", "Post messages",
                               "Whether to post decisions and events on the bus as element messages 'cavsync' and "
                               "'cavsync-event'",
                               TRUE, live));
  install(kPolicy, g_param_spec_enum("policy", "Policy", "What to do when more than two seconds wait to be scored",
                                     policy_type(), static_cast<int>(Policy::kDropOldest), fixed));
  install(kAdaptive, g_param_spec_boolean("adaptive", "Adaptive",
                                          "Begin with a coarse search, then track the peak: less work (whole picture only)",
                                          FALSE, fixed));
  install(kBeginAfter, g_param_spec_uint("begin-after", "Begin after",
                                         "Decisions in a row out of sync on one side that begin an event", 1, G_MAXINT, 2,
                                         fixed));
  install(kEndAfter, g_param_spec_uint("end-after", "End after", "Decisions in a row of another state that end an event",
                                       1, G_MAXINT, 3, fixed));
  install(kDropped, g_param_spec_uint64("dropped", "Dropped",
                                        "Frames and pieces of audio that were passed on without being scored, because "
                                        "scoring was too slow",
                                        0, G_MAXUINT64, 0, seen));
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
  GST_OBJECT_LOCK(self);
  std::shared_ptr<Analysis> analysis = self->state->analysis;
  GST_OBJECT_UNLOCK(self);
  return analysis;
}

static void gst_cavsync_class_init(GstCavsyncClass* klass) {
  cavsync::init_debug_category();
  GObjectClass* object_class = G_OBJECT_CLASS(klass);
  object_class->set_property = set_property;
  object_class->get_property = get_property;
  object_class->finalize = finalize;
  install_properties(object_class);
  GstElementClass* element_class = GST_ELEMENT_CLASS(klass);
  element_class->change_state = change_state;
  add_templates(element_class);
  gst_element_class_set_static_metadata(
      element_class, "Audio-visual sync", "Filter/Analyzer/Audio/Video",
      "Pass audio and video unchanged, and post how many milliseconds they are out of sync as element messages",
      "cavsync");
  gst_type_mark_as_plugin_api(policy_type(), static_cast<GstPluginAPIFlags>(0));
  gst_type_mark_as_plugin_api(path_type(), static_cast<GstPluginAPIFlags>(0));
}

static void gst_cavsync_init(GstCavsync* self) {
  self->state = new ElementState;
  cavsync::add_pads(self);
}
