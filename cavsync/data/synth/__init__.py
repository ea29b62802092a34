"""Procedural clips whose true synchronisation is known to the sample.

    specs = draw_specs(100, seed=1, max_offset_ms=800)
    truth = generate(Path("clips"), specs)

- `ClipSpec` describes a clip, `draw_specs` draws varied descriptions; `FAMILIES` (flat drawings), `WORLD_FAMILIES`
  (scenes in three dimensions, in the room `worlds`) and `CONTAINERS` are the choices.
- `render` makes frames and samples of one, `RenderedClip`; `write_clip` encodes it, `generate` writes a folder of clips
  with `TRUTH_NAME`, which `read_truth` reads. `count_voices` counts the voices in it, `voices_sentence` says them.

Free of torch: imports numpy, scipy, Pillow and PyAV, and of this project only `cavsync.errors`, `cavsync.atomic` and
`cavsync.data.labels`.
"""

from cavsync.data.synth.draw_specs import draw_specs
from cavsync.data.synth.generate import TRUTH_NAME, generate, read_truth, write_clip
from cavsync.data.synth.render import RenderedClip, render
from cavsync.data.synth.spec import CONTAINERS, FAMILIES, WORLD_FAMILIES, ClipSpec
from cavsync.data.synth.voices import count_voices, voices_sentence

__all__ = [
    "CONTAINERS",
    "FAMILIES",
    "TRUTH_NAME",
    "WORLD_FAMILIES",
    "ClipSpec",
    "RenderedClip",
    "count_voices",
    "draw_specs",
    "generate",
    "read_truth",
    "render",
    "voices_sentence",
    "write_clip",
]
