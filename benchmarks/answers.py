"""Answers: what the extractive generator finds, what it cites, when it says nothing, and how long asking takes.

    python benchmarks/answers.py --data FOLDER
    python benchmarks/answers.py --data FOLDER --peers all --questions 600

FOLDER holds retrieval/nq_open (questions with their short answers, and the passage that answers each),
paraphrase/mrpc_train.tsv (pairs of sentences, judged) and, for the latency, generations/alpaca_eval_dev.jsonl.gz.
An answer is a hit when it holds a gold short answer, both without case, accents, punctuation and articles. "Deleted":
the question's gold passage is filtered out of the search, which is what deleting it does to the one question, without
building a store for each. What was chosen on the first half of the questions (the extractive weights, the constants of
the evidence and where to abstain) is measured on both halves apart. Latency: the same documents and 16,100 generations,
whose vectors are random; each question is asked anew. Peers cite what their default pipeline retrieves, on the same
encoder: LlamaIndex's index and retriever (two nodes), txtai's RAG context (three rows).
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import tempfile
import time
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import machine
import numpy as np
from ingest import read_items
from numpy.typing import NDArray
from sqlalchemy import select

import genstore
from genstore.filters import EVERYTHING, F
from genstore.index.indexer import pack
from genstore.rag.citations import SUPPORTED, check
from genstore.rag.evidence import ABSTAIN_BELOW, evidence, features, words
from genstore.rag.retrieve import Wanted, retrieve, sources_plan
from genstore.rag.sources import Retrieved, Source
from genstore.records import Answer, Part, Record
from genstore.search.plan import Plan
from genstore.search.projection import Projection
from genstore.sql import tables

WARM_UP = 30
PAIRS = 1_000


@dataclass(frozen=True)
class Question:
    """answers: the gold short ones; gold: the ids of the records that hold them."""

    text: str
    answers: tuple[str, ...]
    gold: frozenset[str]


def rows(path: Path) -> Iterable[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def build(folder: Path, store: genstore.Store) -> list[Question]:
    """Log and embed the documents; the questions that one of them answers."""
    documents = list(rows(folder / "corpus.jsonl"))
    ids = store.log_many(
        {
            "kind": "document",
            "name": row["title"] or None,
            "output": "\n\n".join(filter(None, (row["title"], row["text"]))),
        }
        for row in documents
    )
    store.flush()
    record_of = dict(zip((row["_id"] for row in documents), ids, strict=True))
    gold: dict[str, set[str]] = {}
    for line in (folder / "qrels" / "test.tsv").read_text("utf-8").splitlines()[1:]:
        question, document, _ = line.split("\t")
        gold.setdefault(question, set()).add(record_of[document])
    return [
        Question(row["text"], tuple(row["metadata"]["answers"]), frozenset(gold[row["_id"]]))
        for row in rows(folder / "queries.jsonl")
        if row["_id"] in gold
    ]


def plain(text: str) -> str:
    """Without case, accents, punctuation and articles, between spaces: how open-domain answers are compared."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", text.lower()) if not unicodedata.combining(c))
    bare_words = re.sub(r"\b(?:a|an|the)\b", " ", re.sub(r"[^\w\s]", " ", bare)).split()
    return f" {' '.join(bare_words)} "


def holds(text: str, question: Question) -> bool:
    return any(plain(answer) in plain(text) for answer in question.answers)


def measure_answers(store: genstore.Store, questions: Sequence[Question]) -> None:
    """Share of answers that hold a gold one, from one passage and from five; an abstention holds none."""
    for passages, quotes, goal in ((1, 1, 0.55), (1, 3, None), (5, 1, None), (5, 3, 0.75)):
        answers = [store.ask(question.text, passages=passages, quotes=quotes) for question in questions]
        hits = np.array([holds(answer.text, question) for answer, question in zip(answers, questions, strict=True)])
        reach = f"   to reach: {goal:.2f}" if goal else ""
        print(
            f"from {passages} passages, at most {quotes} sentences: {hits.mean():.3f}"
            f" (halves {hits[: len(hits) // 2].mean():.3f}, {hits[len(hits) // 2 :].mean():.3f}){reach}",
            flush=True,
        )
    measure_citations(store, answers, questions)


