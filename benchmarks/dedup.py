"""Duplicates: exact, near and semantic, on real outputs and labelled pairs, beside datasketch and semhash.

    python benchmarks/dedup.py --data FOLDER
    python benchmarks/dedup.py --data FOLDER --only near semantic

FOLDER holds generations/alpaca_eval_dev.jsonl.gz and paraphrase/mrpc_train.tsv. Copies of real outputs are made by
seeded rules: typos, case, reordered sentences, cut tails, inserted boilerplate. What must not be taken for a copy are
outputs of other models to the same prompt. The threshold of the near level was chosen on the prompts of even number;
what is reported are those of odd number.
"""

from __future__ import annotations

import argparse
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import machine
import numpy as np
from ingest import read_items

import genstore
from genstore.dedup.calibrate import calibrate, meaning_scores, read_pairs
from genstore.dedup.near import BANDS, ROWS
from genstore.embed.embedder import resolve
from genstore.text.guard import disagreement
from genstore.text.normal import normalised
from genstore.text.shingles import shingles

PAIRS = Path("paraphrase") / "mrpc_train.tsv"
BOILERPLATE = (
    "Sure, I can help with that!",
    "I hope this helps! Let me know if you have any other questions.",
    "As an AI language model, I don't have personal opinions, but here is what I found.",
    "Certainly! Here is the answer to your question:",
    "Thank you for reading. Please feel free to ask for more details.",
)


_ANOTHER = "another answer"

# Copies


def with_typos(text: str, rng: random.Random) -> str:
    """Two letters exchanged in one of twenty longer words."""
    words = text.split(" ")
    for at, word in enumerate(words):
        if len(word) > 3 and rng.random() < 0.05:
            cut = rng.randrange(len(word) - 1)
            words[at] = word[:cut] + word[cut + 1] + word[cut] + word[cut + 2 :]
    return " ".join(words)


def in_other_case(text: str, rng: random.Random) -> str:
    return text.upper() if rng.random() < 0.5 else text.lower()


def reordered(text: str, rng: random.Random) -> str:
    sentences = re.split(r"(?<=[.!?])\s+", text)
    rng.shuffle(sentences)
    return " ".join(sentences)


def without_tail(text: str, rng: random.Random) -> str:
    return text[: int(len(text) * rng.uniform(0.7, 0.9))]


def with_boilerplate(text: str, rng: random.Random) -> str:
    added = rng.choice(BOILERPLATE)
    return f"{added} {text}" if rng.random() < 0.5 else f"{text} {added}"


EDITS = (with_typos, in_other_case, reordered, without_tail, with_boilerplate)


@dataclass(frozen=True)
class Case:
    """A text that arrives, a stored one that answers the same prompt, and how it was made; copies of the stored one
    were made by an edit."""

    text: str
    stored: str
    made_by: str

    @property
    def original(self) -> str | None:
        """What it is a copy of, None when it is no copy."""
        return None if self.made_by == _ANOTHER else self.stored


def cases(items: Sequence[dict[str, Any]], odd: bool, count: int) -> tuple[list[str], list[Case]]:
    """(texts that are stored, texts that arrive): for each stored one a copy, and another model's answer."""
    by_prompt: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for item in items:
        if item["model"] != "NullModel":
            by_prompt[item["prompt"]].append(item)
    rng = random.Random(0)
    stored: dict[str, None] = {}
    arriving: list[Case] = []
    prompts = [prompt for number, prompt in enumerate(by_prompt) if number % 2 == odd]
    while len(stored) < count:
        answers = by_prompt[rng.choice(prompts)]
        one, other = rng.sample([item["output"] for item in answers], 2)
        if one in stored or not one.strip():
            continue
        edit = EDITS[len(stored) % len(EDITS)]
        stored[one] = None
        arriving.append(Case(edit(one, rng), one, edit.__name__))
        arriving.append(Case(other, one, _ANOTHER))
    same = {normalised(text) for text in stored}
    return list(stored), [case for case in arriving if case.original or normalised(case.text) not in same]


@dataclass
class Outcome:
    """How many copies were found as such, missed, and how many texts were taken for copies and are not."""

    found: int = 0
    missed: int = 0
    wrong: int = 0

    @property
    def precision(self) -> float:
        return self.found / max(1, self.found + self.wrong)

    @property
    def recall(self) -> float:
        return self.found / max(1, self.found + self.missed)

    @property
    def f1(self) -> float:
        return 2 * self.precision * self.recall / max(1e-9, self.precision + self.recall)

    def __str__(self) -> str:
        return f"precision {self.precision:.4f}   recall {self.recall:.4f}   F1 {self.f1:.4f}"


