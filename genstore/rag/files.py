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


@dataclass(frozen=True, slots=True)
class Found:
    """A file to be read. name: its path as given, with forward slashes; asked_for: named, not met in a folder."""

    name: str
    path: Path | None
    asked_for: bool = True

    def read(self) -> bytes:
        """Its bytes. Raises InvalidInput when they cannot be read."""
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
    """The files, each once, in order; those in a folder sorted, hidden ones left out.

    stdin_name: what "-" is called. Raises NotFound for a path that is not there and a pattern that fits nothing.
    """
    found: dict[str, Found] = {}
    for given in paths:
        for file in _standing_for(os.fspath(given), stdin_name):
            found.setdefault(file.name, file)
    return list(found.values())


def _standing_for(given: str, stdin_name: str) -> Iterator[Found]:
    if given == STANDARD:
        yield Found(stdin_name, None)
        return
    path = Path(given)
    if path.is_dir():
        yield from _below(path)
    elif path.exists():
        yield Found(path.as_posix(), path)
    elif glob.has_magic(given):
        matches = sorted(glob.glob(given, recursive=True))
        if not matches:
            raise NotFound(f"no file fits {given!r}; ** goes into folders below")
        for match in map(Path, matches):
            if match.is_file():
                yield Found(match.as_posix(), match, asked_for=False)
    else:
        raise NotFound(f"there is no {given}")


def _below(folder: Path) -> Iterator[Found]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place, name)
            if not name.startswith(".") and path.is_file():
                yield Found(path.as_posix(), path, asked_for=False)
