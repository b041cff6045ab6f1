"""ask, sessions: questions to the store, and the conversations they make."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from genstore.cli.session import err, out, print_json

if TYPE_CHECKING:
    from genstore.records import Answer, Citation

_QUOTE = 160


def register(app: typer.Typer) -> None:
    app.command()(ask)
    app.command()(sessions)


def ask(
    context: typer.Context,
    question: Annotated[str, typer.Argument(help="What to answer; - reads standard input.")],
    where: Annotated[str | None, typer.Option("--where", "-w", help="A filter: answer only from these.")] = None,
    sources: Annotated[str, typer.Option(help="documents, generations or both")] = "documents",
    generator: Annotated[
        str | None, typer.Option(help="extractive, http://host/v1#model, or a Hugging Face model's name or folder")
    ] = None,
    session: Annotated[str | None, typer.Option(help="The conversation that the question belongs to.")] = None,
    passages: Annotated[int, typer.Option(min=1, help="Passages to answer from.")] = 5,
    quotes: Annotated[int, typer.Option(min=1, help="Sentences that an extractive answer quotes, at most.")] = 3,
    prefer: Annotated[str | None, typer.Option(help="A score: what was judged well comes first.")] = None,
    rerank: Annotated[str | None, typer.Option(help="A cross-encoder's name or folder.")] = None,
    template: Annotated[str | None, typer.Option(help="A file to use instead of the usual prompt.")] = None,
    abstain_below: Annotated[
        float | None, typer.Option(help="Evidence, 0 to 1, below which nothing is answered.")
    ] = None,
    diversity: Annotated[
        float, typer.Option(help="0 takes the best passages however alike, 1 those most unlike.")
    ] = 0.3,
    neighbours: Annotated[
        int | None, typer.Option(help="Passages before and after each that are read with it.")
    ] = None,
    stream: Annotated[bool, typer.Option("--stream/--no-stream", help="Show the answer as it comes.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Answer a question from the store, with citations that are checked."""
    from genstore.cli.session import body_from
    from genstore.cli.show import clean
    from genstore.errors import GenstoreError
    from genstore.exchange.form import answer_to_json

    streamed = False

    def show(piece: str) -> None:
        nonlocal streamed
        streamed = True
        sys.stdout.write(clean(piece))
        sys.stdout.flush()

    options = {
        "sources": sources,
        "generator": generator,
        "session_id": session,
        "passages": passages,
        "quotes": quotes,
        "diversity": diversity,
        "neighbours": neighbours,
        "prefer": prefer,
        "rerank": rerank,
        "template": template,
        "abstain_below": abstain_below,
        "stream": show if stream and not as_json else None,
    }
    with context.obj.open(create=False) as store:
        try:
            answer = store.ask(body_from(question) if question == "-" else question, where, **options)
        except GenstoreError as error:
            if streamed:
                sys.stdout.write("\n")
                sys.stdout.flush()
            if error.record_id is not None:
                err.print(f"[dim]the question is on record: genstore show {error.record_id}[/]")
            raise
        store.flush_words()
    if as_json:
        print_json(answer_to_json(answer))
        return
    if not stream:
        show(answer.text)
    sys.stdout.write("\n\n")
    print_citations(answer)
    out.print(f"[dim]genstore show {answer.id}[/]")


def print_citations(answer: Answer) -> None:
    """What an answer rests on, and what is to be said against it."""
    from genstore.cli.show import clean, one_line

    for source in _by_source(answer):
        first = source[0]
        support = max(citation.support for citation in source)
        head = Text.assemble(
            (f"[{first.number}] ", "bold"), clean(str(first.location)), (f"  {first.record_id}", "dim"),
            (f"  support {support:.2f}", "green" if support >= 0.5 else "yellow"),
        )  # fmt: skip
        out.print(head, soft_wrap=True)
        out.print(Text(f"    “{one_line(first.quote, _QUOTE)}”", style="dim"), soft_wrap=True)
    for start, end in answer.unsupported:
        out.print(Text.assemble(("unsupported: ", "yellow"), one_line(answer.text[start:end], _QUOTE)), soft_wrap=True)
    for note in notes(answer):
        out.print(f"[dim]{note}[/]")


def notes(answer: Answer) -> list[str]:
    """What a reader should know of how an answer was made."""
    said = []
    if answer.abstained:
        said.append(f"no passage bears an answer out (evidence {answer.evidence:.2f}); so none is given")
    elif answer.extractive:
        said.append("extractive: sentences quoted from the sources, none written by a model")
    if answer.removed_markers:
        said.append(f"{answer.removed_markers} markers that pointed at no source were taken out")
    return said


def _by_source(answer: Answer) -> list[list[Citation]]:
    """The citations of each source, in the order of their numbers."""
    found: dict[int, list[Citation]] = {}
    for citation in sorted(answer.citations, key=lambda citation: (citation.number, -citation.support)):
        found.setdefault(citation.number, []).append(citation)
    return list(found.values())


def sessions(
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1)] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """List the conversations, the latest first; `show --session` reads one."""
    from genstore.cli.show import clean
    from genstore.exchange.form import moment_text

    with context.obj.open(create=False) as store:
        found = store.sessions(limit=limit)
    if as_json:
        forms: list[dict[str, Any]] = [
            {
                "session_id": one.session_id,
                "records": one.records,
                "started_at": moment_text(one.started_at),
                "last_at": moment_text(one.last_at),
            }
            for one in found
        ]
        print_json({"sessions": forms})
        return
    table = Table(box=None, pad_edge=False)
    for name in ("session", "records", "last"):
        table.add_column(name)
    for one in found:
        table.add_row(Text(clean(one.session_id)), f"{one.records:,}", one.last_at.strftime("%Y-%m-%d %H:%M"))
    out.print(table)
