"""Images and sounds that look or sound alike share keys and score high; others do not."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from PIL import Image

from genstore.dedup.perceptual import NearImage, NearSound

RATE_HZ = 8_000


def picture(seed: int, side: int = 256) -> Image.Image:
    """Smooth random shapes: what photographs are to a hash of coarse structure."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def melody(seed: int, seconds: float = 1.5) -> NDArray[np.float32]:
    """A few notes one after the other."""
    random = np.random.default_rng(seed)
    notes = random.choice([220, 262, 330, 440, 523, 659, 880, 1047, 1319, 1760], 6)
    times = np.arange(int(seconds * RATE_HZ / len(notes))) / RATE_HZ
    return np.concatenate([np.sin(2 * np.pi * note * times) * np.exp(-3 * times) for note in notes]).astype(np.float32)


def wave(samples: NDArray[np.float32], rate_hz: int = RATE_HZ, format: str = "WAV") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, format=format)
    return buffer.getvalue()


def score(method: Any, one: bytes, other: bytes) -> float:
    return float(method.compare(method.features(one), method.features(other)).score)


def share_a_key(method: Any, one: bytes, other: bytes) -> bool:
    left, right = method.keys([method.features(one), method.features(other)])
    return not set(left).isdisjoint(right)


@pytest.mark.parametrize("seed", range(5))
def test_a_smaller_recompressed_picture_is_the_same_picture(seed: int) -> None:
    original = encoded(picture(seed))
    copy = encoded(picture(seed).resize((120, 120)), "JPEG", quality=40)
    assert score(NearImage(), original, copy) >= 0.7
    assert share_a_key(NearImage(), original, copy)


def test_other_pictures_are_not() -> None:
    pictures = [encoded(picture(seed)) for seed in range(12)]
    scores = [score(NearImage(), one, other) for one in pictures for other in pictures if one is not other]
    assert max(scores) < 0.5


@pytest.mark.parametrize("seed", range(5))
def test_a_quieter_resampled_noisy_sound_is_the_same_sound(seed: int) -> None:
    samples = melody(seed)
    noise = np.random.default_rng(99).normal(0, 0.003, len(samples)).astype(np.float32)
    copy = wave(np.interp(np.arange(0, len(samples), 0.5), np.arange(len(samples)), 0.4 * samples + noise), 2 * RATE_HZ)
    assert score(NearSound(), wave(samples), copy) >= 0.5
    assert share_a_key(NearSound(), wave(samples), wave(0.5 * samples, format="FLAC"))


def test_other_sounds_are_not() -> None:
    sounds = [wave(melody(seed)) for seed in range(12)]
    scores = [score(NearSound(), one, other) for one in sounds for other in sounds if one is not other]
    assert max(scores) < 0.5


def test_what_cannot_be_read_and_silence_have_nothing_to_compare_by() -> None:
    assert NearImage().features(b"no picture") is None
    assert NearImage().features(encoded(picture(1))[:200]) is None
    assert NearSound().features(b"no sound") is None
    assert NearSound().features(wave(np.zeros(4_000, np.float32))) is None
    assert NearSound().features(wave(melody(1)[:50])) is not None
