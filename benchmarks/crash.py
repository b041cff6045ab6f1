"""Crash: SIGKILL at random moments while a process logs, tags, deletes and indexes; nothing acknowledged may be lost.

    python benchmarks/crash.py --rounds 100

Each round starts a process on the same store, lets it work for a random while and kills it. The process writes a line
to a pipe before a deletion and after everything that returned. Then the store is opened again: every acknowledged
record must be there and readable, every acknowledged deletion gone, every acknowledged tag in place, and once all is
indexed `verify` must find no difference. One round in ten is killed while it is still opening the store. The moments
follow from --seed, as far as a machine repeats itself. Exits with 1 when anything was lost.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import machine

import genstore
from genstore.identity import encode_text, sha256

LONGEST_S = 1.5
OPENING_S = 1.2
ENOUGH = 250  # records; beyond that more are deleted than logged, so that checking stays quick
WORDS = [
    "heron",
    "tide",
    "lantern",
    "orchard",
    "granite",
    "violin",
    "harbour",
    "meadow",
    "copper",
    "saffron",
    "glacier",
]


# The process that is killed


def work(path: str, seed: int) -> None:
    """Write to the store until killed, saying on standard output what was acknowledged."""
    dice = random.Random(seed)
    with genstore.open(path, lease_timeout_s=60) as store:
        live = [record.id for record in store.iterate()]
        say("ready")
        while True:
            step(store, live, dice)


def step(store: genstore.Store, live: list[str], dice: random.Random) -> None:
    """One random thing that a user does."""
    if live and dice.random() < (0.7 if len(live) > ENOUGH else 0.3):
        doomed = live.pop(dice.randrange(len(live)))
        say("deleting", doomed)
        store.delete(doomed)
        say("deleted", doomed)
    elif live and dice.random() < 0.2:
        tagged = dice.choice(live)
        store.tag(tagged, add=["seen"])
        say("tagged", tagged)
    elif dice.random() < 0.1:
        outputs = [text(dice) for _ in range(20)]
        ids = store.log_many({"prompt": dice.choice(WORDS), "output": output} for output in outputs)
        for record_id, output in zip(ids, outputs, strict=True):
            live.append(record_id)
            say("logged", record_id, sha256(encode_text(output)))
    else:
        output = text(dice)
        live.append(store.log(prompt=dice.choice(WORDS), output=output, model="crash").id)
        say("logged", live[-1], sha256(encode_text(output)))


def text(dice: random.Random) -> str:
    """Mostly one of a few, so that embedding does not slow the rest down; now and then new, or too large for SQL."""
    kind = dice.random()
    if kind < 0.03:
        return f"{dice.random()} " + "large " * 15_000
    if kind < 0.1:
        return f"{dice.choice(WORDS)} {dice.random()}"
    return f"{dice.choice(WORDS)} and {dice.choice(WORDS)}"


def say(*words: str) -> None:
    os.write(1, (" ".join(words) + "\n").encode())


# The process that kills and checks


@dataclass
class Ledger:
    """What the store must hold: output hashes by record id, acknowledged tags, deletions and those under way."""

    outputs: dict[str, str] = field(default_factory=dict)
    tagged: set[str] = field(default_factory=set)
    deleting: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    acknowledged: Counter[str] = field(default_factory=Counter)

    def note(self, line: str) -> None:
        what, *rest = line.split()
        self.acknowledged[what] += 1
        if what == "logged":
            self.outputs[rest[0]] = rest[1]
        elif what == "tagged":
            self.tagged.add(rest[0])
        elif what == "deleting":
            self.deleting.add(rest[0])
        elif what == "deleted":
            self.deleted.add(rest[0])

    def check(self, store: genstore.Store) -> Iterator[str]:
        """Everything that is not as it was acknowledged; afterwards the ledger says what the store holds."""
        held = {record.id: record for record in store.iterate()}
        for record_id, digest in self.outputs.items():
            record = held.get(record_id)
            if record is None:
                if record_id not in self.deleting:
                    yield f"record {record_id} was acknowledged and is gone"
            elif record_id in self.deleted:
                yield f"record {record_id} was deleted and is back"
            elif sha256(encode_text(record.output_text)) != digest:
                yield f"record {record_id} does not hold what was logged"
            elif record_id in self.tagged and "seen" not in record.tags:
                yield f"record {record_id} lost its tag"
        # A log that was killed between its commit and its acknowledgement may have happened.
        self.outputs = {record.id: record.output[0].sha256 for record in held.values()}
        self.tagged &= self.outputs.keys()
        self.deleting.clear()
        self.deleted.clear()


def killed(path: Path, seed: int, ledger: Ledger, dice: random.Random) -> float:
    """Run the worker and kill it after a random while; seconds from its start to its end."""
    command = [sys.executable, __file__, "--work", str(path), "--seed", str(seed)]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    ready = threading.Event()
    reader = threading.Thread(target=_listen, args=(process, ledger, ready))
    reader.start()
    if dice.random() < 0.1:
        time.sleep(dice.uniform(0, OPENING_S))
    else:
        ready.wait(60)
        time.sleep(dice.uniform(0, LONGEST_S))
    died = process.poll()
    process.kill()
    process.wait()
    reader.join()
    if died is not None:
        raise SystemExit(f"the worker ended by itself with {died}; seed {seed}")
    return time.perf_counter() - started


def _listen(process: subprocess.Popen[str], ledger: Ledger, ready: threading.Event) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line == "ready\n":
            ready.set()
        elif line.endswith("\n"):
            ledger.note(line)
    ready.set()


def reopened(path: Path, ledger: Ledger) -> list[str]:
    """What is wrong with the store: lost or resurrected records, and what verify finds once all is indexed."""
    with genstore.open(path, auto_index=False, lease_timeout_s=60) as store:
        wrong = list(ledger.check(store))
        store.flush()
        findings = store.verify()
    return wrong + [f"{found.kind}: {found.what} ({found.record_id})" for found in findings.differences]


def run(path: Path, rounds: int, seed: int) -> int:
    """How many rounds went wrong."""
    ledger, bad = Ledger(), 0
    started = time.perf_counter()
    for number in range(1, rounds + 1):
        dice = random.Random(f"{seed}/{number}")
        lived_s = killed(path, dice.randrange(2**31), ledger, dice)
        wrong = reopened(path, ledger)
        bad += bool(wrong)
        print(f"round {number:3d}: killed after {lived_s:4.1f} s, {len(ledger.outputs):4d} records", end=", ")
        print("; ".join(wrong[:5]) or "clean", flush=True)
    done = ledger.acknowledged
    print(
        f"{rounds} x SIGKILL in {time.perf_counter() - started:.0f} s, seed {seed}: {done['logged']:,} logs, "
        f"{done['tagged']:,} tags and {done['deleted']:,} deletions acknowledged, {bad} rounds with differences"
    )
    return bad


def main() -> None:
    parser = argparse.ArgumentParser(description="kill the store at random moments and look what is left")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where to write; the system's temporary folder by default")
    parser.add_argument("--work", metavar="STORE", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.work, arguments.seed)
    folder = Path(tempfile.mkdtemp(prefix="genstore-crash-", dir=arguments.folder))
    print(machine.describe("sqlalchemy", "qdrant-edge-py"))
    if run(folder / "store", arguments.rounds, arguments.seed):
        raise SystemExit(f"the store is kept in {folder}")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
