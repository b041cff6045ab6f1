"""From a question to numbered sources: searched, diversified, without repeats, with their neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

from sqlalchemy import Connection, func, select

from genstore.blobs import Bodies
from genstore.errors import InvalidInput
from genstore.filters import EVERYTHING, All, Compare, Filter, Not
from genstore.rag.diversity import diversified
from genstore.rag.sources import Retrieved, Source
from genstore.records import Part, Record
from genstore.search.plan import Found, Place, Plan, find_passages, question_in_words
from genstore.sql import tables
from genstore.sql.read import load
from genstore.sql.versions import outdated

if TYPE_CHECKING:
    from genstore.search.projection import Projection

Kinds = Literal["documents", "generations", "both"]
KINDS: tuple[Kinds, ...] = get_args(Kinds)

ASK = "ask"
"""The operation of records that are answers."""

Rerank = Callable[[str, Sequence[str]], Sequence[float]]
"""(question, texts) -> a relevance in [0, 1] of each."""

MOST_PASSAGES = 20
"""Candidates whose texts are read: enough for repeats and near ones to drop out of."""
# Where in the order of nearness the background of a question is taken from.
_NEAR, _FAR = 10, 100
# Of the best source so many paragraphs are embedded: a passage seldom has more.
_MOST_BLOCKS = 12
# How much the best judged past generation gains over one nobody judged; scores lie in [0, 1].
_PREFERENCE = 0.2


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of a retrieval. limit: sources; diversity: weight of unlikeness in [0, 1]; neighbours: passages
    before and after each that are read with it; prefer: the score by which judged records come first."""

    kinds: Kinds = "documents"
    limit: int = 5
    diversity: float = 0.3
    neighbours: int = 0
    prefer: str | None = None

    def __post_init__(self) -> None:
        if self.kinds not in KINDS:
            raise InvalidInput(f"sources is {self.kinds!r}; it is one of {', '.join(KINDS)}")

    def condition(self, where: Filter) -> Filter:
        """The caller's filter, narrowed to what may be a source: no failures, and no answers made of other sources."""
        document, generation = Compare("kind", "=", "document"), Compare("kind", "=", "generation")
        past = All((generation, Not(Compare("operation", "=", ASK)), Not(Compare("status", "=", "error"))))
        kinds: dict[str, Filter] = {"documents": document, "generations": past}
        kind = kinds.get(self.kinds) or (document | past)
        return kind if where == EVERYTHING else All((where, kind))


def retrieve(
    connection: Connection,
    bodies: Bodies,
    projection: Projection,
    question: str,
    plan: Plan,
    wanted: Wanted,
    rerank: Rerank | None = None,
) -> Retrieved:
    """The sources, best first; fewer than wanted, or none, where the store has no more."""
    found = find_passages(connection, projection, question_in_words(projection, question, plan.mode), plan)
    old = outdated(connection, {item.place.record_id for item in found})
    found = [item for item in found if item.place.record_id not in old]
    background = _background(found)
    gains = _gains(connection, found, wanted.prefer) if wanted.prefer is not None else {}
    found = _raised(found, gains)
    found = _not_repeated(connection, found[: 2 * MOST_PASSAGES], projection.info.cutter)[:MOST_PASSAGES]
    records = load(connection, bodies, list(dict.fromkeys(item.place.record_id for item in found)))
    found = [item for item in found if item.place.record_id in records]
    if rerank is not None:
        found = _raised(_reranked(question, found, records, rerank), gains)
    vectors = projection.index.dense_vectors([item.point for item in found])
    chosen = diversified(
        [item.point for item in found], [item.score for item in found], vectors, wanted.limit, wanted.diversity
    )
    kept = [found[at] for at in chosen]
    spans = _with_neighbours(connection, kept, projection.info.cutter, wanted.neighbours)
    sources = (_source(records[item.place.record_id], item, span) for item, span in zip(kept, spans, strict=True))
    return Retrieved(_with_cosine(_numbered(_joined(sources)), question, projection), background)


def _background(found: Sequence[Found]) -> float:
    """The mean cosine from the tenth to the hundredth nearest; of all but the nearest where there are not many."""
    cosines = [item.explanation.dense_score for item in found if item.explanation.dense_score is not None]
    nearest = sorted(cosines, reverse=True)
    behind = nearest[_NEAR:_FAR] if len(nearest) > 2 * _NEAR else nearest[1:]
    return sum(behind) / len(behind) if behind else 0.0


def _with_cosine(sources: list[Source], question: str, projection: Projection) -> list[Source]:
    """The best source with its nearness to the question, by which evidence is judged: that of its nearest paragraph.

    A passage that speaks of several things is near to none of them; it must not be left pending either.
    """
    if not sources:
        return sources
    best, embedder = sources[0], projection.embedder
    blocks = best.blocks()[:_MOST_BLOCKS]
    if best.cosine is not None and len(blocks) == 1:
        return sources
    nearest = float((embedder.encode(blocks) @ embedder.encode_query(question)).max())
    return [replace(best, cosine=nearest if best.cosine is None else max(nearest, best.cosine)), *sources[1:]]


