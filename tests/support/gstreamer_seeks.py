"""A program that seeks, pauses, stops and ends a pipeline with the element `cavsync` again and again.

gstreamer_seeks.py CLIP BUNDLE REPETITIONS PATH
"""

import ctypes
import os
import pathlib
import random
import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

CLIP, BUNDLE, REPETITIONS, PATH = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
PATIENCE = 600 * Gst.SECOND
SEEK = Gst.SeekFlags.FLUSH | Gst.SeekFlags.ACCURATE

Gst.init(None)
pipeline = Gst.parse_launch(
    "uridecodebin name=source cavsync name=sync policy=block "
    "queue name=audio ! audioconvert ! sync.audio_sink  sync.audio_src ! queue ! fakesink sync=false "
    "queue name=video ! videoconvert ! sync.video_sink  sync.video_src ! queue ! fakesink sync=false"
)
source = pipeline.get_by_name("source")
source.props.uri = pathlib.Path(CLIP).resolve().as_uri()
pipeline.get_by_name("sync").props.bundle = BUNDLE
Gst.util_set_object_arg(pipeline.get_by_name("sync"), "path", PATH)
bus = pipeline.get_bus()
num_decisions, num_events, is_open = 0, 0, False


def link(_, pad):
    """Link a track, which comes and goes with the state."""
    kind = pad.get_current_caps().get_structure(0).get_name().split("/")[0]
    assert pad.link(pipeline.get_by_name(kind).get_static_pad("sink")) == Gst.PadLinkReturn.OK


def change_to(state):
    """Change the state and wait for it."""
    pipeline.set_state(state)
    result, reached, _ = pipeline.get_state(PATIENCE)
    assert result == Gst.StateChangeReturn.SUCCESS, result
    assert reached == state, reached


def take(until):
    """Count the decisions on the bus until a message of a kind; all that there are if it is None."""
    global num_decisions, num_events, is_open
    while message := bus.timed_pop(PATIENCE if until else 0):
        assert message.type != Gst.MessageType.ERROR, message.parse_error()
        assert message.type != Gst.MessageType.WARNING, message.parse_warning()
        if message.type == Gst.MessageType.ELEMENT:
            structure = message.get_structure()
            num_decisions += structure.get_name() == "cavsync"
            if structure.get_name() == "cavsync-event":
                begins = structure.get_value("phase") == "began"
                assert begins != is_open, "events begin and end in turn"
                is_open = begins
                num_events += begins
        if message.type == until:
            return
    assert until is None, f"no {until} within ten minutes"


class MallocInfo(ctypes.Structure):
    """What mallinfo2 of the C library returns."""

    _fields_ = [
        *[(name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd")],
        *[(name, ctypes.c_size_t) for name in ("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")],
    ]


def memory():
    """The memory of this process: what is allocated, and what is resident, which the allocator may keep."""
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = MallocInfo
    info = mallinfo()
    resident = int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
    return f"{(info.uordblks + info.hblkhd) / 2**20:.1f} MiB allocated, {resident / 2**20:.1f} MiB resident"


source.connect("pad-added", link)
rng = random.Random(3)
change_to(Gst.State.PLAYING)
for number in range(REPETITIONS):
    action = number % 4
    if action == 0:
        assert pipeline.seek_simple(Gst.Format.TIME, SEEK, round(rng.uniform(0, 7) * Gst.SECOND))
    elif action == 1:
        change_to(Gst.State.PAUSED)
        assert pipeline.seek_simple(Gst.Format.TIME, SEEK, round(rng.uniform(0, 2) * Gst.SECOND))
    elif action == 2:
        assert pipeline.seek_simple(Gst.Format.TIME, SEEK, 0)
        take(until=Gst.MessageType.EOS)
        assert pipeline.seek_simple(Gst.Format.TIME, SEEK, 0)
    else:
        change_to(Gst.State.NULL if number % 8 == 3 else Gst.State.READY)
        # The bus may have lost messages, and the stream is over.
        take(until=None)
        is_open = False
    change_to(Gst.State.PLAYING)
    take(until=None)
    if number == 11:
        at_first = memory()
at_last = memory()
pipeline.set_state(Gst.State.NULL)
sys.stdout.write(f"{num_decisions} decisions, {num_events} events\n")
if REPETITIONS > 12:
    sys.stdout.write(f"after 12 rounds: {at_first}\nafter {REPETITIONS} rounds: {at_last}\n")
