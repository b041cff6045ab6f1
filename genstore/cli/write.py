"""init, log, delete: verbs that write records."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from genstore.cli.session import Session, body_from, err, out, print_json

if TYPE_CHECKING:
    from genstore.store import Store


def register(app: typer.Typer) -> None:
    app.command()(init)
    app.command()(log)
    app.command()(delete)


def init(
    context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Say it as JSON.")] = False
) -> None:
    """Make a store, with a settings file to edit."""
    from genstore.config import TOML, template

    session: Session = context.obj
    with session.open(create=True) as store:
        if store.folder is not None and not (store.folder / TOML).exists():
            (store.folder / TOML).write_text(template(), encoding="utf-8")
        if as_json:
            print_json({"store": str(store.folder or store.database), "records": store.count()})
            return
        out.print(f"store ready: {store.folder or store.database}")
        out.print('next: genstore log --prompt "…" --output "…" --model …, then genstore search "…"')


def log(
    context: typer.Context,
    prompt: Annotated[str | None, typer.Option(help="Text; - reads standard input, @FILE a file.")] = None,
    output: Annotated[str | None, typer.Option(help="Text; - reads standard input, @FILE a file.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "--image", help="An output that is not text: an image, a sound, any file.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="What made it.")] = None,
    provider: Annotated[str | None, typer.Option(help="Who runs the model.")] = None,
    name: Annotated[str | None, typer.Option(help="A name for the record.")] = None,
    kind: Annotated[str, typer.Option(help="generation, document or example")] = "generation",
    user: Annotated[str | None, typer.Option(help="Who asked.")] = None,
    error: Annotated[str | None, typer.Option(help="Why it failed; the status becomes error.")] = None,
    duration_s: Annotated[float | None, typer.Option("--duration-s", help="How long it took, in seconds.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="May be given again.")] = None,
    metadata: Annotated[str | None, typer.Option(help='JSON: \'{"lang": "en"}\'')] = None,
    params: Annotated[str | None, typer.Option(help="JSON: '{\"temperature\": 0.2}'")] = None,
    session: Annotated[str | None, typer.Option(help="The conversation it belongs to.")] = None,
    on_duplicate: Annotated[
        str | None, typer.Option(help="keep, skip or link; by default what the project's policy says")
    ] = None,
    dedup: Annotated[
        str | None, typer.Option(help="What a duplicate is: exact, near, semantic; by default the very same record.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the record as JSON.")] = False,
) -> None:
    """Store one generation and print its id."""
    from genstore.errors import InvalidInput
    from genstore.exchange.form import record_to_json
    from genstore.identity import new_id

    fields: dict[str, Any] = {
        "model": model,
        "provider": provider,
        "name": name,
        "kind": kind,
        "user_id": user,
        "error": error,
        "duration_s": duration_s,
        "tags": tag or [],
        "metadata": _object(metadata, "--metadata"),
        "params": _object(params, "--params"),
        "session_id": session,
        "on_duplicate": on_duplicate,
        "dedup": dedup,
    }
    if file is not None and output is not None:
        raise InvalidInput("--output and --file are both given; log one of them")
    made: Any = body_from(output) if output is not None else None
    if file is not None:
        made, fields["media_type"] = _file(file)
    with context.obj.open(create=True) as store:
        before = new_id()
        record = store.log(body_from(prompt) if prompt is not None else None, made, **fields)
    if record.id < before:
        err.print(f"not stored: record {record.id} holds the same already")
    if as_json:
        print_json(record_to_json(record))
    else:
        out.print(record.id)


def _object(text: str | None, option: str) -> dict[str, Any] | None:
    from genstore.errors import InvalidInput

    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"{option} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidInput(f"{option} is {text!r}; pass a JSON object such as {{}}")
    return value


def _file(path: Path) -> tuple[bytes, str]:
    import mimetypes

    from genstore.errors import NotFound

    try:
        return path.read_bytes(), mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    except OSError as error:
        raise NotFound(f"cannot read {path}: {error.strerror}") from error


def delete(
    context: typer.Context,
    ids: Annotated[list[str] | None, typer.Argument(help="Ids, or their beginnings.")] = None,
    where: Annotated[str | None, typer.Option(help="Delete everything that satisfies this filter.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Delete records with everything no other record needs, and say what went."""
    from dataclasses import asdict

    from genstore.errors import InvalidInput
    from genstore.sql.delete import Removal

    if where is not None and not where.strip():
        raise InvalidInput("--where is empty, which is everything; say what to delete, such as --where 'tag:draft'")
    if bool(ids) == (where is not None):
        raise InvalidInput("say what to delete: ids, or --where with a filter")
    with context.obj.open(create=False) as store:
        if where is not None:
            if not yes:
                _ask(store, where)
            removal = store.delete_where(where)
        else:
            removal = Removal()
            for record_id in ids or ():
                removal += store.delete(record_id)
        store.flush_words()
    if as_json:
        print_json(asdict(removal))
    else:
        out.print(
            f"deleted {removal.records:,} records, {removal.scores:,} scores, {removal.relations:,} relations, "
            f"{removal.contents:,} bodies ({removal.size_bytes:,} bytes), {removal.embeddings:,} vectors"
        )


def _ask(store: Store, where: str) -> None:
    """Show what would go, and go on only when told to. Raises InvalidInput where nobody can be asked."""
    from genstore.cli.show import one_line
    from genstore.errors import InvalidInput

    count = store.count(where)
    if not count:
        return
    if not sys.stdin.isatty():
        raise InvalidInput(f"{count:,} records satisfy the filter; pass --yes to delete them")
    for record in store.list(where, limit=5).records:
        err.print(Text(f"  {record.id}  {one_line(record.output_text or record.prompt_text, 60)}"))
    if count > 5:
        err.print(f"  and {count - 5:,} more")
    typer.confirm(f"delete {count:,} records?", abort=True, err=True)
