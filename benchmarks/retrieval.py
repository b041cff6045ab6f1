"""Retrieval: nDCG@10 of genstore's search on judged collections, beside LanceDB and Chroma on the same vectors.

    python benchmarks/retrieval.py --data FOLDER
    python benchmarks/retrieval.py --data FOLDER --weights .75 .8 .85 .9 --variant 0 1.2 .75 --variant 0 .9 .4
    python benchmarks/retrieval.py --data FOLDER --precision int8 --peers none

FOLDER holds a folder a collection: corpus.jsonl and queries.jsonl (_id, title, text), qrels/test.tsv (query, document,
grade). A document is logged as its title and its text; a query that no document is relevant to is left out. Gains are
2^grade - 1. "genstore" is `store.search` as it comes. The other rankings are computed from the same index's candidates;
"one vector a document" sees a document's first 256 tokens and all of its words. --precision int8 adds a store
with the quantised encoder.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import math
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe
from numpy.typing import NDArray

import genstore
from genstore.config import Settings
from genstore.embed.embedder import Embedder
from genstore.index.bm25 import Bm25
from genstore.index.edge import EdgeIndex
from genstore.index.points import Candidates, Point, SparseVector, VectorIndex, part_of
from genstore.search.fusion import best_by_group, fuse, rrf

LIMIT = 10
DEFAULTS = Settings()
TARGETS = {"cranfield": 0.405, "med": 0.81, "nq_open": 0.95}

Vectors = NDArray[np.float32]
Ranking = Sequence[str]
Figures = dict[str, NDArray[np.float64]]
"""What ranked -> nDCG@10 of each query."""


@dataclass(frozen=True)
class Collection:
    """documents and queries: id -> text; grades: query -> document -> grade, at least one of them above 0."""

    name: str
    documents: dict[str, str]
    queries: dict[str, str]
    grades: dict[str, dict[str, int]]

    def ndcg(self, rank: Callable[[str, str], Ranking]) -> NDArray[np.float64]:
        """The measure of each query, ranked by rank(query id, query text)."""
        return np.array([ndcg(rank(query, text), self.grades[query]) for query, text in self.queries.items()])


def ndcg(ranking: Ranking, grades: Mapping[str, int]) -> float:
    """Normalised discounted cumulative gain of the first ten (Järvelin, Kekäläinen 2002), gain 2^grade - 1."""
    ideal = discounted(sorted((2**grade - 1 for grade in grades.values()), reverse=True))
    return discounted([2 ** grades.get(document, 0) - 1 for document in ranking]) / ideal


def discounted(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(place + 1) for place, gain in enumerate(gains[:LIMIT], 1))


def read_collection(folder: Path) -> Collection:
    grades: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels" / "test.tsv").read_text("utf-8").splitlines()[1:]:
        query, document, grade = line.split("\t")
        grades.setdefault(query, {})[document] = int(grade)
    documents = {
        row["_id"]: "\n\n".join(filter(None, (row["title"], row["text"]))) for row in rows(folder / "corpus.jsonl")
    }
    asked = {row["_id"]: row["text"] for row in rows(folder / "queries.jsonl")}
    queries = {query: text for query, text in asked.items() if any(grades.get(query, {}).values())}
    return Collection(folder.name, documents, queries, grades)


def rows(path: Path) -> Iterable[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


@dataclass(frozen=True)
class Built:
    """A store of a collection. owners: point -> document; passages: point -> text."""

    store: genstore.Store
    index: VectorIndex
    embedder: Embedder
    owners: dict[int, str]
    passages: dict[int, str]

    def vectors(self, texts: Sequence[str]) -> list[Vectors]:
        """Vectors of texts; those of the store's own passages are not computed again."""
        known = self.index.dense_vectors(list(self.passages))
        by_text = {self.passages[point]: vector for point, vector in known.items()}
        missing = [text for text in dict.fromkeys(texts) if text not in by_text]
        if missing:
            by_text.update(zip(missing, self.embedder.encode(missing), strict=True))
        return [by_text[text] for text in texts]


