"""A plan beyond one machine, computed from measured rows: archives of a million hours, pretraining on many GPUs.

Prints Markdown tables; docs/explanation/scale.md shows them as printed with the defaults. Measured: the last rows of
results/ of each kind. Exact: parameters and operations of the published model. Everything else is an assumption and an
option.
"""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from random_models import model_config

from cavsync.model.flops import count_parameters, encoder_flops

RESULTS = Path(__file__).parent / "results"
PUBLISHED, SHIPPED = "cav-mae-sync-base", "sync-tiny"
HOUR = 3600.0
GPUS = (1, 2, 4, 8, 16, 32, 64)
# The grid of the published size in benchmarks/real_time.py: what is embedded of each second of media.
FRAMES_PER_SECOND, AUDIO_PER_SECOND = 1.6, 5.0
Row = dict[str, Any]


@dataclass(frozen=True)
class Assumptions:
    """What is not measured; the options of the same names explain each."""

    hours: float = 1e6
    days: float = 30.0
    media_mbit: float = 4.0
    core_price: float = 0.04
    gpu_price: float = 3.0
    clips: int = 2_000_000
    epochs: int = 25
    clip_mb: float = 0.5
    node_gpus: int = 8
    node_gbyte: float = 300.0
    network_gbit: float = 400.0
    gradient_bytes: int = 4


MEANINGS = {
    "--hours": "hours of media in the archive",
    "--days": "days in which the archive is to be scored",
    "--media-mbit": "Mbit/s of a file, picture and sound together",
    "--core-price": "price of a core for an hour",
    "--gpu-price": "price of a GPU for an hour",
    "--clips": "clips of AudioSet-2M, by its name",
    "--epochs": "epochs, as CAV-MAE's script has them",
    "--clip-mb": "MB of a packed clip of ten seconds",
    "--node-gpus": "GPUs of a machine, joined by fast links",
    "--node-gbyte": "GB/s that a GPU sends and receives within its machine",
    "--network-gbit": "Gbit/s of network per GPU between machines",
    "--gradient-bytes": "bytes of a gradient on its way",
}


def rows(name: str) -> list[Row]:
    """The rows of a file of results."""
    return [json.loads(line) for line in (RESULTS / f"{name}.jsonl").read_text("utf-8").splitlines()]


def latest(name: str, **wanted: Any) -> Row:
    """The last row with these values: rows are appended as they are measured."""
    return [row for row in rows(name) if all(row.get(key) == value for key, value in wanted.items())][-1]


def cores_of(row: Row) -> int:
    """The cores of the machine that measured a row."""
    found = re.search(r"(\d+) cores", row["device"])
    assert found is not None
    return int(found[1])


@dataclass(frozen=True)
class Scoring:
    """Core seconds per second of media: in all, and for all but the model (decoding, start and opening)."""

    name: str
    total: float
    reading: float
    measured_on: str


def scorings() -> list[Scoring]:
    """The measured cases: the shipped model on a face and without, and the published size in int8."""
    cases: list[tuple[str, Row]] = [
        ("shipped model, a face in the picture", {"model": SHIPPED, "family": "face"}),
        ("shipped model, no face", {"model": SHIPPED, "family": "drummer"}),
        ("published size, int8", {"model": PUBLISHED}),
    ]
    found = []
    for name, wanted in cases:
        file, decoded = (latest("real_time", source=source, **wanted) for source in ("file", "decoded"))
        per_file, per_model = (row["seconds_per_media_second"] * cores_of(row) for row in (file, decoded))
        size = " by ".join(map(str, file["size"]))
        found.append(Scoring(name, per_file, per_file - per_model, f"{file['device']}; {size} pixels"))
    return found


def archive_on_cpus(plan: Assumptions) -> list[list[str]]:
    """Core hours and cores of scoring the archive on CPUs."""
    heads = [
        "model",
        "core s per s",
        "core hours",
        "of it reading",
        f"cores for {plan.days:g} days",
        "price",
        "measured on",
    ]
    table = [heads]
    for one in scorings():
        core_hours = plan.hours * one.total
        cores = count(math.ceil(core_hours / (plan.days * 24)))
        share, price = f"{one.reading / one.total:.0%}", count(core_hours * plan.core_price)
        table.append([one.name, f"{one.total:.3f}", count(core_hours), share, cores, price, one.measured_on])
    return table


def storage(plan: Assumptions) -> list[list[str]]:
    """What is read from the store, once."""
    petabytes = plan.hours * HOUR * plan.media_mbit / 8 / 1e9
    gbit = plan.hours * plan.media_mbit / 1000 / (plan.days * 24)
    return [["archive", f"Gbit/s for {plan.days:g} days"], [f"{petabytes:.2f} PB", f"{gbit:.1f}"]]


