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

IN_A_ROW = 3  # decisions that begin or end an alarm, so that alarms do not flicker

Gst.init(None)
pipeline = Gst.parse_launch(
    "uridecodebin name=source cavsync name=sync policy=block "
    "source. ! queue ! audioconvert ! sync.audio_sink  sync.audio_src ! queue ! fakesink "
    "source. ! queue ! videoconvert ! sync.video_sink  sync.video_src ! queue ! fakesink"
)
pipeline.get_by_name("source").props.uri = pathlib.Path(sys.argv[1]).resolve().as_uri()
pipeline.get_by_name("sync").props.bundle = sys.argv[2]
if len(sys.argv) > 3:
    Gst.util_set_object_arg(pipeline.get_by_name("sync"), "path", sys.argv[3])
pipeline.set_state(Gst.State.PLAYING)

alarm, states = "in_sync", []
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
    decision = message.get_structure()
    if decision.get_name() != "cavsync" or decision.get_value("state") == "undetermined":
        continue
    state = decision.get_value("state")
    states = [*states, state][-IN_A_ROW:]
    if state != alarm and states == [state] * IN_A_ROW:
        alarm = state
        print(f"{decision.get_value('time_seconds'):.1f} s: {alarm}, {decision.get_value('audio_offset_ms'):.0f} ms")
pipeline.set_state(Gst.State.NULL)
print(f"at the end: {alarm}")
sys.exit(message.type == Gst.MessageType.ERROR)
