"""Score a file in a separate process, because it may have crashed one before."""

from __future__ import annotations

import multiprocessing
import signal
from multiprocessing.connection import Connection
from pathlib import Path

from cavsync.deploy.files.score_file import FileFailure, Outcome, score_file
from cavsync.deploy.runtime.bundle import Bundle
from cavsync.deploy.runtime.engine_keywords import EngineKeywords
from cavsync.deploy.stream.options import ScoringOptions
from cavsync.errors import CavsyncError
from cavsync.file_names import legible
from cavsync.worker_process import leave_stopping_to_parent


def score_apart(
    source: str, bundle: Path, engine: EngineKeywords, options: ScoringOptions, *, keep_picture: bool = False
) -> Outcome:
    """Score `source` as `score_file` does, with the bundle opened from its folder; a crash is a `FileFailure`.

    Any exception here, KeyboardInterrupt included, ends the process.
    """
    # A fork would inherit the locks of the engine's threads.
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    arguments = (sender, source, bundle, engine, options, keep_picture)
    process = context.Process(target=_send_outcome, args=arguments, daemon=True)
    try:
        process.start()
        sender.close()
        outcome: Outcome = receiver.recv()
    except EOFError:
        process.join()
        return FileFailure(legible(source), legible(f"{source} {end_of_process(process.exitcode)}"))
    finally:
        receiver.close()
        if process.pid is not None:
            process.kill()
            process.join()
    return outcome


def _send_outcome(
    sender: Connection, source: str, bundle: Path, engine: EngineKeywords, options: ScoringOptions, keep_picture: bool
) -> None:
    leave_stopping_to_parent()
    try:
        sender.send(score_file(source, Bundle.open(bundle, **engine), options, keep_picture=keep_picture))
    except CavsyncError as error:
        sender.send(FileFailure(legible(source), str(error)))


def end_of_process(status: int | None) -> str:
    """Return a clause on a file that ended the process which scored it; `status` is negative after a signal."""
    number = -(status or 0)
    try:
        cause = signal.Signals(number).name
    except ValueError:
        cause = f"status {status}"
    return (
        f"ends the process that scores it ({cause}), through a fault of a library or a lack of memory: "
        "convert the file, or leave it out"
    )
