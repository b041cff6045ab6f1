"""The indexer drains the outbox: words first, so that a record is found at once, vectors as the embedder catches up.

A task leaves the outbox after the index has acknowledged its effect. Killed at any moment, the indexer does the same
task again, and doing it twice is harmless: points are written whole under ids that follow from SQL.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

from genstore.filters import leaves
from genstore.identity import encode_text, sha256
from genstore.index.bm25 import Bm25, Terms
from genstore.index.points import PASSAGES_PER_PART, Point, VectorIndex, point_id
from genstore.work import WORDS, Claim, Cut, Outbox, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WORDS_BATCH = 512
DENSE_BATCH = 48
# BM25 hardly notices a tenth; beyond it the weights are computed anew.
_DRIFT = 0.1
# Looking for drift reads every passage: not worth it before this share of them has come since the last look.
_CHECKED_SHARE = 0.02
_KEPT_TERMS = 10_000

Cutter = Callable[[Sequence[str]], list[list[tuple[int, int]]]]
"""Texts to the character offsets of their passages."""


class Encoder(Protocol):
    """Texts to unit vectors, (n, dimension)."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]: ...


class Indexer:
    """Brings one index up to date with SQL. `drain_*` may be called from any thread; one works at a time."""

    def __init__(
        self,
        outbox: Outbox,
        index: VectorIndex,
        cut: Cutter,
        encoder: Callable[[], Encoder],
        *,
        bm25: Bm25 | None = None,
        words_turn: Callable[[float | None], AbstractContextManager[Any]] = nullcontext,
        dense_turn: Callable[[], AbstractContextManager[bool]] = lambda: nullcontext(True),
    ) -> None:
        """words_turn keeps other processes from the index while a batch is written, and raises IndexBusy when it is
        not to be had by the deadline it is given; dense_turn says whether this
        process may embed now (in the embedded deployment one does, or all would embed the same texts)."""
        self.outbox = outbox
        self.index = index
        self.bm25 = bm25 or Bm25()
        self._cut = cut
        self._encoder = encoder
        self._words_turn = words_turn
        self._dense_turn = dense_turn
        self._words_lock = threading.Lock()
        self._dense_lock = threading.Lock()
        self._kept_terms: dict[str, Terms] = {}
        self._known_passages = self._new_passages = 0

    def drain_words(self, deadline: float | None = None) -> int:
        """Index the words of waiting records until none is left or time.monotonic() reaches deadline.

        Returns how many tasks were done. Raises IndexUnavailable when the index cannot be written.
        """
        done = 0
        while True:
            with _held(self._words_lock, deadline) as ours:
                batch = self._words_batch(deadline) if ours else 0
            done += batch
            if not batch or (deadline is not None and time.monotonic() >= deadline):
                return done

    def drain_dense(
        self,
        deadline: float | None = None,
        on_batch: Callable[[int], None] | None = None,
        *,
        at_once: int = DENSE_BATCH,
        most: int | None = None,
        until: Callable[[], bool] = lambda: False,
    ) -> int:
        """Embed what waits for its vectors until none is left or deadline; returns how many records were done.

        at_once: records a batch, which is what a deadline may be overrun by. most: enough records to stop at. until:
        asked after each batch whether to stop. A thread that is at it already is waited for, up to the deadline.
        """
        done = 0
        with _held(self._dense_lock, deadline) as free, self._dense_turn() if free else nullcontext(False) as ours:
            while ours:
                batch = self._dense_batch(at_once)
                done += batch
                if on_batch is not None and batch:
                    on_batch(batch)
                enough = not batch or (most is not None and done >= most) or until()
                if enough or (deadline is not None and time.monotonic() >= deadline):
                    break
        return done

    def _words_batch(self, deadline: float | None) -> int:
        with self._words_turn(deadline), self.outbox.claim(WORDS, WORDS_BATCH) as claim:
            if not claim.tasks:
                return 0
            self._delete_gone(claim)
            records = claim.records()
            fresh = {task.record_id for task in claim.tasks if task.action == "index"}
            sources = [source for source in claim.sources() if source.record_id in fresh]
            cuts, terms, added = self._passages(claim, sources)
            vectors = claim.embedded({cut.text_sha256 for found in cuts.values() for cut in found})
            payloads = {record_id: leaves(record) for record_id, record in records.items()}
            points, to_embed = self._points(sources, cuts, terms, vectors, payloads)
            if points:
                self.index.upsert(points)
            for record_id in records.keys() - fresh:
                self.index.set_payload(record_id, payloads[record_id])
            claim.finish(added, to_embed, claim.tasks)
            self._new_passages += sum(map(len, added.values()))
            return len(claim.tasks)

    def _delete_gone(self, claim: Claim) -> None:
        gone = list({task.record_id for task in claim.tasks if task.action == "delete"})
        if gone:
            self.index.delete_records(gone)

    def _passages(
        self, claim: Claim, sources: Sequence[Source]
    ) -> tuple[dict[str, list[Cut]], dict[str, list[Terms]], dict[str, list[Cut]]]:
        """(passages of each text, their BM25 terms, the passages that SQL does not have yet)."""
        digests = list(dict.fromkeys(source.sha256 for source in sources))
        texts = claim.texts(digests)
        cuts = claim.cuts(digests)
        terms: dict[str, list[Terms]] = {}
        for digest, found in cuts.items():
            if digest in texts:
                terms[digest] = [self._terms(cut.text_sha256, texts[digest][cut.start : cut.end]) for cut in found]
        new = [digest for digest in texts if digest not in cuts]
        added: dict[str, list[Cut]] = {}
        for digest, spans in zip(new, self._cut([texts[digest] for digest in new]), strict=True):
            # A text longer than its point ids can count is searched as far as they go.
            terms[digest], added[digest] = [], []
            for ordinal, (start, end) in enumerate(spans[:PASSAGES_PER_PART]):
                text = texts[digest][start:end]
                text_sha256 = sha256(encode_text(text))
                found_terms = self._terms(text_sha256, text)
                terms[digest].append(found_terms)
                added[digest].append(Cut(ordinal, start, end, text_sha256, found_terms.length))
        cuts.update(added)
        return {digest: cuts[digest] for digest in terms}, terms, added

    def _terms(self, digest: str, text: str) -> Terms:
        """The passage's terms; those of texts that many records share, prompts above all, are kept at hand."""
        found = self._kept_terms.get(digest)
        if found is None:
            if len(self._kept_terms) >= _KEPT_TERMS:
                self._kept_terms.clear()
            found = self._kept_terms[digest] = self.bm25.terms(text)
        return found

    def _points(
        self,
        sources: Sequence[Source],
        cuts: Mapping[str, Sequence[Cut]],
        terms: Mapping[str, Sequence[Terms]],
        vectors: Mapping[str, bytes],
        payloads: Mapping[str, Mapping[str, Sequence[str | float]]],
    ) -> tuple[list[Point], list[str]]:
        """(points of the sources, ids of the records that have a passage without its vector)."""
        average = self._average_terms(terms.values())
        points: list[Point] = []
        to_embed: dict[str, None] = {}
        for source in sources:
            if source.sha256 not in terms or source.record_id not in payloads:
                continue
            payload = {**payloads[source.record_id], "side": [source.side], "role": [source.role]}
            for cut, found in zip(cuts[source.sha256], terms[source.sha256], strict=True):
                vector = vectors.get(cut.text_sha256)
                if vector is None:
                    to_embed[source.record_id] = None
                points.append(
                    Point(
                        id=point_id(source.part_id, cut.ordinal),
                        record_id=source.record_id,
                        sparse=self.bm25.weights(found, average),
                        dense=None if vector is None else unpack(vector),
                        payload=payload,
                    )
                )
        return points, list(to_embed)

    def _average_terms(self, batch: Iterable[Sequence[Terms]]) -> float:
        """The average length that weights are computed with; the first batch decides, `reweigh` corrects."""
        # Asked for each time: another process may have begun to reweigh, and its records may fall to this one.
        if average := self.outbox.average_in_use():
            return average
        real = self.outbox.average_terms().real
        lengths = [found.length for passages in batch for found in passages]
        average = real or (sum(lengths) / len(lengths) if lengths else 0.0)
        if average:
            self.outbox.set_average_terms(average)
        return average

    def _dense_batch(self, at_once: int) -> int:
        # Encoding takes seconds; a transaction as long would keep PostgreSQL from vacuuming, SQLite from checkpoints.
        with self.outbox.reserve("embed", at_once) as tasks:
            if not tasks:
                return 0
            with self.outbox.look(tasks) as claim:
                sources = claim.sources()
                cuts = claim.cuts(dict.fromkeys(source.sha256 for source in sources))
                needed = {cut.text_sha256 for found in cuts.values() for cut in found}
                vectors = claim.embedded(needed)
                texts = _passage_texts(claim, cuts, needed - vectors.keys())
            new = self._embedded(texts)
            self.outbox.keep_embeddings(new)
            vectors.update(new)
            places = [
                (point_id(source.part_id, cut.ordinal), vectors[cut.text_sha256])
                for source in sources
                for cut in cuts.get(source.sha256, ())
                if cut.text_sha256 in vectors
            ]
            if places:
                import numpy as np

                with self._words_turn(None):
                    stacked = np.stack([unpack(vector) for _, vector in places])
                    self.index.set_dense([point for point, _ in places], stacked)
            claim.finish({}, (), tasks)
            return len(tasks)

    def _embedded(self, texts: Mapping[str, str]) -> dict[str, bytes]:
        """Vectors of texts, both by the text's hash."""
        if not texts:
            return {}
        encoded = self._encoder().encode(list(texts.values()))
        return {digest: pack(vector) for digest, vector in zip(texts, encoded, strict=True)}

    def tune(self) -> bool:
        """Reweigh when the average length has drifted, and optimise when it pays; whether anything was done."""
        drifted = self._new_passages > _CHECKED_SHARE * self._known_passages and self._reweigh_if_drifted()
        optimised = self.index.wants_optimising()
        if optimised:
            # It keeps writes from the index for as long; with the locks ours, who has a deadline does not wait for it.
            with self._dense_lock, self._words_lock:
                self.index.optimise()
        return drifted or optimised

    def _reweigh_if_drifted(self) -> bool:
        used, real, self._known_passages = self.outbox.average_terms()
        self._new_passages = 0
        drifted = used > 0 and real > 0 and abs(real / used - 1) > _DRIFT
        if drifted:
            self.reweigh(real)
        return drifted

    def reweigh(self, average: float) -> None:
        """Compute all BM25 weights anew: every record is queued, so that a crash in between costs nothing."""
        with self._words_lock:
            self.outbox.set_average_terms(average)
            self.outbox.enqueue_all()


