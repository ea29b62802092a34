"""Lists and tables hold names as text; what holds something else is one sentence, and no row."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cavsync.deploy.archive.addresses import shown
from cavsync.deploy.archive.sources import find_sources
from cavsync.errors import CavsyncError, ConfigError, DataError, MediaError


def names(src: Path | str, column: str = "path") -> list[str]:
    return [source.name for source in find_sources(str(src), column).sources]


def parquet(path: Path, column: pa.Array) -> Path:
    pq.write_table(pa.table({"path": column}), path)
    return path


NAMES = ["/b.mkv", None, "/a.mkv", ""]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(NAMES),
        pa.array(NAMES, pa.large_string()),
        pa.array(NAMES, pa.string_view()),
        pa.array(NAMES).dictionary_encode(),
    ],
    ids=lambda column: str(column.type),
)
def test_columns_of_text(tmp_path: Path, column: pa.Array) -> None:
    assert names(parquet(tmp_path / "table.parquet", column)) == ["/a.mkv", "/b.mkv"]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([b"/a.mkv"], "binary"),
        ([{"path": "/a.mkv"}], "struct"),
        ([["/a.mkv"]], "list"),
        ([1], "int64"),
        (pa.array([b"/a.mkv"]).dictionary_encode(), "dictionary"),
    ],
)
def test_columns_of_something_else(tmp_path: Path, values: Any, kind: str) -> None:
    with pytest.raises(
        ConfigError, match=f"^column path of .*table.parquet holds {kind} values: name a column of text"
    ):
        names(parquet(tmp_path / "table.parquet", pa.array(values)))


def test_a_column_without_any_name_holds_no_file(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="holds no media file"):
        names(parquet(tmp_path / "table.parquet", pa.nulls(3)))


def test_columns_of_one_name(tmp_path: Path) -> None:
    two = pa.Table.from_arrays([pa.array(["/a.mkv"]), pa.array(["/b.mkv"])], names=["path", "path"])
    pq.write_table(two, tmp_path / "table.parquet")
    (tmp_path / "table.csv").write_text("path,path\n/a.mkv,/b.mkv\n")
    for name in ("table.parquet", "table.csv"):
        with pytest.raises(ConfigError, match=f"{name} has 2 columns path"):
            names(tmp_path / name)


@pytest.mark.parametrize("ending", [".txt", ".csv"])
@pytest.mark.parametrize("bom", [b"", codecs.BOM_UTF16_LE, codecs.BOM_UTF32_LE])
def test_text_of_another_encoding(tmp_path: Path, ending: str, bom: bytes) -> None:
    content = "path\n/a.mkv\n".encode("utf-32-le" if bom == codecs.BOM_UTF32_LE else "utf-16-le")
    (tmp_path / f"list{ending}").write_bytes(bom + content)
    with pytest.raises(DataError, match=r"is not UTF-8 text \(perhaps UTF-16"):
        names(tmp_path / f"list{ending}")


def test_utf_8_with_a_mark_and_characters_that_split_lines_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(codecs.BOM_UTF8 + "/a\u2028b\x0b\x85c.mkv\r\n/d.mkv\r\n".encode())
    assert names(tmp_path / "list.txt") == ["/a\u2028b\x0b\x85c.mkv", "/d.mkv"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("table.csv", b'path\n"' + b"a" * 200_000 + b'"\n', "table.csv is not a table .*field larger than field limit"),
        ("table.parquet", b"PAR1" + b"\1" * 100 + b"PAR1", "table.parquet is not a Parquet file, or is damaged"),
    ],
)
def test_damage_is_one_sentence(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        names(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_damaged_page_is_one_sentence(tmp_path: Path) -> None:
    table = pa.table({"path": [f"/{number}.mkv" for number in range(10_000)]})
    pq.write_table(table, tmp_path / "table.parquet", compression="zstd")
    content = bytearray((tmp_path / "table.parquet").read_bytes())
    content[4:104] = bytes(100)
    (tmp_path / "table.parquet").write_bytes(content)
    with pytest.raises(DataError, match="is not a Parquet file, or is damaged"):
        names(tmp_path / "table.parquet")


@pytest.mark.parametrize("query", ["sig=Q7Qsecret", "hdnea=Q7Qsecret", "anything=Q7Qsecret#x", "a/b.mkv=Q7Qsecret"])
def test_what_an_address_is_stands_before_its_query(web: str, clips: Path, query: str) -> None:
    """And of the query nothing is shown, whatever it holds."""
    (clips / "list.csv").write_text(f"path\n{web}/a.mkv\n{web}/b.mkv?id=1\n")
    try:
        assert names(f"{web}/list.csv?{query}") == [f"{web}/a.mkv", f"{web}/b.mkv?id=1"]
        told: list[CavsyncError] = []
        for src, column in ((f"{web}/list.csv?{query}", "none"), (f"{web}/nothing.txt?{query}", "path")):
            with pytest.raises(CavsyncError) as caught:
                names(src, column)
            told.append(caught.value)
        (clips / "list.csv").write_text("path\na.mkv\n")
        with pytest.raises(DataError, match="lists the relative path") as caught:
            names(f"{web}/list.csv?{query}")
        told.append(caught.value)
    finally:
        (clips / "list.csv").unlink()
    assert str(told[0]).startswith(f"{web}/list.csv?*** has no column none, but path")
    assert str(told[1]).startswith(f"{web}/nothing.txt?*** cannot be read")
    assert "Q7Q" not in " ".join(map(str, told))
    assert shown(f"{web}/list.csv?{query}") == f"{web}/list.csv?***"


@pytest.mark.parametrize(
    "address",
    [
        "https://host/a.mkv?sig=Q7Q",
        "https://host/a.mkv?id=1&X-Amz-Signature=Q7Q",
        "https://host/a.mkv?hdnts=Q7Q",
        "https://Q7Q@host/a.mkv",
        "https://user:Q7Q@host/a.mkv",
        "s3://user:Q7Q@bucket/a.mkv",
    ],
)
def test_secrets_of_files_are_refused_and_not_shown(tmp_path: Path, address: str) -> None:
    """Their addresses are their names in OUT."""
    (tmp_path / "list.txt").write_text(f"{address}\n")
    for src in (tmp_path / "list.txt", address, address.replace("a.mkv", "folder/")):
        with pytest.raises(ConfigError, match="has a password or a key in it") as caught:
            names(src)
        assert "Q7Q" not in str(caught.value)
