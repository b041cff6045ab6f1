"""Rows from files and to files: JSONL (plain, gzip, zstd) and Parquet, "-" for standard input and output."""

from __future__ import annotations

import gzip
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, cast

from genstore.errors import InvalidInput, MissingDependency, NotFound, StorageFull
from genstore.identity import new_id

Format = Literal["jsonl", "parquet"]
FORMATS: tuple[Format, ...] = ("jsonl", "parquet")

_PARQUET_ROWS = 1_000


class Line(NamedTuple):
    """One row and where it stood, from 1; error says why there is no row."""

    number: int
    row: dict[str, Any] | None
    error: str = ""


def format_of(path: str, given: str | None = None) -> Format:
    """The format named, or the one the file's name tells. Raises InvalidInput for another one."""
    name = given or ("parquet" if path.endswith(".parquet") else "jsonl")
    if name not in FORMATS:
        raise InvalidInput(f"format is {name!r}; it is one of {', '.join(FORMATS)}")
    return name


def read_rows(path: str, format: str | None = None, on_bytes: Callable[[int], None] | None = None) -> Iterator[Line]:
    """The file's rows in order; a line that is no JSON object is given as an error, and reading goes on.

    on_bytes: called with the bytes of the file read so far, as it is on disk. Raises NotFound, InvalidInput.
    """
    if format_of(path, format) == "parquet":
        yield from _read_parquet(path)
        return
    with _opened(path) as (raw, text):
        for number, line in enumerate(text, 1):
            if on_bytes is not None and number % 200 == 0 and raw.seekable():
                on_bytes(raw.tell())
            if line.strip():
                yield _parsed(number, line)


def _parsed(number: int, line: str) -> Line:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Line(number, None, f"not JSON: {error}")
    if not isinstance(row, dict):
        return Line(number, None, f"a JSON {type(row).__name__}, not an object")
    return Line(number, row)


@contextmanager
def _opened(path: str) -> Iterator[tuple[IO[bytes], IO[str]]]:
    """(the file as it is on disk, its text); what is compressed is recognised by its first bytes."""
    if path != "-" and not Path(path).is_file():
        raise NotFound(f"there is no file {path}")
    raw: IO[bytes] = sys.stdin.buffer if path == "-" else open(path, "rb")  # noqa: SIM115
    try:
        buffered = raw if isinstance(raw, io.BufferedReader) else io.BufferedReader(cast("Any", raw))
        magic = buffered.peek(4)[:4]
        stream: Any = buffered
        if magic.startswith(b"\x1f\x8b"):
            stream = gzip.GzipFile(fileobj=buffered)
        elif magic == b"\x28\xb5\x2f\xfd":
            import zstandard

            stream = zstandard.ZstdDecompressor().stream_reader(buffered, read_across_frames=True)
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline="\n")
        try:
            yield raw, text
        except (EOFError, gzip.BadGzipFile) as error:
            raise InvalidInput(f"{path} is cut off or damaged: {error}; what came before was read") from error
    finally:
        if path != "-":
            raw.close()


def _read_parquet(path: str) -> Iterator[Line]:
    parquet = _pyarrow()
    if path != "-" and not Path(path).is_file():
        raise NotFound(f"there is no file {path}")
    try:
        file = parquet.ParquetFile(io.BytesIO(sys.stdin.buffer.read()) if path == "-" else path)
    except Exception as error:
        raise InvalidInput(f"{path} is not Parquet: {error}") from error
    number = 0
    for batch in file.iter_batches(batch_size=_PARQUET_ROWS):
        for row in batch.to_pylist():
            number += 1
            yield Line(number, _own_row(row))


def _own_row(row: dict[str, Any]) -> dict[str, Any]:
    """An exported record stands in one column, whole, beside the columns that are there to be looked at."""
    if isinstance(record := row.get("record_json"), str):
        with suppress(ValueError):
            return cast("dict[str, Any]", json.loads(record))
    return row


def write_rows(path: str, rows: Iterable[dict[str, Any]], format: str | None = None) -> int:
    """Write rows; the file appears when it is complete. Returns how many. Raises StorageFull."""
    kind = format_of(path, format)
    if path == "-":
        return _write(sys.stdout.buffer, rows, kind, path)
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{new_id()}.tmp")
    try:
        with temporary.open("wb") as file:
            count = _write(file, rows, kind, path)
        temporary.replace(target)
        return count
    except OSError as error:
        raise StorageFull(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _write(file: IO[bytes], rows: Iterable[dict[str, Any]], kind: Format, path: str) -> int:
    if kind == "parquet":
        return _write_parquet(file, rows)
    count = 0
    with _compressed(file, path) as stream:
        for row in rows:
            # ASCII escapes carry lone surrogates, which UTF-8 cannot.
            stream.write(json.dumps(row, ensure_ascii=not _encodable(row), separators=(",", ":")).encode() + b"\n")
            count += 1
    file.flush()
    return count


def _encodable(row: dict[str, Any]) -> bool:
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def _compressed(file: IO[bytes], path: str) -> Iterator[Any]:
    if path.endswith(".gz"):
        with gzip.GzipFile(fileobj=file, mode="wb", mtime=0, filename="") as stream:
            yield stream
    elif path.endswith(".zst"):
        import zstandard

        with zstandard.ZstdCompressor(level=6).stream_writer(file, closefd=False) as stream:
            yield stream
    else:
        yield file


_COLUMNS = ("id", "project", "kind", "model", "status", "created_at", "session_id", "prompt", "output", "record_json")


def _write_parquet(file: IO[bytes], rows: Iterable[dict[str, Any]]) -> int:
    """Columns to look at, and `record_json` with the whole record, which is what an import reads."""
    parquet = _pyarrow()
    import pyarrow

    schema = pyarrow.schema([(name, pyarrow.string()) for name in _COLUMNS])
    count = 0
    with parquet.ParquetWriter(file, schema) as writer:
        batch: list[dict[str, Any]] = []
        for row in rows:
            batch.append(_columns(row))
            count += 1
            if len(batch) == _PARQUET_ROWS:
                writer.write_table(pyarrow.Table.from_pylist(batch, schema))
                batch = []
        if batch:
            writer.write_table(pyarrow.Table.from_pylist(batch, schema))
    return count


def _columns(row: dict[str, Any]) -> dict[str, Any]:
    def text_of(parts: Any) -> str:
        text = "\n\n".join(part["text"] for part in parts if "text" in part)
        return text.encode("utf-8", "replace").decode()

    shown = {name: row.get(name) for name in _COLUMNS}
    return {
        **shown,
        "prompt": text_of(row.get("prompt", ())),
        "output": text_of(row.get("output", ())),
        "record_json": json.dumps(row, separators=(",", ":")),
    }


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet as parquet
    except ModuleNotFoundError as error:
        raise MissingDependency('Parquet needs pyarrow; pip install "genstore[parquet]"') from error
    return parquet
