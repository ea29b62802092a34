"""Sync tests of files: offsets put in by shifting timestamps, another clip's sound, and changed pictures.

Every test writes a temporary file and judges it from its first frame to its last, as `cavsync score` does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from cavsync.deploy import Bundle
from cavsync.errors import MediaError
from cavsync.evaluate.sync.absolute_offset import AbsoluteOffsets, absolute_offsets
from cavsync.evaluate.sync.cases import SyncCase
from cavsync.evaluate.sync.class_test import ClassAnswers, class_answers
from cavsync.evaluate.sync.files.clip_lengths import clip_length
from cavsync.evaluate.sync.files.shifted_file import write_shifted_file
from cavsync.evaluate.sync.files.swapped_file import write_swapped_file
from cavsync.evaluate.sync.files.variant_file import write_variant_file
from cavsync.evaluate.sync.files.wrong_sound import assign_sounds
from cavsync.evaluate.sync.generation.measures import Generation, measured, require_usable
from cavsync.evaluate.sync.judges import Answer, Judge, bundle_judges, judge_by_motion
from cavsync.evaluate.sync.plan import SyncPlan, plan_of
from cavsync.media.tracks import PLAYED, TrackChoice

DEFAULT_OFFSETS_MS = (0.0, 200.0, -200.0, 400.0, -400.0)
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Trial:
    """A method's answer to a clip with `injected_ms` more than its own offset; `offset_ms` is both together."""

    injected_ms: float
    offset_ms: float
    answer: Answer


@dataclass(frozen=True)
class SwappedTrial:
    """The answers, by method, to a clip with the sound of the clip `sound`, which may end before the video."""

    sound: str
    is_shorter: bool
    answers: dict[str, Answer]


@dataclass(frozen=True)
class ClipResult:
    """One clip: the trials of every method, its class trials by method, its answers by variant and method, its trial
    with another clip's sound, its absolute offset by bundle, and what papers on generation measure."""

    case: SyncCase
    trials: dict[str, tuple[Trial, ...]]
    classes: ClassAnswers = field(default_factory=dict)
    variants: dict[str, dict[str, Answer]] = field(default_factory=dict)
    swapped: SwappedTrial | None = None
    absolute: AbsoluteOffsets = field(default_factory=dict)
    generation: Generation | None = None


@dataclass
class SyncTrials:
    """The results of the clips that could be tested. rejects: clip -> why it was left out, wholly or in one test.

    stopped: the interrupt that ended the test before its last clip, if any. seed: that of the test.
    """

    clips: list[ClipResult] = field(default_factory=list)
    rejects: dict[str, str] = field(default_factory=dict)
    stopped: KeyboardInterrupt | None = None
    seed: int = 0


@dataclass(frozen=True)
class SyncTests:
    """Tests to run: the offsets in ms, how many of the 21 classes per clip, the names of the variants, whether to test
    with other clips' sounds, whether to measure absolute offsets, the names of `GENERATION_METRICS` to measure, the
    paths of the bundles (all by default), the length of windows (None: that of each bundle), which is also that of the
    shortest file, and the tracks of the clips."""

    offsets_ms: tuple[float, ...] = DEFAULT_OFFSETS_MS
    classes_per_clip: int = 0
    variants: tuple[str, ...] = ()
    wrong_sound: bool = False
    absolute_offset: bool = False
    generation_metrics: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    window_seconds: float | None = None
    tracks: TrackChoice = PLAYED


def evaluate_sync(
    bundles: dict[str, Bundle],
    cases: Sequence[SyncCase],
    tests: SyncTests = SyncTests(),
    *,
    seed: int = 0,
    progress: Progress = lambda *_: None,
) -> SyncTrials:
    """Test bundles (by name) and the motion baselines; `progress(done, total)` is called after each clip.

    A KeyboardInterrupt ends the test after the clips that are done; it is raised where there are none. ConfigError
    where no bundle can measure what is asked for.
    """
    require_usable(bundles, tests.generation_metrics)
    result = SyncTrials(seed=seed)
    learned = bundle_judges(bundles, tests.paths, tests.window_seconds)
    sounds = _sounds(cases, seed, result.rejects) if tests.wrong_sound else {}
    for number, case in enumerate(cases):
        plan = plan_of(case, offsets_ms=tests.offsets_ms, classes_per_clip=tests.classes_per_clip, seed=seed)
        try:
            try:
                with TemporaryDirectory(prefix="cavsync-eval-") as folder:
                    clip = _tested(bundles, learned, case, plan, tests, sounds, Path(folder), result.rejects)
                result.clips.append(clip)
            except MediaError as error:
                result.rejects[str(case.path)] = str(error)
            progress(number + 1, len(cases))
        except KeyboardInterrupt as interrupt:
            if not result.clips:
                raise
            result.stopped = interrupt
            break
    return result