def judged(arriving: Sequence[Case], found: Callable[[Case], bool | None]) -> tuple[Outcome, dict[str, float]]:
    """The outcome, and the share that was taken for a copy by how it was made; None: taken for a copy of another."""
    outcome, by_kind = Outcome(), defaultdict(list)
    for case in arriving:
        answer = found(case)
        called = bool(answer)
        outcome.wrong += answer is None
        by_kind[case.made_by].append(called)
        if case.original is None:
            outcome.wrong += called
        else:
            outcome.found += called
            outcome.missed += not called
    return outcome, {kind: float(np.mean(called)) for kind, called in by_kind.items()}


# Levels


def exact(items: Sequence[dict[str, Any]], folder: Path, rounds: int) -> None:
    """All identical outputs are found and nothing else; how fast, the first time and once sketches are there."""
    first: list[float] = []
    again: list[float] = []
    for number in range(rounds):
        with genstore.open(folder / f"exact-{number}", auto_index=False) as store:
            ids = store.log_many(items)
            first.append(timed(lambda: store.duplicates("exact"))[0])
            took, clusters = timed(lambda: store.duplicates("exact"))
            again.append(took)
    truth: dict[str, list[str]] = defaultdict(list)
    for record_id, item in zip(ids, items, strict=True):
        if text := normalised(item["output"]):
            truth[text].append(record_id)
    wanted = {frozenset(same) for same in truth.values() if len(same) > 1}
    found = {frozenset((c.representative, *(d.record_id for d in c.duplicates))) for c in clusters}
    pairs, right = sum(len(c) - 1 for c in found), sum(len(c) - 1 for c in found & wanted)
    all_pairs = sum(len(c) - 1 for c in wanted)
    print(f"exact: {len(found)} clusters, precision {right / pairs:.4f}, recall {right / all_pairs:.4f}")
    for what, times in (("nothing sketched before", first), ("sketched before", again)):
        print(f"  {len(items) / machine.median(times):9,.0f} records/s, {what}   to reach: 50,000")
    alone = [timed(lambda: [hash(normalised(item["output"])) for item in items])[0] for _ in range(rounds)]
    print(f"  {len(items) / machine.median(alone):9,.0f} records/s, normalising and hashing alone (the limit)")


def near(items: Sequence[dict[str, Any]], folder: Path, count: int) -> None:
    """Copies are found among other answers to the same prompts; beside datasketch and semhash on the same texts."""
    chosen = threshold_by_precision(cases(items, odd=False, count=count)[1])
    print(f"near: threshold for precision .99 on the even prompts {chosen:.3f}; the default is 0.5")
    stored, arriving = cases(items, odd=True, count=count)
    with genstore.open(folder / "near", auto_index=False) as store:
        ids = dict(zip(store.log_many({"output": text} for text in stored), stored, strict=True))
        took, _ = timed(lambda: store._gate.make_ready(genstore.DedupRule("near")))
        print(f"  {len(stored) / took:9,.0f} records/s sketched, one core   to reach: 2,000")
        took, outcome = timed(lambda: judged(arriving, lambda case: as_copy(store, ids, case)))
        print(f"  genstore:            {outcome[0]}   {len(arriving) / took:,.0f} inserts/s   to reach: .97, F1 .95")
        print("    taken for a copy: " + ", ".join(f"{kind} {share:.3f}" for kind, share in outcome[1].items()))
    took, found = timed(lambda: with_datasketch(stored, arriving))
    print(f"  datasketch LSH:      {found[0]}   {len(stored) / found[1]:,.0f} sketched/s")
    took, by_meaning = timed(lambda: with_semhash(stored[:300], arriving[:600]))
    print(f"  semhash (300 texts): {by_meaning}   {900 / took:,.0f} records/s with the same encoder")


def as_copy(store: genstore.Store, ids: dict[str, str], case: Case) -> bool | None:
    """Whether the store takes the text for a copy; None when it takes it for one of something else."""
    record = store.log(output=case.text, on_duplicate="skip", dedup="near")
    if record.id not in ids:
        store.delete(record.id)
        return False
    return True if case.original is None or near_same(ids[record.id], case) else None


def near_same(other: str, case: Case) -> bool:
    """Whether what was found is the right original or itself a copy of it, as outputs of two models can be."""
    from genstore.text.shingles import jaccard

    return case.original is not None and jaccard(shingles(other), shingles(case.original)) >= 0.5


