"""The tracks of clips that a sync test is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from coded_clips import write_coded_clip
from fake_bundle import write_fake_bundle

from cavsync.deploy import Bundle
from cavsync.evaluate.sync.cases import SyncCase
from cavsync.evaluate.sync.measure import SyncTests, evaluate_sync
from cavsync.evaluate.sync.report.protocol import sync_protocol
from cavsync.media.tracks import TrackChoice


def test_the_named_track_is_tested(tmp_path: Path) -> None:
    """Of two tracks, early by 0 and 40 ms, the second has the default flag; a track that is not there is a reject."""
    bundle = Bundle.open(write_fake_bundle(tmp_path / "bundle"), threads=1)
    case = SyncCase(write_coded_clip(tmp_path / "clip.mp4", seconds=4.0, num_audio=2), "lamp")
    for choice, own_ms in ((TrackChoice(), 40), (TrackChoice((0,)), 0), (TrackChoice((1,)), 40)):
        tests = SyncTests(offsets_ms=(0.0, 130.0), variants=("mirror",), tracks=choice)
        clip = evaluate_sync({"meter": bundle}, [case], tests).clips[0]
        assert clip.case is case
        estimates = [trial.answer.estimate_ms for trial in clip.trials["meter"]]
        assert estimates == pytest.approx([own_ms, own_ms + 130], abs=5)
        assert clip.variants["mirror"]["meter"].estimate_ms == pytest.approx(own_ms, abs=5)
    missing = evaluate_sync({"meter": bundle}, [case], SyncTests(tracks=TrackChoice((2,))))
    assert missing.rejects == {str(case.path): f"{case.path} has no audio track 2: give 0 to 1"}
    tests = SyncTests(tracks=TrackChoice((1,), program=4))
    assert sync_protocol({}, [case], tests, only={})["tracks"] == "audio 1, program 4"
