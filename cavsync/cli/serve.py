"""`cavsync serve`: serve files, live streams and encoders over HTTP, with a live page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cavsync.cli.scoring import bundle_option, scoring_options

if TYPE_CHECKING:
    from cavsync.deploy import ScoringOptions
    from cavsync.deploy.runtime.engine_keywords import EngineKeywords

FOLDER = click.Path(file_okay=False, path_type=Path)
POSITIVE = click.FloatRange(min=0, min_open=True)


def named_urls(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    """Parse the values of `--watch NAME=URL`."""
    found = []
    for value in values:
        name, separator, url = value.partition("=")
        if not separator or not name or not url:
            raise click.BadParameter(f"'{value}' is not of the form NAME=URL.", context, parameter)
        found.append((name, url))
    return tuple(found)


@click.command("serve")
@bundle_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=8000,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 chooses a free one.",
)
@click.option("--token", envvar="CAVSYNC_TOKEN", show_envvar=True,
              help="Token that clients must send, of at least 16 characters; required beyond loopback.")  # fmt: skip
@click.option("--allow-host", "allow_hosts", multiple=True, metavar="NAME",
              help="Host name under which a reverse proxy forwards requests. May be repeated.")  # fmt: skip
@click.option("--allow-path", "allow_paths", multiple=True, type=FOLDER,
              help="Folder of this machine whose files clients may score by path; by default none. "
              "May be repeated.")  # fmt: skip
@click.option("--watch", multiple=True, metavar="NAME=URL", callback=named_urls,
              help="Watch a live source, as `cavsync watch` does, under this name. May be repeated.")  # fmt: skip
@click.option("--allow-private-addresses", is_flag=True,
              help="Also fetch files from loopback and private networks, and watch sources that clients name; by "
              "default files are fetched from public addresses only.")  # fmt: skip
@click.option(
    "--max-body-mb", default=1024.0, show_default=True, type=POSITIVE, help="Largest upload or download, MiB."
)
@click.option(
    "--max-duration-seconds",
    default=3600.0,
    show_default=True,
    type=POSITIVE,
    help="Longest file accepted, and longest time that an upload or a download may take.",
)
@click.option("--max-client-connections", default=128, show_default=True, type=click.IntRange(min=1),
              help="Maximum number of open connections of one client address; a reverse proxy is one.")  # fmt: skip
@click.option("--max-client-uploads", default=3, show_default=True, type=click.IntRange(min=1),
              help="Maximum number of files sent concurrently by one client address; others wait.")  # fmt: skip
@click.option("--min-upload-kb-per-second", default=4.0, show_default=True, type=POSITIVE,
              help="Slowest upload, KiB/s over ten seconds; a slower one is ended.")  # fmt: skip
@click.option(
    "--max-streams",
    default=16,
    show_default=True,
    type=click.IntRange(min=1),
    help="Maximum number of concurrent live streams.",
)
@click.option("--max-jobs", default=16, show_default=True, type=click.IntRange(min=1),
              help="Maximum number of files being received, waiting or being scored.")  # fmt: skip
@click.option(
    "--workers", default=1, show_default=True, type=click.IntRange(min=1), help="Number of files scored concurrently."
)
@click.option("--keep-results-seconds", default=3600.0, show_default=True, type=POSITIVE,
              help="Time for which the result of a file is kept.")  # fmt: skip
@click.option("--idle-seconds", default=60.0, show_default=True, type=POSITIVE,
              help="Time without data after which a live stream is ended.")  # fmt: skip
@click.option("--thumbnails/--no-thumbnails", default=True, show_default=True,
              help="Show images of faces on the live page and in the reports of files.")  # fmt: skip
@click.option("--engine-workers", default=1, show_default=True, type=click.IntRange(min=1),
              help="Number of batches, from streams and files, computed concurrently, "
              "each with --threads threads.")  # fmt: skip
@scoring_options
def serve(
    bundle: Path | None,
    max_body_mb: float,
    min_upload_kb_per_second: float,
    scoring: ScoringOptions,
    engine: EngineKeywords,
    **options: Any,
) -> None:
    """Score files and live streams over HTTP until SIGTERM or Ctrl-C.

    Files are scored at /v1/jobs and live streams at /v1/streams; encoders are at /v2 (Open Inference Protocol), metrics
    at /metrics, the description of the API at /openapi.json and the live page at /. The scoring options apply to
    watched sources, and to clients that do not set their own.
    """
    from cavsync.deploy import Bundle
    from cavsync.deploy.server.run import run_server
    from cavsync.deploy.server.settings import MEBIBYTE, ServerSettings

    settings = ServerSettings(
        scoring=scoring,
        max_body_bytes=round(max_body_mb * MEBIBYTE),
        min_upload_bytes_per_second=round(1024 * min_upload_kb_per_second),
        **options,
    )
    opened = Bundle.open(bundle, **engine)

    def on_listening(url: str) -> None:
        note = "" if settings.token is None else " (requires the token)"
        click.echo(f"serving {opened.manifest.name} at {url}{note}", err=True)

    run_server(opened, settings, on_listening)
