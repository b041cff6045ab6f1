"""How records and hits look in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Group
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from genstore.cli.session import out

if TYPE_CHECKING:
    from genstore.records import Explanation, Hit, Part, Passage, Record, SearchResult

_PREVIEW = 240
_CONTROL = {number: "�" for number in (*range(32), *range(127, 160)) if chr(number) not in "\n\t"}


def clean(text: str) -> str:
    """The text without control characters: what a model wrote must not steer the terminal."""
    return text.translate(_CONTROL).encode("utf-8", "replace").decode()


def one_line(text: str, width: int = _PREVIEW) -> str:
    """The text's beginning, on one line."""
    flat = " ".join(clean(text[: 4 * width]).split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"


def print_result(result: SearchResult) -> None:
    """Hits, best first, and what the search could not see yet."""
    for number, hit in enumerate(result, 1):
        if out.is_terminal:
            out.print(Padding(Group(*_hit(number, hit)), (0, 0, 1, 0), expand=False))
        else:
            print("\n".join(line.plain.rstrip() for line in _hit(number, hit)), end="\n\n")
    if not result.hits:
        out.print("no hits")
    print_pending(result.pending, result.pending_dense)


def print_pending(pending: int, pending_dense: int) -> None:
    """Say what is not indexed yet and how to finish it."""
    if pending or pending_dense:
        waiting = [f"{pending:,} records wait for their words"] if pending else []
        waiting += [f"{pending_dense:,} for their meaning"] if pending_dense else []
        out.print(f"[yellow]not indexed yet:[/] {', '.join(waiting)}; `genstore reindex --pending` finishes it")


def _hit(number: int, hit: Hit) -> list[Text]:
    """A hit's lines: what it is, what was asked, the passage, what came back if that is not it, why it ranks there."""
    record = hit.record
    head = Text.assemble(
        (f"{number:>2} ", "bold"),
        (f"{hit.score:.3f} ", "bold green"),
        (clean(record.model or record.name or record.kind), "bold cyan"),
        "  ",
        (" ".join(f"#{clean(tag)}" for tag in record.tags), "magenta"),
        "  " if record.tags else "",
        (record.created_at.strftime("%Y-%m-%d %H:%M"), "dim"),
        "  ",
        (record.id, "dim"),
    )
    lines: list[Text] = [head]
    prompt = one_line(record.prompt_text, 100)
    if prompt and not (hit.passages and hit.passages[0].side == "prompt"):
        lines.append(Text.assemble(("   > ", "dim"), (prompt, "italic")))
    lines += [_passage(passage) for passage in hit.passages[:1]]
    output = one_line(record.output_text, 100)
    if output and hit.passages and hit.passages[0].side == "prompt":
        lines.append(Text.assemble(("   < ", "dim"), output))
    lines.append(Text(f"   {explained(hit.explanation)}", style="dim"))
    return lines


def _passage(passage: Passage) -> Text:
    """The passage around its first highlight, on one line, the query's words marked."""
    first = passage.highlights[0][0] if passage.highlights else 0
    start = max(0, first - 60)
    text = Text("   " + ("…" if start else ""))
    cut = passage.text[start : start + _PREVIEW]
    body = Text(clean(cut).replace("\n", " ").replace("\t", " "))
    for at, end in passage.highlights:
        body.stylize("bold yellow", max(0, at - start), max(0, end - start))
    text.append_text(body)
    return text.append("…" if start + _PREVIEW < len(passage.text) else "")


def explained(why: Explanation) -> str:
    """Why a hit ranks where it does."""
    meaning = f"meaning #{why.dense_rank or '-'}" + (f" ({why.dense_score:.2f})" if why.dense_score is not None else "")
    words = f"words #{why.sparse_rank or '-'}" + (f" ({why.sparse_score:.1f})" if why.sparse_score else "")
    return f"{meaning}, {words}"


def print_records(records: Iterable[Record]) -> None:
    """One row a record; in a pipe, fields between tabs and nothing cut but the text."""
    if not out.is_terminal:
        for record in records:
            text = one_line(record.output_text or record.prompt_text)
            tags = " ".join(record.tags)
            fields = (record.id, record.created_at.isoformat(), record.model or "", tags, record.status, text)
            print("\t".join(one_line(field) for field in fields))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, style in (("id", "dim"), ("created", "dim"), ("model", "cyan"), ("tags", "magenta"), ("", "")):
        width = {"id": 36, "created": 16}.get(name)
        table.add_column(name, style=style, no_wrap=True, overflow="ellipsis", min_width=width, max_width=width or 28)
    table.add_column("output", overflow="ellipsis", no_wrap=True, ratio=1)
    for record in records:
        table.add_row(
            record.id,
            record.created_at.strftime("%Y-%m-%d %H:%M"),
            escape(clean(record.model or "")),
            escape(clean(" ".join(record.tags))),
            "" if record.status == "ok" else record.status,
            escape(one_line(record.output_text or record.prompt_text, 120)),
        )
    out.print(table)


def print_record(record: Record) -> None:
    """A record as a conversation, with everything known about it."""
    facts = Table.grid(padding=(0, 2))
    for name, value in _facts(record):
        facts.add_row(Text(name, style="dim"), Text(clean(str(value))))
    out.print(Panel(facts, title=Text(clean(record.model or record.name or record.kind)), title_align="left"))
    for side, parts in (("prompt", record.prompt), ("output", record.output)):
        for part in parts:
            out.print(Rule(Text(clean(_heading(side, part))), align="left"))
            out.print(_part(part))


def print_turn(record: Record) -> None:
    """One record of a conversation: what was said last to the model, and what came back."""
    asked = next((part for part in reversed(record.prompt) if not part.history), None)
    if asked is not None:
        out.print(Text.assemble(("> ", "bold"), clean(asked.text or asked.media_type)), soft_wrap=True)
    for part in record.output:
        out.print(_part(part), soft_wrap=True)
    failed = f" {record.status}: {clean(record.error or '')}" if record.status != "ok" else ""
    moment = record.created_at.strftime("%Y-%m-%d %H:%M")
    out.print(Text(f"{clean(record.model or record.kind)} {moment} {record.id}{failed}\n", style="dim"), soft_wrap=True)


def _heading(side: str, part: Part) -> str:
    return f"{side} · {part.role}" + ("" if part.type == "text" else f" · {part.type}")


def _facts(record: Record) -> Sequence[tuple[str, object]]:
    usage = record.usage
    rows: list[tuple[str, object]] = [
        ("id", record.id),
        ("created", record.created_at.isoformat(sep=" ", timespec="seconds")),
        ("status", record.status if record.status != "ok" else None),
        ("error", record.error),
        ("project", record.project if record.project != "default" else None),
        ("session", record.session_id),
        ("user", record.user_id),
        ("tags", " ".join(record.tags)),
        ("tokens", f"{usage.input_tokens or 0} in, {usage.output_tokens or 0} out" if usage.input_tokens else None),
        ("cost", f"${usage.cost_usd:.6f}" if usage.cost_usd is not None else None),
        ("duration", f"{record.duration_s:.3f} s" if record.duration_s is not None else None),
        ("params", _pairs(dict(record.params))),
        ("metadata", _pairs(dict(record.metadata))),
        ("scores", ", ".join(f"{s.name} {s.label or ''}{'' if s.value is None else s.value}" for s in record.scores)),
        ("duplicate of", record.duplicate_of),
    ]
    return [(name, value) for name, value in rows if value]


def _pairs(values: dict[str, object]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())


def _part(part: Part) -> Text:
    if part.text is not None:
        return Text(clean(part.text), style="dim" if part.history else "")
    if part.data is not None:
        return Text(f"{part.media_type}, {part.size_bytes:,} bytes", style="italic")
    return Text(f"the body {part.sha256} is gone; run genstore verify", style="red")
