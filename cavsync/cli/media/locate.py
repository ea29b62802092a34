"""`cavsync locate`: find where in a video a sound belongs."""

from __future__ import annotations

from pathlib import Path

import click

from cavsync.cli.progress import progress_bar
from cavsync.cli.scoring import bundle_option


@click.command("locate")
@click.argument("sound")
@click.argument("video")
@bundle_option
@click.option("--top", "num_places", type=click.IntRange(min=1), default=5, show_default=True,
              help="Places to list, at most.")  # fmt: skip
@click.option("--video-stream", type=click.IntRange(min=0), metavar="N",
              help="Number of the video track, counted from 0; by default the first.")  # fmt: skip
@click.option("--json", "json_out", type=click.Path(dir_okay=False, path_type=Path),
              help="Write the places as JSON.")  # fmt: skip
def locate(
    sound: str,
    video: str,
    bundle: Path | None,
    num_places: int,
    video_stream: int | None,
    json_out: Path | None,
) -> None:
    """Find where in VIDEO the SOUND belongs, such as a short clip or another recording of the same scene.

    SOUND is any file with audio, of 3 s to five minutes; VIDEO may be hours long. Only the frames of VIDEO are compared
    with the sound; its audio is ignored. A place counts as found if it stands out more than the best place of a wrong
    sound would in 99 of 100 cases; otherwise the answer is undetermined, with the reason and the best places. VIDEO
    needs at least 13 places to compare. A place before 0:00:00.00 means that SOUND began before VIDEO did.
    """
    import json

    from cavsync.atomic import check_writable, write_text_atomically
    from cavsync.cli.result_files import require_result_files
    from cavsync.deploy import Bundle
    from cavsync.deploy.files.locate import locate as find
    from cavsync.file_names import legible, printable

    require_result_files([json_out], [sound, video])
    if json_out is not None:
        check_writable(json_out)
    opened = Bundle.open(bundle)
    with progress_bar(Path(video).name) as on_progress:
        found = find(sound, video, opened, num_places=num_places, video_stream=video_stream, on_progress=on_progress)
    if json_out is not None:
        from dataclasses import asdict

        content = {"sound": legible(sound), "video": legible(video), "bundle": opened.manifest.name, **asdict(found)}
        write_text_atomically(json_out, json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
    if found.state == "found":
        click.echo(printable(f"{sound} begins at {clock(found.places[0].video_seconds)} of {video}"))
    else:
        click.echo(printable(f"undetermined: {found.reason}"))
    if found.confidence is not None:
        click.echo(f"confidence {found.confidence:.4f}, {found.margin:.3f} above the second-best place")
    for place in found.places:
        click.echo(f"{clock(place.video_seconds):>13}  similarity {place.score:.3f}")


def clock(seconds: float) -> str:
    """Return a time as h:mm:ss.cc, with a minus before time 0."""
    hundredths = round(abs(seconds) * 100)
    minutes, rest = divmod(hundredths, 6000)
    sign = "-" if seconds < 0 and hundredths else ""
    return f"{sign}{minutes // 60}:{minutes % 60:02d}:{rest // 100:02d}.{rest % 100:02d}"
