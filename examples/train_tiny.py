"""Train a small model on a folder of clips that are in sync; needs cavsync[train].

    cavsync data synth clips --clips 160
    python train_tiny.py clips run [OPTION=VALUE ...]

An option of the preset is changed by its name, such as max_steps=20. Repeat the command to resume a run that was ended.
"""

import json
import sys
from pathlib import Path

from cavsync.train import Trainer, override, preset


def report(step: int, num_steps: int, progress: float, metrics: dict[str, float]) -> None:
    """Called after every step."""
    if step % 10 == 0 or step == num_steps:
        print(f"step {step} of {num_steps}, loss {metrics['loss']:.3f}", flush=True)


# Clips are decoded in processes of their own, which import this file again: only the first may train.
if __name__ == "__main__":
    clips, run = Path(sys.argv[1]), Path(sys.argv[2])
    values = dict(argument.split("=", 1) for argument in sys.argv[3:])
    model, config = override(*preset("demo"), {name: json.loads(value) for name, value in values.items()})
    result = Trainer(model, config, run, report=report).run(clips, resume=run.exists())
    for name, value in result.metrics.items():
        print(f"{name} {value:.4g}")
