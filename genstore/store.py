"""Store: one short method per verb. It delegates; what a verb does is in the module named after it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, overload

from genstore.blobs import Bodies
from genstore.config import Settings
from genstore.dedup.gate import Gate
from genstore.dedup.policy import Policy
from genstore.dedup.rule import Level, On, Rule, as_rule
from genstore.entry import LOG_FIELDS, build_record, build_score, checked_mapping, checked_tags
from genstore.errors import GenstoreError, IndexBusy, IndexUnavailable, InvalidInput, NotFound, StoreError
from genstore.filters import EVERYTHING, All, Compare, Filter, Where, as_filter
from genstore.identity import new_id
from genstore.messages import Content
from genstore.records import ROLES, Answer, DuplicateCluster, Hit, Page, Record, Relation, Score, SearchResult
from genstore.search.catchup import CatchUp, drain_all
from genstore.search.projection import Projection, Projections
from genstore.sql import annotate, read
from genstore.sql.delete import Removal, delete_first, delete_record, sweep
from genstore.sql.engine import Database
from genstore.sql.outbox import words_pending
from genstore.sql.rows import RecordRows, record_rows
from genstore.sql.where import where as sql_where
from genstore.sql.write import POLICIES, Entry, Found, OnDuplicate, Unprepared, Writer

if TYPE_CHECKING:
    import os

    from genstore.dedup.apply import Action, Receipt
    from genstore.dedup.held_out import Dropped
    from genstore.exchange.export import Format
    from genstore.exchange.import_ import ImportReport
    from genstore.rag.add import AddReport
    from genstore.search.plan import Mode, Plan
    from genstore.sql.lineage import Direction, Lineage
    from genstore.sql.sessions import SessionSummary
    from genstore.upkeep.stats import Stats
    from genstore.upkeep.verify import Findings
    from genstore.work import Progress

P = ParamSpec("P")
R = TypeVar("R")

_log = logging.getLogger("genstore")

_BATCH = 500
_SEARCH_OPTIONS = ("mode", "limit", "depth", "fusion", "dense_weight", "side", "min_score")
_DELETED_AT_ONCE = 100
# What a search may spend on what was logged just before it: enough for an interactive use, not for an import.
_WORDS_BUDGET_S = 1.0
_DENSE_BUDGET_S = 0.3
# More than this is a backlog: embedding a little of it would cost every search its budget and change nothing.
_SOON = 64
# A few records just logged must be found, also when the index has first to be made or another process is at it.
_FEW = 8
_FEW_BUDGET_S = 10.0
_DENSE_SOON_BATCH = 4
_LONGEST_PAGE = 10_000
# Between two looks at work that other processes have in hand.
_OTHERS_S = 0.05
# A level's sketches are made in one go; only a `redo` in another process asks for another.
_PREPARED_AT_MOST = 3


class Store:
    """A store of generations. Made by genstore.open; usable from any thread; a context manager."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        bodies: Bodies,
        folder: Path | None,
    ) -> None:
        self.settings = settings
        self.database = database
        self.bodies = bodies
        self.folder = folder
        self._gate = Gate(database, bodies, settings.shingle_words)
        self._writer = Writer(database, bodies, self._gate)
        self._projections = Projections(settings, database, bodies, folder)
        self._catch_up = CatchUp(self._projections)
        self._closed = False
        self._projections.ensure_active()
        self._gate.refresh()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<genstore.Store {self.database}>"

    # Writing

    def log(
        self,
        prompt: Content = None,
        output: Content = None,
        *,
        on_duplicate: OnDuplicate | None = None,
        dedup: Rule | Level | None = None,
        **fields: Any,
    ) -> Record:
        """Store one generation and return it after the commit.

        prompt, output: text, chat messages in OpenAI's shape, genstore.Part, or bytes with media_type=.
        fields: model, provider, operation, params, usage, duration_s, time_to_first_token_s, finish_reason, status,
        error, session_id, trace_id, span_id, parent_id, user_id, name, tags, metadata, attributes, created_at, kind.
        on_duplicate: what happens when it is there already: keep both, skip this one and return the original, or link
        this one to it (`duplicate_of`); None does what the project's policy says, which is to keep unless set.
        dedup: what "there already" means: exact, near or semantic (see genstore.DedupRule); None is the same model,
        params, prompt and output. With dedup alone, duplicates are linked.
        """
        self._check_open()
        record = build_record(prompt, output, **{"project": self.settings.project, **fields})
        entry = self.entry(record, on_duplicate, dedup)
        self.write_entries([entry])
        if not entry.stored:
            return self._by_id(entry.held_by)
        return replace(record, duplicate_of=entry.original_id) if entry.original_id else record

    def log_many(
        self,
        items: Iterable[Mapping[str, Any] | Record],
        *,
        on_duplicate: OnDuplicate | None = None,
        dedup: Rule | Level | None = None,
    ) -> list[str]:
        """Store many, in batches as they come; returns for each the id of the record that holds its content.

        items: mappings of log's arguments, or records. What was committed before an error stays.
        """
        self._check_open()
        ids: list[str] = []
        for batch in _batches(items, _BATCH):
            ids += self.write_entries([self.entry(self._as_record(item), on_duplicate, dedup) for item in batch])
        return ids

    def entry(
        self, record: Record, on_duplicate: OnDuplicate | None = None, dedup: Rule | Level | None = None
    ) -> Entry:
        """A record prepared for `write_entries`, with what is to happen when it is a duplicate."""
        if on_duplicate is None and dedup is None:
            return Entry(record_rows(record), None)
        policy = Policy(checked_policy(on_duplicate or "link"), None if dedup is None else as_rule(dedup))
        return Entry(record_rows(record), policy.on_duplicate, policy.rule)

    def write_entries(self, entries: Sequence[Entry]) -> list[str]:
        """Commit prepared entries in one transaction; the id that holds each one's content.

        Entries whose originals have to be looked for first, in meaning, are committed one by one.
        """
        self._check_open()
        if entries:
            try:
                self._writer.write(entries)
            except Unprepared:
                for entry in entries:
                    self._write_prepared(entry)
            self._index_soon()
        return [entry.held_by for entry in entries]

    def _write_prepared(self, entry: Entry) -> None:
        """Do what the entry's rule needs before its transaction, then commit it."""
        for _ in range(_PREPARED_AT_MOST):
            if entry.rule is not None and entry.rule.level == "semantic":
                entry.foreseen, entry.was_foreseen = self._foreseen(entry.rows, entry.rule), True
            elif entry.rule is not None:
                self._gate.make_ready(entry.rule)
            with suppress(Unprepared):
                self._writer.write([entry])
                return
        raise StoreError("the sketches are being made anew by another process; log it again in a while")

    @overload
    def record(self, function: Callable[P, R]) -> Callable[P, R]: ...
    @overload
    def record(self, **fields: Any) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
    def record(self, function: Any = None, **fields: Any) -> Any:
        """Decorate a function so that each call is logged; `@store.record` or `@store.record(model="…")`."""
        from genstore.capture.decorator import recorded

        def log(**entry: Any) -> None:
            before = new_id()
            try:
                held_by = self.log(**entry).id
                if held_by < before:
                    _log.info("a call of %s was not stored: record %s holds the same", entry.get("name"), held_by)
            except GenstoreError as error:
                # The call itself went well: what it returned must reach its caller.
                _log.error("a call of %s was not recorded: %s", entry.get("name"), error)

        if function is not None:
            return recorded(log, function, fields)
        return lambda decorated: recorded(log, decorated, fields)

    def score(self, record_id: str, name: str, value: float | None = None, **fields: Any) -> Score:
        """Judge a record: a finite value, a label=, or both; comment=, source= (human, model, code), user_id=."""
        score = build_score(name, value, **fields)
        self._annotate(lambda connection, found: annotate.add_score(connection, found, score), record_id)
        return score

    def tag(self, record_id: str, add: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
        """Add and remove tags."""
        added, removed = checked_tags(add), checked_tags(remove)
        self._annotate(lambda connection, found: annotate.change_tags(connection, found, added, removed), record_id)

    def set_metadata(self, record_id: str, metadata: Mapping[str, Any]) -> Record:
        """Merge metadata into the record's; a key given as None is removed."""
        changes = checked_mapping(metadata, "metadata")
        return self._annotate(
            lambda connection, found: annotate.merge_metadata(connection, self.bodies, found, changes), record_id
        )

    def relate(self, source_id: str, role: str, target_id: str, **attributes: Any) -> Relation:
        """Say that source was `role` target: retrieved, input, derived_from, reply_to, edit_of, …"""
        if role not in ROLES:
            raise InvalidInput(f"role is {role!r}; it is one of {', '.join(ROLES)}")
        with self.database.write() as connection:
            source = read.resolve(connection, source_id, self.settings.project)
            target = read.resolve(connection, target_id, self.settings.project)
            relation = Relation(source, role, target, checked_mapping(attributes, "attributes"))
            annotate.relate(connection, relation)
        return relation

    def delete(self, record_id: str) -> Removal:
        """Delete a record from SQL and index, with the bodies and vectors no other record needs; what went."""
        removal = self.database.transact(
            lambda connection: delete_record(connection, read.resolve(connection, record_id, self.settings.project))
        )
        if self.bodies.blobs is not None:
            sweep(self.database, self.bodies.blobs)
        self._index_soon()
        return removal

    def delete_where(self, where: Where, *, limit: int | None = None) -> Removal:
        """Delete every record that satisfies the filter, a transaction each hundred; what went."""
        total, condition = Removal(), sql_where(self._condition(where))
        left = limit if limit is not None else 2**62
        while left > 0:
            at_once = min(left, _DELETED_AT_ONCE)
            removal = self.database.transact(partial(delete_first, where=condition, limit=at_once))
            total += removal
            left -= removal.records
            if not removal.records:
                break
        if self.bodies.blobs is not None:
            sweep(self.database, self.bodies.blobs)
        self._index_soon()
        return total

    # Reading

    def get(self, record_id: str) -> Record:
        """The record with this id, or with the one id that starts so. Raises NotFound, AmbiguousId, BlobMissing."""
        with self.database.read() as connection:
            found = read.resolve(connection, record_id, self.settings.project)
            return read.load(connection, self.bodies, [found], strict=True)[found]

    def list(
        self, where: Where = None, *, limit: int = 50, cursor: str | None = None, oldest_first: bool = False
    ) -> Page:
        """A page of records, newest first; pass its cursor back for the next one."""
        if not 1 <= limit <= _LONGEST_PAGE:
            raise InvalidInput(f"limit is {limit}; pass 1 to {_LONGEST_PAGE:,}, and the page's cursor for more")
        with self.database.read() as connection:
            condition = sql_where(self._condition(where))
            ids, after = read.page(connection, condition, limit, cursor, oldest_first=oldest_first)
            found = read.load(connection, self.bodies, ids)
        return Page(tuple(found[record_id] for record_id in ids), after)

    def pages(self, where: Where = None) -> Iterator[Sequence[Record]]:
        """Every record that satisfies the filter, oldest first, a page at a time."""
        cursor: str | None = None
        while True:
            page = self.list(where, limit=_BATCH, cursor=cursor, oldest_first=True)
            yield page.records
            if (cursor := page.cursor) is None:
                return

    def iterate(self, where: Where = None) -> Iterator[Record]:
        """Every record that satisfies the filter, oldest first."""
        for page in self.pages(where):
            yield from page

    def count(self, where: Where = None) -> int:
        """How many records satisfy the filter."""
        with self.database.read() as connection:
            return read.count(connection, sql_where(self._condition(where)))

    def relations(self, record_id: str) -> Sequence[Relation]:
        """The record's relations, in both directions."""
        with self.database.read() as connection:
            return read.relations_of(connection, read.resolve(connection, record_id, self.settings.project))

    def search(
        self, text: str, where: Where = None, *, mode: Mode = "hybrid", limit: int = 10, **options: Any
    ) -> SearchResult:
        """Find records by words and meaning; hits best first.

        where: a filter, as text or tree. mode: hybrid, dense (meaning only), lexical (words only).
        options: depth, fusion ("convex", "rrf", "dbsf"), dense_weight, side ("prompt" or "output"), min_score.
        """
        from genstore.search.plan import find_hits, question_in_words

        plan = self._plan(where, mode=mode, limit=limit, **options)

        def find(projection: Projection) -> tuple[Hit, ...]:
            # First, as it loads the embedder, which may take longer than any time to catch up.
            question = question_in_words(projection, text, mode)
            self._catch_up_briefly(projection, dense=mode != "lexical")
            return find_hits(self.database, self.bodies, projection, question, plan)

        return self._found(find, mode)

    def similar(self, record_id: str, where: Where = None, *, limit: int = 10, **options: Any) -> SearchResult:
        """Records whose output (or prompt, where there is none) means about the same as this record's."""
        from genstore.search.plan import Question, find_hits
        from genstore.search.similar import vector_of

        record = self.get(record_id)
        plan = replace(self._plan(where, mode="dense", limit=limit, **options), exclude_record=record.id)

        def find(projection: Projection) -> tuple[Hit, ...]:
            question = Question(vector_of(record, projection))
            self._catch_up_briefly(projection, dense=True)
            return find_hits(self.database, self.bodies, projection, question, plan)

        return self._found(find, "dense")

    # Duplicates

    def duplicates(
        self,
        level: Rule | Level = "near",
        threshold: float | None = None,
        where: Where = None,
        *,
        on: On = "output",
        prefer: str | None = None,
        without: Container[str] = (),
        progress: Progress | None = None,
    ) -> Sequence[DuplicateCluster]:
        """Clusters of records that say the same, largest first; see genstore.DedupRule for what that means.

        prefer: the score that makes a record represent its cluster; the mean of all by default. without: ids of records
        to leave out. progress is called with (done, left): bodies sketched (left unknown: 0) or neighbours asked for.
        """
        from genstore.dedup.duplicates import Asked, semantic_duplicates, sketched_duplicates

        self._check_open()
        rule = level if isinstance(level, Rule) else Rule(level, on, threshold)
        condition = self._condition(where)
        asked = Asked(rule, sql_where(condition), condition, prefer, without)
        if rule.level != "semantic":
            return sketched_duplicates(self.database, self.bodies, self._gate, asked, progress)
        return semantic_duplicates(self.database, self.bodies, self._projections.active(), asked, progress)

    def deduplicate(
        self,
        clusters: Sequence[DuplicateCluster],
        action: Action,
        *,
        progress: Progress | None = None,
    ) -> Receipt:
        """Act on clusters that `duplicates` found: link, delete or merge; what that came to. One transaction each."""
        from genstore.dedup.apply import apply, checked_action

        self._check_open()
        receipt = apply(self.database, clusters, checked_action(action), self.settings.project, progress)
        if self.bodies.blobs is not None:
            sweep(self.database, self.bodies.blobs)
        self._index_soon()
        return receipt

    def policy(self) -> Policy:
        """What the project does with duplicates when a call does not say."""
        self._gate.refresh()
        return self._gate.policy(self.settings.project)

    def set_policy(self, on_duplicate: OnDuplicate, dedup: Rule | Level | None = None) -> Policy:
        """Have every process do this with the project's duplicates when a call does not say."""
        policy = Policy(checked_policy(on_duplicate), None if dedup is None else as_rule(dedup))
        if policy.rule is not None:
            self._gate.make_ready(policy.rule)
        self._gate.save(self.settings.project, policy)
        return policy

    def redo_sketches(self, progress: Progress | None = None) -> int:
        """Make anew what near and exact duplicates are found by, after shingle_words was changed; how many."""
        from genstore.dedup.duplicates import redo_sketches

        return redo_sketches(self.database, self.bodies, self._gate, progress)

    # Grounding

    def add(self, *paths: str | os.PathLike[str], text: str | None = None, name: str = "", **fields: Any) -> AddReport:
        """Add documents: files, folders, patterns, "-" for standard input; or a text under a name.

        A file that was added before and has changed takes the place of its earlier version, which stays in SQL.
        fields: tags, metadata, user_id, session_id, progress. A file that cannot be used is reported and skipped.
        """
        from genstore.rag.add import add

        self._check_open()
        return add(self, paths, text, name, **fields)

    def ask(self, question: str, where: Where = None, **options: Any) -> Answer:
        """Answer from the store, every sentence checked against its sources; the answer becomes a record.

        options: sources ("documents", "generations", "both"), generator, session_id (of the conversation), stream
        (called with each piece of the text as it comes), passages, quotes, diversity, neighbours, prefer (the name of a
        score), rerank, template, abstain_below, user_id, tags, metadata; see docs/rag.md. What is weakly evidenced is
        not answered. Raises GeneratorError; the question is on record even so, with what was written.
        """
        from genstore.rag.answer import ask, checked_options

        self._check_open()
        return ask(self, question, where, checked_options(options))

    def answer(self, record_id: str) -> Answer:
        """An answer as it was given, its citations read back from SQL. Raises InvalidInput for other records."""
        from genstore.rag.answers import read_answer

        with self.database.read() as connection:
            return read_answer(connection, self.bodies, read.resolve(connection, record_id, self.settings.project))

    def lineage(
        self,
        record_id: str,
        *,
        depth: int | None = None,
        roles: Iterable[str] | None = None,
        direction: Direction = "both",
    ) -> Lineage:
        """What a record came from ("up"), what came of it ("down"), or both, as far as `depth` relations away."""
        from genstore.sql.lineage import walk

        with self.database.read() as connection:
            found = read.resolve(connection, record_id, self.settings.project)
            return walk(connection, found, self.settings.project, depth=depth, roles=roles, direction=direction)

    def sessions(self, *, limit: int = 50) -> Sequence[SessionSummary]:
        """The conversations, the one spoken in last first."""
        from genstore.sql.sessions import sessions

        with self.database.read() as connection:
            return sessions(connection, self.settings.project, limit)

    # Upkeep

    def flush(self, progress: Progress | None = None) -> None:
        """Wait until everything logged is committed, indexed and embedded."""
        self._check_open()
        drain_all(self._projections.active(), progress)

    def flush_words(self, progress: Progress | None = None) -> None:
        """Wait until everything logged is committed and found by its words; vectors may follow later."""
        projection = self._projections.active()
        while left := words_pending(projection.outbox.pending()):
            done = projection.indexer.drain_words(time.monotonic() + 0.2)
            if progress is not None:
                progress(done, left - done)
            if not done:
                time.sleep(_OTHERS_S)

    def pending(self) -> tuple[int, int]:
        """(records whose words are not indexed yet, records whose meaning is not); of all projects."""
        pending = self._projections.active().outbox.pending()
        return words_pending(pending), pending.get("embed", 0)

    def reindex(self, embedder: str | None = None, progress: Progress | None = None) -> None:
        """Rebuild the index from SQL beside the one in use; with another embedder every text is embedded anew."""
        from genstore.upkeep.reindex import reindex

        reindex(self.database, self._projections, embedder, progress)

    def verify(self, *, repair: bool = False) -> Findings:
        """Compare SQL, index and blobs; every difference is listed, and mended when asked."""
        from genstore.upkeep.verify import verify

        return verify(self.database, self.bodies, self._projections.active(), self._gate, repair=repair)

    def stats(self, where: Where = None) -> Stats:
        """What the store holds: records, tokens, cost, bytes, and what waits to be indexed."""
        from genstore.upkeep.stats import collect

        return collect(self.database, self._projections.active(), self._condition(where))

    def import_(self, source: Any, **options: Any) -> ImportReport:
        """Read records from JSONL (plain, gzip, zstd) or Parquet; see genstore.exchange.import_."""
        from genstore.exchange.import_ import import_file

        return import_file(self, source, **options)

    def export(
        self,
        target: Any,
        *,
        where: Where = None,
        format: Format | None = None,
        dedup: Rule | Level | None = None,
        against: Any = None,
        against_rule: Rule | Level | None = None,
        mapping: Any = None,
        on_dropped: Callable[[Dropped], None] | None = None,
        **options: Any,
    ) -> int:
        """Write records to JSONL or Parquet; how many were written.

        dedup: leave out what duplicates a record that is written. against: a file of held-out records, leave out what
        duplicates one of them, by dedup, else against_rule, else near; mapping: of its fields, recognised when None.
        on_dropped: called with each record that was left out and why.
        """
        from genstore.exchange.export import checked_target, export_file

        checked_target(target, format, options.get("overwrite", False))  # before what may take minutes
        keep = None
        if dedup is not None or against is not None:
            keep = self._sieve(dedup, against, against_rule, mapping, where, on_dropped or (lambda dropped: None))
        return export_file(self, target, where=where, format=format, keep=keep, **options)

    def close(self) -> None:
        """Write away what was handed over, finish the indexing batch in hand, let go of everything."""
        if self._closed:
            return
        self._closed = True
        if self.database.is_inherited:
            return  # threads, locks and connections are those of the parent, which closes them
        self._writer.close()
        self._catch_up.stop()
        self._projections.close()
        self.database.close()

    # Within

    def _as_record(self, item: Mapping[str, Any] | Record) -> Record:
        if isinstance(item, Record):
            # Checked and hashed anew: `replace(record, …)` changes a body and leaves its hash as it was.
            return build_record(**{name: getattr(item, name) for name in LOG_FIELDS})
        if not isinstance(item, Mapping):
            raise InvalidInput(f"log_many takes mappings or records, not a {type(item).__name__}")
        if odd := [key for key in item if not isinstance(key, str)]:
            raise InvalidInput(f"a record has the field {odd[0]!r}; fields have names such as 'prompt'")
        return build_record(**{"project": self.settings.project, **item})

    def _sieve(
        self,
        dedup: Rule | Level | None,
        against: Any,
        against_rule: Rule | Level | None,
        mapping: Any,
        where: Where,
        on_dropped: Callable[[Dropped], None],
    ) -> Callable[[Record], bool]:
        from genstore.dedup.sieve import Sieve
        from genstore.exchange.held_out import records_of

        rule = as_rule(dedup or against_rule or "near")
        sieve = Sieve(on_dropped)
        if against is not None:
            sieve.hold_out(records_of(against, mapping, self.settings.project), rule, self._gate.methods(rule))
        if dedup is not None:
            # What leaks is left out first: a copy may stay when the record it copies does not.
            leaks = {record.id for record in self.iterate(where) if sieve.is_held_out(record)}
            sieve.leave_out(self.duplicates(rule, where=where, without=leaks))
        return sieve.keep

    def _by_id(self, record_id: str) -> Record:
        """The record of whatever project."""
        with self.database.read() as connection:
            found = read.load(connection, self.bodies, [record_id], strict=True)
        if record_id not in found:
            raise NotFound(f"record {record_id}, which held the same content, was deleted meanwhile; log it again")
        return found[record_id]

    def _foreseen(self, rows: RecordRows, rule: Rule) -> Found | None:
        from genstore.dedup.foresee import foresee

        projection = self._projections.active()
        # Not what a background store hands over first: it is its queue's thread that asks.
        Store._catch_up_briefly(self, projection, dense=True)
        return foresee(self.database, self.bodies, projection, rows, rule)

    def _annotate(self, change: Callable[[Any, str], R], record_id: str) -> R:
        self._check_open()
        with self.database.write() as connection:
            found = read.resolve(connection, record_id, self.settings.project)
            annotate.hold(connection, found)
            result = change(connection, found)
        self._index_soon()
        return result

    def _condition(self, where: Where) -> Filter:
        """The filter within this store's project."""
        inside = Compare("project", "=", self.settings.project)
        condition = as_filter(where)
        return inside if condition == EVERYTHING else All((inside, condition))

    def _plan(self, where: Where, **options: Any) -> Plan:
        from genstore.search.plan import Plan

        settings = self.settings
        defaults = {"depth": settings.depth, "fusion": settings.fusion, "dense_weight": settings.dense_weight}
        given = {name: value for name, value in options.items() if value is not None}
        if unknown := given.keys() - set(_SEARCH_OPTIONS):
            raise InvalidInput(f"search does not take {sorted(unknown)[0]!r}; it takes {', '.join(_SEARCH_OPTIONS)}")
        return Plan(project=settings.project, where=as_filter(where), **{**defaults, **given})

    def in_index(self, find: Callable[[Projection], R], *, dense: bool = True) -> R:
        """What find gets from the index in use, caught up; anew when a reindex put another in its place meanwhile."""

        def caught_up(projection: Projection) -> R:
            self._catch_up_briefly(projection, dense=dense)
            return find(projection)

        return self._in_active(caught_up)[1]

    def _found(self, find: Callable[[Projection], tuple[Hit, ...]], mode: Mode) -> SearchResult:
        return self._result(*self._in_active(find), mode)

    def _in_active(self, find: Callable[[Projection], R]) -> tuple[Projection, R]:
        """(the index in use, what find gets from it); anew when a reindex put another in its place meanwhile."""
        self._check_open()
        projection = self._projections.active()
        while True:
            looked_in = projection
            try:
                found = find(looked_in)
            except IndexUnavailable:
                if (projection := self._projections.active()) is looked_in:
                    raise
                continue
            if (projection := self._projections.active()) is looked_in:
                return looked_in, found

    def _result(self, projection: Projection, hits: tuple[Hit, ...], mode: Mode) -> SearchResult:
        pending = projection.outbox.pending()
        return SearchResult(hits, mode, words_pending(pending), pending.get("embed", 0))

    def _catch_up_briefly(self, projection: Projection, *, dense: bool) -> None:
        """Index what was logged just now, so that a search right after a log finds it."""
        pending = projection.outbox.pending()
        words, meaning = words_pending(pending), pending.get("embed", 0) + pending.get("index", 0)
        # Busy: another process is indexing, and what is indexed can be searched meanwhile.
        with suppress(NotFound, IndexBusy):
            if words:
                budget_s = _FEW_BUDGET_S if words <= _SOON else _WORDS_BUDGET_S
                projection.indexer.drain_words(time.monotonic() + budget_s)
            if dense and 0 < meaning <= _SOON:
                budget_s = _FEW_BUDGET_S if meaning <= _FEW else _DENSE_BUDGET_S
                deadline = time.monotonic() + budget_s
                projection.indexer.drain_dense(deadline, at_once=_DENSE_SOON_BATCH, most=meaning)

    def _index_soon(self) -> None:
        if self.settings.auto_index:
            self._catch_up.wake()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the store is closed; open it again")
        self.database.check_process()


def checked_policy(policy: OnDuplicate) -> OnDuplicate:
    """The policy. Raises InvalidInput unless it is one of keep, skip and link."""
    if policy not in POLICIES:
        raise InvalidInput(f"on_duplicate is {policy!r}; it is one of {', '.join(POLICIES)}")
    return policy


T = TypeVar("T")


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
