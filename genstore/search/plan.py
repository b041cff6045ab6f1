"""From a question to hits: what the index is asked, how its answers become records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from sqlalchemy import Connection, select

from genstore.blobs import Bodies
from genstore.errors import InvalidInput
from genstore.filters import EVERYTHING, All, Compare, Filter
from genstore.records import SIDES, Explanation, Hit, Passage, Record
from genstore.search.fusion import Method, best_by_group, fuse
from genstore.search.projection import Projection
from genstore.sql import tables
from genstore.sql.engine import Database
from genstore.sql.read import chunked, load
from genstore.text.highlight import highlights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genstore.index.points import Candidates, SparseVector

Mode = Literal["hybrid", "dense", "lexical"]
MODES: tuple[Mode, ...] = get_args(Mode)

MOST_PASSAGES = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything about a search but its question.

    depth: passages taken from each list, whatever the limit; min_score: hits that score less are left out.
    """

    project: str
    where: Filter = EVERYTHING
    mode: Mode = "hybrid"
    limit: int = 10
    depth: int = 100
    fusion: Method = "convex"
    dense_weight: float = 0.85
    side: str | None = None
    exclude_record: str | None = None
    min_score: float = 0.0

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise InvalidInput(f"mode is {self.mode!r}; it is one of {', '.join(MODES)}")
        if self.limit < 1:
            raise InvalidInput(f"limit is {self.limit}; pass 1 or more")
        if self.limit > self.depth:
            raise InvalidInput(
                f"limit is {self.limit} but a search looks {self.depth} passages deep; raise its depth (--depth) to "
                f"{self.limit} or more"
            )
        if not 0 <= self.dense_weight <= 1:
            raise InvalidInput(f"dense_weight is {self.dense_weight}; it lies between 0 and 1")
        if not 0 <= self.min_score <= 1:
            raise InvalidInput(f"min_score is {self.min_score}; a hit's score lies between 0 and 1")
        if self.side is not None and self.side not in SIDES:
            raise InvalidInput(f"side is {self.side!r}; it is one of {', '.join(SIDES)}")

    @property
    def condition(self) -> Filter:
        """The caller's filter within the project."""
        inside = Compare("project", "=", self.project)
        return inside if self.where == EVERYTHING else All((inside, self.where))


class Place(NamedTuple):
    """Where a point comes from: its part, its passage's offsets there."""

    record_id: str
    part_id: int
    side: Any
    role: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Found:
    """A candidate with its fused score; point: its id in the index."""

    point: int
    place: Place
    score: float
    explanation: Explanation


@dataclass(frozen=True, slots=True)
class Question:
    """What the index is asked: a vector (dimension,), BM25 terms, or both; text is what hits are highlighted by."""

    dense: NDArray[Any] | None = None
    sparse: SparseVector | None = None
    text: str = ""


def question_in_words(projection: Projection, text: str, mode: Mode) -> Question:
    """The question that a text asks. Raises InvalidInput for an empty one."""
    if not isinstance(text, str):
        raise InvalidInput(f"the search text is {text!r}, a {type(text).__name__}; pass text")
    if not text.strip():
        raise InvalidInput("the search text is empty; `list` shows records without searching")
    dense = projection.embedder.encode_query(text) if mode != "lexical" else None
    sparse = projection.indexer.bm25.query(text) if mode != "dense" else None
    if sparse is not None and not sparse[0]:
        sparse = None  # nothing but stop words or punctuation: meaning alone can answer
    return Question(dense, sparse, text)


def find_hits(
    database: Database, bodies: Bodies, projection: Projection, question: Question, plan: Plan
) -> tuple[Hit, ...]:
    """The best hits, best first."""
    with database.read() as connection:
        found = find_passages(connection, projection, question, plan)
        scored = ((item.place.record_id, item.score, item) for item in found if item.score >= plan.min_score)
        best = best_by_group(scored, plan.limit)
        records = load(connection, bodies, [record_id for record_id, _, _ in best])
    return tuple(
        _hit(records[record_id], score, items, question.text)
        for record_id, score, items in best
        if record_id in records
    )


def find_passages(connection: Connection, projection: Projection, question: Question, plan: Plan) -> list[Found]:
    """Every candidate passage, best first; the plan's limit plays no part."""
    if question.dense is None and question.sparse is None:
        return []
    candidates = projection.index.candidates(
        question.dense,
        question.sparse,
        plan.condition,
        plan.depth,
        side=plan.side,
        exclude_record=plan.exclude_record,
    )
    if not candidates.ids:
        return []
    scores = fuse(plan.fusion, candidates, plan.dense_weight)
    places = _places(connection, candidates.ids, projection.info.cutter, plan.project)
    return sorted(_found(candidates, scores, places), key=lambda item: -item.score)


def _found(candidates: Candidates, scores: Sequence[float], places: dict[int, Place]) -> Iterable[Found]:
    rows = zip(
        candidates.ids,
        scores,
        candidates.dense,
        candidates.sparse,
        candidates.dense_rank,
        candidates.sparse_rank,
        strict=True,
    )
    for point, score, dense, sparse, dense_rank, sparse_rank in rows:
        if point in places:
            yield Found(point, places[point], score, Explanation(dense_rank, dense, sparse_rank, sparse))


def _places(connection: Connection, points: Sequence[int], cutter: str, project: str) -> dict[int, Place]:
    """Where points come from, by id; a point whose record SQL no longer has, or of another project, is left out."""
    from genstore.index.points import part_of

    parts, passages, records = tables.parts, tables.passages, tables.records
    wanted = {part_of(point): point for point in points}
    found: dict[int, Place] = {}
    for chunk in chunked({part_id for part_id, _ in wanted}):
        query = (
            select(
                parts.c.record_id, parts.c.id, parts.c.side, parts.c.role, passages.c.start_char, passages.c.end_char,
                passages.c.ordinal,
            )
            .join(records, records.c.id == parts.c.record_id)
            .join(passages, (passages.c.sha256 == parts.c.sha256) & (passages.c.cutter == cutter))
            .where(parts.c.id.in_(chunk), records.c.project == project)
        )  # fmt: skip
        for *place, ordinal in connection.execute(query):
            if (point := wanted.get((place[1], ordinal))) is not None:
                found[point] = Place(*place)
    return found


def _hit(record: Record, score: float, found: Sequence[Found], text: str) -> Hit:
    texts = {part.id: part.text for part in (*record.prompt, *record.output)}
    passages = []
    for item in found[:MOST_PASSAGES]:
        place = item.place
        body = (texts.get(place.part_id) or "")[place.start : place.end]
        passages.append(
            Passage(
                part_id=place.part_id,
                side=place.side,
                role=place.role,
                start=place.start,
                end=place.end,
                text=body,
                score=item.score,
                highlights=highlights(body, text) if text else (),
            )
        )
    return Hit(record=record, score=score, passages=tuple(passages), explanation=found[0].explanation)
