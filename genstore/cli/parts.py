"""The parts of a record as files: what `show -o` writes."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genstore.cli.session import print_json

if TYPE_CHECKING:
    from genstore.records import Part, Record


def write_parts(record: Record, target: str, *, overwrite: bool, as_json: bool) -> None:
    """Write what the record's output is to a file, or every part of the record into a folder.

    target: "-" is standard output; a folder that exists, or a name that ends with a slash, takes them all under
    names like output-1.png. Raises InvalidInput when a file is there already, or when it is not clear which part a
    file is to hold; StorageFull when it cannot be written.
    """
    from genstore.exchange.jsonl import STANDARD, refuse_existing, replaced

    if target.endswith(os.sep) or Path(target).is_dir():
        _make_folder(Path(target))
        files = [(str(Path(target) / name), side, part) for name, side, part in _named(record)]
    else:
        files = [(target, *_only(record))]
    if not overwrite:
        for name, _, _ in files:
            refuse_existing(name)
    for name, _, part in files:
        with replaced(name) as file:
            file.write(_bytes(part))
    if target != STANDARD:
        _report(files, as_json)


def _make_folder(folder: Path) -> None:
    from genstore.errors import StorageFull

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageFull(f"cannot make the folder {folder}: {error.strerror}; choose another place") from error


def _report(files: Sequence[tuple[str, str, Part]], as_json: bool) -> None:
    rows: list[dict[str, Any]] = [
        {"file": name, "side": side, "media_type": part.media_type, "size_bytes": part.size_bytes}
        for name, side, part in files
    ]
    if as_json:
        print_json({"files": rows})
        return
    for row in rows:
        print(f"{row['file']}: {row['media_type']}, {row['size_bytes']:,} bytes")


def _sides(record: Record) -> list[tuple[str, Sequence[Part]]]:
    return [("prompt", record.prompt), ("output", record.output)]


def _named(record: Record) -> list[tuple[str, str, Part]]:
    """Every part with its file's name, which nothing that a model wrote has a say in."""
    from genstore.errors import InvalidInput

    found = [
        (f"{side}-{number}{_suffix(part)}", side, part)
        for side, parts in _sides(record)
        for number, part in enumerate(parts, 1)
    ]
    if not found:
        raise InvalidInput(f"record {record.id} has no parts to write")
    return found


def _only(record: Record) -> tuple[str, Part]:
    """The part that a single file is for: the output's binary one, else the prompt's, else the output's text."""
    from genstore.errors import InvalidInput

    made = [("output", part) for part in record.output if part.data is not None]
    given = [("prompt", part) for part in record.prompt if part.data is not None]
    texts = [("output", part) for part in record.output if part.data is None]
    choice = made or given or texts
    if len(choice) != 1:
        raise InvalidInput(
            f"record {record.id} has {len(record.prompt)} parts in its prompt and {len(record.output)} in its output, "
            "and a file holds one; name a folder (FOLDER/) to write them all"
        )
    return choice[0]


def _suffix(part: Part) -> str:
    return mimetypes.guess_extension(part.media_type) or (".txt" if part.data is None else ".bin")


def _bytes(part: Part) -> bytes:
    from genstore.identity import encode_text

    return part.data if part.data is not None else encode_text(part.text or "")
