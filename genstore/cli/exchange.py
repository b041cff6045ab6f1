"""import, export: records from files and to files."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from genstore.cli import exits
from genstore.cli.session import bars, counted, err, index_all, out, print_json

if TYPE_CHECKING:
    from genstore.dedup.held_out import Dropped
    from genstore.exchange.import_ import ImportReport


def register(app: typer.Typer) -> None:
    app.command("import")(import_)
    app.command()(export)


def import_(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="JSONL (plain, gzip, zstd) or Parquet; - is standard input.")],
    prompt: Annotated[
        str | None, typer.Option(help="The field that holds the prompt; dots reach into objects.")
    ] = None,
    output: Annotated[str | None, typer.Option(help="The field that holds the output.")] = None,
    model: Annotated[str | None, typer.Option(help="The field that names the model.")] = None,
    session: Annotated[str | None, typer.Option(help="The field that names the conversation.")] = None,
    created_at: Annotated[
        str | None, typer.Option(help="The field that says when: ISO 8601, or seconds since 1970.")
    ] = None,
    provider: Annotated[str | None, typer.Option(help="The field that names the provider.")] = None,
    name: Annotated[str | None, typer.Option(help="The field that names the record.")] = None,
    user: Annotated[str | None, typer.Option(help="The field that names the user.")] = None,
    id_: Annotated[str | None, typer.Option("--id", help="The field with a UUID to keep as the id.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="A field whose value becomes a tag; may be given again.")
    ] = None,
    metadata: Annotated[list[str] | None, typer.Option(help="A field to keep as metadata, nested ones too.")] = None,
    only: Annotated[bool, typer.Option("--only", help="Leave out the fields that are not named here.")] = False,
    format: Annotated[str | None, typer.Option(help="jsonl or parquet; by the file's name otherwise")] = None,
    on_duplicate: Annotated[
        str | None,
        typer.Option(
            help="skip, keep or link what the store holds already; by default the project's policy, else skip"
        ),
    ] = None,
    dedup: Annotated[
        str | None, typer.Option(help="What a duplicate is: exact, near, semantic; by default the very same record.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Rows to read; all by default.")] = None,
    embed: Annotated[
        bool, typer.Option("--embed/--no-embed", help="Embed at once, or leave meaning for later.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Import records. Repeatable: run it again after Ctrl-C and it goes on; what is there is skipped."""
    from genstore.exchange.mapping import FieldMapping

    mapping = FieldMapping(
        prompt=prompt,
        output=output,
        model=model,
        provider=provider,
        name=name,
        session_id=session,
        user_id=user,
        created_at=created_at,
        id=id_,
        tags=tuple(tag or ()),
        metadata=tuple(metadata or ()),
        only=only,
    )
    with context.obj.open(create=True) as store:
        options = {"format": format, "mapping": mapping, "on_duplicate": on_duplicate, "dedup": dedup, "limit": limit}
        report = _read_in(store, file, as_json, project=context.obj.project, **options)
        try:
            index_all(store, embed=embed)
        except KeyboardInterrupt:
            err.print("interrupted: all records are stored; `genstore reindex --pending` finishes the indexing")
            raise
        pending, pending_dense = store.pending()
    if as_json:
        print_json({**asdict(report), "pending": pending, "pending_dense": pending_dense})
    elif pending_dense:
        out.print(f"{pending_dense:,} records are found by words only so far; `genstore reindex --pending` embeds them")
    if report.failed:
        raise typer.Exit(exits.INVALID)


