"""ask: retrieve, pack, generate, check, store. Whatever happens, the question is on record with what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, cast

from genstore.config import Settings
from genstore.entry import build_record, checked_mapping, checked_name, checked_tags
from genstore.errors import GeneratorError, GenstoreError, InvalidInput
from genstore.filters import Where, as_filter
from genstore.identity import canonical_json
from genstore.rag.answers import KEY, facts
from genstore.rag.citations import Checked, check
from genstore.rag.conversation import Turn, turns, understood
from genstore.rag.evidence import ABSTAIN_BELOW, evidence, words
from genstore.rag.generators.generator import Generator, Outcome, Request, resolve
from genstore.rag.markers import MarkerFilter
from genstore.rag.packing import pack
from genstore.rag.retrieve import ASK, MOST_PASSAGES, Kinds, Wanted, retrieve, sources_plan
from genstore.rag.sources import Retrieved, Source
from genstore.rag.template import NOT_FOUND, load_template
from genstore.records import Answer, Record
from genstore.search.plan import Plan
from genstore.sql.citations import citation_rows
from genstore.sql.rows import record_rows
from genstore.sql.write import Entry

if TYPE_CHECKING:
    from genstore.embed.embedder import Embedder
    from genstore.search.fusion import Method
    from genstore.search.projection import Projection
    from genstore.store import Store

_MOST_TURNS = 8
_MOST_QUOTES = 100
_MOST_NEIGHBOURS = 100


@dataclass(frozen=True, slots=True)
class Options:
    """What can be said with a question, beside the filter; None takes the store's setting. See `Store.ask`."""

    sources: Kinds = "documents"
    generator: str | None = None
    session_id: str | None = None
    stream: Callable[[str], None] | None = None
    passages: int = 5
    quotes: int = 3
    diversity: float = 0.3
    neighbours: int | None = None
    prefer: str | None = None
    rerank: str | None = None
    template: str | None = None
    abstain_below: float | None = None
    user_id: str | None = None
    tags: Iterable[str] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


def checked_options(given: Mapping[str, Any]) -> Options:
    """Options by name. Raises InvalidInput for one that there is not."""
    names = [option.name for option in fields(Options)]
    if unknown := given.keys() - set(names):
        raise InvalidInput(f"ask does not take {sorted(unknown)[0]!r}; it takes where, {', '.join(names)}")
    return Options(**given)


@dataclass(slots=True)
class _Draft:
    """An answer in the making: what is known of it when it ends well, or badly."""

    question: str
    understood: str
    started: float = field(default_factory=time.perf_counter)
    model: str | None = None
    provider: str | None = None
    extractive: bool = False
    params: dict[str, Any] = field(default_factory=dict)
    request: dict[str, Any] = field(default_factory=dict)
    earlier: Sequence[Turn] = ()
    sources: Sequence[Source] = ()
    evidence: float = 0.0
    abstained: bool = False
    removed_markers: int = 0
    pieces: list[str] = field(default_factory=list)
    first_s: float | None = None
    outcome: Outcome = field(default_factory=Outcome)
    checked: Checked = field(default_factory=Checked)

    def write(self, text: str, stream: Callable[[str], None] | None) -> None:
        """Take a piece of the answer, and pass it on."""
        if not text:
            return
        if self.first_s is None:
            self.first_s = time.perf_counter() - self.started
        self.pieces.append(text)
        if stream is not None:
            stream(text)

    @property
    def text(self) -> str:
        return "".join(self.pieces)


def ask(store: Store, question: str, where: Where, options: Options) -> Answer:
    """Answer and store it; see `Store.ask`."""
    if not isinstance(question, str) or not question.strip():
        raise InvalidInput("the question is empty; ask something")
    options = _checked(options)
    checked_name(options.generator or store.settings.generator, "generator")
    condition, wanted = as_filter(where), _wanted(options)
    earlier = _earlier(store, options.session_id)
    draft = _Draft(question, understood(question, earlier), earlier=earlier)
    plan = sources_plan(_plan(store.settings, condition), wanted)
    try:
        _answer(store, plan, wanted, options, draft)
    except BaseException as error:
        # A closed terminal and Ctrl-C as well: what the model has written so far was paid for.
        record = _store(store, draft, options, error)
        if isinstance(error, GenstoreError):
            error.record_id = record.id
        raise
    record = _store(store, draft, options, None)
    return _as_answer(draft, record)