def _passage_texts(claim: Claim, cuts: Mapping[str, Sequence[Cut]], wanted: set[str]) -> dict[str, str]:
    """The passages whose text hash is among wanted, by it."""
    if not wanted:
        return {}
    found: dict[str, str] = {}
    texts = claim.texts(digest for digest, passages in cuts.items() if any(c.text_sha256 in wanted for c in passages))
    for digest, text in texts.items():
        for cut in cuts[digest]:
            if cut.text_sha256 in wanted:
                found[cut.text_sha256] = text[cut.start : cut.end]
    return found


@contextmanager
def _held(lock: threading.Lock, deadline: float | None) -> Iterator[bool]:
    """Hold the lock, unless it stays taken until time.monotonic() reaches the deadline; whether we hold it."""
    ours = lock.acquire(timeout=-1 if deadline is None else max(0.0, deadline - time.monotonic()))
    try:
        yield ours
    finally:
        if ours:
            lock.release()


def pack(vector: NDArray[np.float32]) -> bytes:
    """Half precision, little-endian: (dimension,) to 2 bytes a component."""
    return vector.astype("<f2").tobytes()


def unpack(data: bytes) -> NDArray[np.float32]:
    """The inverse of pack, in single precision."""
    import numpy as np

    return np.frombuffer(data, dtype="<f2").astype(np.float32)
