"""Any sentence-transformers model, by its name on a hub or its folder."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genstore.embed.tokens import token_counter
from genstore.errors import EmbedderUnavailable
from genstore.text.passages import CUT_VERSION, OVERLAP_TOKENS, Cutter, printable

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_BATCH = 8  # texts; on a CPU larger batches are slower
_UNLIMITED_TOKENS = 512  # the cut for models that state no limit


class SentenceTransformersEmbedder:
    """Loads the model (seconds, torch) when anything but its name is asked for. Queries and documents get the model's
    own prompts."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._loaded_model: SentenceTransformer | None = None

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        model: Any = self._model
        ask = (
            getattr(model, "get_embedding_dimension", None) or model.get_sentence_embedding_dimension
        )  # the older name
        dimension = ask()
        return int(dimension) if dimension is not None else len(self.encode_query("dimension"))

    @cached_property
    def max_tokens(self) -> int:
        """Tokens of a text without special ones that the model sees."""
        limit = self._model.max_seq_length or _UNLIMITED_TOKENS
        special = getattr(self._model.tokenizer, "num_special_tokens_to_add", lambda: 2)()
        return max(1, int(limit) - int(special))

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of documents: (len(texts), dimension), length 1, in order."""
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        return self._vectors(self._model.encode_document, [printable(text) for text in texts])

    def encode_query(self, text: str) -> NDArray[np.float32]:
        """Vector of a query: (dimension,)."""
        vector: NDArray[np.float32] = self._vectors(self._model.encode_query, [printable(text)])[0]
        return vector

    def cutter(self, overlap_tokens: int = OVERLAP_TOKENS) -> Cutter:
        """Cuts into passages that the model sees whole."""
        overlap = f"+{overlap_tokens}" if overlap_tokens else ""
        name = f"{self.name}/{self.max_tokens}{overlap}/v{CUT_VERSION}"
        return Cutter(name, self.max_tokens, self._count, overlap_tokens)

    @cached_property
    def _count(self) -> Callable[[str], int]:
        from tokenizers import Tokenizer

        tokenizer = self._model.tokenizer
        fast = getattr(tokenizer, "backend_tokenizer", None)
        if fast is None:
            return lambda text: len(tokenizer.tokenize(printable(text)))
        copy = Tokenizer.from_str(fast.to_str())  # the model's own must go on truncating and padding
        copy.no_truncation()
        copy.no_padding()
        return token_counter(copy)

    def _vectors(self, encode: Callable[..., Any], texts: list[str]) -> NDArray[np.float32]:
        vectors = encode(texts, batch_size=_BATCH, normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors, dtype=np.float32)

    @property
    def _model(self) -> SentenceTransformer:
        with self._lock:
            if self._loaded_model is None:
                self._loaded_model = self._load()
            return self._loaded_model

    def _load(self) -> SentenceTransformer:
        from sentence_transformers import SentenceTransformer

        try:
            return SentenceTransformer(self.name)
        except Exception as error:  # a hub's, a file's, a parser's: whatever loading meets
            raise EmbedderUnavailable(
                f"cannot load the sentence-transformers model {self.name!r}: {error}; give a folder that holds one, or "
                "a name on a hub that this machine reaches"
            ) from error
