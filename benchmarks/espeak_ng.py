"""espeak-ng for a machine that has only its library: as much of the program as generated clips need.

    espeak-ng --stdout -v en-us+f2 -s 140 -p 40 TEXT

Writes a WAV file to stdout, as the program does. `make gpu-pack` puts this file beside a folder `espeak-data` with the
library and the voices. Needs Python only.
"""

from __future__ import annotations

import argparse
import ctypes
import io
import sys
import wave
from pathlib import Path

DATA_FOLDER = "espeak-data"
LIBRARY_NAME = "libespeak-ng.so"
# Numbers of speak_lib.h.
SYNCHRONOUS, DO_NOT_EXIT, RATE, PITCH, AT_CHARACTER = 2, 0x8000, 1, 3, 1
UTF8, PHONEMES, END_PAUSE = 1, 0x100, 0x1000


class Voice(ctypes.Structure):
    """`espeak_VOICE`, by which a voice of a language is chosen."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("unused", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


def speak(folder: Path, text: str, voice: str, words_per_minute: int, pitch: int) -> tuple[bytes, int]:
    """Return the spoken text as 16-bit samples, and their rate in Hz.

    SystemExit where the library in `folder` has no such voice or fails.
    """
    library = ctypes.CDLL(str(folder / LIBRARY_NAME))
    rate_hz = library.espeak_Initialize(SYNCHRONOUS, 0, str(folder).encode(), DO_NOT_EXIT)
    if rate_hz <= 0:
        sys.exit(f"espeak-ng cannot read its data in '{folder}': make the pack again.")
    samples = bytearray()

    def keep(wave_form: int | None, count: int, _: int | None) -> int:
        if wave_form:
            samples.extend(ctypes.string_at(wave_form, 2 * count))
        return 0

    heard = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(keep)
    library.espeak_SetSynthCallback(heard)
    of_language = Voice(languages=voice.encode())
    # As the program does: a name first, then a language.
    if library.espeak_SetVoiceByName(voice.encode()) and library.espeak_SetVoiceByProperties(ctypes.byref(of_language)):
        sys.exit(f"espeak-ng has no voice '{voice}' in '{folder}': make the pack with it.")
    library.espeak_SetParameter(RATE, words_per_minute, 0)
    library.espeak_SetParameter(PITCH, pitch, 0)
    said = text.encode()
    flags = UTF8 | PHONEMES | END_PAUSE
    if library.espeak_Synth(said, ctypes.c_size_t(len(said) + 1), 0, AT_CHARACTER, 0, flags, None, None):
        sys.exit("espeak-ng failed to speak: make the pack again.")
    library.espeak_Synchronize()
    return bytes(samples), rate_hz


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stdout", action="store_true", required=True, help="write a WAV file there")
    parser.add_argument("-v", dest="voice", required=True, help="voice, such as en-us+f2")
    parser.add_argument("-s", dest="words_per_minute", type=int, default=175, help="speed")
    parser.add_argument("-p", dest="pitch", type=int, default=50, help="pitch from 0 to 99")
    parser.add_argument("text")
    options = parser.parse_args()
    folder = Path(__file__).resolve().parent / DATA_FOLDER
    samples, rate_hz = speak(folder, options.text, options.voice, options.words_per_minute, options.pitch)
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate_hz)
        writer.writeframes(samples)
    sys.stdout.buffer.write(file.getvalue())


if __name__ == "__main__":
    main()
