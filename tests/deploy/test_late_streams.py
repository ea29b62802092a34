"""A stream that begins while a file is read is left out with a word, and nothing of the others is lost."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

import av
import av.logging
import pytest
from late_streams import NUM_AUDIO, NUM_LATE, NUM_VIDEO, write_late_streams

from cavsync.deploy import Bundle, Watcher, score_file
from cavsync.deploy.repair.fix import fix_file
from cavsync.media.packets import late_streams_note, read_packets

WORDS = f"{NUM_LATE} streams that begin later were"


@pytest.fixture(scope="module")
def late_streams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_late_streams(tmp_path_factory.mktemp("late"))


def test_all_packets_of_the_known_streams(late_streams: Path) -> None:
    with av.open(str(late_streams)) as container:
        assert len(container.streams) == 2, "the streams are known at once, which tests nothing"
        assert late_streams_note(container) == ""
        packets = Counter((packet.stream.index, bool(packet.size)) for packet in read_packets(container))
        assert packets == {(0, True): NUM_VIDEO, (1, True): NUM_AUDIO, (0, False): 1, (1, False): 1}
        assert late_streams_note(container) == WORDS
    assert av.logging.get_level() is None


def test_score_watch_and_fix_say_so(
    late_streams: Path, bundle: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "cavsync"):
        scored = score_file(late_streams, bundle)
        assert f"{WORDS} not read" in scored.summary.notes
        watched = list(Watcher(str(late_streams), bundle))
        assert [record.getMessage() for record in caplog.records] == [f"{late_streams}: {WORDS} not read"]
    assert scored.records
    assert watched
    fixed = fix_file(late_streams, tmp_path / "copy.ts", 80.0)
    assert f"{WORDS} not copied" in fixed.notes
