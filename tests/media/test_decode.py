"""Decoding keeps every moment where the container puts it, whatever the rates and layouts."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import scipy.signal
from timed_frames import write_timed

from cavsync.errors import MediaError
from cavsync.media import AudioChunk, MediaReader, VideoFrame, resize_center_crop
from cavsync.media.decode import FrameConverter
from cavsync.media.resample import MonoResampler


def write(
    path: Path,
    times_ms: list[int],
    waveform: np.ndarray,
    rate_hz: int,
    layout: str = "mono",
    audio_start_ms: int = 0,
    codec: str = "pcm_f32le",
) -> None:
    """A file whose frames are grey levels 0, 1, 2 ... at `times_ms`, and whose audio is (channels, n)."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("ffv1", rate=25)
        video.width = video.height = 32
        video.pix_fmt = "bgr0"
        video.codec_context.time_base = video.time_base = Fraction(1, 1000)
        audio = out.add_stream(codec, rate=rate_hz, layout=layout)
        for number, moment in enumerate(times_ms):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), number, np.uint8), "rgb24")
            frame.pts, frame.time_base = moment, Fraction(1, 1000)
            out.mux(video.encode(frame))
        for begin in range(0, waveform.shape[1], 1024):
            block = np.ascontiguousarray(waveform[:, begin : begin + 1024].T.reshape(1, -1), dtype=np.float32)
            part = av.AudioFrame.from_ndarray(block, "flt", layout)
            part.sample_rate = rate_hz
            part.pts, part.time_base = begin + audio_start_ms * rate_hz // 1000, Fraction(1, rate_hz)
            out.mux(audio.encode(part))
        out.mux(video.encode(None))
        out.mux(audio.encode(None))


def read(path: Path) -> tuple[list[VideoFrame], list[AudioChunk]]:
    """All frames and all audio."""
    with MediaReader(path) as reader:
        items = list(reader)
    return [i for i in items if isinstance(i, VideoFrame)], [i for i in items if isinstance(i, AudioChunk)]


def test_variable_frame_rate_and_late_audio(tmp_path: Path) -> None:
    """Irregular frame times and an audio track that starts 500 ms later both come back as they were written."""
    times_ms = [0, 40, 95, 180, 190, 400, 1000, 1033]
    write(tmp_path / "a.mkv", times_ms, np.zeros((1, 16_000)), 16_000, audio_start_ms=500)
    frames, chunks = read(tmp_path / "a.mkv")
    assert [round(frame.pts_seconds * 1000) for frame in frames] == times_ms
    assert [int(frame.rgb[0, 0, 0]) for frame in frames] == list(range(len(times_ms)))
    assert chunks[0].pts_seconds == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(
    ("rate_hz", "layout", "channels"), [(48_000, "mono", 1), (44_100, "stereo", 2), (8_000, "mono", 1)]
)
def test_any_rate_equals_an_independent_resampler(tmp_path: Path, rate_hz: int, layout: str, channels: int) -> None:
    """Against scipy's polyphase resampler on the mean of the channels, away from the ends."""
    times = np.arange(rate_hz) / rate_hz
    tones = np.stack([0.3 * np.sin(2 * np.pi * f * times) for f in (440.0, 1000.0)[:channels]])
    write(tmp_path / "a.mkv", list(range(0, 1000, 40)), tones, rate_hz, layout)
    _, chunks = read(tmp_path / "a.mkv")
    got = np.concatenate([chunk.samples for chunk in chunks])
    ratio = Fraction(16_000, rate_hz)
    want = scipy.signal.resample_poly(tones.mean(axis=0), ratio.numerator, ratio.denominator)
    assert len(got) == pytest.approx(16_000, abs=2)
    middle = slice(1000, 15_000)
    assert np.abs(got[middle] - want[middle]).max() < 6e-3


