"""Logging: a committed `store.log` of a 10 kB body beside the bare sqlite3 module doing the least it could.

    python benchmarks/log.py
    python benchmarks/log.py --folder /mnt/slow --records 500

The floor is one table (id integer primary key, body text), WAL, an explicit transaction a record. Floor and store
take turns in rounds, so that a busy machine slows both; a percentile is the median of the rounds' percentiles. The
store indexes nothing meanwhile (auto_index=False): what a log costs its caller is the transaction. --folder decides
which disk is measured.
"""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import machine

import genstore

BODY_BYTES = 10_000
THREADS = 8
FIELDS: dict[str, Any] = {"model": "gpt-4o", "tags": ["support"], "metadata": {"lang": "en"}, "session_id": "chat-1"}
PROMPT = "Summarise the report in one sentence."
_FILLER = "the quick brown fox jumps over the lazy dog " * (BODY_BYTES // 44 + 1)


def bodies(seed: int) -> Iterator[str]:
    """Texts of 10 kB, each unlike any other."""
    number = seed * 10**9
    while True:
        yield f"{number:012d} {_FILLER}"[:BODY_BYTES]
        number += 1


class Contestant:
    """One way to store a body; `run` times a round of it."""

    def __init__(self, name: str, store: Callable[[str], object], seed: int, interval_s: float = 0.0) -> None:
        """interval_s: how often a call is made, 0 for one right after the other."""
        self.name = name
        self._store = store
        self._bodies = bodies(seed)
        self._interval_s = interval_s
        self._rounds: list[list[float]] = []

    def run(self, count: int) -> None:
        took: list[float] = []
        due = time.perf_counter()
        for _ in range(count):
            body = next(self._bodies)
            if self._interval_s:
                due += self._interval_s
                time.sleep(max(0.0, due - time.perf_counter()))
            started = time.perf_counter()
            self._store(body)
            took.append((time.perf_counter() - started) * 1e6)
        self._rounds.append(took)

    def warm(self, count: int) -> None:
        self.run(count)
        self._rounds.clear()

    def percentile(self, share: float) -> float:
        """Microseconds, the median over the rounds."""
        return machine.median([machine.percentile(took, share) for took in self._rounds])

    def report(self, floor: Contestant | None = None) -> None:
        times = "   ".join(f"{name} {self.percentile(share):7.1f} us" for name, share in SHARES)
        ratio = f"   {self.percentile(0.5) / floor.percentile(0.5):4.1f}x the floor" if floor else ""
        print(f"{self.name:46s} {times}{ratio}", flush=True)


SHARES = (("p50", 0.50), ("p95", 0.95), ("p99", 0.99))


def bare_sqlite(path: Path, synchronous: str) -> tuple[sqlite3.Connection, Callable[[str], None]]:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={synchronous}")
    connection.execute("CREATE TABLE log (id INTEGER PRIMARY KEY, body TEXT)")

    def insert(body: str) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO log (body) VALUES (?)", (body,))
        connection.execute("COMMIT")

    return connection, insert


def committed(folder: Path, synchronous: str, records: int, rounds: int) -> None:
    """One caller, who waits for the commit."""
    connection, insert = bare_sqlite(folder / f"floor-{synchronous}.db", synchronous)
    path = folder / f"committed-{synchronous}"
    with closing(connection), genstore.open(path, synchronous=synchronous, auto_index=False) as store:
        floor = Contestant(f"sqlite3, synchronous={synchronous}", insert, 1)
        contestants = (
            floor,
            Contestant("log(output=…)", lambda body: store.log(output=body), 2),
            Contestant("log(prompt=…, output=…, model, tag, …)", _logged(store.log), 3),
        )
        for contestant in contestants:
            contestant.warm(50)
        for _ in range(rounds):
            for contestant in contestants:
                contestant.run(records)
        floor.report()
        for contestant in contestants[1:]:
            contestant.report(floor)


def _logged(log: Callable[..., object]) -> Callable[[str], object]:
    return lambda body: log(prompt=PROMPT, output=body, **FIELDS)


def in_background(folder: Path, records: int, rounds: int) -> None:
    """One caller, who does not wait."""
    with closing(
        genstore.open(folder / "background", background=True, auto_index=False, queue_size=2 * records)
    ) as store:
        unpaced = Contestant("background, one after the other", _logged(store.log), 4)
        paced = Contestant("background, 1,000 a second", _logged(store.log), 5, interval_s=1e-3)
        for contestant in (unpaced, paced):
            contestant.warm(50)
            for _ in range(rounds):
                contestant.run(records)
                store.log(output="the last").result()  # and with it everything before
            contestant.report()


def together(folder: Path, records: int, rounds: int) -> None:
    """Many callers sharing commits, and one who has many to log."""
    with genstore.open(folder / "together", auto_index=False) as store:
        shared, many = [], []
        for number in range(rounds):
            started = time.perf_counter()
            from_threads(store, records, seed=100 * (number + 1))
            shared.append(records / (time.perf_counter() - started))
            started = time.perf_counter()
            store.log_many(
                {"prompt": PROMPT, "output": body, **FIELDS} for body in islice(bodies(50 + number), records)
            )
            many.append(records / (time.perf_counter() - started))
        print(f"{f'{THREADS} threads, each waits for its commit':46s} {machine.median(shared):9,.0f} records/s")
        print(f"{'log_many':46s} {machine.median(many):9,.0f} records/s", flush=True)


def from_threads(store: genstore.Store, records: int, seed: int) -> None:
    def log(number: int) -> None:
        for body in islice(bodies(seed + number), records // THREADS):
            store.log(prompt=PROMPT, output=body, **FIELDS)

    threads = [threading.Thread(target=log, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description="what a log costs")
    parser.add_argument("--folder", type=Path, help="where to write; the system's temporary folder by default")
    parser.add_argument("--records", type=int, default=1_000, help="in each round")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    print(machine.describe("sqlalchemy"))
    print(f"{arguments.rounds} rounds of {arguments.records:,} records, {BODY_BYTES:,} bytes each")
    with tempfile.TemporaryDirectory(prefix="genstore-log-", dir=arguments.folder) as name:
        folder = Path(name)
        committed(folder, "normal", arguments.records, arguments.rounds)
        committed(folder, "full", arguments.records // 4, arguments.rounds)
        in_background(folder, arguments.records, arguments.rounds)
        together(folder, arguments.records, arguments.rounds)
    print("to reach: log within 2.5x the floor; background p50 <= 30 us")


if __name__ == "__main__":
    main()