def _tested(
    bundles: dict[str, Bundle],
    learned: Sequence[Judge],
    case: SyncCase,
    plan: SyncPlan,
    tests: SyncTests,
    sounds: dict[Path, tuple[SyncCase, bool]],
    folder: Path,
    rejects: dict[str, str],
) -> ClipResult:
    """Run all tests of one clip, on a copy of its named tracks where some are named."""
    used = case
    if tests.tracks != PLAYED:
        used = replace(case, path=write_swapped_file(case.path, case.path, folder, tests.tracks))
    try:
        return ClipResult(
            case,
            _offset_trials([*learned, judge_by_motion], used, plan, folder),
            class_answers(bundles, used, plan),
            _variant_answers(learned, used, tests.variants, folder, rejects),
            _swapped_trial(learned, case, sounds.get(case.path), tests.tracks, folder, rejects),
            absolute_offsets(bundles, used.path) if tests.absolute_offset else {},
            measured(bundles, used.path, tests.generation_metrics) if tests.generation_metrics else None,
        )
    except MediaError as error:
        raise MediaError(str(error).replace(str(used.path), str(case.path)), reason=error.reason) from None


def _offset_trials(
    judges: Sequence[Judge], case: SyncCase, plan: SyncPlan, folder: Path
) -> dict[str, tuple[Trial, ...]]:
    found: dict[str, tuple[Trial, ...]] = {}
    for injected_ms in plan.offsets_ms:
        file = write_shifted_file(case.path, folder, injected_ms)
        for method, answer in _answers(judges, file, case).items():
            trial = Trial(injected_ms, case.true_offset_ms + injected_ms, answer)
            found[method] = (*found.get(method, ()), trial)
        file.unlink()
    return found


def _variant_answers(
    judges: Sequence[Judge], case: SyncCase, names: Sequence[str], folder: Path, rejects: dict[str, str]
) -> dict[str, dict[str, Answer]]:
    """Return the answers by variant and method; the variant "" is the clip with its picture unchanged."""
    if not names:
        return {}
    file = write_shifted_file(case.path, folder, 0.0)
    found = {"": _answers(judges, file, case)}
    for name in names:
        try:
            file = write_variant_file(case.path, folder, name)
            found[name] = _answers(judges, file, case)
            file.unlink()
        except MediaError as error:
            rejects[f"{case.path} ({name})"] = str(error)
    return found


def _swapped_trial(
    judges: Sequence[Judge],
    case: SyncCase,
    sound: tuple[SyncCase, bool] | None,
    tracks: TrackChoice,
    folder: Path,
    rejects: dict[str, str],
) -> SwappedTrial | None:
    if sound is None:
        return None
    other, is_shorter = sound
    try:
        file = write_swapped_file(case.path, other.path, folder, tracks)
        return SwappedTrial(other.name, is_shorter, _answers(judges, file, case))
    except MediaError as error:
        rejects[f"{case.path} (another clip's sound)"] = str(error)
        return None


def _sounds(cases: Sequence[SyncCase], seed: int, rejects: dict[str, str]) -> dict[Path, tuple[SyncCase, bool]]:
    """Return the clip whose sound each clip gets, and whether that is shorter than the video."""
    usable, lengths = [], []
    for case in cases:
        try:
            lengths.append(clip_length(case.path))
        except MediaError as error:
            rejects[str(case.path)] = str(error)
        else:
            usable.append(case)
    found = {}
    for case, partner in zip(usable, assign_sounds(lengths, [case.group for case in usable], seed), strict=True):
        if partner is None:
            rejects[f"{case.path} (another clip's sound)"] = (
                f"{case.path} finds no sound of another group, because all clips are of group '{case.group}': give "
                "clips of several groups"
            )
        else:
            found[case.path] = (usable[partner.place], partner.is_shorter)
    return found


def _answers(judges: Sequence[Judge], file: Path, case: SyncCase) -> dict[str, Answer]:
    try:
        return {method: answer for judge in judges for method, answer in judge(file, case.generated).items()}
    except MediaError as error:
        # Messages name the clip rather than the temporary file.
        raise MediaError(str(error).replace(str(file), str(case.path)), reason=error.reason) from None