@pytest.mark.parametrize("rate_hz", [16_000, 44_100, 48_000])
def test_an_impulse_keeps_its_time(rate_hz: int) -> None:
    """The resampler's delay is compensated to a sample."""
    signal = np.zeros(rate_hz, dtype=np.float32)
    signal[rate_hz // 2] = 1.0
    frame = av.AudioFrame.from_ndarray(signal[None], "flt", "mono")
    frame.sample_rate, frame.pts, frame.time_base = rate_hz, 0, Fraction(1, rate_hz)
    resampler = MonoResampler(16_000)
    parts = [*resampler.push(frame), *resampler.flush()]
    peaks = [
        start + np.argmax(np.abs(samples)) / 16_000 for start, samples in parts if np.abs(samples).max(initial=0) > 0.1
    ]
    assert peaks == [pytest.approx(0.5, abs=1.01 / 16_000)]


def test_surround_is_mixed_with_its_centre(tmp_path: Path) -> None:
    """Speech on the centre channel of 5.1 is heard."""
    audio = np.zeros((6, 16_000))
    audio[2] = 0.5 * np.sin(2 * np.pi * 500 * np.arange(16_000) / 16_000)
    write(tmp_path / "a.mkv", [0, 500, 960], audio, 16_000, "5.1")
    _, chunks = read(tmp_path / "a.mkv")
    assert np.abs(np.concatenate([chunk.samples for chunk in chunks])).max() > 0.05


@pytest.mark.parametrize("content", [b"", b"this is a text file\n" * 50])
def test_no_media_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    """Empty and text files are refused on opening, and so is a name that does not exist."""
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(MediaError) as caught:
        MediaReader(path)
    assert caught.value.reason == ("empty" if not content else "unreadable")
    with pytest.raises(MediaError, match="does not exist"):
        MediaReader(tmp_path / "none.mp4")


def test_frames_equal_torchvision() -> None:
    """Short side resized bicubically with antialiasing, centre crop: within two levels of torchvision's."""
    transforms = pytest.importorskip("torchvision.transforms")
    from PIL import Image

    random = np.random.default_rng(0)
    small = random.integers(0, 256, (9, 16, 3), dtype=np.uint8)
    frame = np.asarray(Image.fromarray(small).resize((640, 360), Image.Resampling.BICUBIC))
    both = transforms.Compose(
        [
            transforms.Resize(224, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(224),
        ]
    )
    want = np.asarray(both(Image.fromarray(frame))).astype(int)
    got = resize_center_crop(frame, 224).astype(int)
    assert got.shape == (224, 224, 3)
    assert np.abs(got - want).mean() < 1.0


def test_a_frame_knows_its_duration(tmp_path: Path) -> None:
    """The container's duration where it gives one, else the nominal period, in a file with a gap of 400 ms."""
    write_timed(tmp_path / "a.mov", (0, 1, 2, 6, 7), (1, 1, 4, 1, 3), audio_seconds=1.0)
    frames, _ = read(tmp_path / "a.mov")
    assert [round(1000 * frame.duration_seconds) for frame in frames] == [100, 100, 400, 100, 300]
    assert frames[-1].end_seconds == pytest.approx(1.0)


@pytest.mark.parametrize(("rate_hz", "period_seconds"), [(20.0, 0.05), (None, 0.04)])
def test_a_frame_without_a_duration_gets_the_nominal_period(rate_hz: float | None, period_seconds: float) -> None:
    """A frame without a timestamp follows its predecessor by the same period."""
    converter = FrameConverter(rate_hz, 16_000)
    frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")
    frame.pts, frame.time_base = 3, Fraction(1, 10)
    late = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")
    (first,), (second,) = converter.convert(frame), converter.convert(late)
    assert isinstance(first, VideoFrame)
    assert isinstance(second, VideoFrame)
    assert (first.pts_seconds, first.duration_seconds) == (0.3, period_seconds)
    assert (second.pts_seconds, second.duration_seconds) == (0.3 + period_seconds, period_seconds)


@pytest.mark.parametrize(
    ("element", "value", "words"),
    [
        (b"\x9f\x81", b"\xb5", "181 channels at 8000 Hz cannot be mixed to one channel"),
        (b"\xb5\x88", b"\x3f\xf0" + bytes(6), "the audio has 1 samples a second"),
    ],
)
def test_audio_that_none_is(tmp_path: Path, element: bytes, value: bytes, words: str) -> None:
    """A forged number of channels, or rate, of PCM in Matroska."""
    write(tmp_path / "a.mkv", [0, 40, 80], np.zeros((1, 80_000)), 8_000, codec="pcm_s16le")
    content = (tmp_path / "a.mkv").read_bytes()
    place = content.index(element) + len(element)
    (tmp_path / "a.mkv").write_bytes(content[:place] + value + content[place + len(value) :])
    with pytest.raises(MediaError, match=f"a.mkv: .*{words}"):
        read(tmp_path / "a.mkv")
