"""Play a file through the GStreamer element `cavsync` and print alarms.

    GST_PLUGIN_PATH=build/native/deploy/native/gstreamer python3 gstreamer_alarms.py video.mp4 BUNDLE [auto|face|whole]

Needs PyGObject with GStreamer (Debian: python3-gi gir1.2-gstreamer-1.0), not the Python package cavsync. In a live
pipeline, leave out `policy=block`.
"""

import pathlib
import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402 - the version comes first

Gst.init(None)
pipeline = Gst.parse_launch(
    "uridecodebin name=source cavsync name=sync policy=block "
    "source. ! queue ! audioconvert ! sync.audio_sink  sync.audio_src ! queue ! fakesink "
    "source. ! queue ! videoconvert ! sync.video_sink  sync.video_src ! queue ! fakesink"
)
pipeline.get_by_name("source").props.uri = pathlib.Path(sys.argv[1]).resolve().as_uri()
pipeline.get_by_name("sync").props.bundle = sys.argv[2]
pipeline.get_by_name("sync").set_property("begin-after", 3)  # decisions in a row, so that alarms do not flicker
if len(sys.argv) > 3:
    Gst.util_set_object_arg(pipeline.get_by_name("sync"), "path", sys.argv[3])
pipeline.set_state(Gst.State.PLAYING)

WANTED = Gst.MessageType.ELEMENT | Gst.MessageType.WARNING | Gst.MessageType.ERROR | Gst.MessageType.EOS
while True:
    message = pipeline.get_bus().timed_pop_filtered(Gst.CLOCK_TIME_NONE, WANTED)
    if message.type == Gst.MessageType.EOS:
        break
    if message.type in (Gst.MessageType.ERROR, Gst.MessageType.WARNING):
        is_error = message.type == Gst.MessageType.ERROR
        error, _ = message.parse_error() if is_error else message.parse_warning()
        print(error.message, file=sys.stderr)
        if is_error:
            break
        continue
    event = message.get_structure()
    if event.get_name() != "cavsync-event":
        continue  # a decision
    if event.get_value("phase") == "began":
        print(f"{event.get_value('start'):.1f} s: {event.get_value('state')}, {event.get_value('extreme'):.0f} ms")
    else:
        print(f"{event.get_value('end'):.1f} s: {event.get_value('state')} ended ({event.get_value('cause')})")
pipeline.set_state(Gst.State.NULL)
sys.exit(message.type == Gst.MessageType.ERROR)
