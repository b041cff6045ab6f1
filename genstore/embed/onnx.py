"""The default encoder: all-MiniLM-L6-v2 on ONNX Runtime, 384 dimensions, the first 256 tokens of a text."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genstore.embed.embedder import DEFAULT_EMBEDDER, Precision
from genstore.embed.export import export, export_path
from genstore.embed.tokens import token_counter
from genstore.embed.weights import find_weights
from genstore.errors import EmbedderUnavailable
from genstore.text.passages import CUT_VERSION, OVERLAP_TOKENS, Cutter, printable

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

_TOKENS = 256
_SPECIAL = 2  # [CLS] and [SEP]
_SLAB = 4096  # texts tokenized and sorted together: enough for even batches, little memory
DEFAULT_BATCH_TOKENS = 512  # what one layer makes of it, 3 MiB, stays near the cores


class OnnxEmbedder:
    """Exports the model into the cache folder when it is not there yet (some seconds, needs torch), then runs it.

    precision: "int8" is faster and its vectors are close to, but not comparable with, those of "fp32"; weights: a
    folder, see `find_weights`; threads: of one `encode`, all cores if None; batch_tokens: padded size of a batch.
    """

    dimension = 384
    max_tokens = _TOKENS - _SPECIAL

    def __init__(
        self,
        *,
        precision: Precision = "fp32",
        cache_dir: Path | None = None,
        weights: Path | None = None,
        threads: int | None = None,
        batch_tokens: int | None = None,
    ) -> None:
        self.name = DEFAULT_EMBEDDER if precision == "fp32" else f"{DEFAULT_EMBEDDER}-{precision}"
        self._precision = precision
        self._cache_dir = cache_dir or user_cache_dir()
        self._weights = weights
        self._threads = threads or 0
        self._batch_tokens = batch_tokens or DEFAULT_BATCH_TOKENS
        self._lock = threading.Lock()
        self._loaded_session: Any = None

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of the texts: (len(texts), 384), length 1, in order. Raises EmbedderUnavailable without weights."""
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        for start in range(0, len(texts), _SLAB):
            slab = [printable(text) for text in texts[start : start + _SLAB]]
            encodings = self._tokenizer.encode_batch_fast(slab)
            for rows in _batches([len(encoding) for encoding in encodings], self._batch_tokens):
                vectors[[start + row for row in rows]] = self._run([encodings[row] for row in rows])
        return vectors

    def encode_query(self, text: str) -> NDArray[np.float32]:
        """Vector of one text: (384,); the model treats queries and documents alike."""
        vector: NDArray[np.float32] = self.encode([text])[0]
        return vector

    def cutter(self, overlap_tokens: int = OVERLAP_TOKENS) -> Cutter:
        """Cuts into passages of at most 254 tokens; needs the tokenizer, not the weights."""
        overlap = f"+{overlap_tokens}" if overlap_tokens else ""
        name = f"{DEFAULT_EMBEDDER}/{self.max_tokens}{overlap}/v{CUT_VERSION}"
        return Cutter(name, self.max_tokens, self._count, overlap_tokens)

    def _run(self, encodings: Sequence[Encoding]) -> NDArray[np.float32]:
        longest = max(map(len, encodings))
        ids = np.zeros((len(encodings), longest), dtype=np.int64)  # (texts, tokens)
        mask = np.zeros_like(ids)
        for row, encoding in enumerate(encodings):
            ids[row, : len(encoding)] = encoding.ids
            mask[row, : len(encoding)] = 1
        embedding: NDArray[np.float32] = self._session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        return embedding  # (texts, 384)

    @property
    def _session(self) -> Any:
        if self._loaded_session is None:
            with self._lock:  # two threads would load, and even export, twice
                if self._loaded_session is None:
                    self._loaded_session = self._load_session()
        return self._loaded_session

    def _load_session(self) -> Any:
        import onnxruntime  # type: ignore[import-untyped]

        path = export_path(self._cache_dir, self._precision)
        if not path.is_file():
            path = self._export()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        # Threads that wait spinning take the cores from whoever logs or searches meanwhile.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors share no base
            raise EmbedderUnavailable(f"cannot load {path}: {error}; remove the file to have it made again") from error

    def _export(self) -> Path:
        weights = find_weights(self._weights)
        try:
            return export(weights, self._cache_dir, self._precision)
        except OSError as error:
            raise EmbedderUnavailable(f"cannot keep the exported model in {self._cache_dir}: {error}") from error

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        tokenizer = self._load_tokenizer()
        tokenizer.enable_truncation(_TOKENS)
        return tokenizer

    @cached_property
    def _count(self) -> Any:
        return token_counter(self._load_tokenizer())

    def _load_tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer

        path = export_path(self._cache_dir, self._precision).with_name("tokenizer.json")
        if not path.is_file():
            path = find_weights(self._weights) / "tokenizer.json"
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer


def user_cache_dir() -> Path:
    """Where the platform wants caches: ~/.cache/genstore, ~/Library/Caches/genstore, or under %LOCALAPPDATA%."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local") / "genstore" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/genstore"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "genstore"


def _batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Indices in batches of like lengths, longest first, each of at most batch_tokens with its padding."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    start = 0
    while start < len(order):
        size = max(1, batch_tokens // lengths[order[start]])
        yield order[start : start + size]
        start += size
