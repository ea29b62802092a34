"""Every real clip gets a valid record or a stated reason, whatever its container, rates and length."""

import json

import pytest
from shared_folder import shared_folder

from cavsync.deploy import Bundle, score_file
from cavsync.deploy.verdict.records import RECORD_FIELDS, STATES
from cavsync.errors import MediaError
from cavsync.media.files import MEDIA_ENDINGS


@pytest.mark.shared
@pytest.mark.slow
def test_every_clip_is_scored_or_refused_by_a_sentence(bundle: Bundle) -> None:
    """136 files: mp4, webm, mkv, mpg, avi; 12.5 to 30 fps; 16 to 48 kHz; 0.8 to 16 s."""
    clips = [path for path in sorted(shared_folder("data").rglob("*")) if path.suffix in MEDIA_ENDINGS]
    assert len(clips) > 100
    refused = []
    for path in clips:
        try:
            summary = score_file(path, bundle).summary.to_dict()
        except MediaError as error:
            refused.append(str(error))
            continue
        json.dumps(summary, allow_nan=False)
        assert set(RECORD_FIELDS) <= set(summary)
        assert summary["state"] in STATES
        assert (summary["reason"] is not None) or summary["state"] != "undetermined"
    assert all("shorter than one window" in sentence for sentence in refused)
    assert len(refused) < len(clips) / 2
