"""Draw docs/images/generated-worlds.png: a frame of every family of worlds with the spectrogram of its clip beneath.

    python docs/images/draw_worlds.py

White marks above the spectrogram are the events that are seen, red ones those that are only heard.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy import signal

from cavsync.data.synth import WORLD_FAMILIES, ClipSpec, RenderedClip, render

OUT = Path(__file__).with_name("generated-worlds.png")
WIDTH, HEIGHT, SOUND_HEIGHT, COLUMNS, GAP = 224, 168, 56, 3, 4
SECONDS = 4.0
SEEDS = dict(zip(WORLD_FAMILIES, (21, 15, 12, 31, 42, 53, 17, 64, 14), strict=True))


def frame_of(clip: RenderedClip, spec: ClipSpec) -> Image.Image:
    """Return the frame just after the first event that is seen in the second half, or the middle one."""
    moment = next((event for event in clip.events if event >= SECONDS / 2), SECONDS / 2)
    index = min(int(moment * spec.fps) + 1, spec.frame_count - 1)
    _, frame = next(islice(clip.frames, index, None))
    return Image.fromarray(frame)


def spectrogram_of(clip: RenderedClip, spec: ClipSpec) -> Image.Image:
    """Return 80 dB of the spectrum up to 8 kHz, low frequencies at the bottom, with marks at the events."""
    _, _, power = signal.spectrogram(clip.audio[:, 0], spec.audio_rate_hz, nperseg=512, noverlap=384)
    level = np.clip((10 * np.log10(power + 1e-12) + 110) / 80, 0, 1)
    # Half an octave per equal step above 500 Hz, as ears resolve it.
    bins = np.unique(np.round(np.geomspace(3, len(level) - 1, SOUND_HEIGHT)).astype(int))
    colours = np.stack([level**1.2, level**2.2, 0.35 + 0.4 * level - 0.6 * level**2], axis=-1)[bins[::-1]]
    image = Image.fromarray((np.clip(colours, 0, 1) * 255).astype(np.uint8)).resize((WIDTH, SOUND_HEIGHT))
    pen = ImageDraw.Draw(image)
    for events, colour in ((clip.unseen_events, (255, 80, 60)), (clip.events, (255, 255, 255))):
        for event in events:
            x = event / SECONDS * WIDTH
            pen.line([(x, 0), (x, 6)], fill=colour)
    return image


def main() -> None:
    rows = -(-len(WORLD_FAMILIES) // COLUMNS)
    tile = (WIDTH + GAP, HEIGHT + SOUND_HEIGHT + GAP)
    sheet = Image.new("RGB", (COLUMNS * tile[0] - GAP, rows * tile[1] - GAP), (255, 255, 255))
    for place, family in enumerate(WORLD_FAMILIES):
        spec = ClipSpec(SEEDS[family], family, duration_seconds=SECONDS, width=WIDTH, height=HEIGHT)
        clip = render(spec)
        corner = (place % COLUMNS * tile[0], place // COLUMNS * tile[1])
        sheet.paste(spectrogram_of(clip, spec), (corner[0], corner[1] + HEIGHT))
        frame = frame_of(clip, spec)
        ImageDraw.Draw(frame).text((5, 3), family, fill=(255, 255, 255), stroke_width=1, stroke_fill=(0, 0, 0))
        sheet.paste(frame, corner)
    sheet.quantize(128, dither=Image.Dither.NONE).save(OUT, optimize=True)
    print(f"wrote {OUT} ({OUT.stat().st_size} bytes)")


if __name__ == "__main__":
    main()
