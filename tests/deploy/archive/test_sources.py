"""The files of an archive come from folders, lists, tables and object stores; each stands in it once."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cavsync.deploy.archive.sources import Source, find_sources
from cavsync.deploy.archive.storage import Version, opened
from cavsync.errors import CavsyncError, ConfigError, DataError, MediaError

fsspec = pytest.importorskip("fsspec", reason="archives need the extra 'ray'")


def names(src: Path | str, column: str = "path") -> list[str]:
    return [source.name for source in find_sources(str(src), column).sources]


def test_a_folder_without_hidden_files(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [str(clips / name) for name in ("a.mkv", "b.mkv", "more/a.mkv")]
    assert names(clips) == wanted
    monkeypatch.chdir(clips.parent)
    assert names("clips") == wanted
    assert names("clips/b.mkv") == wanted[1:2]
    found = (clips / "a.mkv").stat()
    assert find_sources("clips", "path").sources[0].version == Version(found.st_size, str(found.st_mtime_ns))


def test_lists_and_tables_name_each_file_once(clips: Path, tmp_path: Path) -> None:
    listed = ["b.mkv", str(tmp_path / "b.mkv"), str(clips / "a.mkv"), "https://host/x.mp4"]
    wanted = sorted([str(clips / "a.mkv"), str(tmp_path / "b.mkv"), "https://host/x.mp4"])
    (tmp_path / "list.txt").write_text("# comment\n\n" + "\n".join(listed) + "\n")
    (tmp_path / "table.csv").write_text("id,file\n" + "".join(f"1,{name}\n" for name in listed))
    pq.write_table(pa.table({"file": [*listed, None]}), tmp_path / "table.parquet")
    assert names(tmp_path / "list.txt") == wanted
    assert names(tmp_path / "table.csv", "file") == wanted
    assert names(tmp_path / "table.parquet", "file") == wanted


def test_names_that_are_no_text_are_kept(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"caf\xe9.mkv\n")
    assert names(tmp_path / "list.txt") == [os.fsdecode(bytes(tmp_path) + b"/caf\xe9.mkv")]


@pytest.mark.parametrize(
    ("name", "content", "kind", "words"),
    [
        ("nothing", None, ConfigError, "is not a folder, list or table"),
        ("notes.md", b"", ConfigError, "is not a folder, list or table"),
        ("table.csv", b"id\n1\n", ConfigError, "has no column path, but id"),
        ("table.parquet", b"PAR1", DataError, "is not a Parquet file"),
        ("list.txt", b"", MediaError, "holds no media file"),
        ("unknown://x/y", None, ConfigError, "cannot be read"),
        ("gs://bucket/clips", None, ConfigError, "pip install gcsfs"),
    ],
)
def test_what_is_no_archive_is_one_sentence(
    tmp_path: Path, name: str, content: bytes | None, kind: type[CavsyncError], words: str
) -> None:
    if name.startswith("gs:"):
        try:
            import gcsfs  # noqa: F401
        except ImportError:
            pass
        else:
            pytest.skip("gcsfs is installed")
    src = name if "://" in name else str(tmp_path / name)
    if content is not None:
        Path(src).write_bytes(content)
    with pytest.raises(kind, match=words) as caught:
        find_sources(src, "path")
    assert "\n" not in str(caught.value)


def test_a_web_server_that_lists_its_folders(web: str, clips: Path) -> None:
    assert names(f"{web}/") == [f"{web}/a.mkv", f"{web}/b.mkv", f"{web}/more/a.mkv"]
    assert names(f"{web}/more/a.mkv") == [f"{web}/more/a.mkv"]
    with opened(f"{web}/b.mkv", lambda: None) as (file, version):
        assert file is not None
        assert file.read() == (clips / "b.mkv").read_bytes()
        assert version.size_bytes == (clips / "b.mkv").stat().st_size


def test_what_a_server_does_not_have_is_an_error_of_that_file(web: str) -> None:
    with pytest.raises(MediaError, match="cannot be read"), opened(f"{web}/none.mkv", lambda: None):
        pass


def test_an_address_of_another_kind_costs_itself() -> None:
    for address in ("htp://a/b.mkv", "rtsp://camera/1"):
        with pytest.raises(MediaError, match=address.partition(":")[0]), opened(address, lambda: None):
            pass


def test_addresses_with_passwords_are_refused(tmp_path: Path) -> None:
    """They would stand in tables and reports; the sentence does not show them either."""
    (tmp_path / "list.txt").write_text("http://user:secret@host/a.mkv\n")
    for src in (str(tmp_path / "list.txt"), "http://host/a.mkv?signature=secret"):
        with pytest.raises(ConfigError, match="has a password or a key in it") as caught:
            find_sources(src, "path")
        assert "secret" not in str(caught.value)


def test_versions_differ_where_both_are_known() -> None:
    assert Version(1, "a").differs(Version(1, "b"))
    assert Version(1).differs(Version(2, "a"))
    assert not Version(1, "a").differs(Version(None, None))
    assert not Source("x").version.differs(Version(1, "a"))