def measure_citations(store: genstore.Store, answers: Sequence[Answer], questions: Sequence[Question]) -> None:
    """Whether every citation read back from SQL is a span that exists, and how many are of the gold passage."""
    total = resolved = right = first_right = given = 0
    for answer, question in zip(answers, questions, strict=True):
        kept = store.answer(answer.id).citations
        assert kept == answer.citations
        total += len(kept)
        resolved += sum(resolves(store, one.record_id, one.side, one.position, one.start, one.end) for one in kept)
        right += sum(one.record_id in question.gold for one in kept)
        given += bool(kept)
        first_right += bool(kept) and kept[0].record_id in question.gold
    print(f"citations: {total:,} of {given:,} answers; resolved {resolved / total:.4f}   to reach: 1.0")
    first = first_right / given
    print(f"precision against the gold passage: all {right / total:.3f}, first of each answer {first:.3f}", flush=True)


def resolves(store: genstore.Store, record_id: str, side: str, position: int, start: int, end: int) -> bool:
    record = store.get(record_id)
    text = (record.prompt if side == "prompt" else record.output)[position].text or ""
    return 0 <= start < end <= len(text) and bool(text[start:end].strip())


def found_for(store: genstore.Store, question: Question, *, gold: bool) -> Retrieved:
    """What `ask` would answer from, with the passage that holds the answer or as if that had been deleted."""
    where = EVERYTHING if gold or not question.gold else ~F("id").in_(sorted(question.gold))
    wanted = Wanted()
    plan = sources_plan(Plan(store.settings.project, where=where, depth=store.settings.depth), wanted)

    def find(index: Projection) -> Retrieved:
        with store.database.read() as connection:
            return retrieve(connection, store.bodies, index, question.text, plan, wanted)

    return store.in_index(find)


def measure_abstention(store: genstore.Store, questions: Sequence[Question]) -> None:
    """The curve: how many questions are given up, of those the store can answer and of those it no longer can."""
    answerable = [found_for(store, question, gold=True) for question in questions]
    deleted = [found_for(store, question, gold=False) for question in questions]
    half = len(questions) // 2
    strength = {
        name: np.array([evidence(question.text, found, words) for question, found in zip(questions, kept, strict=True)])
        for name, kept in (("answerable", answerable), ("deleted", deleted))
    }
    print("abstain below: share given up of the answerable / of those whose gold passage was deleted, second half")
    for below in sorted({0.05, 0.1, 0.2, 0.25, 0.3, 0.35, ABSTAIN_BELOW}):
        false, true = ((strength[name][half:] < below).mean() for name in ("answerable", "deleted"))
        chosen = "   <- the default; to reach: <= 0.1 / >= 0.5" if below == ABSTAIN_BELOW else ""
        print(f"  {below:.2f}: {false:.3f} / {true:.3f}{chosen}", flush=True)
    inputs = [
        np.array([features(q.text, found, words) for q, found in zip(questions[:half], kept[:half], strict=True)])
        for kept in (answerable, deleted)
    ]
    for name, column in (("cosine", 0), ("lift", 1)):
        fit = fitted(*(each[:, [column, 2]] for each in inputs))
        print(f"fitted anew on the first half ({name}, share of words, constant): {fit}")


