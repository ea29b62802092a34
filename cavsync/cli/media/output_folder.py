"""A folder that receives one file per input; repeating the same command writes the missing ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import click

from cavsync.cli.errors import ExitStatus, end, print_error, stopped_by_signals
from cavsync.file_names import legible, printable

Check = Callable[[], None]


def media_places(inputs: Sequence[str]) -> dict[str, PurePath]:
    """Return the media files of the inputs, each with its name, or its path below the folder that was given."""
    from cavsync.cli.score import media_files

    return {
        source: Path(source).relative_to(given) if source != given else Path(Path(source).name)
        for given in inputs
        for source in media_files([given])
    }


@dataclass(frozen=True)
class OutputFolder:
    """The folder `path` of a command that writes `holds`, such as "features".

    `provenance_name` is a JSON file in it with the `model` and `options` that made its files, and with versions.
    """

    path: Path
    holds: str
    provenance_name: str
    model: dict[str, Any]
    options: dict[str, Any]

    @property
    def provenance(self) -> dict[str, Any]:
        """Content of the JSON file."""
        from importlib.metadata import version

        packages = {name: version(name) for name in ("cavsync", "numpy", "av")}
        return {"model": self.model, "options": self.options, "versions": packages}

    def write_all(
        self, places: Mapping[str, PurePath], kind: str, write: Callable[[str, Path, Any, Check], None]
    ) -> None:
        """Call `write(source, target, provenance, check)` for each source that has no target yet, or an older one.

        `places` are the sources with their places in this folder; `kind` is the ending of the targets. `check` raises
        KeyboardInterrupt after a signal. A source that cannot be used is named on the terminal, and the command then
        ends with status 1.

        Raises ConfigError for a folder of something else, and for two sources of one place.
        """
        from cavsync.atomic import only_writer, remove_leftovers
        from cavsync.errors import MediaError

        sources = self._targets(places, kind)
        self._claim()
        failed = 0
        try:
            with stopped_by_signals() as check, only_writer(self.path):
                for folder in {self.path, *(target.parent for target in sources.values())}:
                    remove_leftovers(folder)
                for source, target in sources.items():
                    try:
                        if not _is_up_to_date(target, source):
                            target.parent.mkdir(parents=True, exist_ok=True)
                            write(source, target, {**self.provenance, "source": legible(source)}, check)
                    except MediaError as error:
                        print_error(str(error))
                        failed += 1
        except KeyboardInterrupt as interrupt:
            raise type(interrupt)(f"{self._count(sources)}; the same command continues with the rest") from None
        click.echo(self._count(sources))
        if failed:
            end(ExitStatus.FAILURE)

    def _count(self, sources: dict[str, Path]) -> str:
        written = sum(target.is_file() for target in sources.values())
        return printable(f"{written} of {len(sources)} inputs are in {self.path}")

    def _targets(self, places: Mapping[str, PurePath], kind: str) -> dict[str, Path]:
        from cavsync.errors import ConfigError

        found: dict[str, Path] = {}
        owners: dict[Path, str] = {}
        for source, inside in places.items():
            target = found[source] = self.path / inside.with_name(f"{inside.name}.{kind}")
            if owners.setdefault(target, source) != source:
                raise ConfigError(
                    f"{owners[target]} and {source} would both become {target}: write them into two folders"
                )
        return found

    def _claim(self) -> None:
        """Accept a new folder, or one that this model wrote with these options; ConfigError for any other."""
        import json

        from cavsync.atomic import is_leftover, require_new_folder, write_text_atomically
        from cavsync.errors import ConfigError

        path, provenance = self.path / self.provenance_name, self.provenance
        if not path.is_file():
            # A killed command may have left an unfinished provenance.
            if not self.path.is_dir() or not all(is_leftover(entry.name) for entry in self.path.iterdir()):
                require_new_folder(self.path, "choose another --out, or one that the same command began")
            self.path.mkdir(parents=True, exist_ok=True)
            write_text_atomically(path, json.dumps(provenance, indent=1) + "\n")
            return
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise ConfigError(f"{path} is damaged: choose another --out") from None
        for part in ("model", "options"):
            if found.get(part) != provenance[part]:
                raise ConfigError(f"{self.path} holds {self.holds} by another {part.rstrip('s')}: choose another --out")


def _is_up_to_date(target: Path, source: str) -> bool:
    """Whether the target is there and no older than its source, or than the source's name, which a move renews."""
    if not target.is_file():
        return False
    if not Path(source).is_file():
        # The clip of a shard, or an address.
        return True
    status = Path(source).stat()
    return max(status.st_mtime, status.st_ctime) <= target.stat().st_mtime
