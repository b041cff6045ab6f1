"""JSON lines, plain or compressed: read row by row with line numbers, written whole or not at all."""

from __future__ import annotations

import io
import json
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from genstore.errors import InvalidInput, NotFound, StorageFull

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_CHUNK = 1 << 20

STANDARD = "-"


class Row(NamedTuple):
    """One row of a source: its line (from 1) and what it holds, or why it cannot be read."""

    line: int
    value: dict[str, Any]
    problem: str = ""


@contextmanager
def opened(source: str | os.PathLike[str] | BinaryIO) -> Iterator[BinaryIO]:
    """The source's bytes, still compressed; "-" is standard input. Raises NotFound, InvalidInput."""
    if not isinstance(source, str | os.PathLike):
        yield source
        return
    if str(source) == STANDARD:
        yield sys.stdin.buffer
        return
    path = Path(source)
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path}") from error
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from error
    with file:
        yield file


def first_bytes(file: BinaryIO) -> tuple[BinaryIO, bytes]:
    """The file and its first four bytes, which are still to be read from it."""
    if isinstance(file, io.BufferedReader):
        return file, file.peek(4)[:4]
    if file.seekable():
        start = file.tell()
        head = file.read(4)
        file.seek(start)
        return file, head
    buffered = io.BufferedReader(cast("io.RawIOBase", file), _CHUNK)
    return cast("BinaryIO", buffered), buffered.peek(4)[:4]


def read_rows(file: BinaryIO) -> Iterator[Row]:
    """Rows of JSON lines, compressed or not; blank lines are passed over, a line that is no object is a problem.

    Data that breaks off or is damaged ends with a problem. Raises InvalidInput for UTF-16 and for one large JSON list.
    """
    file, head = first_bytes(file)
    if head[:2] in _UTF16_BOMS:
        raise InvalidInput("this is UTF-16 text; convert it first: iconv -f UTF-16 -t UTF-8")
    lines, line = _decompressed(file, head), 0
    while True:
        try:
            data = lines.readline()
        except (EOFError, OSError, zlib.error, _zstd_error(head)) as error:
            yield Row(line + 1, {}, f"the compressed data breaks off or is damaged here ({error})")
            return
        if not data:
            return
        line += 1
        if line == 1:
            data = data.removeprefix(_UTF8_BOM)
            if data.strip() == b"[":
                raise InvalidInput("this is one JSON list, not JSON lines; put one object on a line: jq -c '.[]' FILE")
        if data.isspace():
            continue
        yield _row(line, data)


def _row(line: int, data: bytes) -> Row:
    try:
        value = json.loads(data)
    except json.JSONDecodeError as error:
        return Row(line, {}, f"not JSON: {error.msg} at column {error.colno}")
    except UnicodeDecodeError as error:
        return Row(line, {}, f"not UTF-8: {error.reason} at byte {error.start}")
    except (ValueError, RecursionError) as error:
        return Row(line, {}, f"not JSON: {error}")
    if not isinstance(value, dict):
        return Row(line, {}, f"a {type(value).__name__}, not an object")
    return Row(line, value)


def _decompressed(file: BinaryIO, head: bytes) -> BinaryIO:
    if head[:2] == GZIP:
        import gzip

        return cast("BinaryIO", io.BufferedReader(gzip.GzipFile(fileobj=file), _CHUNK))
    if head == ZSTD:
        return cast("BinaryIO", io.BufferedReader(_ZstdFrames(file), _CHUNK))
    return file


class _ZstdFrames(io.RawIOBase):
    """Zstandard frames one after another. zstandard's own reader takes data that breaks off for its end."""

    def __init__(self, file: BinaryIO) -> None:
        import zstandard

        self._file = file
        self._decompressor = zstandard.ZstdDecompressor()
        self._frame = self._decompressor.decompressobj()
        self._started = False
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            if not (data := self._next_input()):
                if self._started:
                    raise EOFError("the file ended before the end-of-frame marker was reached")
                return 0
            self._started = True
            self._ready = memoryview(self._frame.decompress(data))
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def _next_input(self) -> bytes:
        """What to decompress next; a frame that has ended makes room for another one."""
        left = b""
        if self._frame.eof:
            left = self._frame.unused_data
            self._frame, self._started = self._decompressor.decompressobj(), False
        return left or self._file.read(_CHUNK >> 3)


def _zstd_error(head: bytes) -> type[Exception]:
    if head == ZSTD:
        import zstandard

        return zstandard.ZstdError
    return EOFError


@contextmanager
def replaced(target: str | os.PathLike[str] | BinaryIO) -> Iterator[BinaryIO]:
    """A file to write to that takes the target's place when the block ends well, and leaves no trace when not.

    "-" is standard output. Raises StorageFull when it cannot be written.
    """
    if not isinstance(target, str | os.PathLike):
        yield target
        return
    if str(target) == STANDARD:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(target)
    if path.exists() and not path.is_file():  # a device or a pipe is written to, never replaced
        with _translated(path), path.open("wb") as file:
            yield file
        return
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with _translated(path):
            with beside.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
    finally:
        with suppress(OSError):
            beside.unlink()


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageFull(f"{path} cannot be written: {error.strerror or error}") from error


def refuse_existing(target: str | os.PathLike[str] | BinaryIO) -> None:
    """Raise InvalidInput when the target is a file that is there already; "-", devices and pipes may be written to."""
    if isinstance(target, str | os.PathLike) and str(target) != STANDARD and Path(target).is_file():
        raise InvalidInput(f"{target} is there already; name another file, or replace it with overwrite (--overwrite)")


@contextmanager
def compressed(file: BinaryIO, name: str) -> Iterator[BinaryIO]:
    """The file as its name's suffix wants it: .gz, .zst, or plain."""
    if name.endswith((".gz", ".gzip")):
        import gzip

        with gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0, compresslevel=6) as zipped:
            yield cast("BinaryIO", zipped)
    elif name.endswith((".zst", ".zstd")):
        import zstandard

        with zstandard.ZstdCompressor(level=3).stream_writer(file, closefd=False) as writer:
            yield cast("BinaryIO", writer)
    else:
        yield file
