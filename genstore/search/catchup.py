"""The thread that indexes what this process logs, so that `log` never waits for the index."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress

from genstore.errors import GenstoreError, IndexBusy
from genstore.search.projection import Projection, Projections

_log = logging.getLogger("genstore.index")

# Records that arrive together are indexed together: the index writes a hundred points for little more than one.
_GATHER_S = 0.05
# Vectors are slow; between these slices new words get their turn.
_DENSE_SLICE_S = 0.5
_FIRST_RETRY_S = 0.5
_LONGEST_RETRY_S = 30.0


# Small batches in the background: a program that ends waits for the one in hand.
_DENSE_AT_ONCE = 8


class CatchUp:
    """Runs while there is something to index; started by the first `wake`, ended by stop() or the program's end."""

    def __init__(self, projections: Projections) -> None:
        self._projections = projections
        self._wanted = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        _running.add(self)

    def wake(self) -> None:
        """There may be something to do. Costs next to nothing when the thread is awake already."""
        if self._wanted.is_set():
            return
        self._wanted.set()
        if self._thread is None or not self._thread.is_alive():
            with self._lock:
                if (self._thread is None or not self._thread.is_alive()) and not self._stopping.is_set():
                    thread = threading.Thread(target=self._run, name="genstore-index", daemon=True)
                    # At the interpreter's end no thread can begin; the outbox keeps the work for the next process.
                    with suppress(RuntimeError):
                        thread.start()
                        self._thread = thread

    def stop(self) -> None:
        """Finish the batch in hand and end; what is left waits in the outbox for the next process."""
        self._stopping.set()
        self._wanted.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        retry_s = _FIRST_RETRY_S
        while not self._stopping.is_set():
            self._wanted.wait()
            if self._stopping.wait(_GATHER_S):
                return
            self._wanted.clear()
            try:
                self._drain()
                retry_s = _FIRST_RETRY_S
            except IndexBusy as error:
                # Whoever holds it is indexing, our records as well as its own.
                _log.debug("indexing waits: %s", error)
                self._stopping.wait(_GATHER_S)
                self._wanted.set()
            except Exception as error:
                if not threading.main_thread().is_alive():
                    return  # the program ends and has closed the index before us
                # SQL holds the work; whatever is wrong now (a server that is down, a busy index) may pass.
                level = logging.WARNING if isinstance(error, GenstoreError) else logging.ERROR
                _log.log(level, "indexing waits %.1f s: %s", retry_s, error, exc_info=level == logging.ERROR)
                self._stopping.wait(retry_s)
                retry_s = min(2 * retry_s, _LONGEST_RETRY_S)
                self._wanted.set()

    def _drain(self) -> None:
        for find in (self._projections.active, self._projections.building):
            projection = find()
            while projection is not None and not self._stopping.is_set():
                words = projection.indexer.drain_words()
                deadline = time.monotonic() + _DENSE_SLICE_S
                dense = projection.indexer.drain_dense(deadline, at_once=_DENSE_AT_ONCE, until=self._stopping.is_set)
                if not words and not dense:
                    projection.indexer.tune()
                    break


_running: weakref.WeakSet[CatchUp] = weakref.WeakSet()


@atexit.register
def _stop_all() -> None:
    """End the threads of stores that nobody closed: one that still embeds while the interpreter goes down aborts it."""
    for catch_up in list(_running):
        catch_up.stop()


# In a child after fork there is no such thread to end: it was not copied.
os.register_at_fork(after_in_child=_running.clear)


def drain_all(projection: Projection, progress: Callable[[int, int], None] | None = None) -> None:
    """Index everything that waits, in this thread; progress is called with (done, left)."""
    done = 0

    def report(finished: int) -> None:
        nonlocal done
        done += finished
        if progress is not None:
            progress(done, sum(projection.outbox.pending().values()))

    while pending := sum(projection.outbox.pending().values()):
        before = done
        report(projection.indexer.drain_words())
        projection.indexer.drain_dense(on_batch=report)
        if done == before and pending == sum(projection.outbox.pending().values()):
            time.sleep(_GATHER_S)  # another process is at it
    if projection.indexer.tune():
        drain_all(projection, progress)