def archive_on_gpus(plan: Assumptions) -> list[list[str]]:
    """GPU hours of the published size by batch, the cores that decode beside a GPU, and what both cost."""
    flops = encoder_flops(model_config(PUBLISHED))
    pairs = (FRAMES_PER_SECOND * flops.visual + AUDIO_PER_SECOND * flops.audio) / (flops.visual + flops.audio)
    reading = next(one.reading for one in scorings() if one.name.startswith("published"))
    heads = [
        "measured on",
        "batch",
        "pairs/s",
        "media s per s",
        "GPU hours",
        f"GPUs for {plan.days:g} days",
        "price of GPUs",
        "price of reading",
        "price together",
    ]
    # Every file is read once, whatever computes its embeddings.
    reading_price = plan.hours * reading * plan.core_price
    table = [[*heads, "cores that read for one GPU", "Gbit/s for one GPU"]]
    for row in (one for one in rows("encoders_gpu") if one["model"] == PUBLISHED):
        rate = row["pairs_per_second"] / pairs
        gpu_hours = plan.hours / rate
        gpus = count(math.ceil(gpu_hours / (plan.days * 24)))
        work = [row["device"], str(row["batch"]), count(row["pairs_per_second"]), count(rate), count(gpu_hours)]
        cores, gbit = count(math.ceil(rate * reading)), f"{rate * plan.media_mbit / 1000:.2f}"
        gpu_price = gpu_hours * plan.gpu_price
        prices = [count(price) for price in (gpu_price, reading_price, gpu_price + reading_price)]
        table.append([*work, gpus, *prices, cores, gbit])
    return table


def exchange_seconds(plan: Assumptions, gpus: int, gradient_bytes: float) -> float:
    """Seconds of a ring all-reduce: each GPU sends 2 (N - 1) / N of the gradients, over the slowest link."""
    link = plan.node_gbyte if gpus <= plan.node_gpus else min(plan.node_gbyte, plan.network_gbit / 8)
    return 2 * (gpus - 1) / gpus * gradient_bytes / (link * 1e9)


def pretraining(plan: Assumptions, variant: str) -> list[list[str]]:
    """Time of pretraining by GPUs: the measured step, then the exchange of gradients, which may overlap with it."""
    step = latest("train_step", variant=variant, batch=256, dtype="bf16")
    loader = latest("loader")["samples_per_second_per_core"]["log-mel left to the device"]
    parameters = sum(part.trained for part in count_parameters(model_config(PUBLISHED)).values())
    gradient_bytes = float(parameters * plan.gradient_bytes)
    step_seconds = step["p50_ms"] / 1000
    heads = ["GPUs", "clips per step", "exchange ms", "share of the step", "clips/s", "hours", "GPU hours", "price"]
    table = [[*heads, "cores that load", "Gbit/s of storage"]]
    for gpus in GPUS:
        exchange = exchange_seconds(plan, gpus, gradient_bytes)
        share = step_seconds / (step_seconds + exchange)
        rate = gpus * step["batch"] / (step_seconds + exchange)
        hours = plan.clips * plan.epochs / rate / HOUR
        speed = [str(gpus), count(gpus * step["batch"]), f"{1000 * exchange:.1f}", f"{share:.0%}", count(rate)]
        time = [f"{hours:.2f}", count(hours * gpus), count(hours * gpus * plan.gpu_price)]
        table.append([*speed, *time, count(math.ceil(rate / loader)), f"{rate * plan.clip_mb * 8 / 1000:.1f}"])
    return table


def traffic(plan: Assumptions) -> list[list[str]]:
    """The inputs of the pretraining table."""
    step = latest("train_step", variant="packed", batch=256, dtype="bf16")
    parameters = sum(part.trained for part in count_parameters(model_config(PUBLISHED)).values())
    loader = latest("loader")
    rate = loader["samples_per_second_per_core"]["log-mel left to the device"]
    return [
        ["input of pretraining", "value", "from"],
        ["step of 256 clips", f"{step['p50_ms']:.1f} ms", f"train_step.jsonl, packed, {step['device']}"],
        ["loader", f"{rate:.1f} clips/s per core", f"loader.jsonl, {loader['device']}"],
        ["trained parameters", count(parameters), "the published model, counted"],
        [
            "gradients of a step",
            f"{parameters * plan.gradient_bytes / 1e6:,.0f} MB",
            f"{plan.gradient_bytes} bytes each",
        ],
    ]


def assumptions(plan: Assumptions) -> list[list[str]]:
    """The assumptions with their options."""
    found = [
        [meaning, f"{value:,g}" if value < 1e6 else f"{value:,.0f}", f"`{option}`"]
        for (option, meaning), value in zip(MEANINGS.items(), vars(plan).values(), strict=True)
    ]
    return [["assumption", "value", "option"], *found]


def count(value: float) -> str:
    """A number with three significant digits and separators; whole below a thousand."""
    if value < 1000:
        return f"{value:,.1f}" if value < 10 and isinstance(value, float) else f"{value:,.0f}"
    digits = 2 - math.floor(math.log10(value))
    return f"{round(value, digits):,.0f}"


def markdown(table: Iterable[Sequence[str]]) -> str:
    """A Markdown table, its first row the heads."""
    heads, *body = ["| " + " | ".join(row) + " |" for row in table]
    return "\n".join([heads, "|" + "---|" * (heads.count("|") - 1), *body])


TABLES: tuple[Callable[[Assumptions], list[list[str]]], ...] = (
    assumptions,
    archive_on_cpus,
    storage,
    archive_on_gpus,
    traffic,
    lambda plan: pretraining(plan, "packed"),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for (option, meaning), value in zip(MEANINGS.items(), vars(Assumptions()).values(), strict=True):
        parser.add_argument(option, type=type(value), default=value, help=meaning)
    plan = Assumptions(**vars(parser.parse_args(arguments)))
    print("\n\n".join(markdown(table(plan)) for table in TABLES))


if __name__ == "__main__":
    main()
