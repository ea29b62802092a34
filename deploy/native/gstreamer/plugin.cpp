// The GStreamer plugin: its only element is `cavsync`.
#include "element.h"

static gboolean plugin_init(GstPlugin* plugin) { return GST_ELEMENT_REGISTER(cavsync, plugin); }

#define PACKAGE "cavsync"
GST_PLUGIN_DEFINE(GST_VERSION_MAJOR, GST_VERSION_MINOR, cavsync, "Audio-visual sync of a pipeline", plugin_init,
                  CAVSYNC_VERSION, "Apache 2.0", "cavsync", "cavsync")
