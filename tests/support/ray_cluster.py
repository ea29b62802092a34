"""A Ray cluster of this machine, as a program: prints its address and ends with its standard input."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

POISONS = Path(__file__).parent / "poisoned_site"


@contextmanager
def ray_cluster(num_cpus: int = 2) -> Iterator[tuple[str, psutil.Process]]:
    """Start a cluster whose scoring processes know `poisoned_site`; gives its address and the process that holds it."""
    environment = os.environ | {"PYTHONPATH": str(POISONS), "RAY_USAGE_STATS_ENABLED": "0"}
    with subprocess.Popen(
        [sys.executable, "-P", __file__, str(num_cpus)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield process.stdout.readline().strip(), psutil.Process(process.pid)
        finally:
            process.stdin.close()


def workers(cluster: psutil.Process) -> list[psutil.Process]:
    """The processes of the archive's actors."""
    found = []
    for process in cluster.children(recursive=True):
        try:
            if process.cmdline()[0].startswith("ray::Worker"):
                found.append(process)
        except (psutil.Error, IndexError):
            # It ended meanwhile.
            continue
    return found


def main(num_cpus: int) -> None:
    """Hold the cluster."""
    import ray

    ray.init(
        address="local", num_cpus=num_cpus, include_dashboard=False, log_to_driver=False, object_store_memory=128 << 20
    )
    sys.stdout.write(f"{ray.get_runtime_context().gcs_address}\n")
    sys.stdout.flush()
    sys.stdin.read()
    ray.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]))