def _checked(options: Options) -> Options:
    """The options, checked before anything is generated and paid for."""
    _check_number("quotes", options.quotes, 1, _MOST_QUOTES, whole=True)
    if options.neighbours is not None:
        _check_number("neighbours", options.neighbours, 0, _MOST_NEIGHBOURS, whole=True)
    if options.abstain_below is not None:
        _check_number("abstain_below", options.abstain_below, 0, 1)
    if options.stream is not None and not callable(options.stream):
        raise InvalidInput(f"stream is {options.stream!r}; pass a function that takes each piece of the text")
    for name in ("prefer", "rerank", "template"):
        checked_name(getattr(options, name), name)
    metadata = checked_mapping(options.metadata, "metadata")
    if KEY in metadata:
        raise InvalidInput(f"metadata has the key {KEY!r}, which ask keeps for itself; rename it")
    return replace(
        options,
        session_id=checked_name(options.session_id, "session_id"),
        user_id=checked_name(options.user_id, "user_id"),
        tags=checked_tags(options.tags),
        metadata=metadata,
    )


def _check_number(name: str, value: Any, least: int, most: int, *, whole: bool = False) -> None:
    is_number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not is_number or not least <= value <= most:
        raise InvalidInput(f"{name} is {value!r}; pass {'a whole number' if whole else 'a number'}, {least} to {most}")


def _wanted(options: Options) -> Wanted:
    _check_number("passages", options.passages, 1, MOST_PASSAGES, whole=True)
    _check_number("diversity", options.diversity, 0, 1)
    return Wanted(options.sources, options.passages, options.diversity, options.neighbours or 0, options.prefer)


def _plan(settings: Settings, where: Any) -> Plan:
    return Plan(
        project=settings.project,
        where=where,
        depth=settings.depth,
        fusion=cast("Method", settings.fusion),  # checked when it was read
        dense_weight=settings.dense_weight,
    )


def _earlier(store: Store, session_id: str | None) -> list[Turn]:
    """The last turns of the conversation, oldest first."""
    if session_id is None:
        return []
    from genstore.filters import F

    page = store.list(
        (F("session_id") == session_id) & (F("operation") == ASK) & (F("status") == "ok"), limit=_MOST_TURNS
    )
    return turns(page.records[::-1])


def _answer(store: Store, plan: Plan, wanted: Wanted, options: Options, draft: _Draft) -> None:
    """Fill in the draft, step by step, so that a failure finds in it what was done."""
    settings = store.settings
    template = load_template(options.template or settings.answer_template)
    name = options.generator or settings.generator
    # Also known when it turns out to be none: an address may carry a password, its model's name does not.
    draft.model = name if "://" not in name else name.rpartition("#")[2] if "#" in name else None
    draft.params = {"sources": wanted.kinds, "passages": wanted.limit, "template": template.name}
    generator = resolve(name, settings, options.quotes)
    draft.model, draft.provider, draft.extractive = generator.name, generator.provider, generator.extractive
    if options.neighbours is None:
        wanted = replace(wanted, neighbours=generator.neighbours)
    embedder = _find_sources(store, plan, wanted, options, draft)
    below = _first_of(options.abstain_below, settings.abstain_below, ABSTAIN_BELOW)
    if not draft.sources or draft.evidence < below:
        draft.abstained, draft.sources = True, ()
        draft.write(NOT_FOUND, options.stream)
        return
    packed = pack(template, draft.question, draft.sources, draft.earlier, generator.count, generator.budget_tokens)
    draft.sources = packed.sources
    if not generator.extractive:
        draft.request = {"messages": packed.messages}
    _generate(generator, Request(draft.understood, packed.messages, packed.sources), options, draft)
    draft.abstained = draft.text.strip().rstrip(".") == NOT_FOUND.rstrip(".")
    if not draft.abstained:
        draft.checked = check(draft.text, draft.sources, words, embedder.encode)


