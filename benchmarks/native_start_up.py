"""Print how soon libcavsync decides in a fresh process, in seconds: `native_scorer.py` runs this several times.

`open`: to open the packaged bundle. `create`: then to make a scorer. `first`: then to push a clip at full speed until
the first decision. `second_create` and `second`: the same again with a second scorer, when nothing has to start.

    CAVSYNC_LIBRARY=build/native/deploy/native/libcavsync.so.1 python benchmarks/native_start_up.py CLIP
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import material

from cavsync.deploy.native import NativeBundle, NativeScorer, load


def seconds_to_decide(bundle: NativeBundle, clip: material.Material, path: str) -> tuple[float, float]:
    """Return the seconds to make a scorer, and those of its calls until the first decision."""
    begin = time.perf_counter()
    scorer = NativeScorer(bundle, path=path)
    made = time.perf_counter()
    index = 0
    while not clip.push(scorer, index):  # type: ignore[arg-type]
        index += 1
    return made - begin, time.perf_counter() - made


def start_up(path: str, clip: Path) -> dict[str, float]:
    """Return the times of a fresh process in seconds; the clip is decoded before."""
    pushed = material.decoded(clip)
    load()
    begin = time.perf_counter()
    bundle = NativeBundle(threads=1)
    opened = time.perf_counter()
    create, first = seconds_to_decide(bundle, pushed, path)
    second_create, second = seconds_to_decide(bundle, pushed, path)
    times = {"open": opened - begin, "create": create, "first": first, "second_create": second_create, "second": second}
    return {f"{name}_seconds": round(value, 4) for name, value in times.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--path", choices=("auto", "face", "whole"), default="auto")
    options = parser.parse_args(arguments)
    print(json.dumps(start_up(options.path, options.clip)))


if __name__ == "__main__":
    main()
