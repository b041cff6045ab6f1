"""What turns texts into vectors, and which one a name stands for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from genstore.errors import InvalidInput
from genstore.text.passages import OVERLAP_TOKENS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from genstore.text.passages import Cutter

DEFAULT_EMBEDDER = "all-MiniLM-L6-v2"
Precision = Literal["fp32", "int8"]


class Embedder(Protocol):
    """Vectors of length 1, so that a dot product is the cosine. Thread-safe.

    Every method that needs weights or an endpoint raises EmbedderUnavailable when they cannot be had.
    """

    @property
    def name(self) -> str:
        """What the store records beside each vector: equal names give comparable vectors."""

    @property
    def dimension(self) -> int:
        """Length of a vector; known without loading anything for the default embedder."""

    @property
    def max_tokens(self) -> int:
        """Tokens of a text, without special ones, that the model sees; the rest it ignores."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of documents: (len(texts), dimension), in order. Any text will do, the empty one too."""

    def encode_query(self, text: str) -> NDArray[np.float32]:
        """Vector of a query: (dimension,)."""

    def cutter(self, overlap_tokens: int = OVERLAP_TOKENS) -> Cutter:
        """How texts are cut so that this model sees each passage whole."""


def resolve(
    name: str = DEFAULT_EMBEDDER,
    *,
    cache_dir: Path | None = None,
    precision: Precision = "fp32",
    threads: int | None = None,
    batch_tokens: int | None = None,
    weights: Path | None = None,
    api_key: str | None = None,
) -> Embedder:
    """The embedder of a name; its weights load at the first encode.

    name: "all-MiniLM-L6-v2" (also with "-int8", as recorded), the name or folder of a sentence-transformers model, or
    the address of an OpenAI-compatible endpoint with the model after "#" ("http://127.0.0.1:8080/v1#bge-small").
    cache_dir: where the exported default model is kept (the user's cache folder if None); precision, threads (all
    cores if None), batch_tokens and weights (a folder with the model's files) concern the default model, api_key
    endpoints. Raises InvalidInput for a name or precision that means nothing.
    """
    if precision not in ("fp32", "int8"):
        raise InvalidInput(f"no embedding precision {precision!r}; choose fp32 or int8")
    if name.startswith(("http://", "https://")):
        from genstore.embed.http import HttpEmbedder

        return HttpEmbedder(name, api_key=api_key)
    plain = name.removeprefix("sentence-transformers/")
    if plain in (DEFAULT_EMBEDDER, f"{DEFAULT_EMBEDDER}-int8"):
        from genstore.embed.onnx import OnnxEmbedder

        wanted: Precision = "int8" if plain.endswith("-int8") else precision
        return OnnxEmbedder(
            precision=wanted, cache_dir=cache_dir, weights=weights, threads=threads, batch_tokens=batch_tokens
        )
    if not name.strip():
        raise InvalidInput("an embedder needs a name: all-MiniLM-L6-v2, a model's name or folder, or an http address")
    from genstore.embed.sentence_transformers import SentenceTransformersEmbedder

    return SentenceTransformersEmbedder(name)
