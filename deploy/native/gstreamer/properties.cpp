#include "properties.h"

#include <string>

namespace cavsync {

namespace {

enum Property {
  kBundle = 1,
  kEngine,
  kProvider,
  kThreads,
  kDevice,
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

GstCavsync* element_of(gpointer object) { return static_cast<GstCavsync*>(object); }

GType policy_type() {
  static const GType type = [] {
    static const GEnumValue values[] = {
        {static_cast<int>(Policy::kDropOldest), "Drop the oldest: for live pipelines", "drop-oldest"},
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
        {CAVSYNC_PATH_AUTO, "Both; the whole picture with a bundle without a face path", "auto"},
        {CAVSYNC_PATH_WHOLE, "The whole picture", "whole"},
        {CAVSYNC_PATH_FACE, "The faces in the picture", "face"},
        {0, nullptr, nullptr},
    };
    return g_enum_register_static("GstCavsyncPath", values);
  }();
  return type;
}

std::string text_of(const GValue* value) {
  const char* text = g_value_get_string(value);
  return text == nullptr ? "" : text;
}

void set_property(GObject* object, guint id, const GValue* value, GParamSpec* spec) {
  Settings& settings = element_of(object)->state->settings;
  const std::lock_guard lock(element_of(object)->state->mutex);
  switch (id) {
    case kBundle: settings.bundle_path = text_of(value); break;
    case kEngine: settings.engine = text_of(value); break;
    case kProvider: settings.provider = text_of(value); break;
    case kThreads: settings.threads = g_value_get_int(value); break;
    case kDevice: settings.device = g_value_get_int(value); break;
    case kProfile: settings.profile = text_of(value); break;
    case kPath: settings.path = static_cast<cavsync_path>(g_value_get_enum(value)); break;
    case kWindow: settings.window = g_value_get_uint64(value); break;
    case kInterval: settings.interval = g_value_get_uint64(value); break;
    case kPostMessages: settings.posts_messages = g_value_get_boolean(value); break;
    case kPolicy: settings.policy = static_cast<Policy>(g_value_get_enum(value)); break;
    case kAdaptive: settings.is_adaptive = g_value_get_boolean(value); break;
    case kBeginAfter: settings.begin_after = g_value_get_uint(value); break;
    case kEndAfter: settings.end_after = g_value_get_uint(value); break;
    default: G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
  }
}

void get_property(GObject* object, guint id, GValue* value, GParamSpec* spec) {
  const auto analysis = gst_cavsync_analysis(element_of(object));
  const ElementState& state = *element_of(object)->state;
  const Settings& settings = state.settings;
  const std::lock_guard lock(element_of(object)->state->mutex);
  switch (id) {
    case kBundle: g_value_set_string(value, settings.bundle_path.c_str()); break;
    case kEngine: g_value_set_string(value, settings.engine.c_str()); break;
    case kProvider: g_value_set_string(value, settings.provider.c_str()); break;
    case kThreads: g_value_set_int(value, settings.threads); break;
    case kDevice: g_value_set_int(value, settings.device); break;
    case kProfile: g_value_set_string(value, settings.profile.c_str()); break;
    case kPath: g_value_set_enum(value, static_cast<int>(settings.path)); break;
    case kWindow: g_value_set_uint64(value, settings.window); break;
    case kInterval: g_value_set_uint64(value, settings.interval); break;
    case kPostMessages: g_value_set_boolean(value, settings.posts_messages); break;
    case kPolicy: g_value_set_enum(value, static_cast<int>(settings.policy)); break;
    case kAdaptive: g_value_set_boolean(value, settings.is_adaptive); break;
    case kBeginAfter: g_value_set_uint(value, settings.begin_after); break;
    case kEndAfter: g_value_set_uint(value, settings.end_after); break;
    case kDropped: g_value_set_uint64(value, analysis ? analysis->num_dropped() : state.num_dropped); break;
    default: G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
  }
}

}  // namespace

void install_properties(GObjectClass* object_class) {
  object_class->set_property = set_property;
  object_class->get_property = get_property;
  const auto fixed = static_cast<GParamFlags>(G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_READY);
  const auto live = static_cast<GParamFlags>(G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_PLAYING);
  const auto seen = static_cast<GParamFlags>(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  const auto install = [&](Property id, GParamSpec* spec) { g_object_class_install_property(object_class, id, spec); };
  install(kBundle, g_param_spec_string("bundle", "Bundle", "Folder of the bundle to score with", "", fixed));
  install(kEngine, g_param_spec_string("engine", "Engine",
                                       "Engine that runs the encoders, as in `cavsync score --engine`: onnxruntime, "
                                       "openvino, tensorrt, tensorrt_rtx, one with :PRECISION, or auto",
                                       "onnxruntime", fixed));
  install(kProvider, g_param_spec_string("provider", "Provider",
                                         "Execution provider of the engine onnxruntime: cpu, cuda or tensorrt", "cpu",
                                         fixed));
  install(kThreads, g_param_spec_int("threads", "Threads", "Threads inside one operator (0 = the runtime's choice)", 0,
                                     G_MAXINT, 0, fixed));
  install(kDevice, g_param_spec_int("device", "Device", "Number of the GPU for cuda and tensorrt", 0,
                                    G_MAXINT, 0, fixed));
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
                                        "Frames and audio buffers that were passed on without being scored, because "
                                        "scoring was too slow",
                                        0, G_MAXUINT64, 0, seen));
  gst_type_mark_as_plugin_api(policy_type(), static_cast<GstPluginAPIFlags>(0));
  gst_type_mark_as_plugin_api(path_type(), static_cast<GstPluginAPIFlags>(0));
}

Settings settings_of(GstCavsync* self) {
  const std::lock_guard lock(self->state->mutex);
  return self->state->settings;
}

}  // namespace cavsync
