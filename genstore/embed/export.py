"""From weights to the ONNX graph the encoder runs, once per machine: torch is needed here and nowhere after.

The network is written out in plain operations. ONNX Runtime fuses what pays when it loads them; the BERT fusions of
onnxruntime.transformers are left out because they lose on processors with AVX-512: SkipLayerNormalization takes ten
times as long as Add and LayerNormalization, and Attention longer than its parts.
Source: Devlin et al., "BERT", 2019; Wang et al., "MiniLM", 2020.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genstore.embed.weights import SHA256, check

EXPORT_VERSION = 3
"""Raise it when the graph changes, so that no cached one is mistaken for it."""

_LAYERS, _HEADS, _WIDTH = 6, 12, 384


def export_path(cache_dir: Path, precision: str) -> Path:
    """Where the graph of a precision ("fp32", "int8") is kept."""
    return cache_dir / f"all-MiniLM-L6-v2-{SHA256[:16]}-v{EXPORT_VERSION}" / f"{precision}.onnx"


def export(weights: Path, cache_dir: Path, precision: str) -> Path:
    """Write the graph of the weights in a folder, checked, and the tokenizer beside it; return its path.

    The int8 graph is made from the fp32 one, which is written too. A graph takes
    input_ids and attention_mask (texts, tokens; int64) and gives embedding (texts, 384; fp32): the mean over tokens, of
    length 1. Each file appears whole or not at all, so processes may export at the same time.
    Raises EmbedderUnavailable for wrong weights, OSError when the cache cannot be written.
    """
    target, fp32 = export_path(cache_dir, precision), export_path(cache_dir, "fp32")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".export-") as scratch, _quiet():
        if not fp32.is_file():
            check(weights)
            traced, tokenizer = Path(scratch) / "fp32.onnx", Path(scratch) / "tokenizer.json"
            _trace(weights, traced)
            shutil.copyfile(weights / "tokenizer.json", tokenizer)
            os.replace(tokenizer, target.with_name("tokenizer.json"))
            os.replace(traced, fp32)
        if precision == "int8":
            quantised = Path(scratch) / "int8.onnx"
            _quantise(fp32, quantised)
            os.replace(quantised, target)
    return target


def _trace(weights: Path, path: Path) -> None:
    import torch
    from safetensors.torch import load_file
    from torch.nn.functional import gelu, layer_norm, linear

    class Encoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name, tensor in load_file(weights / "model.safetensors").items():
                # Buffers become initializers of the graph; of other constants the quantiser sees none.
                self.register_buffer(name.replace(".", "_"), tensor)

        def weight(self, name: str) -> torch.Tensor:
            return self.get_buffer(name.replace(".", "_"))

        def linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
            return linear(x, self.weight(f"{name}.weight"), self.weight(f"{name}.bias"))

        def norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
            return layer_norm(x, (_WIDTH,), self.weight(f"{name}.weight"), self.weight(f"{name}.bias"), 1e-12)

        def embeddings(self, input_ids: torch.Tensor) -> torch.Tensor:
            words, positions, types = (
                self.weight(f"embeddings.{table}_embeddings.weight") for table in ("word", "position", "token_type")
            )
            return self.norm(words[input_ids] + (positions[: input_ids.shape[1]] + types[0]), "embeddings.LayerNorm")

        def attention(self, x: torch.Tensor, bias: torch.Tensor, name: str) -> torch.Tensor:
            texts, tokens = bias.shape[0], bias.shape[3]
            query, key, value = (
                self.linear(x, f"{name}.{part}").view(texts, tokens, _HEADS, _WIDTH // _HEADS).transpose(1, 2)
                for part in ("query", "key", "value")
            )  # (B, 12, T, 32)
            share = (query @ key.transpose(2, 3) / (_WIDTH // _HEADS) ** 0.5 + bias).softmax(-1)  # (B, 12, T, T)
            joined: torch.Tensor = (share @ value).transpose(1, 2).reshape(-1, _WIDTH)  # (B*T, 384)
            return joined

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            mask = attention_mask.to(torch.float32)  # (B, T)
            bias = ((1 - mask) * -1e9)[:, None, None, :]  # (B, 1, 1, T)
            # One row a token: products of two-dimensional tensors become Gemm, which adds the bias as it goes.
            x = self.embeddings(input_ids).reshape(-1, _WIDTH)  # (B*T, 384)
            for layer in (f"encoder.layer.{number}" for number in range(_LAYERS)):
                attended = self.attention(x, bias, f"{layer}.attention.self")
                attended = self.linear(attended, f"{layer}.attention.output.dense")
                x = self.norm(attended + x, f"{layer}.attention.output.LayerNorm")
                inner = gelu(self.linear(x, f"{layer}.intermediate.dense"))  # (B*T, 1536)
                x = self.norm(self.linear(inner, f"{layer}.output.dense") + x, f"{layer}.output.LayerNorm")
            x = x.view(*input_ids.shape, _WIDTH)  # (B, T, 384)
            mean = (x * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)  # (B, 384)
            unit: torch.Tensor = mean / mean.norm(dim=1, keepdim=True)
            return unit

    ids = torch.randint(1000, 2000, (2, 9))
    mask = torch.ones_like(ids)
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


def _quantise(fp32: Path, path: Path) -> None:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic  # type: ignore[import-untyped]

    quantize_dynamic(
        str(fp32),
        str(path),
        per_channel=True,
        reduce_range=True,  # 7 bits: without VNNI, products of 8 bits overflow their 16-bit sums
        weight_type=QuantType.QInt8,
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """What torch and the quantiser say about exporting is true of any model and of no use to whoever sees it."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
