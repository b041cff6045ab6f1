"""score, tag: what is said about a record afterwards."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from genstore.cli.session import out, print_json


def register(app: typer.Typer) -> None:
    app.command(context_settings={"ignore_unknown_options": True})(score)
    # No -h here: "-hot" removes the tag "hot".
    app.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})(tag)


def score(
    context: typer.Context,
    record_id: Annotated[str, typer.Argument(metavar="ID")],
    name: Annotated[str, typer.Argument(help="quality, correct, …")],
    value: Annotated[str, typer.Argument(help="A number, or a word as the label.")],
    label: Annotated[str | None, typer.Option(help="A word beside the number.")] = None,
    comment: Annotated[str | None, typer.Option()] = None,
    user: Annotated[str | None, typer.Option(help="Who says so.")] = None,
    source: Annotated[str, typer.Option(help="human, model or code")] = "human",
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Judge a record: genstore score ID quality 0.8"""
    from genstore.cli.show import clean
    from genstore.exchange.form import score_to_json

    number, word = _number_or_word(value)
    with context.obj.open(create=False) as store:
        made = store.score(record_id, name, number, label=label or word, comment=comment, user_id=user, source=source)
        store.flush_words()
    if as_json:
        print_json(score_to_json(made))
    else:
        out.print(Text(clean(f"{made.name}: {made.label or ''}{'' if made.value is None else made.value}")))


def _number_or_word(value: str) -> tuple[float | None, str | None]:
    try:
        return float(value), None
    except ValueError:
        return None, value


def tag(
    context: typer.Context,
    record_id: Annotated[str, typer.Argument(metavar="ID")],
    changes: Annotated[list[str] | None, typer.Argument(help="+name (or name) adds a tag, -name removes it.")] = None,
    adding: Annotated[list[str] | None, typer.Option("--add", help="A tag to add; may be given again.")] = None,
    removing: Annotated[list[str] | None, typer.Option("--remove", help="A tag to remove.")] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Add and remove tags: genstore tag ID +good -draft"""
    from genstore.cli.show import clean
    from genstore.errors import InvalidInput

    given = changes or []
    add = [change.removeprefix("+") for change in given if not change.startswith("-")] + (adding or [])
    remove = [change[1:] for change in given if change.startswith("-")] + (removing or [])
    if not add and not remove:
        raise InvalidInput("say which tags: genstore tag ID +good -draft")
    with context.obj.open(create=False) as store:
        store.tag(record_id, add, remove)
        tags = store.get(record_id).tags
        store.flush_words()
    if as_json:
        print_json({"tags": list(tags)})
    else:
        out.print(Text(clean(" ".join(tags)) or "no tags"))
