"""One process at a time owns the embedded index; a lease opens it when needed and lets go when others want it.

Two lock files stand in the folder, both held with flock, which the kernel releases however a process ends. Who holds
`owner.lock` (its process id inside) has the index open. Who waits for it holds `waiting.lock`: the owner sees that
somebody waits, and cannot come back before whoever was waiting had its turn.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import shutil
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

from genstore.errors import IndexBusy, IndexUnavailable

T = TypeVar("T")

OWNER_FILE = "owner.lock"
WAITING_FILE = "waiting.lock"

_POLL_S = 0.005
_WATCH_S = 0.025
_QUIET_S = 0.02  # an owner without work for this long yields at once
_TURN_S = 0.1  # a busy owner yields after this long, or after twice what opening took, if that is longer
_LONGEST_TURN_S = 2.0
_EXIT_S = 5.0  # what is not done by then is cut off at exit, which is no worse for the index than a kill


class FileLock:
    """An exclusive lock on a file between processes; its content is the process id of who holds it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None
        _locks.add(self)

    def acquire(self, deadline: float) -> bool:
        """Take the lock, waiting until time.monotonic() passes deadline; False when it stayed taken."""
        while not self._try():
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_S)
        return True

    def _try(self) -> bool:
        descriptor = self._locked()
        if descriptor is None:
            return False
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        self._descriptor = descriptor
        return True

    def _locked(self) -> int | None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:  # the folder was dropped in between
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        if not self._is_current(descriptor):  # the folder was dropped in between: this file has no name any more
            os.close(descriptor)
            return None
        return descriptor

    def _is_current(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self.path.stat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Let go; harmless when the lock is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def is_taken(self) -> bool:
        """Whether another descriptor holds the lock at this moment."""
        if not self.path.exists():
            return False
        descriptor = self._locked()
        if descriptor is not None:
            os.close(descriptor)
        return descriptor is None

    def holder(self) -> str:
        """The process id in the file, or '?'."""
        try:
            return self.path.read_text().strip() or "?"
        except OSError:
            return "?"


_locks: weakref.WeakSet[FileLock] = weakref.WeakSet()


class Lease(Generic[T]):
    """Shares one opened resource among the threads of a process, and its folder among processes.

    open() is called with the folder locked, close(resource) before it is unlocked. The resource is closed when it
    was not used for idle_s, and soon after another process starts to wait for it. Calls of use() must not nest.
    """

    def __init__(
        self, folder: Path, open: Callable[[], T], close: Callable[[T], None], timeout_s: float, idle_s: float
    ) -> None:
        self._folder = folder
        self._open = open
        self._close = close
        self._timeout_s = timeout_s
        self._idle_s = idle_s
        self._closed = False
        self._owner = FileLock(folder / OWNER_FILE)
        self._waiting = FileLock(folder / WAITING_FILE)
        self._reset()
        _leases.add(self)

    def _reset(self) -> None:
        self._changed = threading.Condition()
        self._resource: T | None = None
        self._active = 0
        self._long = 0
        self._opening = False
        self._yielding = False
        self._last_used = self._opened_at = self._turn_s = 0.0

    @contextlib.contextmanager
    def use(self, long: bool = False) -> Iterator[T]:
        """The open resource, which stays open until the block ends.

        long: the block may take many seconds; others in this process are then let in meanwhile, though another
        process waits. Raises IndexBusy, naming the owner's process id, when it is not to be had within timeout_s.
        """
        resource = self._enter(long)
        try:
            yield resource
        finally:
            with self._changed:
                self._active -= 1
                self._long -= long
                self._last_used = time.monotonic()
                if self._yielding:
                    self._changed.notify_all()

    def replace(self, renew: Callable[[T], T]) -> None:
        """Swap the resource for renew(resource), alone with it; the folder stays locked throughout.

        Only inside a block of use(long=True), the one that asks for it; it waits for all other blocks to end. The
        old resource is gone afterwards, even when renew raises: the next use() opens the folder anew.
        """
        with self._changed:
            self._yielding = True
            self._changed.wait_for(lambda: self._active == 1)
            old, self._resource = self._resource, None
            self._opening = True  # the folder is still ours, and close() has to wait
        new: T | None = None
        try:
            assert old is not None
            new = renew(old)
        finally:
            with self._changed:
                self._resource, self._opening = new, False
                self._yielding = new is None  # then _watch() lets go of the folder before anyone is let in again
                self._changed.notify_all()

    def close(self, wait_s: float | None = None) -> None:
        """Close the resource and let go of the folder when what is in progress has ended; idempotent.

        Returns when that is done, or after wait_s.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._changed.wait_for(self._is_let_go, wait_s)

    def remove_folder(self) -> None:
        """Close for good and delete the folder, once no other process has it open."""
        self.close()
        self._lock_folder(time.monotonic() + self._timeout_s)
        try:
            # The locks go last: once the owner's has no name any more, whoever waits makes the folder anew.
            left = _emptied(self._folder)
            if not left:
                shutil.rmtree(self._folder, ignore_errors=True)
        finally:
            self._owner.release()
        if left:
            raise IndexUnavailable(f"cannot delete the index in {self._folder}: {', '.join(left)} stayed")

    def _is_let_go(self) -> bool:
        return self._resource is None and not self._opening and not self._yielding

    def _enter(self, long: bool) -> T:
        deadline = time.monotonic() + self._timeout_s
        with self._changed:
            while True:
                if self._closed:
                    raise IndexUnavailable(f"the index in {self._folder} was closed")
                if self._resource is not None and not self._yielding:
                    self._active += 1
                    self._long += long
                    return self._resource
                if self._is_let_go():
                    self._opening = True
                    break
                if not self._changed.wait(deadline - time.monotonic()):
                    raise self._busy()
        return self._acquire(deadline, long)

    def _acquire(self, deadline: float, long: bool) -> T:
        resource: T | None = None
        try:
            self._lock_folder(deadline)
            started = time.monotonic()
            resource = self._open()
            self._turn_s = min(max(_TURN_S, 2 * (time.monotonic() - started)), _LONGEST_TURN_S)
            return resource
        finally:
            with self._changed:
                self._opening = False
                if resource is None:
                    self._owner.release()
                else:
                    self._resource, self._active, self._long = resource, 1, int(long)
                    self._opened_at = time.monotonic()
                    threading.Thread(target=self._watch, name="genstore-lease", daemon=True).start()
                self._changed.notify_all()

    def _lock_folder(self, deadline: float) -> None:
        try:
            queued = self._waiting.acquire(deadline)
            try:
                if not queued or not self._owner.acquire(deadline):
                    raise self._busy()
            finally:
                self._waiting.release()
        except OSError as error:
            raise IndexUnavailable(f"cannot lock the index in {self._folder}: {error.strerror or error}") from error

    def _busy(self) -> IndexBusy:
        return IndexBusy(
            f"the index in {self._folder} is in use by process {self._owner.holder()}; "
            f"waited {self._timeout_s:g} s for it"
        )

    def _watch(self) -> None:
        """Close the resource when it is idle, wanted elsewhere or closed for good; runs while it is open."""
        with self._changed:
            while not self._is_over():
                self._changed.wait(_WATCH_S)
            self._yielding = True
            while self._active:
                self._changed.wait()
            resource = self._resource
        try:
            if resource is not None:
                self._close(resource)
        finally:
            resource = None
            with self._changed:
                self._owner.release()
                self._resource = None
                self._yielding = False
                self._changed.notify_all()

    def _is_over(self) -> bool:
        now = time.monotonic()
        quiet_s = 0.0 if self._active else now - self._last_used
        if self._resource is None and not self._opening:
            return True
        if self._closed or quiet_s >= self._idle_s:
            return True
        had_its_turn = quiet_s >= _QUIET_S or now - self._opened_at >= self._turn_s
        return had_its_turn and not self._long and self._waiting.is_taken()

    def forget(self) -> None:
        """In a child after fork: let go of what belongs to the parent, without closing it there."""
        self._owner.release()
        self._waiting.release()
        if self._resource is not None:
            _parents.append(self._resource)
            _close_descriptors_in(self._folder)
        self._reset()


_leases: weakref.WeakSet[Lease[Any]] = weakref.WeakSet()
_parents: list[object] = []  # the parent's resources: freeing one here would wait for threads fork did not copy


def _emptied(folder: Path) -> list[str]:
    """Delete all in the folder but its locks; the names of what could not be deleted."""
    own = [path for path in folder.glob("*") if path.suffix != ".lock"]
    for path in own:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()
    return [path.name for path in own if path.exists()]


def _close_descriptors_in(folder: Path) -> None:
    """Close this process's copies of open files under the folder: they would hold the parent's locks after its end."""
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                if Path(os.readlink(f"/proc/self/fd/{name}")).is_relative_to(folder.resolve()):
                    os.close(int(name))


@atexit.register
def _close_all() -> None:
    for lease in list(_leases):
        lease.close(_EXIT_S)


def _forget_all() -> None:
    # The parent's locks are not ours, but our copy of a descriptor would hold one on after the parent has let go.
    for lock in list(_locks):
        lock.release()
    for lease in list(_leases):
        lease.forget()


os.register_at_fork(after_in_child=_forget_all)