def _read_in(store: Any, file: str, quiet: bool, **options: Any) -> ImportReport:
    last: list[ImportReport] = []
    with bars() as progress:
        task = progress.add_task("importing", total=None)

        def report_progress(report: ImportReport) -> None:
            if report.guessed and not last:
                err.print(f"[dim]taken as:[/] {escape(report.guessed)}", soft_wrap=True)
            last[:] = [report]
            total = int(report.read * report.size / report.position) if report.size and report.position else None
            if total is not None and options.get("limit") is not None:
                total = min(total, options["limit"])
            progress.update(task, completed=report.read, total=total)

        try:
            report: ImportReport = store.import_(file, progress=report_progress, **options)
        except KeyboardInterrupt:
            stored = last[0].stored if last else 0
            err.print(f"interrupted: {stored:,} records are stored; run the same command again to go on")
            raise
    for number, message in report.errors:
        err.print(f"[yellow]row {number}:[/] {escape(message)}", soft_wrap=True)
    if report.failed > len(report.errors):
        err.print(f"[yellow]and {report.failed - len(report.errors):,} more[/]")
    for note in report.notes:
        err.print(f"[yellow]note:[/] {escape(note)}", soft_wrap=True)
    if not quiet:
        rate = report.read / report.seconds if report.seconds else 0
        out.print(
            f"{report.read:,} rows: {report.stored:,} stored, {report.skipped:,} there already, "
            f"{report.failed:,} failed ({rate:,.0f} rows/s)"
        )
    return report


def export(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="Where to; .gz and .zst compress, - is standard output.")],
    format: Annotated[str | None, typer.Option(help="jsonl or parquet; by the file's name otherwise")] = None,
    where: Annotated[str | None, typer.Option("--where", "-w", help="Only what satisfies this filter.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there already.")] = False,
    dedup: Annotated[str | None, typer.Option(help="Leave out duplicates: exact, near or semantic.")] = None,
    against: Annotated[
        str | None, typer.Option(help="Leave out what duplicates a row of this held-out file (JSONL or Parquet).")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="The held-out file's field with the prompt.")] = None,
    output: Annotated[str | None, typer.Option(help="The held-out file's field with the output.")] = None,
    on: Annotated[str, typer.Option(help="What --dedup and --against compare.")] = "output",
    report: Annotated[Path | None, typer.Option(help="Write what was left out, and why, as JSON lines.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Say what was written as JSON.")] = False,
) -> None:
    """Export records with scores, tags and relations; `import` brings them back unchanged."""
    from genstore.dedup.rule import Rule
    from genstore.exchange.jsonl import refuse_existing

    dropped: list[Dropped] = []
    rule = Rule(dedup or "near", on) if dedup or against else None  # type: ignore[arg-type]
    if rule is not None and rule.level == "semantic":
        with context.obj.open(create=False) as store:
            index_all(store)
    if report is not None and not overwrite:
        refuse_existing(report)
    with context.obj.open(create=False) as store, bars() as progress:
        task = progress.add_task("exporting", total=store.count(where))
        count = store.export(
            file,
            where=where,
            format=format,
            overwrite=overwrite,
            dedup=rule if dedup else None,
            against=against,
            against_rule=rule,
            mapping={"prompt": prompt, "output": output} if prompt or output else None,
            on_dropped=dropped.append,
            progress=lambda done, left: progress.update(task, completed=done, total=done + left),
        )
    if report is not None:
        _write_report(report, dropped)
    reasons = Counter(one.reason for one in dropped)
    if as_json and file != "-":
        print_json(
            {"file": file, "records": count, "duplicates": reasons["duplicate"], "held_out": reasons["held_out"]}
        )
        return
    said = sys.stderr if file == "-" else sys.stdout
    print(f"{counted(count, 'record')} written to {file}", file=said)
    if rule is not None:
        copies, leaks = reasons["duplicate"], reasons["held_out"]
        print(f"left out: {counted(copies, 'duplicate')}, {leaks:,} that duplicate a held-out row", file=said)


def _write_report(path: Path, dropped: Sequence[Dropped]) -> None:
    from genstore.errors import StorageFull

    try:
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(asdict(one)) + "\n" for one in dropped)
    except OSError as error:
        raise StorageFull(f"cannot write {path}: {error.strerror}") from error