def build_store(collection: Collection, folder: Path, precision: str) -> Built:
    store = genstore.open(folder, precision=precision, auto_index=False)
    records = store.log_many({"kind": "document", "output": text} for text in collection.documents.values())
    started = time.perf_counter()
    store.flush()
    document_of = dict(zip(records, collection.documents, strict=True))
    projection = store._projections.active()
    owners = {point: document_of[record] for point, record, _ in projection.index.scan()}
    cutter = projection.embedder.cutter()
    cuts = {document: cutter.cut(text) for document, text in collection.documents.items()}
    passages = {}
    for point, document in owners.items():
        start, end = cuts[document][part_of(point)[1]]
        passages[point] = collection.documents[document][start:end]
    print(
        f"{collection.name}: {len(document_of):,} documents, {len(owners):,} passages, {len(collection.queries):,} "
        f"queries; indexed and embedded ({precision}) in {time.perf_counter() - started:.0f} s",
        flush=True,
    )
    return Built(store, projection.index, projection.embedder, owners, passages)


@dataclass(frozen=True)
class Asked:
    """A query as the indexes take it, and what genstore's index answers."""

    dense: Vectors
    sparse: SparseVector
    text: str
    found: Candidates


def ask_all(collection: Collection, index: VectorIndex, embedder: Embedder, depth: int) -> dict[str, Asked]:
    vectors = embedder.encode(list(collection.queries.values()))
    bm25 = Bm25()
    asked = {}
    for (query, text), vector in zip(collection.queries.items(), vectors, strict=True):
        words = bm25.query(text)
        found = index.candidates(vector, words if words[0] else None, None, depth)
        asked[query] = Asked(vector, words, text, found)
    return asked


def grouped(found: Candidates, scores: Sequence[float], owners: Mapping[int, str]) -> Ranking:
    scored = ((owners[point], score, point) for point, score in zip(found.ids, scores, strict=True))
    return [document for document, _, _ in best_by_group(scored, LIMIT)]


def measure_store(collection: Collection, built: Built) -> Figures:
    """The product itself: what `store.search` answers in each mode."""
    assert len(set(built.owners.values())) == sum(bool(text.strip()) for text in collection.documents.values())
    by_record = {record: built.owners[point] for point, record, _ in built.index.scan()}

    def search(mode: Any) -> Callable[[str, str], Ranking]:
        return lambda _, text: [
            by_record[hit.record.id] for hit in built.store.search(text, mode=mode, limit=LIMIT).hits
        ]

    names = {"dense": "dense", "lexical": "words (BM25)", "hybrid": "genstore"}
    return {name: collection.ndcg(search(mode)) for mode, name in names.items()}


