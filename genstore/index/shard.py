"""Making and opening the folder that Qdrant Edge keeps its files in."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import qdrant_edge as qdrant

from genstore.errors import DimensionMismatch, GenstoreError, IndexBusy, IndexCorrupt, IndexUnavailable
from genstore.index.layout import (
    DENSE,
    KEYWORDS,
    NUMBERS,
    PAIR_IS,
    PAIR_OF,
    PAIRS,
    PARTITIONING,
    RECORD_ID,
    SPARSE,
    TOKENS,
    payload_key,
)

_SHARD = "shard"
_UNFINISHED = "shard.new"
_REPLACED = "shard.old"
_OPTIMISING = "optimising-"
_OPTIMISE = """
import os, sys, qdrant_edge
os.nice(10)
shard = qdrant_edge.EdgeShard.load(sys.argv[1])
shard.optimize()
shard.close()
"""
_MEMORY = Path("/dev/shm")
_INDEXED_FROM_POINTS = 10_000
_SCANNED_UP_TO_POINTS = 30_000  # that many satisfy a filter: a scan is exact, takes 3 ms, and beats a torn graph
_DISK = ("os error 13", "os error 28", "os error 30", "errno 13", "errno 28", "errno 30")  # denied, full, read-only


def has_shard(folder: Path) -> bool:
    """Whether the folder holds a shard, be it one whose replacement was cut short."""
    return (folder / _SHARD).exists() or (folder / _REPLACED).exists()


def open_shard(folder: Path, dimension: int) -> Any:
    """The shard in a folder, made when the folder has none.

    Raises DimensionMismatch when it holds vectors of another length, IndexCorrupt when its files make no sense.
    """
    shard = folder / _SHARD
    with translated(folder, "open"):
        _finish_swap(folder)
        if not shard.exists():
            _create(folder, dimension)
        _check_dimension(shard, dimension)
        # Edge would open a shard whose segments are gone as an empty one.
        if not any((shard / "segments").glob("*/segment.json")):
            raise IndexCorrupt(f"the index in {folder} has lost its segments; run `genstore reindex`")
        return qdrant.EdgeShard.load(str(shard))


def optimised_copy(shard: Any, folder: Path) -> Path:
    """An optimised copy of the open shard, beside it; nobody may write to the shard meanwhile.

    A child process makes it: Edge holds the interpreter's lock while it optimises, so that in this process every
    thread would stand still, for minutes. Needs as much disk again as the index has.
    """
    with translated(folder, "optimise"):
        shard.flush()
        copy = Path(tempfile.mkdtemp(prefix=_OPTIMISING, dir=folder))
        shutil.copytree(folder / _SHARD, copy, copy_function=_copy_sparse, dirs_exist_ok=True)
        ran = subprocess.run([sys.executable, "-c", _OPTIMISE, str(copy)], capture_output=True, text=True, check=False)
        if ran.returncode:
            shutil.rmtree(copy, ignore_errors=True)
            raise IndexUnavailable(f"cannot optimise the index in {folder}: {ran.stderr.strip()[-300:]}")
        return copy


def swapped(shard: Any, folder: Path, copy: Path) -> Any:
    """Close the shard and open the copy in its place; a kill in between is mended by the next open_shard()."""
    with translated(folder, "open"):
        shard.close()
        (folder / _SHARD).rename(folder / _REPLACED)
        copy.rename(folder / _SHARD)
        _finish_swap(folder)
        return qdrant.EdgeShard.load(str(folder / _SHARD))


def _finish_swap(folder: Path) -> None:
    if not (folder / _SHARD).exists() and (folder / _REPLACED).exists():
        (folder / _REPLACED).rename(folder / _SHARD)
    for left in [folder / _REPLACED, *folder.glob(f"{_OPTIMISING}*")]:
        shutil.rmtree(left, ignore_errors=True)


def _create(folder: Path, dimension: int) -> None:
    """Made in memory, copied beside its place, renamed: a process killed half-way leaves no half-made shard.

    Edge brings every new field index to disk with an fsync of all files: seconds on a disk, milliseconds in memory.
    """
    scratch = tempfile.mkdtemp(prefix="genstore-", dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None)
    try:
        shard = qdrant.EdgeShard.create(os.path.join(scratch, _SHARD), _config(dimension))
        for field, schema in _field_indexes():
            shard.update(qdrant.UpdateOperation.create_field_index(field, schema))
        shard.close()
        shutil.rmtree(folder / _UNFINISHED, ignore_errors=True)
        shutil.copytree(os.path.join(scratch, _SHARD), folder / _UNFINISHED, copy_function=_copy_sparse)
        (folder / _UNFINISHED).rename(folder / _SHARD)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _copy_sparse(source: str, target: str) -> None:
    """Copy a file without filling its holes: a new shard is 200 MB of address space and a few hundred kB of data."""
    with open(source, "rb", buffering=0) as read, open(target, "wb", buffering=0) as write:
        size = os.fstat(read.fileno()).st_size
        write.truncate(size)
        end = 0
        while end < size:
            try:
                start = os.lseek(read.fileno(), end, os.SEEK_DATA)
            except OSError:  # nothing but a hole is left
                return
            end = os.lseek(read.fileno(), start, os.SEEK_HOLE)
            os.pwrite(write.fileno(), os.pread(read.fileno(), end - start, start), start)


def _config(dimension: int) -> qdrant.EdgeConfig:
    point_bytes = 4 * dimension
    graph = qdrant.HnswIndexConfig(
        m=16, ef_construct=100, full_scan_threshold=_kilobytes(_SCANNED_UP_TO_POINTS * point_bytes)
    )
    indexing_threshold = _kilobytes(_INDEXED_FROM_POINTS * point_bytes)
    return qdrant.EdgeConfig(
        vectors={DENSE: qdrant.EdgeVectorParams(size=dimension, distance=qdrant.Distance.Cosine)},
        sparse_vectors={SPARSE: qdrant.EdgeSparseVectorParams(modifier=qdrant.Modifier.Idf)},
        hnsw_config=graph,
        optimizers=qdrant.EdgeOptimizersConfig(indexing_threshold=indexing_threshold),
    )


def _kilobytes(size_bytes: int) -> int:
    return max(1, size_bytes // 1024)


def _field_indexes() -> Iterator[tuple[str, Any]]:
    yield RECORD_ID, qdrant.KeywordIndexParams(enable_hnsw=False)
    for field in KEYWORDS:
        yield payload_key(field), qdrant.KeywordIndexParams(enable_hnsw=field in PARTITIONING)
    for field in NUMBERS:
        yield payload_key(field), qdrant.FloatIndexParams(enable_hnsw=False)
    yield TOKENS, qdrant.KeywordIndexParams(enable_hnsw=False, prefix=True)
    yield PAIR_OF, qdrant.KeywordIndexParams(enable_hnsw=False, nested=PAIRS)
    yield PAIR_IS, qdrant.FloatIndexParams(enable_hnsw=False, nested=PAIRS)


def _check_dimension(shard: Path, dimension: int) -> None:
    config = json.loads((shard / "edge_config.json").read_text())
    held = config["vectors"][DENSE]["size"]
    if held != dimension:
        raise DimensionMismatch(
            f"the index in {shard.parent} holds {held}-d vectors, the embedder gives {dimension}-d; "
            "run `genstore reindex`"
        )


@contextlib.contextmanager
def translated(folder: Path, verb: str) -> Iterator[None]:
    """Edge raises bare Exception, or PanicException (not even an Exception) when its files make no sense."""
    try:
        yield
    except GenstoreError:
        raise
    except BaseException as error:
        bare = type(error) is Exception or type(error).__name__ == "PanicException"
        if bare or isinstance(error, OSError) or (verb == "open" and isinstance(error, Exception)):
            raise _translation(folder, verb, error) from error
        raise


def _translation(folder: Path, verb: str, error: BaseException) -> GenstoreError:
    message = str(error)
    if "WouldBlock" in message:
        return IndexBusy(f"the index in {folder} is open in another process or by another program")
    if any(sign in message.lower() for sign in _DISK):
        return IndexUnavailable(f"cannot {verb} the index in {folder}: {message}; free space or check permissions")
    if verb == "open" or type(error) is not Exception:
        return IndexCorrupt(f"the index in {folder} is damaged ({message}); run `genstore reindex`")
    return IndexUnavailable(f"cannot {verb} the index in {folder}: {message}; if it persists run `genstore reindex`")
