"""add: documents from files."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape

from genstore.cli import exits
from genstore.cli.session import bars, err, index_all, out, print_json


def register(app: typer.Typer) -> None:
    app.command()(add)


def add(
    context: typer.Context,
    paths: Annotated[
        list[str], typer.Argument(help="Files, folders, patterns such as 'docs/**/*.md'; - is standard input.")
    ],
    name: Annotated[
        str | None, typer.Option(help="What one file or standard input is called; notes.md is read as Markdown.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(help="May be given again.")] = None,
    embed: Annotated[
        bool, typer.Option("--embed/--no-embed", help="Embed at once, or leave meaning for later.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Add documents: text, Markdown, HTML, PDF, DOCX, CSV, source code. A changed file replaces its earlier version."""
    from genstore.cli.show import clean

    with context.obj.open(create=True) as store:
        with bars() as progress:
            task = progress.add_task("adding", total=None)
            report = store.add(
                *paths,
                name=name or "",
                tags=tag or [],
                progress=lambda done, left: progress.update(task, completed=done, total=done + left),
            )
        for file, reason in report.errors:
            err.print(f"[yellow]{escape(clean(file))}:[/] {escape(clean(reason))}", soft_wrap=True)
        index_all(store, embed=embed)
    if as_json:
        print_json(asdict(report))
    else:
        ignored = f", {report.ignored:,} files without text passed over" if report.ignored else ""
        out.print(
            f"{report.added:,} added, {report.changed:,} replaced, {report.unchanged:,} unchanged, "
            f"{report.failed:,} failed{ignored}"
        )
    if report.failed:
        raise typer.Exit(exits.INVALID)