def measure_fusions(
    collection: Collection, built: Built, asked: Mapping[str, Asked], weights: Sequence[float]
) -> Figures:
    """Other fusions of the same candidates, and other weights and another depth of the default one."""
    shallow = ask_all(collection, built.index, built.embedder, DEFAULTS.depth // 4)
    weight = DEFAULTS.dense_weight
    # Qdrant counts places from 0, so its k = 2 is 1 here.
    fusions: dict[str, Callable[[Candidates], list[float]]] = {
        "RRF k=2 (Qdrant's default)": lambda found: rrf(found.dense_rank, found.sparse_rank, k=1),
        "RRF k=60": lambda found: fuse("rrf", found, weight),
        "DBSF": lambda found: fuse("dbsf", found, weight),
    }
    for other in weights:
        fusions[f"convex, weight {other:g}"] = lambda found, other=other: fuse("convex", found, other)  # type: ignore[misc]
    figures = {name: ranked(collection, asked, built.owners, scores) for name, scores in fusions.items()}
    name = f"convex, depth {DEFAULTS.depth // 4}"
    figures[name] = ranked(collection, shallow, built.owners, lambda found: fuse("convex", found, weight))
    return figures


def ranked(
    collection: Collection,
    asked: Mapping[str, Asked],
    owners: Mapping[int, str],
    scores: Callable[[Candidates], list[float]],
) -> NDArray[np.float64]:
    return collection.ndcg(lambda query, _: grouped(asked[query].found, scores(asked[query].found), owners))


def measure_whole(collection: Collection, built: Built, folder: Path) -> Figures:
    hybrid, dense = measure_pieces(collection, list(collection.documents.items()), Bm25(), built, folder)
    return {"one vector a document": hybrid, "one vector a document, dense": dense}


def measure_variant(collection: Collection, overlap: int, k: float, b: float, built: Built, folder: Path) -> Figures:
    """Passages that share about `overlap` tokens, words weighed with k and b."""
    cutter = built.embedder.cutter(overlap)
    texts = collection.documents.items()
    pieces = [(document, text[start:end]) for document, text in texts for start, end in cutter.cut(text)]
    hybrid, _ = measure_pieces(collection, pieces, Bm25(k, b), built, folder)
    return {f"overlap {overlap}, BM25 k {k:g} b {b:g}": hybrid}


def measure_pieces(
    collection: Collection, pieces: Sequence[tuple[str, str]], bm25: Bm25, built: Built, folder: Path
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(genstore's fusion, dense alone) where documents are indexed in these (document, text) pieces."""
    terms = [bm25.terms(text) for _, text in pieces]
    average = sum(found.length for found in terms) / len(terms)
    vectors = built.vectors([text for _, text in pieces])
    with closing(EdgeIndex(folder, built.embedder.dimension)) as index:
        index.upsert(
            [
                Point(number, document, bm25.weights(terms[number], average), vectors[number])
                for number, (document, _) in enumerate(pieces)
            ]
        )
        asked = ask_all(collection, index, built.embedder, DEFAULTS.depth)
    owners = {number: document for number, (document, _) in enumerate(pieces)}
    hybrid = ranked(collection, asked, owners, lambda found: fuse("convex", found, DEFAULTS.dense_weight))
    return hybrid, ranked(collection, asked, owners, lambda found: fuse("convex", found, 1.0))


def measure_lancedb(collection: Collection, built: Built, asked: Mapping[str, Asked], folder: Path) -> Figures:
    """LanceDB's hybrid query: full text and vectors, its default reranker (RRF)."""
    lancedb = importlib.import_module("lancedb")
    vectors = built.index.dense_vectors(list(built.owners))
    table = lancedb.connect(folder).create_table(
        "passages",
        [
            {"document": built.owners[point], "text": built.passages[point], "vector": vectors[point]}
            for point in vectors
        ],
    )
    table.create_index("text", config=importlib.import_module("lancedb.index").FTS())

    def rank(query: str, text: str) -> Ranking:
        search = table.search(query_type="hybrid").vector(asked[query].dense).text(text).distance_type("cosine")
        found = search.limit(DEFAULTS.depth).to_list()
        return list(dict.fromkeys(row["document"] for row in found))[:LIMIT]

    return {"LanceDB hybrid": collection.ndcg(rank)}


def measure_chroma(collection: Collection, built: Built, asked: Mapping[str, Asked], folder: Path) -> Figures:
    """Chroma's dense query; it has no local hybrid one."""
    chromadb = importlib.import_module("chromadb")
    vectors = built.index.dense_vectors(list(built.owners))
    passages = chromadb.PersistentClient(path=str(folder)).create_collection(
        "passages", metadata={"hnsw:space": "cosine"}
    )
    points = list(vectors)
    for start in range(0, len(points), 1000):
        batch = points[start : start + 1000]
        passages.add(ids=[str(point) for point in batch], embeddings=[vectors[point] for point in batch])

    def rank(query: str, _: str) -> Ranking:
        found = passages.query(query_embeddings=[asked[query].dense], n_results=DEFAULTS.depth, include=[])["ids"][0]
        return list(dict.fromkeys(built.owners[int(point)] for point in found))[:LIMIT]

    return {"Chroma dense": collection.ndcg(rank)}


def measure(collection: Collection, folder: Path, arguments: argparse.Namespace) -> Figures:
    built = build_store(collection, folder / "fp32", "fp32")
    with built.store:
        figures = measure_store(collection, built)
        asked = ask_all(collection, built.index, built.embedder, DEFAULTS.depth)
        figures |= measure_fusions(collection, built, asked, arguments.weights)
        figures |= measure_whole(collection, built, folder / "whole")
        for number, (overlap, k, b) in enumerate(arguments.variant):
            figures |= measure_variant(collection, int(overlap), k, b, built, folder / f"variant-{number}")
        if arguments.peers == "all":
            figures |= measure_lancedb(collection, built, asked, folder / "lancedb")
            figures |= measure_chroma(collection, built, asked, folder / "chroma")
    if arguments.precision == "int8":
        quantised = build_store(collection, folder / "int8", "int8")
        with quantised.store:
            figures |= {f"{name}, int8": each for name, each in measure_store(collection, quantised).items()}
    print("   ", ", ".join(f"{name} {each.mean():.4f}" for name, each in figures.items()), flush=True)
    return figures


def interval(better: NDArray[np.float64], worse: NDArray[np.float64]) -> tuple[float, float]:
    """95 % of the mean paired difference, by bootstrap over queries."""
    difference = better - worse
    random = np.random.default_rng(0)
    means = [random.choice(difference, len(difference)).mean() for _ in range(2_000)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def report(measured: Mapping[str, Figures]) -> None:
    names = list(measured)
    print(f"\n{'nDCG@10':32s}" + "".join(f"{name:>12s}" for name in names) + f"{'gain':>10s}{'worst':>9s}")
    for system in next(iter(measured.values())):
        means = [float(measured[name][system].mean()) for name in names]
        gain, worst = against_single(measured, system)
        print(f"{system:32s}" + "".join(f"{mean:12.4f}" for mean in means) + f"{100 * gain:+9.1f}%{worst:+9.4f}")
    print("gain: mean change against the better of dense and words on each set; worst: on the set where it is least\n")
    for name in names:
        single = better_single(measured[name])
        low, high = interval(measured[name]["genstore"], measured[name][single])
        print(f"{name}: genstore over {single}: 95 % of the difference in [{low:+.4f}, {high:+.4f}]")
    verdicts(measured)


def better_single(figures: Figures) -> str:
    return max(("dense", "words (BM25)"), key=lambda name: float(figures[name].mean()))


def against_single(measured: Mapping[str, Figures], system: str) -> tuple[float, float]:
    """(mean relative gain over the better single retriever, the smallest difference)."""
    pairs = [(each[system].mean(), each[better_single(each)].mean()) for each in measured.values()]
    return float(np.mean([ours / single - 1 for ours, single in pairs])), float(min(a - b for a, b in pairs))


def verdicts(measured: Mapping[str, Figures]) -> None:
    def verdict(text: str, met: bool) -> None:
        print(f"{'met   ' if met else 'MISSED'} {text}")

    mean = {name: {system: float(each.mean()) for system, each in found.items()} for name, found in measured.items()}
    for name, found in mean.items():
        if name in TARGETS:
            verdict(f"{name}: {found['genstore']:.4f} >= {TARGETS[name]}", found["genstore"] >= TARGETS[name])
    gain, worst = against_single(measured, "genstore")
    verdict(f"worst set {worst:+.4f} >= -.003 against the better single retriever", worst >= -0.003)
    verdict(f"mean gain {100 * gain:+.1f} % >= 4 %", gain >= 0.04)
    for other in ("RRF k=2 (Qdrant's default)", "one vector a document", "LanceDB hybrid", "Chroma dense"):
        if all(other in found for found in mean.values()):
            by = {name: found["genstore"] - found[other] for name, found in mean.items()}
            each = ", ".join(f"{name} {difference:+.4f}" for name, difference in by.items())
            verdict(f"above {other} in the mean: {each}", sum(by.values()) >= 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the collections")
    parser.add_argument("--sets", nargs="+", default=list(TARGETS))
    parser.add_argument("--weights", nargs="*", type=float, default=[], help="other weights of dense to measure")
    parser.add_argument(
        "--variant", nargs=3, type=float, action="append", default=[], metavar=("OVERLAP", "K", "B"),
        help="other passages and word weights to measure; may be repeated",
    )  # fmt: skip
    parser.add_argument("--precision", choices=["fp32", "int8"], default="fp32")
    parser.add_argument("--peers", choices=["all", "none"], default="all")
    arguments = parser.parse_args()
    logging.getLogger("chromadb").setLevel(logging.ERROR)
    print(describe("qdrant-edge-py", "onnxruntime", "lancedb", "chromadb"))
    print(f"defaults: weight {DEFAULTS.dense_weight:g}, depth {DEFAULTS.depth}, BM25 k {Bm25().k:g} b {Bm25().b:g}")
    with tempfile.TemporaryDirectory(prefix="genstore-retrieval-") as folder:
        report(
            {
                name: measure(read_collection(arguments.data / name), Path(folder) / name, arguments)
                for name in arguments.sets
            }
        )


if __name__ == "__main__":
    main()
