"""Archives of an object store: a real server of S3 on loopback, and workers of a cluster that read from it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from archive_objects import archived_objects, scored_objects
from click.testing import CliRunner, Result

from cavsync.cli.main import main
from cavsync.deploy import Bundle, ScoringOptions
from cavsync.deploy.archive.rows import rows_of
from cavsync.deploy.archive.sources import Source, find_sources
from cavsync.deploy.archive.storage import opened
from cavsync.errors import MediaError

PREFIX = "s3://archive/videos"


@pytest.fixture
def store(clips: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A store with two of the clips, a list, and files that are skipped."""
    pytest.importorskip("s3fs", reason="needs s3fs")
    fsspec = pytest.importorskip("fsspec", reason="needs fsspec")
    server = pytest.importorskip("moto.server", reason="needs moto and flask").ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    s3 = fsspec.filesystem("s3", skip_instance_cache=True)
    if s3.exists("archive"):
        # Servers of one process have the same content.
        s3.rm("archive", recursive=True)
    s3.mkdir("archive")
    for name in ("a.mkv", ".hidden.mkv", "notes.txt", "more/a.mkv"):
        s3.put_file(str(clips / name), f"archive/videos/{name}")
    s3.pipe_file("archive/list.txt", f"{PREFIX}/a.mkv\n".encode())
    # Later changes are seen by listings of other instances.
    fsspec.filesystem("s3").clear_instance_cache()
    yield s3
    fsspec.filesystem("s3").clear_instance_cache()
    server.stop()


def test_a_prefix(store: Any, clips: Path) -> None:
    """Hidden names, versions, content, a list in the store."""
    sources = find_sources(PREFIX, "path").sources
    assert [source.name for source in sources] == [f"{PREFIX}/a.mkv", f"{PREFIX}/more/a.mkv"]
    assert [source.version.size_bytes for source in sources] == [
        (clips / name).stat().st_size for name in ("a.mkv", "more/a.mkv")
    ]
    assert [source.name for source in find_sources("s3://archive/list.txt", "path").sources] == [f"{PREFIX}/a.mkv"]
    with opened(sources[0].name, lambda: None) as (file, version):
        assert file is not None
        assert file.read() == (clips / "a.mkv").read_bytes()
        assert version == sources[0].version
        assert version.etag
    with pytest.raises(MediaError, match=r"holds no media file|cannot be read"):
        find_sources("s3://archive/none", "path")


def test_rows_of_one_file(store: Any, clips: Path, bundle: Bundle) -> None:
    (source, _) = find_sources(PREFIX, "path").sources
    stored, local = (
        rows_of(one, bundle, ScoringOptions(), lambda: None) for one in (source, Source(str(clips / "a.mkv")))
    )
    assert stored.error is None
    assert [{**row, "source": ""} for row in stored.windows] == [{**row, "source": ""} for row in local.windows]
    assert (stored.verdict["source"], stored.verdict["etag"]) == (source.name, source.version.etag)


def run(words: list[object], status: int = 0) -> Result:
    done = CliRunner().invoke(main, [str(word) for word in words], env={"RAY_ADDRESS": None})
    assert done.exit_code == status, done.output
    return done


def test_a_whole_archive(store: Any, clips: Path, bundle_path: Path, tmp_path: Path) -> None:
    """A cluster of its own, whose workers find the store by their environment; then again after two changes."""
    pytest.importorskip("ray", reason="archives need the extra 'ray'")
    local = {name: clips / name for name in ("a.mkv", "more/a.mkv")}
    local["bad.mkv"] = tmp_path / "bad.mkv"
    local["bad.mkv"].touch()
    store.put_file(str(local["bad.mkv"]), "archive/videos/bad.mkv")
    run(["score", *local.values(), "--bundle", bundle_path, "--json", tmp_path / "scores.jsonl"], 1)
    words = ["archive", PREFIX, tmp_path / "out", "--bundle", bundle_path, "--workers", 2]
    said = run(words, 1).output
    assert "3 files, 0.0 hours: " in said
    wanted = scored_objects(tmp_path / "scores.jsonl")
    found = archived_objects(tmp_path / "out")
    assert found.keys() == {f"{PREFIX}/{name}" for name in local}
    for name, path in local.items():
        # The name of the file stands in the rows and in their sentences.
        renamed = json.loads(json.dumps(wanted[str(path)]).replace(str(path), f"{PREFIX}/{name}"))
        assert found[f"{PREFIX}/{name}"] == renamed
    before = verdicts(tmp_path / "out")
    assert {one["size_bytes"] for one in before.values()} == {path.stat().st_size for path in local.values()}
    assert all(len(one["etag"]) == 32 for one in before.values())
    store.put_file(str(clips / "b.mkv"), "archive/videos/bad.mkv")
    assert "2 of 3 files were scored before" in run([*words, "--resume"]).output
    after = verdicts(tmp_path / "out")
    assert after.keys() == before.keys()
    assert after[f"{PREFIX}/bad.mkv"]["error"] is None
    assert {name for name in before if before[name] != after[name]} == {f"{PREFIX}/bad.mkv"}


def verdicts(out: Path) -> dict[str, dict[str, Any]]:
    return {row["source"]: row for row in pq.read_table(out / "verdicts").to_pylist()}
