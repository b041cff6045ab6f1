"""Which files a path stands for: a file, a folder with all below it, a pattern, standard input."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from genstore.errors import InvalidInput, NotFound
from genstore.rag.extractors.extract import is_document

STANDARD = "-"
_HEAD = 8_192
# By which a folder is a store, and what a store keeps in it; see opening.py.
_DATABASE = "genstore.db"
_OWN = frozenset((_DATABASE, f"{_DATABASE}-wal", f"{_DATABASE}-shm", "genstore.toml", "index", "blobs"))


@dataclass(frozen=True, slots=True)
class Found:
    """A file to be read. name: its path as given, with forward slashes; asked_for: named, not met in a folder.

    reason: why it cannot be read, where that is known already.
    """

    name: str
    path: Path | None
    asked_for: bool = True
    reason: str = ""

    def read(self) -> bytes:
        """Its bytes. Raises InvalidInput when they cannot be read."""
        if self.reason:
            raise InvalidInput(f"it cannot be read: {self.reason}")
        if self.path is None:
            return sys.stdin.buffer.read()
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise InvalidInput(f"it cannot be read: {error.strerror}") from error

    def is_document(self) -> bool:
        """Whether it is to be read at all: what was named always, what was met in a folder if it may hold text."""
        if self.asked_for or self.path is None:
            return True
        try:
            with self.path.open("rb") as file:
                return is_document(self.name, file.read(_HEAD))
        except OSError:
            return True  # read() says what is wrong


def find_files(paths: Iterable[str | os.PathLike[str]], stdin_name: str = "stdin") -> list[Found]:
    """The files, each once, in order; those in a folder sorted, hidden ones and those of stores left out.

    stdin_name: what "-" is called. Raises NotFound for a path that is not there and a pattern that fits nothing.
    """
    found: dict[str, Found] = {}
    for given in paths:
        for file in _standing_for(_as_text(given), stdin_name):
            if file.name not in found or file.asked_for:
                found[file.name] = file
    return list(found.values())


def _as_text(given: str | os.PathLike[str]) -> str:
    """The path as text. Raises InvalidInput for what is none; an empty one would be the folder one is in."""
    path = os.fspath(given) if isinstance(given, str | os.PathLike) else None
    if not isinstance(path, str) or not path:
        raise InvalidInput(f"{given!r} is no path; pass a file, a folder (. for this one), a pattern, or -")
    return path


def _standing_for(given: str, stdin_name: str) -> Iterator[Found]:
    if given == STANDARD:
        yield Found(stdin_name, None)
        return
    path = Path(given)
    if os.path.isdir(given):
        yield from _below(path)
    elif os.path.exists(given):
        yield Found(path.as_posix(), path)
    elif glob.has_magic(given):
        yield from _fitting(given)
    else:
        raise NotFound(f"there is no {given}")


def _fitting(pattern: str) -> Iterator[Found]:
    """The files that fit the pattern. ** follows links, round and round if they make a circle: each file once."""
    met: set[str] = set()
    for match in sorted(glob.glob(pattern, recursive=True), key=lambda match: (match.count(os.sep), match)):
        real = os.path.realpath(match)
        if real not in met and os.path.isfile(match) and not _in_store(Path(real)):
            met.add(real)
            path = Path(match)
            yield Found(path.as_posix(), path, asked_for=False)
    if not met:
        raise NotFound(f"no file fits {pattern!r}; ** goes into folders below")


def _in_store(path: Path) -> bool:
    """Whether a file is one that a store keeps itself in."""
    below = zip(path.parents, (path, *path.parents), strict=False)
    return any(inner.name in _OWN and (folder / _DATABASE).exists() for folder, inner in below)


def _below(folder: Path) -> Iterator[Found]:
    unread: list[OSError] = []
    for place, folders, names in os.walk(folder, onerror=unread.append):
        if _DATABASE in names:  # a store, whose own files are no documents
            folders[:] = [name for name in folders if name not in _OWN]
            names = [name for name in names if name not in _OWN]
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place, name)
            if not name.startswith(".") and os.path.isfile(path):
                yield Found(path.as_posix(), path, asked_for=False)
    for error in unread:
        yield Found(Path(error.filename).as_posix(), Path(error.filename), reason=error.strerror or str(error))
