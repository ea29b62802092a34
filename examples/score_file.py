"""Score a file: print every decision, the verdict, and the stretches out of sync.

python score_file.py video.mp4 [BUNDLE]
"""

import sys

from cavsync.deploy import Bundle, score_file

bundle = Bundle.open(sys.argv[2]) if len(sys.argv) > 2 else None  # None: the shipped model
result = score_file(sys.argv[1], bundle, profile="ebu-r37")
for record in result.records:
    print(f"{record.time_seconds:7.2f} s  {record.state:12}  {record.audio_offset_ms} ms")

verdict = result.summary.score
print(f"verdict: {verdict.state}, {verdict.audio_offset_ms} ms, confidence {verdict.confidence}")
if verdict.reason is not None:
    print(f"because {verdict.reason}")
if verdict.suggested_audio_delay_ms is not None:
    print(f"delay the audio by {verdict.suggested_audio_delay_ms:.0f} ms to repair it")
for event in result.summary.events:
    print(f"{event.state} from {event.start:.1f} to {event.end:.1f} s, up to {event.extreme:.0f} ms")
