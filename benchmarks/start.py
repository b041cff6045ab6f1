"""Start: what a fresh process costs before it is of use. Every figure is wall-clock time of a whole process.

    python benchmarks/start.py --data FOLDER
    python benchmarks/start.py --store STORE

FOLDER holds generations/alpaca_eval_dev.jsonl.gz; its 16,100 outputs are stored, indexed and optimised first. Their
vectors are random: a search costs the same and the store is ready in minutes. --store measures a store of your own.
The bare interpreter stands beside the figures: nothing can be quicker.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import machine
import numpy as np
from ingest import read_items
from sqlalchemy import select

import genstore
from genstore.index.indexer import pack
from genstore.sql import tables

CLI = (sys.executable, "-c", "from genstore.cli.main import main; main()")
QUERY = "how do I bake bread without yeast"


def prepare(path: Path, data: Path) -> None:
    """A store with every output, found by words and by (random) vectors, its index optimised."""
    random = np.random.default_rng(0)
    with genstore.open(path, auto_index=False) as store:
        store.log_many(read_items(data))
        store.flush_words()
        projection = store._projections.active()
        with store.database.read() as connection:
            digests = connection.execute(select(tables.passages.c.text_sha256).distinct()).scalars().all()
        vectors = random.standard_normal((len(digests), projection.info.dimension), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        projection.outbox.keep_embeddings({digest: pack(v) for digest, v in zip(digests, vectors, strict=True)})
        store.flush()


def process_s(command: Sequence[str], rounds: int) -> tuple[float, float]:
    """(median, fastest) seconds from start to end; the first run, which warms the disk's cache, does not count."""
    took = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        took.append(time.perf_counter() - started)
    return machine.median(took[1:]), min(took[1:])


def report(name: str, command: Sequence[str], rounds: int, to_reach_s: float | None = None) -> None:
    """One line: what a process took, and what it must."""
    middle, best = process_s(command, rounds)
    goal = f"   to reach: {to_reach_s:.1f} s" if to_reach_s is not None else ""
    print(f"{name:46s} median {middle:5.2f} s   fastest {best:5.2f} s{goal}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="what a fresh process costs")
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--data", type=Path, help="the folder that holds generations/")
    given.add_argument("--store", type=Path, help="a store that exists")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    print(machine.describe("sqlalchemy", "qdrant-edge-py", "onnxruntime", "typer"))
    rounds = arguments.rounds
    report("python -c pass", (sys.executable, "-c", "pass"), rounds)
    report("import genstore", (sys.executable, "-c", "import genstore"), rounds, 0.8)
    report("import genstore; genstore.open", (sys.executable, "-c", "import genstore; genstore.open"), rounds, 0.8)
    report("genstore --help", (*CLI, "--help"), rounds, 0.4)
    with tempfile.TemporaryDirectory(prefix="genstore-start-") as name:
        path = arguments.store or Path(name) / "store"
        if arguments.data is not None:
            prepare(path, arguments.data)
        with genstore.open(path, create=False, auto_index=False) as store:
            stats = store.stats()
        print(f"a store of {stats.records:,} records, {stats.points:,} points, {stats.pending_dense:,} to be embedded")
        for mode in ("hybrid", "lexical"):
            search = (*CLI, "--store", str(path), "search", QUERY, "--mode", mode)
            report(f"genstore search, {mode}", search, rounds, 2.5)


if __name__ == "__main__":
    main()