def _gains(connection: Connection, found: Sequence[Found], name: str) -> dict[str, float]:
    """What each record that was judged gains: the mean of its scores of this name, within those there are."""
    scores = tables.scores
    ids = {item.place.record_id for item in found}
    query = select(scores.c.record_id, scores.c.value).where(
        scores.c.name == name, scores.c.value.is_not(None), scores.c.record_id.in_(ids)
    )
    judged: dict[str, list[float]] = {}
    for record_id, value in connection.execute(query):
        judged.setdefault(record_id, []).append(value)
    means = {record_id: sum(values) / len(values) for record_id, values in judged.items()}
    low, high = min(means.values(), default=0.0), max(means.values(), default=0.0)
    return {
        record_id: _PREFERENCE * ((mean - low) / (high - low) if high > low else 1.0)
        for record_id, mean in means.items()
    }


def _raised(found: Sequence[Found], gains: Mapping[str, float]) -> list[Found]:
    """The same with what each record gains, best first; scores stay within [0, 1]."""
    if not gains:
        return list(found)
    raised = [
        replace(item, score=(item.score + gains.get(item.place.record_id, 0.0)) / (1 + _PREFERENCE)) for item in found
    ]
    return sorted(raised, key=lambda item: -item.score)


def _not_repeated(connection: Connection, found: Sequence[Found], cutter: str) -> list[Found]:
    """Without passages whose text is that of a better one."""
    passages, parts = tables.passages, tables.parts
    ids = {item.place.part_id for item in found}
    query = (
        select(parts.c.id, passages.c.start_char, passages.c.text_sha256)
        .join(passages, (passages.c.sha256 == parts.c.sha256) & (passages.c.cutter == cutter))
        .where(parts.c.id.in_(ids), passages.c.start_char.in_({item.place.start for item in found}))
    )
    digests = {(part_id, start): digest for part_id, start, digest in connection.execute(query)}
    first: dict[str, Found] = {}
    for item in found:
        first.setdefault(digests.get((item.place.part_id, item.place.start), str(item.point)), item)
    return list(first.values())


def _reranked(question: str, found: Sequence[Found], records: Mapping[str, Record], rerank: Rerank) -> list[Found]:
    texts = [_text(records[item.place.record_id], item.place) for item in found]
    scores = rerank(question, texts)
    better = [replace(item, score=score) for item, score in zip(found, scores, strict=True)]
    return sorted(better, key=lambda item: -item.score)


def _with_neighbours(
    connection: Connection, found: Sequence[Found], cutter: str, neighbours: int
) -> list[tuple[int, int]]:
    """Each passage's span, reaching over its neighbours."""
    spans = [(item.place.start, item.place.end) for item in found]
    if not neighbours:
        return spans
    from genstore.index.points import part_of

    passages, parts = tables.passages, tables.parts
    for at, item in enumerate(found):
        part_id, ordinal = part_of(item.point)
        query = (
            select(func.min(passages.c.start_char), func.max(passages.c.end_char))
            .join(parts, parts.c.sha256 == passages.c.sha256)
            .where(
                parts.c.id == part_id,
                passages.c.cutter == cutter,
                passages.c.ordinal.between(ordinal - neighbours, ordinal + neighbours),
            )
        )
        start, end = connection.execute(query).one()
        spans[at] = (start, end)
    return spans


def _source(record: Record, item: Found, span: tuple[int, int]) -> Source:
    place = item.place
    position, part = _part(record, place)
    cosine = item.explanation.dense_score
    return Source(record, part, place.side, position, *span, score=item.score, cosine=cosine)


def _joined(sources: Iterable[Source]) -> list[Source]:
    """The sources, those of one part that overlap or touch as one: passages share their edges, and what stands in both
    would be quoted twice. In the order of their best."""
    joined: list[Source] = []
    for source in sources:
        beside = next((at for at, other in enumerate(joined) if _touch(other, source)), None)
        if beside is None:
            joined.append(source)
        else:
            other = joined[beside]
            joined[beside] = replace(other, start=min(other.start, source.start), end=max(other.end, source.end))
    return joined


def _touch(one: Source, other: Source) -> bool:
    first, second = sorted((one, other), key=lambda source: source.start)
    return one.part.id == other.part.id and not (one.part.text or "")[first.end : second.start].strip()


def _numbered(sources: Iterable[Source]) -> list[Source]:
    """Sources with text, numbered; a body that is gone from the blob store gives none."""
    return [replace(source, number=number) for number, source in enumerate(filter(lambda s: s.text, sources), 1)]


def _part(record: Record, place: Place) -> tuple[int, Part]:
    side = record.prompt if place.side == "prompt" else record.output
    return next((position, part) for position, part in enumerate(side) if part.id == place.part_id)


def _text(record: Record, place: Place) -> str:
    return (_part(record, place)[1].text or "")[place.start : place.end]


def sources_plan(plan: Plan, wanted: Wanted) -> Plan:
    """The plan narrowed to what may be a source. Of generations only what came back: a question answers nothing."""
    side = plan.side if wanted.kinds == "documents" else "output"
    return replace(plan, where=wanted.condition(plan.where), side=side)
