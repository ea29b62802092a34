"""`cavsync embed`: write the embeddings of files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cavsync.cli.errors import ExitStatus, end, print_error, stopped_by_signals
from cavsync.cli.options import key_values
from cavsync.cli.progress import progress_bar
from cavsync.cli.scoring import track_options
from cavsync.file_names import legible, printable

if TYPE_CHECKING:
    from cavsync.deploy import Bundle

PROVENANCE_NAME = "embeddings.json"


@click.command("embed")
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path),
              help="Folder for the files of features, one for each input, and for embeddings.json.")  # fmt: skip
@click.option("--model", type=click.Path(path_type=Path),
              help="BUNDLE, RUN, RUN/checkpoints/NAME or an authors' .pth; by default the model that comes with "
              "cavsync. A bundle needs no torch.")  # fmt: skip
@click.option("--format", "kind", type=click.Choice(["npz", "parquet"]), default="npz", show_default=True,
              help="NumPy arrays, or a table with a row per frame (needs pyarrow).")  # fmt: skip
@click.option("--frame-rate", "frame_rate_hz", type=click.FloatRange(min=0, min_open=True),
              help="Frames embedded per second, at most; the model's own by default.")  # fmt: skip
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

    INPUT is a media file or a folder of them. Embeddings have unit length, so the product of a frame's and an audio
    segment's is their similarity; audio features are missing (NaN, null) where the audio does not cover the segment.
    Files that are in OUT already are not computed again, so repeating an interrupted command goes on with it. Exit
    status 1: an input could not be used.
    """
    from cavsync.atomic import only_writer, remove_leftovers
    from cavsync.deploy.files.features import file_features
    from cavsync.deploy.sinks.feature_file import feature_file
    from cavsync.errors import MediaError
    from cavsync.media.tracks import TrackChoice

    tracks = TrackChoice.parsed(audio_stream, video_stream, program)
    sources = _targets(inputs, out, kind)
    bundle, identity = _open(model, overrides)
    options = {"format": kind, "frame_rate_hz": frame_rate_hz, "patches": patches}
    options |= {"audio_stream": audio_stream, "video_stream": video_stream, "program": program}
    provenance = _provenance(identity, options)
    _claim(out, provenance)
    failed = 0

    def write(source: str, target: Path, check: Callable[[], None]) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        described = {**provenance, "source": legible(source)}
        with progress_bar(Path(source).name) as on_progress, feature_file(target, kind, described) as writer:
            for features in file_features(
                source, bundle, frame_rate_hz=frame_rate_hz, patches=patches, tracks=tracks, on_progress=on_progress
            ):
                check()
                writer.write(features)

    try:
        with stopped_by_signals() as check, only_writer(out):
            for folder in {target.parent for target in sources.values()}:
                remove_leftovers(folder)
            for source, target in sources.items():
                try:
                    if not target.is_file():
                        write(source, target, check)
                except MediaError as error:
                    print_error(str(error))
                    failed += 1
    except KeyboardInterrupt as interrupt:
        raise type(interrupt)(f"{_count(sources, out)}; the same command goes on with the rest") from None
    click.echo(_count(sources, out))
    if failed:
        end(ExitStatus.FAILURE)


def _count(sources: dict[str, Path], out: Path) -> str:
    written = sum(target.is_file() for target in sources.values())
    return printable(f"{written} of {len(sources)} inputs are in {out}")


def _targets(inputs: tuple[str, ...], out: Path, kind: str) -> dict[str, Path]:
    """Return the file of features of each input: its name, below OUT as below the folder that was given."""
    from cavsync.cli.score import media_files
    from cavsync.errors import ConfigError

    found: dict[str, Path] = {}
    owners: dict[Path, str] = {}
    for given in inputs:
        for source in media_files([given]):
            inside = Path(source).relative_to(given) if source != given else Path(Path(source).name)
            target = out / inside.with_name(f"{inside.name}.{kind}")
            if owners.setdefault(target, source) != source:
                raise ConfigError(
                    f"{owners[target]} and {source} would both become {target}: embed them into two folders"
                )
            found[source] = target
    return found


def _open(model: Path | None, overrides: dict[str, Any]) -> tuple[Bundle, dict[str, Any]]:
    """Open the model, and return what identifies it."""
    from cavsync.deploy import Bundle
    from cavsync.errors import ConfigError
    from cavsync.manifest import MANIFEST_NAME, sha256_file

    if model is None or (model / MANIFEST_NAME).is_file():
        if overrides:
            raise ConfigError("a bundle has no model options: leave --set out")
        bundle = Bundle.open(model)
        return bundle, {
            "name": bundle.manifest.name,
            "kind": "bundle",
            "sha256": sha256_file(bundle.path / MANIFEST_NAME),
        }
    from cavsync.evaluate.inputs.model_bundle import bundle_of_checkpoint

    identity, bundle = bundle_of_checkpoint(model, **overrides)
    return bundle, {"name": identity.name, "kind": identity.kind, "sha256": identity.sha256, **identity.details}


def _provenance(identity: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    from importlib.metadata import version

    packages = {name: version(name) for name in ("cavsync", "numpy", "av")}
    return {"model": identity, "options": options, "versions": packages}


def _claim(out: Path, provenance: dict[str, Any]) -> None:
    """Accept a new folder, or one that this model wrote with these options; ConfigError for any other."""
    import json

    from cavsync.atomic import require_new_folder, write_text_atomically
    from cavsync.errors import ConfigError

    path = out / PROVENANCE_NAME
    if not path.is_file():
        require_new_folder(out, "choose another --out, or one that cavsync embed began")
        out.mkdir(parents=True, exist_ok=True)
        write_text_atomically(path, json.dumps(provenance, indent=1) + "\n")
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise ConfigError(f"{path} is damaged: choose another --out") from None
    for part in ("model", "options"):
        if found.get(part) != provenance[part]:
            raise ConfigError(f"{out} holds features by another {part.rstrip('s')}: choose another --out")
