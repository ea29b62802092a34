"""`cavsync watch`: a live source scored while it plays, one JSON line per decision."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cavsync.cli.options import key_values
from cavsync.cli.scoring import scoring_options

if TYPE_CHECKING:
    from cavsync.deploy import Bundle, ScoringOptions
    from cavsync.deploy.live import LiveSink, Watcher
    from cavsync.deploy.runtime.engine_keywords import EngineKeywords

FILE = click.Path(dir_okay=False, path_type=Path)
POSITIVE = click.FloatRange(min=0, min_open=True)


@click.command("watch")
@click.argument("url")
@click.option("--bundle", type=click.Path(path_type=Path),
              help="Folder that `cavsync export` wrote; by default the model that comes with cavsync.")  # fmt: skip
@click.option("--json", "json_out", metavar="FILE|-", default="-", show_default=True,
              help="JSON lines: decisions (`kind` is window), events and status. A file is added to.")  # fmt: skip
@click.option("--csv", "csv_out", type=FILE, help="A CSV table of the decisions. A file that exists is added to.")
@click.option("--vtt", "vtt_out", type=FILE, help="WebVTT metadata cues, in a new file.")
@click.option("--webhook", metavar="URL", help="POST every event as JSON to this address.")
@click.option("--webhook-decisions", is_flag=True, help="With --webhook: POST every decision as well.")
@click.option("--metrics-port", type=click.IntRange(0, 65535), metavar="N",
              help="Serve Prometheus metrics on 127.0.0.1:N.")  # fmt: skip
@scoring_options
@click.option("--begin-after", type=click.IntRange(min=1), default=2, show_default=True,
              help="Decisions in a row that begin an event.")  # fmt: skip
@click.option("--end-after", type=click.IntRange(min=1), default=3, show_default=True,
              help="Decisions in a row that end it.")  # fmt: skip
@click.option("--queue-seconds", type=POSITIVE, default=10.0, show_default=True,
              help="How much of the stream may wait to be scored.")  # fmt: skip
@click.option("--policy", type=click.Choice(["block", "drop_oldest"]),
              help="What a full queue does: make the source wait, or drop its oldest frames and audio (counted). By "
              "default block for files, pipes and HLS, else drop_oldest.")  # fmt: skip
@click.option("--reconnect/--no-reconnect", default=True, show_default=True,
              help="Connect again when a live source breaks or ends.")  # fmt: skip
@click.option(
    "--max-tries", type=click.IntRange(min=1), help="Give up after so many failures in a row; by default never."
)
@click.option("--timeout-seconds", type=POSITIVE,
              help="How long a live source may send nothing before it counts as lost; by default 5 to 15 s, by its "
              "protocol.")  # fmt: skip
@click.option("--duration-seconds", type=POSITIVE, help="Stop after so much of the stream.")
@click.option("--status-seconds", type=POSITIVE, default=5.0, show_default=True, help="Time between two status lines.")
@click.option("--option", "ffmpeg_options", multiple=True, callback=key_values, metavar="KEY=VALUE",
              help="An option of FFmpeg's for opening URL, as in rtsp_transport=udp. May be repeated.")  # fmt: skip
def watch(
    url: str,
    bundle: Path | None,
    json_out: str,
    csv_out: Path | None,
    vtt_out: Path | None,
    webhook: str | None,
    webhook_decisions: bool,
    metrics_port: int | None,
    ffmpeg_options: dict[str, Any],
    scoring: ScoringOptions,
    engine: EngineKeywords,
    **options: Any,
) -> None:
    """Score URL while it plays: a line of JSON per decision, per event that begins or ends, and per status.

    URL is rtsp://, srt://, udp:// (MPEG-TS), http(s):// (also HLS, .m3u8), a file, - for standard input, or a capture
    device: v4l2:///dev/video0?audio=alsa:default, avfoundation://0:1, dshow://video=NAME:audio=NAME. Passwords in it
    are never shown. A positive offset means that the audio is early (ITU-R BT.1359). Ctrl-C and SIGTERM end it with
    everything written (exit codes 130 and 143). Exit code 1: the source or the bundle could not be used.
    """
    from cavsync.deploy import Bundle
    from cavsync.deploy.live import Watcher, parse_address
    from cavsync.deploy.runtime.default_bundle import default_bundle

    if webhook_decisions and webhook is None:
        raise click.UsageError("--webhook-decisions needs --webhook.")
    address = parse_address(url, {name: str(value) for name, value in ffmpeg_options.items()})
    if address.kind == "pipe" and sys.stdin.isatty():
        raise click.UsageError("- reads standard input, which is a terminal: pipe a stream into it.")
    opened = Bundle.open(default_bundle() if bundle is None else bundle, **engine)
    with ExitStack() as stack:
        sinks: list[LiveSink] = []
        if metrics_port is not None:
            sink, opened = _metrics(metrics_port, opened, stack)
            sinks.append(sink)
        watcher = stack.enter_context(Watcher(address, opened, scoring, **options))
        for sink in (*sinks, *_sinks(json_out, csv_out, vtt_out, webhook, webhook_decisions, address.shown)):
            watcher.add_sink(sink)
        with _ended_by_signals(watcher) as received:
            watcher.run()
    if received:
        click.echo("interrupted" if received[0] == signal.SIGINT else "terminated", err=True)
        raise SystemExit(128 + received[0])


def _sinks(
    json_out: str, csv_out: Path | None, vtt_out: Path | None, webhook: str | None, decisions: bool, source: str
) -> Iterator[LiveSink]:
    from cavsync.deploy.live.sinks import CsvSink, JsonLinesSink, VttSink, WebhookSink

    if webhook is not None:
        yield WebhookSink(webhook, decisions=decisions)
    if csv_out is not None:
        yield CsvSink(csv_out)
    yield JsonLinesSink(sys.stdout if json_out == "-" else Path(json_out))
    if vtt_out is not None:
        # Last, because it alone cannot be opened a second time if another one is refused.
        yield VttSink(vtt_out)
    if sys.stderr.isatty() and not (json_out == "-" and sys.stdout.isatty()):
        from cavsync.cli.watch_view import TerminalView

        yield TerminalView(source)


def _metrics(port: int, opened: Bundle, stack: ExitStack) -> tuple[LiveSink, Bundle]:
    from prometheus_client import CollectorRegistry

    from cavsync.deploy.live.sinks.prometheus import MetricsServer, PrometheusSink
    from cavsync.deploy.metrics import timed

    registry = CollectorRegistry()
    sink = PrometheusSink(registry)
    server = MetricsServer(registry, port)
    stack.callback(server.close)
    click.echo(f"metrics: http://127.0.0.1:{server.port}/metrics", err=True)
    return sink, timed(opened, sink.metrics)


@contextmanager
def _ended_by_signals(watcher: Watcher) -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM stop the watch in order; a second one ends the process at once. Gives those received."""
    received: list[int] = []

    def on_signal(number: int, frame: object) -> None:
        del frame
        received.append(number)
        watcher.stop()
        for one in handled:
            signal.signal(one, before[one])

    handled = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, on_signal) for number in handled}
    try:
        yield received
    finally:
        for number in handled:
            signal.signal(number, before[number])
