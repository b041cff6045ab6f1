"""The `genstore` command. Nothing heavy is imported here: `genstore --help` answers at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer
from rich.text import Text
from typer.core import TyperGroup

from genstore.cli import exits
from genstore.cli.session import Session, err

# Options of the command itself that are understood behind the verb as well.
_SHARED = ("--store", "--project", "--index")


class Verbs(TyperGroup):
    """The verbs. What ends one early is dealt with here, before Typer turns it into exit codes of its own."""

    def invoke(self, context: Any) -> Any:
        try:
            result = super().invoke(context)
            sys.stdout.flush()
            return result
        except KeyboardInterrupt:
            err.print("[bold red]error:[/] interrupted; what was committed stays")
            raise typer.Exit(exits.INTERRUPTED) from None
        except BrokenPipeError:
            # The reader (`| head`) has seen enough. Python would complain once more when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(exits.OK) from None


app = typer.Typer(
    cls=Verbs,
    name="genstore",
    help="The store that generative models write to: log prompts and outputs, find them again by words and meaning.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from genstore import __version__

        typer.echo(f"genstore {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    store: Annotated[
        str | None, typer.Option(help="A directory, or postgresql+psycopg://… [GENSTORE_STORE, else ./genstore.store]")
    ] = None,
    project: Annotated[str | None, typer.Option(help="The project to write to and look in.")] = None,
    index: Annotated[str | None, typer.Option(help="URL of a Qdrant server (with PostgreSQL), or a folder.")] = None,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    context.obj = Session(store, project, index)


from genstore.cli import annotate, dedup, demo, exchange, read, upkeep, write  # noqa: E402 - they add their verbs to app

for group in (write, read, annotate, dedup, exchange, upkeep, demo):
    group.register(app)

from genstore.cli import ask, documents, lineage  # noqa: E402

for grounding in (documents, ask, lineage):
    grounding.register(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; errors become one line and an exit code."""
    from genstore.errors import GenstoreError

    try:
        # Not standalone: an Exit is returned as its code, everything else is raised.
        given = _shared_first(sys.argv[1:] if arguments is None else arguments)
        code = app(given, prog_name="genstore", standalone_mode=False)
    except GenstoreError as error:
        _fail(str(error), exits.EXIT_CODES.get(error.code, exits.UNEXPECTED), error)
    except Exception as error:
        _usage_or_unexpected(error)
    sys.exit(code if isinstance(code, int) else exits.OK)


def _shared_first(arguments: Sequence[str]) -> list[str]:
    """The arguments with --store, --project and --index moved before the verb; "--" ends options."""
    first: list[str] = []
    rest: list[str] = []
    waiting = list(arguments)
    while waiting:
        argument = waiting.pop(0)
        if argument == "--":
            rest += [argument, *waiting]
            break
        if argument in _SHARED and waiting:
            first += [argument, waiting.pop(0)]
        elif argument.startswith(tuple(f"{option}=" for option in _SHARED)):
            first.append(argument)
        else:
            rest.append(argument)
    return first + rest


def _usage_or_unexpected(error: Exception) -> NoReturn:
    if hasattr(error, "format_message"):  # an unknown option, a missing argument
        context = getattr(error, "ctx", None)
        where = context.command_path if context is not None else "genstore"
        _fail(f"{error.format_message().rstrip('.')}; see {where} --help", exits.INVALID, None)
    if isinstance(error, typer.Abort):
        _fail("stopped; nothing was changed", exits.INTERRUPTED, None)
    _fail(f"unexpected {type(error).__name__}: {error} (GENSTORE_DEBUG=1 shows where)", exits.UNEXPECTED, error)


def _fail(message: str, code: int, error: BaseException | None) -> NoReturn:
    if error is not None and os.environ.get("GENSTORE_DEBUG"):
        raise error
    err.print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
