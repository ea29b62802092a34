"""`cavsync tag`: write the classes of files over time."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cavsync.cli.media.model_identity import identity_of_bundle, identity_of_checkpoint
from cavsync.cli.media.output_folder import Check, OutputFolder, media_places
from cavsync.cli.options import key_values
from cavsync.cli.progress import progress_bar
from cavsync.cli.scoring import track_options

if TYPE_CHECKING:
    from cavsync.deploy import Bundle
    from cavsync.deploy.runtime.classifier import Classifier


@click.command("tag")
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path),
              help="Folder for the classes, a file per input, and for tags.json.")  # fmt: skip
@click.option("--model", required=True, type=click.Path(path_type=Path),
              help="BUNDLE or RUN of a classifier, RUN/checkpoints/NAME, or a fine-tuned .pth of the authors. "
              "A bundle needs no torch.")  # fmt: skip
@click.option("--format", "kind", type=click.Choice(["jsonl", "csv", "vtt"]), default="jsonl", show_default=True,
              help="JSON lines, a table, or WebVTT cues that players show.")  # fmt: skip
@click.option("--window-seconds", type=click.FloatRange(min=0, min_open=True),
              help="Length of the windows over which the probabilities of frames are averaged; 1 by default, and 10 "
              "for a head that classifies the frames of a clip together.")  # fmt: skip
@click.option("--frame-rate", "frame_rate_hz", type=click.FloatRange(min=0, min_open=True),
              help="Frames classified per second, at most those of the video; 1 by default. Not for a head that "
              "classifies the frames of a clip together.")  # fmt: skip
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True,
              help="Classes named per window and per file, at most.")  # fmt: skip
@click.option("--min-probability", type=click.FloatRange(0, 1), default=0.1, show_default=True,
              help="Leave out less likely classes.")  # fmt: skip
@click.option("--target", type=click.Choice(["multi-label", "single-label"]),
              help="Any number of classes at a time, or exactly one, for a model that does not state it.")  # fmt: skip
@click.option("--labels", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="CSV index,mid,display_name of the model's classes, which a .pth needs.")  # fmt: skip
@track_options
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", callback=key_values,
              help="Model option that the shapes in a .pth do not determine, such as num_heads=12.")  # fmt: skip
def tag(
    inputs: tuple[str, ...],
    out: Path,
    model: Path,
    kind: str,
    window_seconds: float | None,
    frame_rate_hz: float | None,
    top: int,
    min_probability: float,
    target: str | None,
    labels: Path | None,
    audio_stream: str | None,
    video_stream: int | None,
    program: int | None,
    overrides: dict[str, Any],
) -> None:
    """Write, for each INPUT, the classes seen or heard over time and in the whole file, with probabilities.

    INPUT is a media file or a folder of them. Inputs whose files are in OUT already are skipped unless they have
    changed since, so repeating an interrupted command continues it. Exit status 1: an input could not be used.
    """
    from cavsync.deploy.files.tags import file_tags
    from cavsync.deploy.sinks.tag_file import tag_file
    from cavsync.errors import ConfigError
    from cavsync.media.tracks import TrackChoice

    tracks = TrackChoice.parsed(audio_stream, video_stream, program)
    bundle, classifier, identity = _open(model, labels, target, overrides)
    if classifier.frames_per_clip > 1:
        if frame_rate_hz is not None:
            raise ConfigError(
                f"the model takes {classifier.frames_per_clip} frames of a window together: leave --frame-rate out"
            )
        window_seconds = window_seconds or 10.0
        frame_rate_hz = classifier.frames_per_clip / window_seconds
    window_seconds, frame_rate_hz = window_seconds or 1.0, frame_rate_hz or 1.0
    if window_seconds * frame_rate_hz < 1:
        raise ConfigError(
            f"windows of {window_seconds:g} s hold no frame at {frame_rate_hz:g} frames per second: raise "
            "--window-seconds or --frame-rate"
        )
    options = {"format": kind, "window_seconds": window_seconds, "frame_rate_hz": frame_rate_hz, "top": top}
    options |= {"min_probability": min_probability, "target": classifier.target}
    options["classes_sha256"] = sha256("\n".join(classifier.classes).encode()).hexdigest()
    options |= {"audio_stream": audio_stream, "video_stream": video_stream, "program": program}

    def write(source: str, path: Path, provenance: dict[str, Any], check: Check) -> None:
        with (
            progress_bar(Path(source).name) as on_progress,
            tag_file(path, kind, provenance["source"], classifier.classes, top, min_probability) as writer,
        ):
            for window in file_tags(
                source,
                bundle,
                classifier,
                window_seconds=window_seconds,
                frame_rate_hz=frame_rate_hz,
                tracks=tracks,
                on_progress=on_progress,
            ):
                check()
                writer.write(window)

    OutputFolder(out, "classes", "tags.json", identity, options).write_all(media_places(inputs), kind, write)


def _open(
    model: Path, labels: Path | None, target: str | None, overrides: dict[str, Any]
) -> tuple[Bundle, Classifier, dict[str, Any]]:
    """Open the classifier with the sizes of its inputs, and return what identifies it."""
    from cavsync.deploy import Bundle
    from cavsync.deploy.runtime.classifier import open_classifier
    from cavsync.errors import ConfigError
    from cavsync.manifest import MANIFEST_NAME

    if (model / MANIFEST_NAME).is_file():
        if overrides or labels is not None:
            raise ConfigError("a bundle states its classes and has no model options: leave --labels and --set out")
        bundle = Bundle.open(model)
        classifier = open_classifier(bundle.path, bundle.manifest, target)
        return bundle, classifier, identity_of_bundle(bundle)
    from cavsync.evaluate.classify.tagging import classifier_of_checkpoint

    identity, bundle, classifier = classifier_of_checkpoint(model, labels, target, **overrides)
    return bundle, classifier, identity_of_checkpoint(identity)
