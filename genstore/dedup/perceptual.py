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
    """Images by pHash."""

    name = "near-image/phash64"

    def features(self, body: bytes) -> int | None:
        """The hash; None for what is no image that Pillow reads."""
        try:
            import imagehash
            from PIL import Image
        except ModuleNotFoundError as error:
            raise MissingDependency('comparing images needs imagehash; pip install "genstore[media]"') from error
        # Whatever is wrong with the bytes, they are still comparable as bytes.
        with suppress(OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return _as_int(imagehash.phash(Image.open(io.BytesIO(body))).hash)
        return None


class NearSound(_Hashed):
    """Sounds by the low frequencies of their spectrogram's cosine transform."""

    name = "near-sound/spectral64"

    def features(self, body: bytes) -> int | None:
        """The hash; None for what libsndfile does not read, and for silence."""
        try:
            import soundfile
        except ModuleNotFoundError as error:
            raise MissingDependency('comparing sounds needs soundfile; pip install "genstore[media]"') from error
        with suppress(soundfile.SoundFileError):
            samples, rate_hz = soundfile.read(io.BytesIO(body), dtype="float32", always_2d=True)
            return spectral_hash(samples.mean(axis=1), rate_hz)
        return None


def spectral_hash(samples: NDArray[np.float32], rate_hz: int) -> int | None:
    """64 bits of how a sound's energy moves between frequencies over its length; None for silence.

    samples: (n,), at any rate and loudness.
    """
    from scipy.fft import dctn
    from scipy.signal import resample_poly

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
