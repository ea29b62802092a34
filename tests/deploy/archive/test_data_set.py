"""The tables of an archive hold every file once, whatever ended the process that wrote them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from cavsync.deploy.archive import data_set as module
from cavsync.deploy.archive.data_set import NOTE, DataSet, data_set
from cavsync.deploy.archive.rows import FileRows, failed
from cavsync.deploy.archive.sources import Source
from cavsync.deploy.archive.storage import Version
from cavsync.deploy.archive.tables import TABLES
from cavsync.errors import ConfigError, DataError

SETTINGS: dict[str, Any] = {
    "version of cavsync": "1",
    "bundle": {"name": "b", "precision": "fp32", "sha256": "00"},
    "--engine": "onnxruntime",
}
SOURCES = [Source(f"/clips/{number}.mkv", Version(number, "t")) for number in range(7)]


def rows(source: Source, offset_ms: float = 0.0, state: str = "in_sync") -> FileRows:
    verdict = {"source": source.row_name, "size_bytes": source.version.size_bytes, "etag": source.version.etag}
    verdict |= {"state": state, "audio_offset_ms": offset_ms, "within_profile": state == "in_sync"}
    windows = [{"source": source.row_name, "time_seconds": time, "state": state} for time in (2.0, 2.5)]
    return FileRows(verdict, windows, [{"source": source.row_name, "start": 0.0, "state": state}])


def fill(folder: Path, sources: Iterable[Source], *, resume: bool = False, src: str = "SRC") -> list[Source]:
    """Score what the data set does not have, in parts of three files; returns these sources."""
    with data_set(folder, src, SETTINGS, resume=resume) as data:
        wanted = data.wanted(sources)
        for count, source in enumerate(wanted, start=1):
            data.add(rows(source))
            if count % 3 == 0:
                data.flush()
    return wanted


def counts(folder: Path) -> list[Counter[str]]:
    return [Counter(pq.read_table(folder / table).column("source").to_pylist()) for table in TABLES]


def require_whole(folder: Path, sources: Iterable[Source]) -> None:
    names = {source.name for source in sources}
    assert counts(folder) == [Counter(dict.fromkeys(names, times)) for times in (1, 2, 1)]


def test_every_file_stands_in_it_once(tmp_path: Path) -> None:
    assert fill(tmp_path / "out", SOURCES[:5]) == SOURCES[:5]
    assert fill(tmp_path / "out", SOURCES, resume=True) == SOURCES[5:]
    assert fill(tmp_path / "out", SOURCES, resume=True) == []
    require_whole(tmp_path / "out", SOURCES)
    table = pq.read_table(tmp_path / "out" / "verdicts")
    assert set(table.column("bundle_sha256").to_pylist()) == {"00"}
    assert b'"source": "SRC"' in table.schema.metadata[b"cavsync"]


def test_changed_and_failed_files_are_scored_again(tmp_path: Path) -> None:
    out = tmp_path / "a=b" / "out"
    with data_set(out, "SRC", SETTINGS, resume=False) as data:
        for source in SOURCES[:3]:
            data.add(rows(source))
        data.add(failed(SOURCES[3], "no"))
        assert data.num_files == 4
    changed = [Source(SOURCES[0].name, Version(99, "t")), Source(SOURCES[1].name), *SOURCES[2:4]]
    assert fill(out, changed, resume=True) == [changed[0], SOURCES[3]]
    require_whole(out, SOURCES[:4])
    sizes = {row["source"]: row["size_bytes"] for row in pq.read_table(out / "verdicts").to_pylist()}
    assert sizes[SOURCES[0].name] == 99


@pytest.mark.parametrize("table", TABLES)
def test_a_process_that_ends_within_a_part_leaves_none_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    """Whichever table was being written, also while old rows were taken out."""
    fill(tmp_path / "out", SOURCES[:4])
    plain = DataSet._write

    def write(self: DataSet, name: str, *rest: Any) -> None:
        if name == table:
            raise KeyboardInterrupt
        plain(self, name, *rest)

    changed = [Source(SOURCES[0].name, Version(99, "t")), *SOURCES[1:]]
    for sources in (SOURCES, changed):
        with monkeypatch.context() as patch:
            patch.setattr(DataSet, "_write", write)
            with pytest.raises(KeyboardInterrupt):
                fill(tmp_path / "out", sources, resume=True)
    assert (tmp_path / "out" / NOTE).exists()
    fill(tmp_path / "out", changed, resume=True)
    require_whole(tmp_path / "out", SOURCES)
    assert not (tmp_path / "out" / NOTE).exists()


def test_parts_are_written_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with data_set(tmp_path / "out", "SRC", SETTINGS, resume=False) as data:
        data.add(rows(SOURCES[0]))
        data.flush_if_due()
        assert list(data.verdicts(["source"])) == []
        monkeypatch.setattr(module, "PART_SECONDS", 0.0)
        data.flush_if_due()
        assert [row["source"] for row in data.verdicts(["source"])] == [SOURCES[0].name]
        monkeypatch.setattr(module, "PART_WINDOWS", 4)
        data.add(rows(SOURCES[1]))
        data.add(rows(SOURCES[2]))
        assert len(list(data.verdicts(["source"]))) == 3


def test_nothing_else_is_mixed_in(tmp_path: Path) -> None:
    out = tmp_path / "out"
    fill(out, SOURCES[:2])
    other = {**SETTINGS, "bundle": {**SETTINGS["bundle"], "sha256": "01"}, "--engine": "openvino"}
    with pytest.raises(ConfigError, match=r"another --engine and bundle: "), data_set(out, "SRC", other, resume=True):
        pass
    with pytest.raises(ConfigError, match="another SRC"):
        fill(out, SOURCES, resume=True, src="elsewhere")
    with pytest.raises(ConfigError, match="holds an archive already: continue with --resume"):
        fill(out, SOURCES)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").touch()
    with pytest.raises(ConfigError, match="holds other files"):
        fill(tmp_path / "notes", SOURCES, resume=True)
    with data_set(out, "SRC", SETTINGS, resume=True), pytest.raises(DataError, match="by another process"):
        fill(out, SOURCES, resume=True)
    require_whole(out, SOURCES[:2])


def test_damage_is_named(tmp_path: Path) -> None:
    fill(tmp_path, SOURCES[:2])
    part = tmp_path / "verdicts" / "part-000001.parquet"
    part.write_bytes(b"PAR1")
    with pytest.raises(
        DataError, match=r"part-000001\.parquet is damaged: delete .*verdicts.part-000001\.parquet, and --resume"
    ):
        fill(tmp_path, SOURCES[:2], resume=True)
    part.unlink()
    fill(tmp_path, SOURCES[:2], resume=True)
    require_whole(tmp_path, SOURCES[:2])
    (tmp_path / "archive.json").write_text("{}")
    with pytest.raises(DataError, match=r"archive\.json is damaged"):
        fill(tmp_path, SOURCES, resume=True)


@pytest.mark.parametrize("table", TABLES)
def test_a_part_without_one_of_its_tables_is_scored_again(tmp_path: Path, table: str) -> None:
    """Also while a note says that rows of it are to be taken out; names that are no parts are left alone."""
    fill(tmp_path, SOURCES[:5])
    (tmp_path / "verdicts" / "part-x.parquet").touch()
    (tmp_path / table / "part-000001.parquet").unlink()
    (tmp_path / NOTE).write_text(json.dumps({SOURCES[0].name: "part-000001.parquet"}))
    assert fill(tmp_path, SOURCES[:5], resume=True) == SOURCES[:3]
    (tmp_path / "verdicts" / "part-x.parquet").unlink()
    require_whole(tmp_path, SOURCES[:5])


def test_failed_files_that_were_left_out_are_forgotten(tmp_path: Path) -> None:
    with data_set(tmp_path, "SRC", SETTINGS, resume=False) as data:
        data.add(rows(SOURCES[0]))
        data.add(rows(SOURCES[1]))
        data.add(failed(SOURCES[2], "no"))
    assert fill(tmp_path, SOURCES[:1], resume=True) == []
    require_whole(tmp_path, SOURCES[:2])


def test_a_file_under_another_name_is_not_scored_again(tmp_path: Path) -> None:
    """A link that sorts before the file, and a link that has taken the place of another file that has rows."""
    (tmp_path / "b.mkv").touch()
    (tmp_path / "c.mkv").touch()
    sources = [Source(str(tmp_path / name), Version(1, "t")) for name in ("b.mkv", "c.mkv")]
    fill(tmp_path / "out", sources)
    (tmp_path / "a.mkv").symlink_to("b.mkv")
    link = Source(str(tmp_path / "a.mkv"), Version(1, "t"))
    assert fill(tmp_path / "out", [link, sources[1]], resume=True) == []
    require_whole(tmp_path / "out", sources)
    (tmp_path / "c.mkv").unlink()
    (tmp_path / "c.mkv").symlink_to("b.mkv")
    assert fill(tmp_path / "out", [link], resume=True) == []
    require_whole(tmp_path / "out", sources[:1])
    changed = Source(link.name, Version(2, "t"))
    assert fill(tmp_path / "out", [changed], resume=True) == [changed]
    require_whole(tmp_path / "out", [link])


def test_names_that_look_alike_have_rows_of_their_own(tmp_path: Path) -> None:
    r"""A byte that is no UTF-8, and a name that reads like its escape."""
    sources = [Source(name, Version(1, "t")) for name in ("/caf\udce9.mkv", "/caf\\xe9.mkv", "/caf\\x5cxe9.mkv")]
    assert fill(tmp_path, sources) == sources
    assert fill(tmp_path, sources, resume=True) == []
    names = pq.read_table(tmp_path / "verdicts").column("source").to_pylist()
    assert sorted(names) == [r"/caf\x5cx5cxe9.mkv", r"/caf\x5cxe9.mkv", r"/caf\xe9.mkv"]


@pytest.mark.parametrize("table", TABLES)
def test_other_columns_are_refused(tmp_path: Path, table: str) -> None:
    fill(tmp_path, SOURCES[:2])
    part = tmp_path / table / "part-000001.parquet"
    pq.write_table(pq.read_table(part).drop_columns(["state"]), part)
    with pytest.raises(DataError, match="has other columns than this version writes"):
        fill(tmp_path, SOURCES, resume=True)


def test_an_archive_without_a_row_takes_other_options(tmp_path: Path) -> None:
    with data_set(tmp_path, "SRC", SETTINGS, resume=False):
        pass
    other = {**SETTINGS, "--engine": "openvino"}
    with data_set(tmp_path, "SRC", other, resume=False) as data:
        data.add(rows(SOURCES[0]))
    with pytest.raises(ConfigError, match="another --engine"):
        fill(tmp_path, SOURCES, resume=True)
