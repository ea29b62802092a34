"""How commands end: their exit statuses, and the one place that turns an error into a line on stderr."""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, NoReturn

import click

from cavsync.errors import CavsyncError, ConfigError
from cavsync.file_names import printable


class ExitStatus(IntEnum):
    """Exit statuses shared by every command."""

    SUCCESS = 0
    FAILURE = 1
    USAGE = 2
    CHECK_FAILED = 3


# A process that a signal ended has this plus the signal's number as its status, as in a shell.
SIGNAL_BASE = 128

# What click raises for a group without a command; before click 8.2 that was no error.
NO_COMMAND: Any = getattr(click.exceptions, "NoArgsIsHelpError", ())

# Top-level module -> the extra that installs it.
EXTRAS = dict.fromkeys(
    ("torch", "torchaudio", "lightning_fabric", "safetensors", "scipy", "tensorboard", "triton", "xformers"), "train"
)
EXTRAS |= dict.fromkeys(("onnx", "onnxscript", "tritonclient"), "export")
EXTRAS |= dict.fromkeys(("openvino", "nncf"), "openvino")
EXTRAS |= dict.fromkeys(("fastapi", "uvicorn", "prometheus_client", "python_multipart", "websockets"), "serve")
EXTRAS |= dict.fromkeys(("tensorrt_rtx", "cuda"), "trt")
EXTRAS["tensorrt"] = "tensorrt"
EXTRAS |= dict.fromkeys(("aiohttp", "fsspec", "psutil", "ray", "s3fs"), "ray")
EXTRAS["pyarrow"] = "parquet"
EXTRAS["cv2"] = "av-align"


class TerminatedError(KeyboardInterrupt):
    """SIGTERM in a block of `stopped_by_signals`."""


@contextmanager
def stopped_by_signals(outcome: str = "") -> Iterator[Callable[[], None]]:
    """Let SIGTERM end the block as Ctrl-C does, so that what was done is kept; the command's status is then 143.

    Yields a function to call often, which raises again after a signal: an exception that a signal raises inside a
    callback of a library never arrives. `outcome` says what became of the work, if that is the same wherever the signal
    comes.
    """
    received: list[type[KeyboardInterrupt]] = []

    def stop(number: int, frame: object) -> None:
        del frame
        received.append(TerminatedError if number == signal.SIGTERM else KeyboardInterrupt)
        raise received[-1]

    def check() -> None:
        if received:
            raise received[0]

    # Whoever started the command may have chosen to have a signal ignored.
    numbers = (number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield check
    except KeyboardInterrupt as interrupt:
        if outcome:
            raise type(interrupt)(outcome) from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class ErrorHandlingGroup(click.Group):
    """The root of a command tree: errors of any command below it end the process with a line and a status."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Parse the root's own options."""
        with _errors_end_the_process():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Parse the options of the command and run it."""
        with _errors_end_the_process():
            return super().invoke(ctx)


@contextmanager
def _errors_end_the_process() -> Iterator[None]:
    """Print expected errors as one line and exit; any other exception is a defect and keeps its traceback.

    click itself ends a command quietly, with status 1, when the reader of its output is gone.
    """
    try:
        yield
    except click.ClickException as error:
        _end_by_click(error)
    except CavsyncError as error:
        print_error(str(error))
        sys.exit(ExitStatus.USAGE if isinstance(error, ConfigError) else ExitStatus.FAILURE)
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        print_error(f"this command needs {error.name}: pip install 'cavsync[{extra}]'")
        sys.exit(ExitStatus.FAILURE)
    except OSError as error:
        # A closed pipe is click's to handle; an error that no file or disk caused is a defect.
        if error.errno == errno.EPIPE or (error.filename is None and error.errno != errno.ENOSPC):
            raise
        logging.getLogger(__name__).info("where it happened:", exc_info=True)
        name = f"{error.filename} cannot be used" if error.filename else "a file cannot be written"
        print_error(f"{name} ({error.strerror}): check the path, its permissions and the free space")
        sys.exit(ExitStatus.FAILURE)
    except KeyboardInterrupt as interrupt:
        # Commands that keep or discard unfinished work raise it again with a note that says so.
        number = signal.SIGTERM if isinstance(interrupt, TerminatedError) else signal.SIGINT
        end_by_signal(number, ": ".join(["interrupted", *map(str, interrupt.args)]))


def _end_by_click(error: click.ClickException) -> NoReturn:
    message = error.format_message()
    if isinstance(error, NO_COMMAND):
        # The message is the group's help.
        end(ExitStatus.USAGE, message)
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = "" if context is None else f" (see {context.command_path} --help)"
    takes_names = context is not None and any(isinstance(one, click.Argument) for one in context.command.params)
    if isinstance(error, click.NoSuchOption) and takes_names:
        hint = f"; put -- before a file name that begins with a dash{hint}"
    print_error(message.rstrip(".") + hint)
    sys.exit(error.exit_code)


def print_error(message: str) -> None:
    """Print `message` as one line on stderr."""
    click.echo(printable(f"error: {' '.join(part.strip() for part in message.splitlines())}"), err=True)


def end(status: int, message: str = "") -> NoReturn:
    """End the command with `status`, after printing `message` on stderr if there is one."""
    if message:
        click.echo(message, err=True)
    sys.exit(status)


def end_by_signal(number: int, message: str, *, at_once: bool = False) -> NoReturn:
    """End the command as one that signal `number` stopped: status 130 for SIGINT, 143 for SIGTERM.

    at_once: without shutting Python down; everything must have been written and closed.
    """
    if at_once:
        click.echo(message, err=True)
        sys.stdout.flush()
        os._exit(SIGNAL_BASE + number)
    end(SIGNAL_BASE + number, message)