def threshold_by_precision(arriving: Sequence[Case]) -> float:
    """The least Jaccard similarity that keeps a precision of .99 among copies and other answers."""
    from genstore.dedup.calibrate import Pair, wording_scores
    from genstore.dedup.near import NearText

    pairs = [Pair(case.text, case.stored, case.original is not None) for case in arriving]
    found = calibrate(pairs, lambda given: wording_scores(given, NearText()), 0.99)
    return found.chosen.threshold if found.chosen else float("nan")


def with_datasketch(stored: Sequence[str], arriving: Sequence[Case]) -> tuple[Outcome, float]:
    """MinHashLSH over the same shingles, as many permutations and the same threshold; seconds it took to fill."""
    from datasketch import MinHash, MinHashLSH

    def sketch(text: str) -> Any:
        made = MinHash(num_perm=BANDS * ROWS)
        made.update_batch([int(value).to_bytes(8, "little") for value in shingles(text)])
        return made

    lsh = MinHashLSH(threshold=0.5, num_perm=BANDS * ROWS)

    def fill() -> None:
        with lsh.insertion_session() as session:
            for number, text in enumerate(stored):
                session.insert(number, sketch(text))

    took, _ = timed(fill)
    return judged(arriving, lambda case: bool(lsh.query(sketch(case.text))))[0], took


def with_semhash(stored: Sequence[str], arriving: Sequence[Case]) -> Outcome:
    """semhash with genstore's encoder in place of its own, which comes from a hub; its default threshold."""
    from semhash import SemHash

    class Encoder:
        def __init__(self) -> None:
            self._embedder = resolve()

        def encode(self, inputs: Sequence[str], **_: Any) -> Any:
            return self._embedder.encode(list(inputs))

    index = SemHash.from_records(records=list(stored), model=Encoder())
    result = index.deduplicate(records=[case.text for case in arriving])
    kept = set(result.selected)
    return judged(arriving, lambda case: case.text not in kept)[0]


