"""search, similar, list, show: verbs that look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from genstore.cli.session import err, out, print_json

if TYPE_CHECKING:
    from genstore.store import Store

Where = Annotated[str | None, typer.Option("--where", "-w", help='A filter: "model:gpt-4o score.quality>=0.8 -tag:x"')]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1)]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


def register(app: typer.Typer) -> None:
    app.command()(search)
    app.command()(similar)
    app.command("list")(list_)
    app.command()(show)


def search(
    context: typer.Context,
    text: Annotated[str, typer.Argument(help="What to look for, in any words; - reads standard input.")],
    where: Where = None,
    limit: Limit = 10,
    mode: Annotated[str, typer.Option(help="hybrid, dense (meaning only) or lexical (words only)")] = "hybrid",
    side: Annotated[str | None, typer.Option(help="prompt or output: look only there")] = None,
    depth: Annotated[int | None, typer.Option(help="passages taken from each ranking")] = None,
    min_score: Annotated[float | None, typer.Option(help="leave out hits that score less, 0 to 1")] = None,
    as_json: Json = False,
) -> None:
    """Find records by words and meaning."""
    from genstore.cli.session import body_from
    from genstore.cli.show import print_result
    from genstore.exchange.form import result_to_json

    with context.obj.open(create=False) as store:
        question = body_from(text) if text == "-" else text
        options = {"side": side, "depth": depth, "min_score": min_score}
        result = store.search(question, where, mode=mode, limit=limit, **options)
    if as_json:
        print_json(result_to_json(result))
    else:
        print_result(result)


def similar(
    context: typer.Context,
    record_id: Annotated[str, typer.Argument(metavar="ID", help="A record's id, or its beginning.")],
    where: Where = None,
    limit: Limit = 10,
    as_json: Json = False,
) -> None:
    """Find records that mean about the same as one."""
    from genstore.cli.show import print_result
    from genstore.exchange.form import result_to_json

    with context.obj.open(create=False) as store:
        result = store.similar(record_id, where, limit=limit)
    if as_json:
        print_json(result_to_json(result))
    else:
        print_result(result)


def list_(
    context: typer.Context,
    where: Where = None,
    limit: Limit = 20,
    cursor: Annotated[str | None, typer.Option(help="Where the page before ended.")] = None,
    oldest_first: Annotated[bool, typer.Option("--oldest-first")] = False,
    as_json: Json = False,
) -> None:
    """List records, newest first."""
    from genstore.cli.show import print_records
    from genstore.exchange.form import page_to_json

    with context.obj.open(create=False) as store:
        page = store.list(where, limit=limit, cursor=cursor, oldest_first=oldest_first)
        total = store.count(where) if not as_json else 0
    if as_json:
        print_json(page_to_json(page))
        return
    print_records(page.records)
    more = f"; next page: --cursor {page.cursor}" if page.cursor else ""
    # In a pipe standard output is records, one a line, and nothing else.
    # Not wrapped: a cursor over two lines cannot be copied.
    (out if out.is_terminal else err).print(f"[dim]{len(page.records):,} of {total:,} records{more}[/]", soft_wrap=True)


def show(
    context: typer.Context,
    record_id: Annotated[str | None, typer.Argument(metavar="ID", help="A record's id, or its beginning.")] = None,
    session: Annotated[str | None, typer.Option(help="Show this conversation instead, oldest turn first.")] = None,
    to: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE|FOLDER/", help="Write its image, sound or text there.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there already.")] = False,
    as_json: Json = False,
) -> None:
    """Show one record whole, an answer with its citations, or a conversation; or write a record's parts to files."""
    from genstore.cli.parts import write_parts
    from genstore.errors import InvalidInput

    if (record_id is None) == (session is None):
        raise InvalidInput("say what to show: a record's ID, or --session with a conversation's")
    with context.obj.open(create=False) as store:
        if session is not None:
            _show_session(store, session, as_json)
        elif to is not None:
            write_parts(store.get(str(record_id)), to, overwrite=overwrite, as_json=as_json)
        else:
            _show_record(store, str(record_id), as_json)


def _show_record(store: Store, record_id: str, as_json: bool) -> None:
    from genstore.cli.ask import print_citations
    from genstore.cli.show import print_record
    from genstore.exchange.form import answer_to_json, record_to_json

    record = store.get(record_id)
    relations = store.relations(record.id)
    answer = store.answer(record.id) if record.operation == "ask" else None
    if as_json:
        form = record_to_json(record, [one for one in relations if one.source_id == record.id])
        print_json({**form, **({"answer": answer_to_json(answer)} if answer is not None else {})})
        return
    print_record(record)
    if answer is not None:
        out.print()
        print_citations(answer)
    for relation in relations:
        out.print(f"[dim]{relation.source_id}[/] {relation.role} [dim]{relation.target_id}[/]")


def _show_session(store: Store, session_id: str, as_json: bool) -> None:
    from genstore.cli.show import print_turn
    from genstore.errors import NotFound
    from genstore.exchange.form import record_to_json
    from genstore.filters import F

    records = list(store.iterate(F("session_id") == session_id))
    if not records:
        raise NotFound(f"no record belongs to the session {session_id!r}; `genstore sessions` lists them")
    if as_json:
        print_json({"records": [record_to_json(record) for record in records]})
        return
    for record in records:
        print_turn(record)
