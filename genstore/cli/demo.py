"""demo: the main job in under a minute, on text that every Python carries."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import typer
from rich.panel import Panel

from genstore.cli.session import Session, index_all, out

if TYPE_CHECKING:
    from genstore.search.plan import Mode
    from genstore.store import Store

_DEMO_STORE = "genstore-demo.store"
_MODEL = "pydoc"
# Nine tenths of the topics; the few long ones are most of the text, and a minute is short.
_LONGEST = 20_000

# (title, question, filter, mode)
_SEARCHES: tuple[tuple[str, str, str | None, Mode], ...] = (
    ("by words alone", "__enter__ __exit__", None, "lexical"),
    ("by meaning alone", "ask whether two things are identical", None, "dense"),
    ("by both, with a filter", "how numbers are written", "tag:numbers", "hybrid"),
)


def register(app: typer.Typer) -> None:
    app.command()(demo)


def demo(context: typer.Context) -> None:
    """Log Python's own help texts, search them by words, by meaning and with a filter."""
    session: Session = context.obj
    session.store = session.store or _DEMO_STORE
    started = time.monotonic()
    with session.open(create=True) as store:
        _log_topics(store)
        index_all(store)
        for title, text, where, mode in _SEARCHES:
            _search(store, title, text, where, mode)
        stats = store.stats()
    out.print(
        f"[bold]{stats.records:,} records, {stats.passages:,} passages[/] in {session.store}, "
        f"{time.monotonic() - started:.0f} s in all. Now yours:"
    )
    out.print(f'  genstore --store {session.store} search "your own words"')
    out.print('  genstore log --prompt "…" --output "…" --model gpt-4o    [dim]# into ./genstore.store[/]')


def _log_topics(store: Store) -> None:
    from pydoc_data.topics import topics

    started = time.monotonic()
    before = store.count()
    store.log_many(
        (
            {
                "prompt": f"help({topic!r})",
                "output": text,
                "model": _MODEL,
                "tags": ["python-help", topic],
                "metadata": {"topic": topic, "lines": text.count("\n")},
            }
            for topic, text in sorted(topics.items())
            if len(text) <= _LONGEST
        ),
        on_duplicate="skip",
    )
    logged = store.count() - before
    took = time.monotonic() - started
    out.print(f"logged {logged} help texts in {took:.2f} s" if logged else f"{before} help texts are logged already")


def _search(store: Store, title: str, text: str, where: str | None, mode: Mode) -> None:
    from genstore.cli.show import print_result

    started = time.monotonic()
    result = store.search(text, where, mode=mode, limit=2)
    took = (time.monotonic() - started) * 1000
    command = f'genstore search "{text}"' + (f" --where {where}" if where else "")
    command += f" --mode {mode}" if mode != "hybrid" else ""
    out.print(Panel(f"[bold]{command}[/]   [dim]{title}, {took:.0f} ms[/]", expand=False))
    print_result(result)
