"""A run that starts from a checkpoint of another audio length says what became of its positions, and keeps that."""

from pathlib import Path

from click.testing import CliRunner
from small_models import small_model

from cavsync.cli.main import main
from cavsync.model.checkpoint import save_model
from cavsync.run import Run

QUICK = (
    *("workers=0", "precision=32-true", "accelerator=cpu", "batch_clips=3", "cache_clips=false"),
    *("target=multi-label", "max_steps=1"),
)


def test_the_command_says_that_positions_were_made_to_fit(clips: Path, tmp_path: Path) -> None:
    """One line on stderr, and in the run's configuration for good; nothing where they fit as they are."""
    start = tmp_path / "start"
    save_model(small_model(seed=4), start, 0)
    for name, audio_length, how in (("longer", 96, "stretched from 5 to 6 steps of time"), ("same", 80, None)):
        options = [*QUICK, f"init_from={start}", f"audio_length={audio_length}"]
        args = ["train", "--preset", "finetune-vggsound", "--data", str(clips), "--out", str(tmp_path / name)]
        done = CliRunner().invoke(main, [*args, *(part for option in options for part in ("--set", option))])
        assert done.exit_code == 0, done.output
        lines = [line for line in done.stderr.splitlines() if "positions" in line]
        source = Run.open(tmp_path / name).config.source
        if how is None:
            assert (lines, source) == ([], None)
        else:
            assert lines == [f"positions of '{start}' were made to fit (pos_embed_a: {how})"]
            assert source == {"fitted_positions": {"pos_embed_a": how}}
