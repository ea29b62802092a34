"""`cavsync bundle`: show a bundle's manifest; verify its contents against it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cavsync.cli.threads import thread_options

if TYPE_CHECKING:
    from cavsync.manifest import ClassifierSpec, Manifest, SyncSpec, TensorSpec

SHOWN_CLASSES = 8
FOLDER = click.argument("folder", metavar="BUNDLE", type=click.Path(path_type=Path))


@click.group("bundle")
def bundle() -> None:
    """Show a bundle's manifest, or verify its contents against it.

    A bundle is data: nothing in it is executed or changed.
    """


@bundle.command("show")
@FOLDER
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
def show(folder: Path, as_json: bool) -> None:
    """Show the manifest of BUNDLE: its graphs, source, licence, calibration and files.

    The files are not read; `cavsync bundle verify` checks them.
    """
    import json

    from cavsync.manifest import read_manifest

    manifest = read_manifest(folder)
    if as_json:
        # Escaped, so that it can be printed on any terminal.
        click.echo(json.dumps(json.loads(manifest.to_bytes()), indent=1, sort_keys=True))
        return
    _print_rows([("bundle", manifest.name), *_rows(manifest)])
    _print_rows(
        [(name, f"{entry.size_bytes:,} bytes, sha256 {entry.sha256[:16]}...") for name, entry in manifest.files.items()]
    )


@bundle.command("verify")
@FOLDER
@thread_options
def verify(folder: Path, threads: int | None, cores: tuple[int, ...] | None) -> None:
    """Check every byte of BUNDLE against its manifest, and open its graphs.

    Each check that passes prints a line: digest, sizes, hashes, numbers, graphs in ONNX Runtime. The first that fails
    ends the command with an error and exit status 1.
    """
    from cavsync.deploy import Bundle
    from cavsync.deploy.runtime.bundle_files import verify_file
    from cavsync.deploy.runtime.classifier import check_classifier
    from cavsync.deploy.runtime.engines import GPU_RUNTIMES, check_sidecar
    from cavsync.deploy.runtime.onnx import runtime_version
    from cavsync.manifest import MANIFEST_NAME, read_manifest

    manifest = read_manifest(folder)
    click.echo(f"ok: {MANIFEST_NAME}, bundle format {manifest.format_version}, matches its digest")
    for name, entry in manifest.files.items():
        verify_file(folder, name, entry)
        click.echo(_plain(f"ok: {name}, {entry.size_bytes:,} bytes, matches its hash"))
    Bundle.open(folder, threads=threads, cores=cores)
    check_classifier(folder, manifest, threads=threads, cores=cores)
    click.echo("ok: the numbers are in range")
    click.echo(f"ok: {', '.join(manifest.graphs)} open in ONNX Runtime {runtime_version()}")
    for engine in manifest.engines:
        if engine.runtime in GPU_RUNTIMES:
            check_sidecar(folder, manifest, engine)
            click.echo(_plain(f"ok: {engine.file} matches its sidecar; not opened"))
        else:
            click.echo(_plain(f"not opened: {engine.file}, which matches its hash"))
    # Files can be verified in a folder that may not be listed.
    with suppress(OSError):
        strays = sorted({path.name for path in folder.iterdir()} - manifest.files.keys() - {MANIFEST_NAME})
        if strays:
            click.echo(_plain(f"not part of the bundle, never opened: {', '.join(strays)}"))


def _rows(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Yield (name, value) of everything in the manifest but its files."""
    yield "format", str(manifest.format_version)
    yield "precision", manifest.precision
    yield "licence", manifest.weights_licence
    yield "source", _pairs(manifest.source)
    for name, graph in manifest.graphs.items():
        yield name, f"{graph.file}: {_tensors(graph.inputs)} -> {_tensors(graph.outputs)}"
    if manifest.classifier is not None:
        yield "classes", _classes(manifest.classifier)
    for engine in manifest.engines:
        files = ", ".join([engine.file, *engine.companions])
        yield "engine", f"{engine.graph} on {engine.runtime}, {engine.precision}: {files}"
    if not manifest.engines:
        yield "engine", "none; ONNX Runtime runs the graphs"
    yield "calibration", _calibration(manifest)
    yield "sync", _grid(manifest.sync)
    yield "versions", _pairs(manifest.versions)


def _classes(classifier: ClassifierSpec) -> str:
    names, target = classifier.classes, classifier.target or "target not stated"
    rest = f" and {len(names) - SHOWN_CLASSES} more" if len(names) > SHOWN_CLASSES else ""
    return f"{len(names)}, {target}: {'; '.join(names[:SHOWN_CLASSES])}{rest}"


def _grid(sync: SyncSpec) -> str:
    return (
        f"{sync.frame_rate_hz:g} frames a second, hop {sync.hop_ms:g} ms, offsets within ±{sync.max_offset_ms:g} ms, "
        f"windows of {sync.window_seconds:g} s every {sync.decision_step_seconds:g} s"
    )


def _tensors(tensors: list[TensorSpec]) -> str:
    return ", ".join(f"{tensor.name} {tensor.dtype}[{', '.join(map(str, tensor.shape))}]" for tensor in tensors)


def _calibration(manifest: Manifest) -> str:
    found = manifest.calibration
    if found is None:
        return "none, every decision will be undetermined"
    return (
        f"{found.source}: {found.num_clips} clips, {found.num_windows} windows; probability of being within "
        f"±{found.tolerance_ms:g} ms from {', '.join(found.features)}, accepted from {found.threshold:g}; "
        f"resolution {found.resolution_ms:g} ms, zero point {found.zero_point_ms:+g} ms"
    )


def _pairs(entries: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in entries.items()) or "not stated"


def _plain(text: str) -> str:
    """Replace what cannot be printed, so that a bundle's text cannot control the terminal."""
    import sys

    encoding = sys.stdout.encoding or "utf-8"
    known = text.encode(encoding, "replace").decode(encoding)
    return "".join(letter if letter.isprintable() else " " for letter in known)


def _print_rows(rows: list[tuple[str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(max_width=40, overflow="fold")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(Text(_plain(name)), Text(_plain(value)))
    Console().print(table)
