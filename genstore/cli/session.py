"""What every command shares: which store, how it is opened, how answers are printed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

if TYPE_CHECKING:
    from genstore.store import Store

_PLAIN_WIDTH = 160


@dataclass(slots=True)
class Session:
    """The options before the verb."""

    store: str | None = None
    project: str | None = None
    index: str | None = None

    def open(self, *, create: bool, **settings: Any) -> Store:
        """The store; reading verbs pass create=False and get an error that says how to make one."""
        from genstore.opening import open_store

        store: Store = open_store(
            self.store, create=create, project=self.project, index=self.index, auto_index=False, **settings
        )
        return store


class Output(Console):
    """Standard output; a reader that went away ends the command instead of the process."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


# Piped output is read by programs and by people later: plain, and wide enough not to be cut.
out = Output(width=None if sys.stdout.isatty() else _PLAIN_WIDTH, soft_wrap=not sys.stdout.isatty(), highlight=False)
err = Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:
    """One JSON document on standard output. Lone surrogates are escaped, the rest is readable."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(value, ensure_ascii=True, indent=2)
    sys.stdout.buffer.write(text.encode() + b"\n")
    sys.stdout.buffer.flush()


def counted(number: int, noun: str) -> str:
    """A number with its noun: 1 record, 2 records."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


class RateColumn(ProgressColumn):
    """Items a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.finished_speed or task.speed or 0:,.0f}/s", style="cyan")


@contextmanager
def bars() -> Iterator[Progress]:
    """Progress on standard error, so that standard output stays what was asked for."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        RateColumn(),
        TimeElapsedColumn(),
        TextColumn("elapsed,"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=err,
        disable=not sys.stderr.isatty() and not os.environ.get("GENSTORE_PROGRESS"),
    ) as progress:
        yield progress


def index_all(store: Store, *, embed: bool = True) -> None:
    """Index what waits, with a bar for words and one for meaning. Ctrl-C leaves the rest in the outbox."""
    words, dense = store.pending()
    with bars() as progress:
        if words:
            task = progress.add_task("indexing words", total=words)
            store.flush_words(lambda done, left: progress.update(task, completed=max(0, words - left)))
            progress.update(task, completed=words)
        _, dense = store.pending()
        if embed and dense:
            task = progress.add_task("embedding", total=dense)
            store.flush(lambda done, left: progress.update(task, completed=max(0, dense - left)))


def body_from(value: str) -> str:
    """A text given on the command line: "-" is standard input, "@FILE" the file's text."""
    from genstore.errors import NotFound

    if value == "-":
        return sys.stdin.read()
    if value.startswith("@") and len(value) > 1:
        try:
            with open(value[1:], encoding="utf-8") as file:
                return file.read()
        except OSError as error:
            raise NotFound(f"cannot read {value[1:]}: {error.strerror}") from error
    return value
