"""Push frames and samples into a scorer as they come, and print alarms that begin and end.

    python embed_in_pipeline.py video.mp4 [BUNDLE]

A file stands for the pipeline here. Any source will do: pieces may have any size and the tracks any order, as long as
both are timed by one clock.
"""

import sys

from cavsync.deploy import EventTracker, SyncScore, SyncScorer
from cavsync.media import MediaReader, VideoFrame

scorer = SyncScorer.from_bundle(*sys.argv[2:3])  # without a bundle the shipped model
alarms = EventTracker(begin_after=3, end_after=3)  # decisions in a row, so that alarms do not flicker


def show(scores: list[SyncScore]) -> None:
    """Print what the decisions begin or end."""
    for score in scores:
        for change in alarms.update(score):
            print(f"{change.phase} {change.state} at {score.time_seconds:.1f} s, up to {change.extreme_ms:.0f} ms")


for item in MediaReader(sys.argv[1]):
    if isinstance(item, VideoFrame):  # RGB bytes (H, W, 3)
        show(scorer.push_video(item.rgb, pts_seconds=item.pts_seconds))
    else:  # mono (n,) or channels (n, c), float32 or int16
        show(scorer.push_audio(item.samples, pts_seconds=item.pts_seconds, sample_rate_hz=16_000))
show(scorer.flush())
if alarms.current is not None:
    print(f"{alarms.current.state} until the end")