def measure_elsewhere(folder: Path, questions: Sequence[Question], path: Path) -> None:
    """The default threshold on another collection: its own queries, all answerable, and questions of NQ-open."""
    with genstore.open(path, auto_index=False) as store:
        store.log_many(
            {"kind": "document", "name": row["title"] or None, "output": f"{row['title']}\n\n{row['text']}".strip()}
            for row in rows(folder / "corpus.jsonl")
        )
        store.flush()
        own = [Question(row["text"], (), frozenset()) for row in rows(folder / "queries.jsonl")]
        given_up = [
            np.mean([
                evidence(question.text, found_for(store, question, gold=True), words) < ABSTAIN_BELOW
                for question in asked
            ])
            for asked in (own, questions[:: max(1, len(questions) // 200)])
        ]  # fmt: skip
        print(
            f"{folder.name}: given up of its {len(own)} queries {given_up[0]:.3f}, of questions on other things "
            f"{given_up[1]:.3f}",
            flush=True,
        )


def fitted(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> str:
    """A logistic regression by Newton's method: weights of the features, and the constant."""
    inputs = np.column_stack([np.vstack([positive, negative]), np.ones(len(positive) + len(negative))])
    labels = np.r_[np.ones(len(positive)), np.zeros(len(negative))]
    weights = np.zeros(inputs.shape[1])
    for _ in range(50):
        predicted = 1 / (1 + np.exp(-inputs @ weights))
        curvature = (inputs * (predicted * (1 - predicted))[:, None]).T @ inputs
        weights += np.linalg.solve(curvature + 1e-6 * np.eye(len(weights)), inputs.T @ (labels - predicted))
    return ", ".join(f"{weight:.2f}" for weight in weights)


def measure_support(store: genstore.Store, data: Path) -> None:
    """How many sentences a paraphrase of theirs bears out, and how many one that only looks like it, or any other."""
    lines = (data / "paraphrase" / "mrpc_train.tsv").read_text("utf-8-sig").splitlines()[1:]
    cells = [line.split("\t") for line in lines]
    encode = store._projections.active().embedder.encode
    pairs = {
        "paraphrases": [(row[3], row[4]) for row in cells if row[0] == "1"][:PAIRS],
        "judged no paraphrases, though alike": [(row[3], row[4]) for row in cells if row[0] == "0"][:PAIRS],
        "sentences of other pairs": [(row[3], other[4]) for row, other in pairwise(cells)][:PAIRS],
    }
    for name, found in pairs.items():
        borne_out = [support(one, other, encode) >= SUPPORTED for one, other in found]
        print(f"borne out at {SUPPORTED:.2f}: {np.mean(borne_out):.3f} of {len(found)} {name}", flush=True)


def support(sentence: str, passage: str, encode: Any) -> float:
    """What `check` gives a sentence that cites a passage."""
    record = Record(id="r", kind="document")
    source = Source(record, Part(text=passage, id=1), "output", 0, 0, len(passage), 1)
    return max((one.support for one in check(f"{sentence} [1]", [source], words, encode).citations), default=0.0)


def measure_latency(store: genstore.Store, data: Path, questions: Sequence[Question], asked: int) -> None:
    """The time of one ask with the generations beside the documents, after a warm-up."""
    store.log_many(read_items(data))
    store.flush_words()
    projection = store._projections.active()
    random = np.random.default_rng(0)
    passages, embeddings = tables.passages, tables.embeddings
    with store.database.read() as connection:
        missing = passages.c.text_sha256.not_in(select(embeddings.c.text_sha256))
        digests = connection.execute(select(passages.c.text_sha256).where(missing).distinct()).scalars().all()
    vectors = random.standard_normal((len(digests), projection.info.dimension), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    projection.outbox.keep_embeddings({digest: pack(v) for digest, v in zip(digests, vectors, strict=True)})
    store.flush()
    stats = store.stats()
    took: dict[str, list[float]] = {"ask": [], "search": []}
    for question in questions[: WARM_UP + asked]:
        for name, work in contestants(store, question.text):
            started = time.perf_counter()
            work()
            took[name].append(time.perf_counter() - started)
    print(f"{stats.records:,} records, {stats.by_kind}, {stats.points:,} points; {asked} questions")
    for name, goal in (("ask", "   to reach: p95 <= 150 ms"), ("search", "   (its part of it)")):
        times = [1_000 * seconds for seconds in took[name][WARM_UP:]]
        print(f"{name}: p50 {machine.median(times):.0f} ms, p95 {machine.percentile(times, 0.95):.0f} ms{goal}")


def contestants(store: genstore.Store, text: str) -> list[tuple[str, Callable[[], Any]]]:
    return [("search", lambda: store.search(text, "kind:document")), ("ask", lambda: store.ask(text))]


def measure_llamaindex(store: genstore.Store, questions: Sequence[Question]) -> None:
    """LlamaIndex's VectorStoreIndex and retriever as they come: the two nodes that its query engine would cite."""
    core = importlib.import_module("llama_index.core")
    base = importlib.import_module("llama_index.core.base.embeddings.base")
    encoder = store._projections.active().embedder

    class Encoder(base.BaseEmbedding):  # type: ignore[misc, name-defined]
        def _get_text_embedding(self, text: str) -> list[float]:
            return list(map(float, encoder.encode([text])[0]))

        def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
            return [list(map(float, vector)) for vector in encoder.encode(texts)]

        def _get_query_embedding(self, query: str) -> list[float]:
            return list(map(float, encoder.encode_query(query)))

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return self._get_query_embedding(query)

    documents = [
        core.Document(text=record.output_text, metadata={"record": record.id}, excluded_embed_metadata_keys=["record"])
        for record in store.iterate("kind:document")
    ]
    retriever = core.VectorStoreIndex.from_documents(documents, embed_model=Encoder()).as_retriever()
    cited = [[node.metadata["record"] for node in retriever.retrieve(question.text)] for question in questions]
    report_peer("LlamaIndex, its two source nodes", cited, questions)


def measure_txtai(store: genstore.Store, questions: Sequence[Question]) -> None:
    """txtai's embeddings database as its RAG pipeline asks it: three rows of context."""
    txtai = importlib.import_module("txtai")
    encoder = store._projections.active().embedder
    index = txtai.Embeddings(method="external", transform=lambda texts: encoder.encode(list(texts)), content=True)
    index.index((record.id, record.output_text, None) for record in store.iterate("kind:document"))
    cited = [[row["id"] for row in index.search(question.text, 3)] for question in questions]
    report_peer("txtai, its three rows of context", cited, questions)


def report_peer(name: str, cited: Sequence[Sequence[str]], questions: Sequence[Question]) -> None:
    right = [[record in question.gold for record in found] for found, question in zip(cited, questions, strict=True)]
    every = sum(map(sum, right)) / sum(map(len, right))
    print(f"{name}: precision all {every:.3f}, first {np.mean([found[0] for found in right if found]):.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds retrieval/ and generations/")
    parser.add_argument("--questions", type=int, default=None, help="take only every n-th, for about as many in all")
    parser.add_argument("--asked", type=int, default=300, help="questions whose time is taken")
    parser.add_argument("--peers", choices=["all", "none"], default="none", help="pip install txtai llama-index-core")
    arguments = parser.parse_args()
    print(machine.describe("qdrant-edge-py", "onnxruntime", "llama-index-core", "txtai"))
    with (
        tempfile.TemporaryDirectory(prefix="genstore-answers-") as folder,
        genstore.open(Path(folder) / "store", auto_index=False) as store,
    ):
        started = time.perf_counter()
        questions = build(arguments.data / "retrieval" / "nq_open", store)
        took = time.perf_counter() - started
        if arguments.questions is not None:
            questions = questions[:: max(1, len(questions) // arguments.questions)]
        print(f"{store.count():,} documents embedded in {took:.0f} s; {len(questions):,} questions", flush=True)
        if arguments.peers == "all":
            measure_llamaindex(store, questions)
            measure_txtai(store, questions)
        measure_abstention(store, questions)
        for name in ("med", "cranfield"):
            measure_elsewhere(arguments.data / "retrieval" / name, questions, Path(folder) / name)
        measure_answers(store, questions)
        measure_support(store, arguments.data)
        measure_latency(store, arguments.data, questions, arguments.asked)


if __name__ == "__main__":
    main()
