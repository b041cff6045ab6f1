"""Images and sounds that look or sound alike, by 64-bit hashes of their coarse structure.

An image's is pHash; a sound's is the same of its spectrogram, so it tells whole clips apart, not excerpts of them.
Source: Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import suppress
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genstore.dedup.method import Match
from genstore.errors import MissingDependency

_BITS = 64
_HALF_AT = 10
"""Differing bits at which the score is one half: from there on pHash is taken to say "another picture"."""

_BLOCKS = 8
_BLOCK_BITS = _BITS // _BLOCKS
_SIDE = 32  # what is transformed: 32 by 32; what is kept of it: 8 by 8
_RATE_HZ = 8_000
_WINDOW = 512  # samples, 64 ms
_LOWEST_HZ, _HIGHEST_HZ = 60.0, 3_800.0
_FLAT = 2.0  # grey levels of 256: below that a picture is one colour, whose hash is noise
_FEWEST_SAMPLES = 32
# What is larger is compared as bytes: a header of a few bytes may ask for more than there is memory.
_MOST_PIXELS = 100_000_000
_MOST_SAMPLES = 100_000_000
_RATES_HZ = (1_000, 400_000)


class _Hashed:
    """Bodies compared by the bits in which their hashes differ."""

    name: str

    def keys(self, features: Sequence[int | None]) -> list[list[int]]:
        """Every pair of the hash's eight blocks: all hashes that differ in up to 6 bits share one, and most in 10."""
        return [[] if found is None else _pairs_of_blocks(found) for found in features]

    def compare(self, one: int, other: int) -> Match:
        """1 for equal hashes, 1/2 for _HALF_AT differing bits, 0 for twice as many."""
        bits = (one ^ other).bit_count()
        return Match(max(0.0, 1 - bits / (2 * _HALF_AT)), {"differing_bits": bits, "of_bits": _BITS})


class NearImage(_Hashed):
    """Images by pHash, transparent ones on white."""

    needs = "imagehash"
    name = "near-image/phash64"

    def features(self, body: bytes) -> int | None:
        """The hash; None for what is no image that Pillow reads, and for one without structure."""
        try:
            import imagehash
            from PIL import Image
        except ModuleNotFoundError as error:
            raise MissingDependency('comparing images needs imagehash; pip install "genstore[media]"') from error
        # Whatever decoding an image from somewhere raises: it is still comparable as bytes.
        with suppress(Exception):
            image = Image.open(io.BytesIO(body))
            if image.width * image.height > _MOST_PIXELS:
                return None
            colours = image.convert("RGBA")
            grey = Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours).convert("L")
            if np.asarray(grey.resize((_SIDE, _SIDE)), np.float32).std() < _FLAT:
                return None
            return _as_int(imagehash.phash(grey).hash)
        return None


class NearSound(_Hashed):
    """Sounds by the low frequencies of their spectrogram's cosine transform."""

    needs = "soundfile"
    name = "near-sound/spectral64"

    def features(self, body: bytes) -> int | None:
        """The hash; None for what libsndfile does not read, and for what is silent, very short or very long."""
        try:
            import soundfile
        except ModuleNotFoundError as error:
            raise MissingDependency('comparing sounds needs soundfile; pip install "genstore[media]"') from error
        # As for images: bytes that claim to be a sound may raise anything on the way to one.
        with suppress(Exception), soundfile.SoundFile(io.BytesIO(body)) as sound:
            if sound.frames * sound.channels > _MOST_SAMPLES or not _RATES_HZ[0] <= sound.samplerate <= _RATES_HZ[1]:
                return None
            return spectral_hash(sound.read(dtype="float32", always_2d=True).mean(axis=1), sound.samplerate)
        return None


def spectral_hash(samples: NDArray[np.float32], rate_hz: int) -> int | None:
    """64 bits of how a sound's energy moves between frequencies over its length; None for silence.

    samples: (n,), at any rate and loudness; None also when they are too few, or not all finite.
    """
    from scipy.fft import dctn
    from scipy.signal import resample_poly

    if len(samples) < _FEWEST_SAMPLES or not np.isfinite(samples).all():
        return None
    if rate_hz != _RATE_HZ:
        samples = resample_poly(samples, _RATE_HZ, rate_hz)
    loudest = float(np.abs(samples).max(initial=0.0))
    if loudest < 1e-4:
        return None
    picture = _spectrogram(samples / loudest)  # (frequencies, times)
    low = dctn(picture, norm="ortho")[:8, :8].ravel()
    return _as_int(low > np.median(low[1:]))


def _spectrogram(samples: NDArray[Any]) -> NDArray[np.float64]:
    """Log energy in _SIDE bands, a constant ratio apart, at _SIDE moments: (_SIDE, _SIDE)."""
    padded = np.pad(samples, (0, max(0, _WINDOW - len(samples))))
    starts = np.linspace(0, len(padded) - _WINDOW, 4 * _SIDE).astype(int)  # four frames a moment
    frames = padded[starts[:, None] + np.arange(_WINDOW)] * np.hanning(_WINDOW)  # (4 * _SIDE, _WINDOW)
    energy = np.abs(np.fft.rfft(frames)) ** 2  # (4 * _SIDE, _WINDOW / 2 + 1)
    edges = np.geomspace(_LOWEST_HZ, _HIGHEST_HZ, _SIDE + 1) * _WINDOW / _RATE_HZ
    bands = [energy[:, int(a) : max(int(b), int(a) + 1)].mean(axis=1) for a, b in pairwise(edges)]
    by_time = np.stack(bands).reshape(_SIDE, _SIDE, 4).mean(axis=2)  # (_SIDE, _SIDE)
    # Thirty decibels under the loudest is where noise begins: without a floor it would fill every silent band.
    logs: NDArray[np.float64] = np.log10(by_time / by_time.max() + 1e-3)
    return logs


def _as_int(bits: NDArray[np.bool_]) -> int:
    return int.from_bytes(np.packbits(bits.ravel()).tobytes())


def _pairs_of_blocks(hashed: int) -> list[int]:
    blocks = [hashed >> (at * _BLOCK_BITS) & (1 << _BLOCK_BITS) - 1 for at in range(_BLOCKS)]
    pairs = enumerate(combinations(blocks, 2))
    return [number << 2 * _BLOCK_BITS | one << _BLOCK_BITS | other for number, (one, other) in pairs]
