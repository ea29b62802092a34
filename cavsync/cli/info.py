"""`cavsync info`: list versions, devices and backends of this machine."""

from __future__ import annotations

import click

PACKAGES = ("torch", "triton", "xformers", "onnxruntime", "onnxruntime-gpu", "onnx", "tensorrt", "av", "numpy")


@click.command()
def info() -> None:
    """List versions, devices, the backends of every operation, and why those that cannot run cannot."""
    import platform

    from cavsync import __version__

    click.echo(f"cavsync {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}")
    click.echo(", ".join(f"{name} {version}" for name, version in _versions().items()))
    _show_engines()
    _show_kernels()


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _show_engines() -> None:
    from cavsync.deploy.runtime.onnx import import_onnxruntime

    click.echo(f"ONNX Runtime providers: {', '.join(import_onnxruntime().get_available_providers())}")
    if all(_has_files(name) for name in ("onnxruntime", "onnxruntime-gpu")):
        click.echo(
            "onnxruntime and onnxruntime-gpu are both installed and have overwritten each other's files: "
            "uninstall both, then install the extra 'gpu' together with packaging/onnxruntime of the checkout"
        )


def _has_files(distribution: str) -> bool:
    """Whether an installed distribution brought the package `onnxruntime`; the one in packaging/ is empty."""
    from importlib.metadata import PackageNotFoundError, files

    try:
        return any(path.parts[0] == "onnxruntime" for path in files(distribution) or ())
    except PackageNotFoundError:
        return False


def _show_kernels() -> None:
    import importlib.util
    import logging

    from rich.console import Console
    from rich.table import Table

    if importlib.util.find_spec("torch") is None:
        click.echo("Kernels: torch is not installed; training and export need it: pip install 'cavsync[train]'")
        return
    # Its warnings at import are among the reasons listed below.
    logging.getLogger("xformers").setLevel(logging.ERROR)
    import torch

    from cavsync.kernels.inventory import inventory

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    click.echo(f"GPU: {gpu}")
    table = Table("operation", "backend", "verdict", title="Backends")
    for verdict in inventory():
        usable = "chosen automatically" if verdict.automatic else "usable"
        method = f"{usable}: {verdict.method}" if verdict.method else usable
        table.add_row(verdict.operation, verdict.backend, "; ".join(verdict.reasons) or method)
    Console(soft_wrap=True).print(table)
