"""Records handed over instead of waited for: a bounded queue and one thread that writes it away."""

from __future__ import annotations

import atexit
import copy
import os
import queue
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from genstore.errors import StoreError
from genstore.identity import new_id

_MOST_AT_ONCE = 500
_PLAIN = (str, bytes, int, float, bool, type(None))


class Handover:
    """A record that was handed over. `id` is final at once; `result()` waits for the commit."""

    __slots__ = ("_done", "_error", "_held_by", "arguments", "id")

    def __init__(self, record_id: str, arguments: Mapping[str, Any]) -> None:
        self.id = record_id
        self.arguments = arguments
        self._done: threading.Event | None = None
        self._error: BaseException | None = None
        self._held_by = ""

    def result(self, timeout_s: float | None = None) -> str:
        """The id of the record that holds the content, after the commit. Raises what kept it from being written."""
        done = self._event()
        if not done.wait(timeout_s):
            raise TimeoutError(f"record {self.id} was not written within {timeout_s} s")
        if self._error is not None:
            raise self._error
        return self._held_by

    def settle(self, held_by: str, error: BaseException | None = None) -> None:
        """Say what became of it."""
        self._held_by = held_by
        self._error = error
        self.arguments = {}
        with _events:
            if self._done is not None:
                self._done.set()
            else:
                self._done = _SETTLED

    def _event(self) -> threading.Event:
        # Made only when somebody waits: an Event costs more than the rest of the hand-over.
        with _events:
            if self._done is None:
                self._done = threading.Event()
            return self._done


_events = threading.Lock()
_SETTLED = threading.Event()
_SETTLED.set()

WriteBatch = Callable[[Sequence[Handover]], None]
"""Writes each and settles it; must not raise."""


class HandoverQueue:
    """A bounded queue before a store: full, it makes its callers wait; nothing is dropped."""

    def __init__(self, write: WriteBatch, size: int) -> None:
        self._write = write
        self._queue: queue.Queue[Handover | None] = queue.Queue(maxsize=size)
        self._failures: list[BaseException] = []
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._putting = threading.Condition()
        self._being_put = 0
        self._closed = False
        _open.add(self)

    def put(self, arguments: Mapping[str, Any]) -> Handover:
        """Hand a record over; waits while the queue is full. What the caller may change later is copied."""
        self._check_open()
        kept: dict[str, Any] = {
            key: value if isinstance(value, _PLAIN) else copy.deepcopy(value) for key, value in arguments.items()
        }
        handover = Handover(str(kept.get("id") or new_id()), kept)
        with self._putting:
            self._check_open()
            self._being_put += 1
        try:
            self._queue.put(handover)
            if self._thread is None:
                self._start()
        finally:
            with self._putting:
                self._being_put -= 1
                if self._closed:
                    self._putting.notify_all()
        return handover

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the store is closed; open it again to log")

    def flush(self) -> None:
        """Wait until everything handed over is written. Raises the first failure since the last flush."""
        if self._thread is not None:
            self._queue.join()
        if self._failures:
            failures, self._failures = self._failures, []
            if len(failures) == 1:
                raise failures[0]
            raise StoreError(f"{len(failures)} records could not be written; the first: {failures[0]}") from failures[0]

    def close(self) -> None:
        """Flush and end the thread."""
        with self._putting:
            if self._closed:
                return
            self._closed = True
            # A caller that waits for room would otherwise put its record behind the end.
            self._putting.wait_for(lambda: not self._being_put)
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
        self.flush()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="genstore-write", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            batch = [first]
            last = False
            while len(batch) < _MOST_AT_ONCE and not last:
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
                if item is None:
                    last = True
                else:
                    batch.append(item)
            self._write_away(batch)
            if last:
                self._queue.task_done()
                return
        self._queue.task_done()

    def _write_away(self, batch: Sequence[Handover]) -> None:
        try:
            self._write(batch)
        finally:
            self._failures += [handover._error for handover in batch if handover._error is not None]
            for _ in batch:
                self._queue.task_done()

    def forget(self) -> None:
        """In a child after fork: what waits is written by the parent, whose thread was not copied."""
        self._closed, self._thread = True, None
        self._failures = []


_open: weakref.WeakSet[HandoverQueue] = weakref.WeakSet()


@atexit.register
def _flush_all() -> None:
    with ExitStack() as all_of_them:  # one that fails must not keep the others from being written
        for waiting in list(_open):
            all_of_them.callback(waiting.close)


def _forget_all() -> None:
    for inherited in list(_open):
        inherited.forget()
    _open.clear()


os.register_at_fork(after_in_child=_forget_all)
