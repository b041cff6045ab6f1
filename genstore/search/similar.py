"""What a record as a whole means: the vector that `similar` searches with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from genstore.errors import InvalidInput
from genstore.identity import encode_text, sha256
from genstore.records import Part, Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from genstore.search.projection import Projection
    from genstore.work import Claim

# The mean of this many passages tells a text's subject; more would only cost time.
_MOST_PASSAGES = 32


def vector_of(record: Record, projection: Projection) -> NDArray[np.float32]:
    """The mean of the passages of the record's output, or of its prompt when it has no output: (dimension,).

    Vectors come from SQL; only a passage that has none yet is embedded here. Raises InvalidInput when the record
    holds no text.
    """
    with projection.outbox.look() as claim:
        passages = _passages(record.output, claim, projection) or _passages(record.prompt, claim, projection)
        if not passages:
            raise InvalidInput(f"record {record.id} holds no text to compare by")
        held = claim.embedded({digest for digest, _ in passages})
    return _mean(passages, held, projection)


def _mean(
    passages: Sequence[tuple[str, str]], held: Mapping[str, bytes], projection: Projection
) -> NDArray[np.float32]:
    import numpy as np

    from genstore.index.indexer import unpack

    vectors = {digest: unpack(vector) for digest, vector in held.items()}
    missing = {digest: text for digest, text in passages if digest not in vectors}
    if missing:
        vectors.update(zip(missing, projection.embedder.encode(list(missing.values())), strict=True))
    mean: NDArray[np.float32] = np.mean([vectors[digest] for digest, _ in passages], axis=0)
    return mean


def _passages(parts: Iterable[Part], claim: Claim, projection: Projection) -> list[tuple[str, str]]:
    """The first passages of the parts as (hash of the slice, slice), cut as SQL says, or as the embedder would."""
    texts = [(part.sha256, part.text) for part in parts if part.text]
    cuts = claim.cuts({digest for digest, _ in texts})
    found: list[tuple[str, str]] = []
    for digest, text in texts:
        if len(found) >= _MOST_PASSAGES:
            break
        if digest in cuts:
            found += [(cut.text_sha256, text[cut.start : cut.end]) for cut in cuts[digest]]
        else:
            slices = [text[start:end] for start, end in projection.embedder.cutter().cut_many([text])[0]]
            found += [(sha256(encode_text(passage)), passage) for passage in slices]
    return found[:_MOST_PASSAGES]
