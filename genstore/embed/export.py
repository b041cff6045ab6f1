"""From weights to the ONNX graph the encoder runs, once per machine: torch is needed here and nowhere after."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genstore.embed.weights import SHA256, check

EXPORT_VERSION = 1
"""Raise it when the graph changes, so that no cached one is mistaken for it."""

_HEADS, _WIDTH = 12, 384


def export_path(cache_dir: Path, precision: str) -> Path:
    """Where the graph of a precision ("fp32", "int8") is kept."""
    return cache_dir / f"all-MiniLM-L6-v2-{SHA256[:16]}-v{EXPORT_VERSION}" / f"{precision}.onnx"


def export(weights: Path, cache_dir: Path, precision: str) -> Path:
    """Write the graph of the weights in a folder, checked, and the tokenizer beside it; return its path.

    The int8 graph is made from the fp32 one, which is written too.

    The graph takes input_ids and attention_mask (texts, tokens; int64) and gives embedding (texts, 384; fp32): mean
    over tokens, length 1. Each file appears whole or not at all, so processes may export at the same time.
    Raises EmbedderUnavailable for wrong weights, OSError when the cache cannot be written.
    """
    target, fp32 = export_path(cache_dir, precision), export_path(cache_dir, "fp32")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".export-") as scratch, _quiet():
        if not fp32.is_file():
            check(weights)
            plain, fused, tokenizer = (Path(scratch) / name for name in ("plain.onnx", "fused.onnx", "tokenizer.json"))
            _trace(weights, plain)
            _fuse(plain, fused)
            shutil.copyfile(weights / "tokenizer.json", tokenizer)
            os.replace(tokenizer, target.with_name("tokenizer.json"))
            os.replace(fused, fp32)
        if precision == "int8":
            quantised = Path(scratch) / "int8.onnx"
            _quantise(fp32, quantised)
            os.replace(quantised, target)
    return target


def _trace(weights: Path, path: Path) -> None:
    import torch
    from transformers import AutoModel

    class Encoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            # Eager attention: the fused kernels are one operator to torch and none that ONNX or its optimizer knows.
            self.bert = AutoModel.from_pretrained(str(weights), attn_implementation="eager", dtype=torch.float32)

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            states = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state  # (B, T, 384)
            mask = attention_mask.unsqueeze(-1).to(states.dtype)  # (B, T, 1)
            mean = (states * mask).sum(1) / mask.sum(1).clamp(min=1e-9)  # (B, 384)
            unit: torch.Tensor = mean / mean.norm(dim=1, keepdim=True).clamp(min=1e-12)
            return unit

    ids = torch.randint(1000, 2000, (2, 9))
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    axes = {0: "texts", 1: "tokens"}
    with torch.no_grad():
        torch.onnx.export(
            Encoder().eval(),
            (ids, mask),
            str(path),
            input_names=["input_ids", "attention_mask"],
            output_names=["embedding"],
            dynamic_axes={"input_ids": axes, "attention_mask": axes, "embedding": {0: "texts"}},
            opset_version=17,
            dynamo=False,
        )


def _fuse(plain: Path, path: Path) -> None:
    from onnxruntime.transformers import optimizer  # type: ignore[import-untyped]

    model = optimizer.optimize_model(
        str(plain), model_type="bert", num_heads=_HEADS, hidden_size=_WIDTH, opt_level=0, use_gpu=False
    )
    model.save_model_to_file(str(path))


def _quantise(fused: Path, path: Path) -> None:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic  # type: ignore[import-untyped]

    quantize_dynamic(
        str(fused),
        str(path),
        per_channel=True,
        reduce_range=True,  # 7 bits: without VNNI, products of 8 bits overflow their 16-bit sums
        weight_type=QuantType.QInt8,
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """What torch and transformers say about tracing is true of any model and of no use to whoever sees it."""
    transformers_logging: Any
    from transformers.utils import logging as transformers_logging

    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
        if bars:
            transformers_logging.enable_progress_bar()
