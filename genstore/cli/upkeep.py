"""stats, reindex, verify, upgrade: keeping a store in order."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from genstore.cli import exits
from genstore.cli.session import bars, index_all, out, print_json

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


def register(app: typer.Typer) -> None:
    for verb in (stats, reindex, verify, upgrade):
        app.command()(verb)


def stats(
    context: typer.Context,
    where: Annotated[str | None, typer.Option("--where", "-w", help="Count only what satisfies this filter.")] = None,
    as_json: Json = False,
) -> None:
    """What the store holds."""
    from genstore.cli.show import clean, print_pending

    with context.obj.open(create=False) as store:
        found = store.stats(where)
    if as_json:
        print_json(asdict(found))
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    rows = {
        "records": f"{found.records:,}",
        "tokens": f"{found.input_tokens:,} in, {found.output_tokens:,} out",
        "cost": f"${found.cost_usd:,.4f}",
        "bodies": f"{found.bodies:,}, {found.body_bytes:,} bytes ({found.repeated_bytes:,} saved by keeping each once)",
        "passages": f"{found.passages:,}, {found.embeddings:,} vectors ({found.embedder})",
        "points": "index not reachable" if found.points is None else f"{found.points:,}",
        "scores": f"{found.scores:,}",
    }
    if where:
        rows["records"] += " satisfy the filter; all below is theirs alone"
    for name, value in rows.items():
        table.add_row(f"[bold]{name}[/]", value)
    for name, counts in (("kind", found.by_kind), ("status", found.by_status), ("model", found.by_model)):
        for number, (value, count) in enumerate(counts.items()):
            table.add_row(f"[bold]{name}[/]" if not number else "", Text(f"{count:>9,}  {clean(value)}"))
    out.print(table)
    print_pending(found.pending, found.pending_dense)


def reindex(
    context: typer.Context,
    embedder: Annotated[str | None, typer.Option(help="Embed everything anew with this one.")] = None,
    pending: Annotated[bool, typer.Option("--pending", help="Only finish what waits to be indexed.")] = False,
    as_json: Json = False,
) -> None:
    """Rebuild the index beside the one in use and switch; nothing is embedded again by the same embedder."""
    # The embedder asked for here wins over the one in GENSTORE_EMBEDDER or genstore.toml: that one may be what the
    # store was not embedded with, and is no reason to refuse the command that changes it.
    settings = {"embedder": "", "precision": "fp32"} if embedder else {}
    with context.obj.open(create=False, **settings) as store:
        if pending:
            index_all(store)
            words, dense = store.pending()
            if as_json:
                print_json({"pending": words, "pending_dense": dense})
            else:
                out.print("everything is indexed")
            return
        with bars() as progress:
            task = progress.add_task("reindexing", total=None)
            store.reindex(embedder, lambda done, left: progress.update(task, completed=done, total=done + left))
        if as_json:
            print_json({"points": store.stats().points, "embedder": store.stats().embedder})
            return
        out.print(f"the new index is in use: {store.stats().points:,} points")


def verify(
    context: typer.Context,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended.")] = False,
    as_json: Json = False,
) -> None:
    """Compare SQL, index and blobs; list every difference. Exit code 7 when there are any."""
    from genstore.cli.show import clean

    with context.obj.open(create=False) as store:
        found = store.verify(repair=repair)
    if as_json:
        print_json({**asdict(found), "clean": found.clean})
    else:
        for difference in found.differences:
            owner = f" [dim](record {difference.record_id})[/]" if difference.record_id else ""
            out.print(f"[yellow]{difference.kind}[/] {escape(clean(difference.what))}{owner}")
        for note in found.notes:
            out.print(f"[dim]note: {note}[/]")
        state = "no differences" if not found.differences else f"{len(found.differences):,} differences"
        mended = f", {found.repaired:,} mended" if repair else ""
        out.print(f"{found.records:,} records, {found.bodies:,} bodies, {found.points:,} points: {state}{mended}")
    if not found.clean:
        raise typer.Exit(exits.DIFFERENCES)


def upgrade(context: typer.Context) -> None:
    """Bring a PostgreSQL store to this version's schema; stop its writers first. SQLite upgrades itself."""
    import os

    from genstore.errors import InvalidInput
    from genstore.sql.engine import Database
    from genstore.sql.upgrade import HEAD, run_migrations

    url = context.obj.store or os.environ.get("GENSTORE_STORE") or ""
    if "://" not in url:
        raise InvalidInput(
            "a store in a directory upgrades itself when it is opened; pass --store postgresql+psycopg://…"
        )
    database = Database(url)
    try:
        run_migrations(database)
    finally:
        database.close()
    out.print(f"{database} is at schema {HEAD}")