def _find_sources(store: Store, plan: Plan, wanted: Wanted, options: Options, draft: _Draft) -> Embedder:
    """The draft's sources and how good they are; returns what the store is embedded with."""
    rerank = None
    if name := options.rerank or store.settings.reranker:
        from genstore.rag.rerank import cross_encoder

        rerank = cross_encoder(name)

    def find(projection: Projection) -> tuple[Embedder, Retrieved]:
        with store.database.read() as connection:
            found = retrieve(connection, store.bodies, projection, draft.understood, plan, wanted, rerank)
        return projection.embedder, found

    embedder, found = store.in_index(find)
    draft.sources = found.sources
    draft.evidence = round(evidence(draft.understood, found, words), 4)
    return embedder


def _generate(generator: Generator, request: Request, options: Options, draft: _Draft) -> None:
    """Let the generator write. Through the filter either way, so that what is stored does not depend on streaming."""
    passed_on = MarkerFilter(len(draft.sources))

    def emit(piece: str) -> None:
        draft.write(passed_on.feed(piece), options.stream)
        draft.removed_markers = passed_on.removed

    def finish(stream: Callable[[str], None] | None) -> None:
        draft.write(passed_on.end(), stream)
        draft.removed_markers = passed_on.removed

    try:
        draft.outcome = generator.generate(request, emit, stream=options.stream is not None)
    except GeneratorError:
        finish(options.stream)
        raise
    except BaseException:
        finish(None)  # the reader may be what failed
        raise
    finish(options.stream)
    if not draft.text.strip():
        raise GeneratorError(f"{generator.name!r} answered with nothing ({draft.outcome.finish_reason})")


def _first_of(*values: float | None) -> float:
    return next(value for value in values if value is not None)


def _as_answer(draft: _Draft, record: Record) -> Answer:
    return Answer(
        id=record.id,
        text=draft.text,
        citations=draft.checked.citations,
        unsupported=draft.checked.unsupported,
        abstained=draft.abstained,
        extractive=draft.extractive,
        removed_markers=draft.removed_markers,
        evidence=draft.evidence,
        question=draft.understood,
        model=record.model,
        usage=record.usage,
        session_id=record.session_id,
    )


def _store(store: Store, draft: _Draft, options: Options, error: BaseException | None) -> Record:
    """Commit the answer with its relations and citations in one transaction, whatever it is."""
    shell = _as_answer(draft, Record(id=""))
    status = None if error is None else "partial" if draft.text else "error"
    record = build_record(
        draft.question,
        draft.text if draft.text or error is None else None,
        project=store.settings.project,
        operation=ASK,
        model=draft.model,
        provider=draft.provider,
        params=draft.params,
        usage=draft.outcome.usage,
        duration_s=time.perf_counter() - draft.started,
        time_to_first_token_s=draft.first_s,
        finish_reason=draft.outcome.finish_reason,
        status=status,
        error=_reason(error),
        session_id=options.session_id,
        user_id=options.user_id,
        tags=options.tags,
        metadata={**options.metadata, KEY: facts(shell)},
        attributes={"request": draft.request} if draft.request else None,
    )
    store.write_entries([
        Entry(
            record_rows(record),
            relations=[*_retrieved(record.id, draft.sources), *_reply(record.id, draft.earlier)],
            citations=citation_rows(record.id, draft.checked.citations),
        )
    ])  # fmt: skip
    return record


def _reason(error: BaseException | None) -> str | None:
    if error is None:
        return None
    return str(error) if isinstance(error, GenstoreError) else f"{type(error).__name__}: {error}"


def _retrieved(answer_id: str, sources: Sequence[Source]) -> list[tuple[str, str, str, str]]:
    """A relation to each record that was used, down to the passages."""
    by_record: dict[str, list[Source]] = {}
    for source in sources:
        by_record.setdefault(source.record.id, []).append(source)
    return [
        (answer_id, "retrieved", record_id, canonical_json({"passages": [_passage(one) for one in found]}, "passages"))
        for record_id, found in by_record.items()
    ]


def _passage(source: Source) -> dict[str, Any]:
    names = ("number", "side", "position", "start", "end", "score")
    return {name: getattr(source, name) for name in names}


def _reply(answer_id: str, earlier: Sequence[Turn]) -> list[tuple[str, str, str, str]]:
    return [(answer_id, "reply_to", earlier[-1].record_id, canonical_json({}, "attributes"))] if earlier else []
