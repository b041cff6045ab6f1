"""Embedding: the ONNX encoder beside sentence-transformers and the machine's fp32 matrix peak, all in the same run.

    python benchmarks/embed.py --data FOLDER

FOLDER/generations/alpaca_eval_dev.jsonl.gz gives real outputs, cut into the passages the store would embed. Rounds of
all are interleaved and each one's best counts, so that what else the machine does meanwhile weighs on none alone. On a
machine that is never quiet, --one-core takes one thread of each and counts processor time instead of the clock's.
--sweep tries batch sizes instead.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections.abc import Callable
from pathlib import Path

import machine
import numpy as np
from threadpoolctl import threadpool_limits

from genstore.embed.embedder import Embedder, resolve
from genstore.embed.weights import find_weights

FLOP_PER_TOKEN = 21.3e6
MATRIX = 2048


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with generations/alpaca_eval_dev.jsonl.gz")
    parser.add_argument("--passages", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one-core", action="store_true", help="one thread each, processor time")
    parser.add_argument("--sweep", action="store_true", help="compare batch sizes of the ONNX encoder")
    given = parser.parse_args()
    texts = passages(given.data / "generations" / "alpaca_eval_dev.jsonl.gz", given.passages)
    tokens = sum(min(resolve().cutter().count(text) + 2, 256) for text in texts)
    print(machine.describe("onnxruntime", "torch", "transformers", "sentence-transformers"))
    print(f"{len(texts)} passages of real outputs, {tokens / len(texts):.0f} tokens on average", flush=True)
    threads = 1 if given.one_core else None
    embedders = sweep(threads) if given.sweep else compared(threads)
    clock = time.process_time if given.one_core else time.perf_counter
    with threadpool_limits(threads):
        if given.one_core and not given.sweep:
            import torch

            torch.set_num_threads(1)
        report(texts, tokens, embedders, given.rounds, threads, clock)


def compared(threads: int | None) -> dict[str, Embedder]:
    return {
        "genstore fp32": resolve(threads=threads),
        "genstore int8": resolve(precision="int8", threads=threads),
        "sentence-transformers": resolve(str(find_weights())),
    }


def sweep(threads: int | None) -> dict[str, Embedder]:
    return {
        f"batch_tokens={batch}": resolve(batch_tokens=batch, threads=threads) for batch in (256, 512, 1024, 2048, 4096)
    }


def report(
    texts: list[str],
    tokens: int,
    embedders: dict[str, Embedder],
    rounds: int,
    threads: int | None,
    clock: Callable[[], float],
) -> None:
    for embedder in embedders.values():
        embedder.encode(texts[:32])
    best = dict.fromkeys(embedders, float("inf"))
    queries = dict.fromkeys(embedders, float("inf"))
    products, peak_s = matrix_products(threads), float("inf")
    for _ in range(rounds):
        for name, embedder in embedders.items():
            peak_s = min(peak_s, *(seconds(product, clock) for product in products for _ in range(5)))
            best[name] = min(best[name], seconds(lambda embedder=embedder: embedder.encode(texts), clock))  # type: ignore[misc]
            queries[name] = min(queries[name], query_s(embedder, clock))
    peak = 2 * MATRIX**3 / peak_s
    print(f"fp32 matrix product peak: {peak / 1e9:.0f} GFLOP/s\n")
    print("| how | texts/s | tokens/s | of peak | one query |\n|---|---|---|---|---|")
    for name, took in best.items():
        share = f"{tokens / took * FLOP_PER_TOKEN / peak:.0%}" if "int8" not in name else ""
        print(f"| {name} | {len(texts) / took:.0f} | {tokens / took:,.0f} | {share} | {queries[name] * 1e3:.1f} ms |")
    if "sentence-transformers" in best:
        compare(texts, tokens, embedders, best, peak)


def compare(texts: list[str], tokens: int, embedders: dict[str, Embedder], best: dict[str, float], peak: float) -> None:
    ours, int8, theirs = (best[name] for name in ("genstore fp32", "genstore int8", "sentence-transformers"))
    vectors = embedders["genstore fp32"].encode(texts)
    near = np.sum(vectors * embedders["genstore int8"].encode(texts), axis=1)
    same = np.sum(vectors * embedders["sentence-transformers"].encode(texts), axis=1)
    print(f"\nshare of peak: {tokens / ours * FLOP_PER_TOKEN / peak:.0%} (must reach 75 %)")
    print(f"genstore fp32 / sentence-transformers: {theirs / ours:.2f} (must reach 1.4), cosine >= {same.min():.5f}")
    print(f"int8 / fp32: {ours / int8:.2f}, cosine to fp32: mean {near.mean():.3f}, least {near.min():.3f}")


def passages(path: Path, count: int) -> list[str]:
    """`count` passages spread evenly over the outputs, as the default embedder's cutter cuts them."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        outputs = [json.loads(line)["output"] for line in lines][:: max(1, 16_100 // count)]
    cutter = resolve().cutter()
    found = [text[start:end] for text in outputs for start, end in cutter.cut(text)]
    return found[:: max(1, len(found) // count)][:count]


def matrix_products(threads: int | None) -> list[Callable[[], object]]:
    """A square fp32 product by NumPy's BLAS and by ONNX Runtime: which is faster depends on the processor."""
    import onnx
    import onnxruntime  # type: ignore[import-untyped]
    from onnx import TensorProto, helper

    left = np.random.default_rng(0).random((MATRIX, MATRIX), dtype=np.float32)
    shape = [MATRIX, MATRIX]
    a, b, product = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("a", "b", "product"))
    graph = helper.make_graph([helper.make_node("MatMul", ["a", "b"], ["product"])], "product", [a, b], [product])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [lambda: left @ left, lambda: session.run(None, {"a": left, "b": left})]


def query_s(embedder: Embedder, clock: Callable[[], float]) -> float:
    return min(seconds(lambda: embedder.encode_query("how does a boundary layer grow?"), clock) for _ in range(10))


def seconds(work: Callable[[], object], clock: Callable[[], float]) -> float:
    started = clock()
    work()
    return clock() - started


if __name__ == "__main__":
    main()
