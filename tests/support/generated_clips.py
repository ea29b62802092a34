"""Small generated data sets for tests that read clips."""

from pathlib import Path

from cavsync.data.synth import draw_specs, generate


def make_clips(folder: Path, count: int, *, seed: int = 5, masks: int = 0, **options: object) -> Path:
    """Write `count` plain clips of two seconds into the folder, in this process, with `masks` masks each."""
    settings: dict[str, object] = {"duration_seconds": 2.0, "plain": True, "speech": "synthetic"} | options
    generate(folder, draw_specs(count, seed, **settings), workers=1, masks=masks)  # type: ignore[arg-type]
    return folder
