"""Checks of dense vectors before an engine sees them: it would accept a NaN, and fail half-way at a wrong length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from genstore.errors import DimensionMismatch, InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray


def checked_vectors(vectors: Any, count: int, dimension: int) -> list[list[float]]:
    """The rows of `vectors` as lists. Raises DimensionMismatch unless its shape is (count, dimension).

    Raises InvalidInput when a value is not finite.
    """
    array = np.asarray(vectors, np.float32)
    if array.shape != (count, dimension):
        got = "x".join(map(str, array.shape))
        raise DimensionMismatch(
            f"the index holds {dimension}-d vectors, got an array of {got} for {count} points; run `genstore reindex`"
        )
    return [row.tolist() for row in _finite(array)]


def checked_vector(vector: Any, dimension: int) -> NDArray[np.float32]:
    """The vector as float32. Raises DimensionMismatch for another length, InvalidInput for NaN or infinity."""
    array = np.asarray(vector, np.float32)
    if array.shape != (dimension,):
        got = "x".join(map(str, array.shape))
        raise DimensionMismatch(f"the index holds {dimension}-d vectors, got {got}-d; run `genstore reindex`")
    return _finite(array)


def _finite(array: NDArray[np.float32]) -> NDArray[np.float32]:
    if not np.isfinite(array).all():
        raise InvalidInput("a vector holds NaN or infinity; embed the text again")
    return array
