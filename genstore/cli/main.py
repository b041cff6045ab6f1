"""The `genstore` command. Nothing heavy is imported here: `genstore --help` answers at once."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

from genstore.cli import exits
from genstore.cli.session import Session, err

app = typer.Typer(
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


from genstore.cli import annotate, demo, exchange, read, upkeep, write  # noqa: E402 - they add their verbs to app

for group in (write, read, annotate, exchange, upkeep, demo):
    group.register(app)


def main() -> None:
    """Run the command line; errors become one line and an exit code."""
    from genstore.errors import GenstoreError

    try:
        app(standalone_mode=False)
    except typer.Exit as stopped:
        sys.exit(stopped.exit_code)
    except GenstoreError as error:
        _fail(str(error), exits.EXIT_CODES.get(error.code, exits.UNEXPECTED), error)
    except KeyboardInterrupt:
        _fail("interrupted; what was committed stays", exits.INTERRUPTED, None)
    except BrokenPipeError:
        # The reader (`| head`) has seen enough. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(exits.OK)
    except Exception as error:
        _usage_or_unexpected(error)


def _usage_or_unexpected(error: Exception) -> None:
    show: Any = getattr(error, "show", None)
    if show is not None:  # click's own: an unknown option, a missing argument, an abort
        show()
        sys.exit(exits.INVALID)
    if type(error).__name__ == "Abort":
        _fail("aborted; nothing was changed", exits.INTERRUPTED, None)
    _fail(f"unexpected {type(error).__name__}: {error} (GENSTORE_DEBUG=1 shows where)", exits.UNEXPECTED, error)


def _fail(message: str, code: int, error: BaseException | None) -> None:
    if error is not None and os.environ.get("GENSTORE_DEBUG"):
        raise error
    err.print(f"[bold red]error:[/] {message.replace('[', chr(92) + '[')}", soft_wrap=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
