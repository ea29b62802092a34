"""The training of the whole picture within a limited time, clips included."""

import importlib
from types import ModuleType

import pytest


@pytest.fixture
def run(scripts_can_be_imported: None) -> ModuleType:
    """The script."""
    return importlib.import_module("whole_picture_run")


def test_training_gets_what_the_clips_leave(run: ModuleType) -> None:
    assert run.minutes_to_train(120.0, None, 3000.0) == 120.0
    assert run.minutes_to_train(5.0, 8.0, 60.0) == 5.0
    assert run.minutes_to_train(5.0, 8.0, 180.0) == pytest.approx(8 - 3 - run.RESERVE_MINUTES)


def test_too_little_time_is_an_error(run: ModuleType) -> None:
    """Clips that were made are kept, so that the next call trains."""
    with pytest.raises(SystemExit, match="run this again"):
        run.minutes_to_train(5.0, 8.0, 450.0)
