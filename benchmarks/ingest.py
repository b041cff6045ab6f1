"""Ingest: the 16,100 real outputs of AlpacaEval into SQL, then into the keyword index; vectors are not part of it.

    python benchmarks/ingest.py --data FOLDER

FOLDER holds generations/alpaca_eval_dev.jsonl.gz. A point is one passage of one record; a passage is a distinct slice
of text: the 805 prompts stand in 20 records each, so there are more points than passages. The limit printed beside
the indexing is Edge alone, taking the same points ready-made in the same batches.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import machine

import genstore
from genstore.index.edge import EdgeIndex
from genstore.index.points import Point

T = TypeVar("T")
GENERATIONS = Path("generations") / "alpaca_eval_dev.jsonl.gz"


def read_items(data: Path) -> list[dict[str, Any]]:
    """The outputs as log's arguments, in memory, so that reading the file is not what is measured."""
    with gzip.open(data / GENERATIONS, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [
        {"prompt": row["instruction"], "output": row["output"], "model": row["generator"], "tags": [row["dataset"]]}
        for row in rows
    ]


@dataclass(frozen=True)
class Took:
    """Seconds on the clock, and of all cores' time: far apart on a busy machine."""

    clock_s: float
    cpu_s: float


def timed(work: Callable[[], T]) -> tuple[Took, T]:
    clock_s, cpu_s = time.perf_counter(), time.process_time()
    result = work()
    return Took(time.perf_counter() - clock_s, time.process_time() - cpu_s), result


class Tap:
    """Keeps the batches that an index is given, so that it can be given them again."""

    def __init__(self, index: Any) -> None:
        self.batches: list[Sequence[Point]] = []
        self._upsert = index.upsert
        index.upsert = self._keep

    def _keep(self, points: Sequence[Point]) -> None:
        self.batches.append(points)
        self._upsert(points)


@dataclass(frozen=True)
class Round:
    """What it took to commit and to index words, and what was indexed."""

    sql: Took
    words: Took
    passages: int
    batches: list[Sequence[Point]]

    @property
    def points(self) -> int:
        return sum(map(len, self.batches))


def ingest(folder: Path, items: list[dict[str, Any]]) -> Round:
    """Store and index everything; prints what the store then holds."""
    with genstore.open(folder / "store", auto_index=False) as store:
        sql, ids = timed(lambda: store.log_many(items))
        report("log_many into SQL", len(ids), "records", sql, "to reach: 8,000")
        projection = store._projections.active()
        projection.embedder.cutter()  # the tokenizer is loaded once a process, not once a passage
        tap = Tap(projection.index)
        words, _ = timed(store.flush_words)
        stats = store.stats()
        report("keyword-searchable", stats.points or 0, "points", words, "to reach: 4,000")
        report("", stats.passages, "passages", words, "distinct")
        report("", len(ids), "records", words)
    return Round(sql, words, stats.passages, tap.batches)


def edge_alone(folder: Path, batches: list[Sequence[Point]]) -> None:
    """The same points, made and weighted already."""
    index = EdgeIndex(folder / "edge", 384)
    index.count()

    def upsert() -> None:
        for batch in batches:
            index.upsert(batch)

    took, _ = timed(upsert)
    report("Edge alone, the same points", sum(map(len, batches)), "points", took, "the limit")
    index.close()


def report(what: str, count: int, unit: str, took: Took, note: str = "") -> None:
    """One line: how many of what in how long."""
    rate = f"{count / took.clock_s:9,.0f} {unit}/s"
    seconds = f"{took.clock_s:6.2f} s ({took.cpu_s:5.2f} s of processor time)"
    print(f"{what:28s} {count:7,} {unit:8s} in {seconds}  {rate:20s} {note}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="how fast real outputs are stored and found by their words")
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds generations/")
    parser.add_argument("--folder", type=Path, help="where to write; the system's temporary folder by default")
    parser.add_argument("--rounds", type=int, default=3, help="each on a store of its own; the medians count")
    arguments = parser.parse_args()
    print(machine.describe("sqlalchemy", "qdrant-edge-py", "semantic-text-splitter", "tokenizers"))
    items = read_items(arguments.data)
    rounds: list[Round] = []
    for number in range(arguments.rounds):
        print(f"round {number + 1}")
        with tempfile.TemporaryDirectory(prefix="genstore-ingest-", dir=arguments.folder) as name:
            folder = Path(name)
            rounds.append(ingest(folder, items))
            edge_alone(folder, rounds[-1].batches)
            sizes = {part: machine.folder_bytes(folder / "store" / part) / 1e6 for part in ("index", "blobs")}
            database = (folder / "store" / "genstore.db").stat().st_blocks * 512 / 1e6
            print(f"on disk: database {database:.0f} MB, index {sizes['index']:.0f} MB, blobs {sizes['blobs']:.0f} MB")
    sql_s = machine.median([one.sql.clock_s for one in rounds])
    words_s = machine.median([one.words.clock_s for one in rounds])
    print(f"medians: {len(items) / sql_s:,.0f} records/s into SQL; keyword-searchable", end=" ")
    print(f"{rounds[0].points / words_s:,.0f} points/s, {rounds[0].passages / words_s:,.0f} distinct passages/s")


if __name__ == "__main__":
    main()
