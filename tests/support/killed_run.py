"""A run that is repeatedly killed and restarted.

The parent imports everything and computes nothing, so that a forked child trains within a fraction of a second.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

from talking_clips import open_finder

from cavsync.train import Trainer, override, preset

NUM_STEPS = 160
OPTIONS: dict[str, Any] = {
    "precision": "32-true",
    "accelerator": "cpu",
    "workers": 0,
    "cache_clips": False,
    "log_every_steps": 1,
    "checkpoint_every_steps": 2,
    "keep_checkpoints": 2,
    "max_steps": NUM_STEPS,
    "ema_decay": 0.9,
    "learning_rate": 1e-3,
    "validate_every_steps": 3,
}
TEACHER_OPTIONS: dict[str, Any] = {
    "contrast_mask": "teacher",
    "teacher_decay": 0.6,
    "teacher_decay_end": 0.99,
    "distil_loss_weight": 0.1,
}
FACE_OPTIONS: dict[str, Any] = {
    "batch_clips": 2,
    "window_frames": 34,
    "embed_dim": 8,
    "landmark_members": 2,
    "mouth_channels": (2, 2, 2),
    "mouth_width": 4,
    "width": 8,
    "group_offsets_share": 0.5,
}
# Audit events of operations that change files or folders.
FILE_EVENTS = frozenset(("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir"))
# Every fourth kill falls into the temporary folder of a checkpoint.
KILLS_PER_CHECKPOINT_KILL = 4


def train(data: Path, run_dir: Path, preset_name: str) -> int:
    """Train to the end and return the last step."""
    options = OPTIONS | (FACE_OPTIONS if preset_name == "sync-face" else TEACHER_OPTIONS)
    trainer = Trainer(*override(*preset(preset_name), options), run_dir, open_finder=open_finder)
    return trainer.run(data, resume=True).state.step


def die_at_file_event(part_of_path: str, number: int) -> None:
    """Send this process SIGKILL at its `number`-th operation on a path that contains `part_of_path`."""
    left = [number]

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event in FILE_EVENTS and arguments and part_of_path in str(arguments[0]):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def start_and_kill(
    data: Path, run_dir: Path, preset_name: str, random_source: random.Random, *, in_checkpoint: bool
) -> tuple[bool, bool]:
    """Start the run once; kill it at a random time or a random file operation, or let it finish.

    Args:
        in_checkpoint: choose an operation in the temporary folder of a checkpoint.

    Returns whether it was killed, and whether a checkpoint was being written then.
    """
    at_file_event = in_checkpoint or random_source.random() < 0.6
    child = os.fork()
    if child == 0:
        try:
            if in_checkpoint:
                # The first operation creates the folder.
                die_at_file_event(str(run_dir / "checkpoints" / ".cavsync-"), random_source.randint(2, 5))
            elif at_file_event:
                die_at_file_event(str(run_dir), random_source.randint(1, 60))
            train(data, run_dir, preset_name)
        finally:
            os._exit(0)
    if not at_file_event:
        time.sleep(random_source.uniform(0.2, 1.5))
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status), any((run_dir / "checkpoints").glob(".cavsync-*"))


def main(data: str, run_dir: str, kills: str, preset_name: str = "debug") -> None:
    """Kill the run the given number of times, then let it finish; print all kills and those during a checkpoint."""
    random_source = random.Random(7)
    killed = in_checkpoint = 0
    while killed < int(kills):
        in_folder = killed % KILLS_PER_CHECKPOINT_KILL == 0
        was_killed, was_writing = start_and_kill(
            Path(data), Path(run_dir), preset_name, random_source, in_checkpoint=in_folder
        )
        killed, in_checkpoint = killed + was_killed, in_checkpoint + (was_killed and was_writing)
        if not was_killed:
            break
    train(Path(data), Path(run_dir), preset_name)
    sys.stdout.write(f"{killed} {in_checkpoint}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
