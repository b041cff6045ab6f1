"""What passes between SQL and the search index: tasks, the texts to index, how they were cut."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from genstore.records import Record, Side

Action = Literal["index", "payload", "delete", "embed"]

WORDS: tuple[Action, ...] = ("index", "payload", "delete")


@dataclass(frozen=True, slots=True)
class Task:
    """One outbox row: what has to be done for which record."""

    id: int
    action: Action
    record_id: str


@dataclass(frozen=True, slots=True)
class Source:
    """A text part that is to be found: where it stands, and the hash of its text."""

    part_id: int
    record_id: str
    side: Side
    role: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Cut:
    """One passage of a text: character offsets, the hash of the slice, its length in BM25 terms."""

    ordinal: int
    start: int
    end: int
    text_sha256: str
    terms: int


class Average(NamedTuple):
    """The average length of passages in terms: the one weights are computed with, the real one, and of how many."""

    used: float
    real: float
    passages: int


class Claim(Protocol):
    """Tasks that one indexer works on, and what SQL knows about their records at this moment."""

    @property
    def tasks(self) -> Sequence[Task]: ...

    def records(self) -> dict[str, Record]:
        """The records that still exist, without their bodies."""

    def sources(self) -> list[Source]:
        """Their texts that are to be found under them."""

    def texts(self, digests: Iterable[str]) -> dict[str, str]:
        """Texts by hash; a body that is gone is left out."""

    def cuts(self, digests: Iterable[str]) -> dict[str, list[Cut]]:
        """How texts were cut before, by hash; a text that never was is left out."""

    def embedded(self, text_digests: Iterable[str]) -> dict[str, bytes]:
        """Vectors that exist, by the hash of their text: half precision, little-endian."""

    def finish(self, cuts: Mapping[str, Sequence[Cut]], to_embed: Iterable[str], done: Iterable[Task]) -> None:
        """Keep new cuts, queue records for embedding, and drop the tasks that are done: one transaction."""


class Outbox(Protocol):
    """The queue of one index. A claimed task is back in the queue when it was not finished."""

    def claim(self, actions: Sequence[Action], limit: int) -> AbstractContextManager[Claim]:
        """The oldest tasks of these kinds, in a transaction that lasts as long as the block."""

    def reserve(self, action: Action, limit: int) -> AbstractContextManager[Sequence[Task]]:
        """The oldest tasks of this kind that nobody else has in hand, without a transaction: for work that is slow."""

    def look(self, tasks: Sequence[Task] = ()) -> AbstractContextManager[Claim]:
        """What SQL knows about the tasks' records; finish() may also be called when the block has ended."""

    def keep_embeddings(self, vectors: Mapping[str, bytes]) -> None:
        """Store vectors by the hash of their text."""

    def pending(self) -> dict[str, int]:
        """How many tasks wait, by action."""

    def average_in_use(self) -> float:
        """The average the index's weights are computed with; 0 before the first."""

    def average_terms(self) -> Average:
        """The average in use beside the real one now, which takes a look at every passage."""

    def set_average_terms(self, average: float) -> None: ...

    def enqueue_all(self) -> None:
        """Queue every record to be indexed anew."""


Progress = Callable[[int, int], None]
"""Called with (done, left) while long work goes on."""
