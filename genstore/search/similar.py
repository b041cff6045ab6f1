"""What a record as a whole means: the vector that `similar` searches with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from genstore.errors import InvalidInput
from genstore.records import Part, Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from genstore.embed.embedder import Embedder

# The mean of this many passages tells a text's subject; more would only cost time.
_MOST_PASSAGES = 32


def vector_of(record: Record, embedder: Embedder) -> NDArray[np.float32]:
    """The mean of the passages of the record's output, or of its prompt when it has no output: (dimension,).

    Raises InvalidInput when the record holds no text.
    """
    passages = _passages(record.output, embedder) or _passages(record.prompt, embedder)
    if not passages:
        raise InvalidInput(f"record {record.id} holds no text to compare by")
    mean: NDArray[np.float32] = embedder.encode(passages).mean(axis=0)
    return mean


def _passages(parts: Iterable[Part], embedder: Embedder) -> list[str]:
    texts = [part.text for part in parts if part.text]
    cut = embedder.cutter().cut_many(texts)
    found = [text[start:end] for text, spans in zip(texts, cut, strict=True) for start, end in spans]
    return found[:_MOST_PASSAGES]
