"""A stream that begins while a file is read is not scored, with a word, and copied by a repair."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from pathlib import Path

import av
import av.logging
import pytest
from coded_clips import write_coded_clip
from late_streams import NUM_AUDIO, NUM_LATE, NUM_VIDEO, write_late_streams

from cavsync.deploy import Bundle, Watcher, score_file
from cavsync.deploy.repair import whole_input
from cavsync.deploy.repair.fix import fix_file
from cavsync.deploy.repair.moved_tracks import moved_tracks
from cavsync.deploy.repair.whole_input import open_whole
from cavsync.errors import MediaError
from cavsync.media.packets import late_streams_note, read_packets
from cavsync.media.tracks import TrackChoice

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


def test_score_and_watch_say_so(late_streams: Path, bundle: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "cavsync"):
        scored = score_file(late_streams, bundle)
        assert f"{WORDS} not read" in scored.summary.notes
        watched = list(Watcher(str(late_streams), bundle))
        assert [record.getMessage() for record in caplog.records] == [f"{late_streams}: {WORDS} not read"]
    assert scored.records
    assert watched


def test_fix_copies_all(late_streams: Path, tmp_path: Path) -> None:
    fixed = fix_file(late_streams, tmp_path / "copy.ts", 80.0, audio_streams=[0])
    assert fixed.notes == []
    before, after = payloads(late_streams), payloads(tmp_path / "copy.ts")
    assert set(before) == set(range(2 + NUM_LATE))
    assert after == before


def payloads(path: Path) -> dict[int, list[bytes]]:
    """Return the packets of all streams, by stream, for which the whole file is looked through."""
    found = defaultdict(list)
    whole = {"probesize": "1G", "analyzeduration": "1G", "scan_all_pmts": "1"}
    with av.open(str(path), container_options=whole) as container:
        for packet in container.demux():
            if packet.size:
                found[packet.stream_index].append(bytes(packet))
    return dict(found)


def test_moved_tracks_tells_all(late_streams: Path) -> None:
    moved = moved_tracks(late_streams, TrackChoice(), all_audio=False, is_measured=True)
    assert moved.numbers == {0}
    assert f", {NUM_LATE} (aac, 1 channel, ita)" in moved.notes[0]


def test_streams_that_cannot_be_found_in_advance_are_refused(
    late_streams: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole_input, "WHOLE_FILE", {"fflags": "+nobuffer"})
    source = tmp_path / "in.ts"
    source.write_bytes(late_streams.read_bytes())
    with pytest.raises(MediaError, match=rf"streams that begin late \({NUM_LATE}\).*convert"):
        fix_file(source, tmp_path / "copy.ts", 80.0)
    assert list(tmp_path.iterdir()) == [source]


def test_program_stream(tmp_path: Path) -> None:
    """Which has no table of its streams."""
    codecs = ("mpeg2video", "mp2")
    one = write_coded_clip(tmp_path / "one.vob", seconds=12.0, codecs=codecs)
    two = write_coded_clip(tmp_path / "two.vob", seconds=2.0, num_audio=2, codecs=codecs)
    path = tmp_path / "late.vob"
    path.write_bytes(one.read_bytes() + two.read_bytes() + one.read_bytes())
    with open_whole(path) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio", "audio"]
        assert all(stream.codec_context.channels for stream in container.streams.audio)