def insert(items: Sequence[dict[str, Any]], folder: Path, size: int) -> None:
    """What one insert takes among `size` stored records, and what clusters of them take in memory."""
    path = folder / "large"
    with genstore.open(path, auto_index=False) as store:
        rng = random.Random(7)
        texts = list(recombined(items, size - size // 20))
        copies = [with_typos(rng.choice(texts), rng) for _ in range(size // 20)]
        took, _ = timed(lambda: store.log_many(({"output": text} for text in texts + copies), on_duplicate="keep"))
        ready, _ = timed(lambda: store._gate.make_ready(genstore.DedupRule("near")))
        print(f"insert: {size:,} records stored in {took:.0f} s, sketched in {ready:.0f} s ({size / ready:,.0f}/s)")
        times = []
        for text in [*rng.sample(texts, 500), *recombined(items, 500, seed=9)]:
            edited = with_typos(text, rng)
            times.append(timed(lambda: store.log(output=edited, on_duplicate="link", dedup="near"))[0] * 1e3)  # noqa: B023
    print(
        f"  one insert with a look for its original: p50 {machine.percentile(times, 0.5):.2f} ms, "
        f"p95 {machine.percentile(times, 0.95):.2f} ms   to reach: p95 5 ms"
    )
    child = subprocess.run(
        [sys.executable, __file__, "--memory-of", str(path)], capture_output=True, text=True, check=True
    )
    print(f"memory: {child.stdout.strip()}   to reach: 500 MB over the base")


def memory_of(path: Path) -> str:
    """Peak memory of a process that opens the store, and of the same one after it found all near duplicates."""

    def peak_mb() -> float:
        # Not getrusage: what it says includes the process that this one was started from.
        (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1e3

    with genstore.open(path, create=False, auto_index=False) as store:
        list(store.list(limit=10).records)
        shingles("what comparing needs is loaded before")
        base = peak_mb()
        took, clusters = timed(lambda: store.duplicates("near"))
        count = store.count()
    return (
        f"{peak_mb() - base:,.0f} MB over {base:,.0f} MB, {count:,} records, {len(clusters):,} clusters in {took:.1f} s"
    )


def recombined(items: Sequence[dict[str, Any]], count: int, seed: int = 3) -> Iterator[str]:
    """Texts of six sentences drawn from the real outputs: as long, as varied, and hardly ever alike."""
    rng = random.Random(seed)
    sentences = [s for item in items[::4] for s in re.split(r"(?<=[.!?])\s+", item["output"]) if 20 < len(s) < 300]
    for _ in range(count):
        yield " ".join(rng.sample(sentences, 6))


def semantic(data: Path, items: Sequence[dict[str, Any]]) -> None:
    """The curve on labelled paraphrases, with and without the guard; and what the guard does with opposites."""
    pairs = read_pairs(data / PAIRS)
    embedder = resolve()
    vectors: dict[str, Any] = {}
    texts = list({text for pair in pairs for text in (pair.one, pair.other)})
    vectors.update(zip(texts, embedder.encode(texts), strict=True))
    plain = calibrate(pairs, lambda given: [float(vectors[p.one] @ vectors[p.other]) for p in given], 0.95)
    guarded = calibrate(pairs, lambda given: meaning_scores(given, embedder), 0.95)
    for name, found in (("cosine alone", plain), ("with the guard", guarded)):
        point = found.chosen
        said = "no threshold" if point is None else f"{point.threshold:.3f}: {point.precision:.3f}, {point.recall:.3f}"
        print(f"semantic, {name}: threshold at precision .95, its precision and recall: {said}")
    half = calibrate(pairs[::2], lambda given: meaning_scores(given, embedder), 0.95).chosen
    if half is not None:
        other = calibrate(pairs[1::2], lambda given: meaning_scores(given, embedder), 0.95)
        on_other = [point for point in other.curve if point.threshold >= half.threshold][-1]
        print(
            f"  chosen on one half ({half.threshold:.3f}): {on_other.precision:.3f}, {on_other.recall:.3f} on the other"
        )
    opposed = opposites([pair.one for pair in pairs] + [item["output"] for item in items[::3]])
    print(f"opposites: {len(opposed)} pairs made of real sentences")
    for kind in dict.fromkeys(kind for kind, _, _ in opposed):
        passed = [disagreement(one, other) is None for k, one, other in opposed if k == kind]
        print(f"  {kind}: {sum(passed)} of {len(passed)} pass the guard")
    share = np.mean([disagreement(one, other) is None for _, one, other in opposed])
    print(f"  all: {share:.1%}   to reach: 1 %")


def opposites(texts: Sequence[str]) -> list[tuple[str, str, str]]:
    """50 pairs each of four kinds, (kind, sentence, its opposite): a word turned, numbers swapped, a verb negated."""
    sentences = [s.strip() for text in texts for s in re.split(r"(?<=[.!?])\s+", text) if 30 < len(s) < 250]
    random.Random(5).shuffle(sentences)
    rules: dict[str, Callable[[str], str | None]] = {
        "on/off": lambda s: turned(s, r"\b(turn\w*|switch\w*|log\w*|put\w*|[a-z]+s|[a-z]+ed) on\b", r"\1 off"),
        "more/less": lambda s: turned(s, r"\bmore\b", "less"),
        "swapped numbers": swapped_numbers,
        "negated": lambda s: turned(s, r"\b(is|are|was|were|can|will|should|has|have|had)\b(?! not)", r"\1 not"),
    }
    found: list[tuple[str, str, str]] = []
    for kind, rule in rules.items():
        made = ((s, rule(s)) for s in sentences)
        found += [(kind, s, other) for s, other in made if other is not None][:50]
    return found


def turned(sentence: str, pattern: str, replacement: str) -> str | None:
    changed, count = re.subn(pattern, replacement, sentence, count=1)
    return changed if count else None


def swapped_numbers(sentence: str) -> str | None:
    found = list(re.finditer(r"(?<![\w.,])\d+(?![\w.,])", sentence))
    if len(found) < 2 or found[0][0] == found[1][0]:
        return None
    (a, b), (c, d) = found[0].span(), found[1].span()
    return sentence[:a] + sentence[c:d] + sentence[b:c] + sentence[a:b] + sentence[d:]


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder that holds generations/ and paraphrase/")
    parser.add_argument("--folder", type=Path, help="where to write; the system's temporary folder by default")
    parser.add_argument("--only", nargs="+", choices=LEVELS, default=LEVELS)
    parser.add_argument("--copies", type=int, default=2_000, help="copies in the near test")
    parser.add_argument("--stored", type=int, default=100_000, help="records stored in the insert test")
    parser.add_argument("--memory-of", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory_of:
        print(memory_of(arguments.memory_of))
        return
    if arguments.data is None:
        parser.error("--data is required: the folder that holds generations/ and paraphrase/")
    print(machine.describe("rensa", "datasketch", "semhash", "numpy", "onnxruntime"))
    items = read_items(arguments.data)
    with tempfile.TemporaryDirectory(prefix="genstore-dedup-", dir=arguments.folder) as name:
        folder = Path(name)
        if "exact" in arguments.only:
            exact(items, folder, rounds=3)
        if "near" in arguments.only:
            near(items, folder, arguments.copies)
        if "insert" in arguments.only:
            insert(items, folder, arguments.stored)
        if "semantic" in arguments.only:
            semantic(arguments.data, items)


LEVELS = ("exact", "near", "insert", "semantic")

if __name__ == "__main__":
    main()
