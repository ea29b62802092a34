"""Files whose clocks start, jump or wrap in unusual ways."""

from __future__ import annotations

from situation import Repair, Situation, converted

SITUATIONS = [
    Situation("plain copy", converted("clip.mp4", "-c", "copy"), 0, repair=Repair()),
    Situation("plain copy in mkv", converted("clip.mkv", "-c", "copy"), 0, repair=Repair(offset_ms=-300)),
    Situation("fragmented", converted("clip.mp4", "-c", "copy", "-movflags", "+frag_keyframe+empty_moov"), 0),
    Situation(
        "audio 400 ms late",
        converted("clip.mp4", "-itsoffset", "0.4", "-i", "CLIP", "-map", "0:v", "-map", "1:a", "-c", "copy"),
        -400,
        repair=Repair(offset_ms=-400),
    ),
]
