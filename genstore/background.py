"""A store whose `log` does not wait: records go to a bounded queue, one thread commits them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from genstore.capture.handover import Handover, HandoverQueue
from genstore.dedup.policy import Policy
from genstore.dedup.rule import as_rule
from genstore.entry import build_record
from genstore.sql.write import Unprepared
from genstore.store import Store, checked_policy

if TYPE_CHECKING:
    from genstore.dedup.rule import Level, Rule
    from genstore.messages import Content
    from genstore.search.projection import Projection
    from genstore.sql.write import Entry, OnDuplicate
    from genstore.work import Progress


class BackgroundStore(Store):
    """Like Store; `log` returns a handover at once. Nothing is dropped: a full queue makes its callers wait.

    Everything handed over is committed by flush(), close() and at the interpreter's exit; reading verbs see what
    is committed, search flushes first.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._queue = HandoverQueue(self._write_away, self.settings.queue_size)

    def log(  # type: ignore[override]
        self,
        prompt: Content = None,
        output: Content = None,
        *,
        on_duplicate: OnDuplicate | None = None,
        dedup: Rule | Level | None = None,
        **fields: Any,
    ) -> Handover:
        """Hand a generation over; its id is known at once, its outcome from result()."""
        self._check_open()
        if on_duplicate is not None or dedup is not None:  # what is wrong with it is said here and now
            Policy(checked_policy(on_duplicate or "link"), None if dedup is None else as_rule(dedup))
        duplicates = {"on_duplicate": on_duplicate, "dedup": dedup}
        return self._queue.put({"prompt": prompt, "output": output, **duplicates, **fields})

    def flush(self, progress: Progress | None = None) -> None:
        """Commit everything handed over, then index and embed it. Raises the first failure since the last flush."""
        self._check_open()
        self._queue.flush()
        super().flush(progress)

    def flush_words(self, progress: Progress | None = None) -> None:
        """Commit everything handed over and index its words."""
        self._check_open()
        self._queue.flush()
        super().flush_words(progress)

    def close(self) -> None:
        """Write away what was handed over, then close."""
        try:
            self._queue.close()
        finally:
            super().close()

    def _catch_up_briefly(self, projection: Projection, *, dense: bool) -> None:
        self._queue.flush()
        super()._catch_up_briefly(projection, dense=dense)

    def _write_away(self, handovers: Sequence[Handover]) -> None:
        """Build and commit a batch; one that cannot be built does not cost the others their place."""
        entries: list[tuple[Handover, Entry]] = []
        for handover in handovers:
            arguments = {"project": self.settings.project, **handover.arguments, "id": handover.id}
            policy = arguments.pop("on_duplicate"), arguments.pop("dedup")
            try:
                entries.append((handover, self.entry(build_record(**arguments), *policy)))
            except Exception as error:
                handover.settle("", error)
        if not entries:
            return
        errors = self._writer.write_each([entry for _, entry in entries])
        for (handover, entry), failure in zip(entries, errors, strict=True):
            if isinstance(failure, Unprepared):
                failure = self._prepared(entry)
            handover.settle(entry.held_by if failure is None else "", failure)
        self._index_soon()

    def _prepared(self, entry: Entry) -> BaseException | None:
        """Write what needs something done first; what kept it from being written."""
        try:
            self._write_prepared(entry)
        except Exception as error:
            return error
        return None
