"""`cavsync embed`: write the embeddings of files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cavsync.cli.media.model_identity import identity_of_bundle, identity_of_checkpoint
from cavsync.cli.media.output_folder import Check, OutputFolder
from cavsync.cli.media.shard_clips import places_with_shards
from cavsync.cli.options import key_values
from cavsync.cli.progress import progress_bar
from cavsync.cli.scoring import track_options

if TYPE_CHECKING:
    from cavsync.deploy import Bundle


@click.command("embed")
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path),
              help="Folder for the embeddings, a file per input, and for embeddings.json.")  # fmt: skip
@click.option("--model", type=click.Path(path_type=Path),
              help="BUNDLE, RUN, RUN/checkpoints/NAME or an authors' .pth; by default the model that comes with "
              "cavsync. A bundle needs no torch.")  # fmt: skip
@click.option("--format", "kind", type=click.Choice(["npz", "parquet"]), default="npz", show_default=True,
              help="NumPy arrays, or a table with a row per frame (needs pyarrow).")  # fmt: skip
@click.option("--frame-rate", "frame_rate_hz", type=click.FloatRange(min=0, min_open=True),
              help="Frames embedded per second, at most those of the video; the model's own by default.")  # fmt: skip
@click.option("--patches", is_flag=True, help="Also write the encoders' patch tokens.")
@track_options
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", callback=key_values,
              help="Model option that the shapes in a .pth do not determine, such as num_heads=12.")  # fmt: skip
def embed(
    inputs: tuple[str, ...],
    out: Path,
    model: Path | None,
    kind: str,
    frame_rate_hz: float | None,
    patches: bool,
    audio_stream: str | None,
    video_stream: int | None,
    program: int | None,
    overrides: dict[str, Any],
) -> None:
    """Write, for each INPUT, the embeddings of its frames and of the audio around each frame, with their times.

    INPUT is a media file, a folder of them, or a folder of shards, each clip of which counts as a file. Embeddings have
    unit length, so the product of a frame's and an audio segment's is their similarity; audio embeddings are missing
    (NaN, null) where the audio does not cover the segment. Inputs whose files are in OUT already are skipped unless
    they have changed since, so repeating an interrupted command continues it. Shards need torch. Exit status 1: an
    input could not be used.
    """
    from cavsync.deploy.files.features import file_features, item_features
    from cavsync.deploy.sinks.feature_file import feature_file
    from cavsync.media.tracks import TrackChoice

    tracks = TrackChoice.parsed(audio_stream, video_stream, program)
    bundle, identity = _open(model, overrides)
    options = {"format": kind, "frame_rate_hz": frame_rate_hz, "patches": patches}
    options |= {"audio_stream": audio_stream, "video_stream": video_stream, "program": program}

    places, clips = places_with_shards(inputs)

    def write(source: str, target: Path, provenance: dict[str, Any], check: Check) -> None:
        with progress_bar(Path(source).name) as on_progress, feature_file(target, kind, provenance) as writer:
            wanted: Any = {"frame_rate_hz": frame_rate_hz, "patches": patches, "on_progress": on_progress}
            if source in clips:
                found = item_features(clips[source].items(bundle.manifest.visual.img_size), bundle, **wanted)
            else:
                found = file_features(source, bundle, tracks=tracks, **wanted)
            for features in found:
                check()
                writer.write(features)

    OutputFolder(out, "features", "embeddings.json", identity, options).write_all(places, kind, write)


def _open(model: Path | None, overrides: dict[str, Any]) -> tuple[Bundle, dict[str, Any]]:
    """Open the model, and return what identifies it."""
    from cavsync.deploy import Bundle
    from cavsync.errors import ConfigError
    from cavsync.manifest import MANIFEST_NAME

    if model is None or (model / MANIFEST_NAME).is_file():
        if overrides:
            raise ConfigError("a bundle has no model options: leave --set out")
        bundle = Bundle.open(model)
        return bundle, identity_of_bundle(bundle)
    from cavsync.evaluate.inputs.model_bundle import bundle_of_checkpoint

    identity, bundle = bundle_of_checkpoint(model, **overrides)
    return bundle, identity_of_checkpoint(identity)
