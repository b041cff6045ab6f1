"""A cross-encoder reads question and passage together: slower than any search, better at telling close ones apart."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from genstore.errors import GeneratorError, MissingDependency
from genstore.rag.retrieve import Rerank


@lru_cache(maxsize=1)
def cross_encoder(name: str) -> Rerank:
    """What scores passages with the sentence-transformers cross-encoder of this name or folder; kept for the next.

    Raises GeneratorError when it cannot be loaded, MissingDependency.
    """
    try:
        from sentence_transformers import CrossEncoder
    except ImportError as error:
        raise MissingDependency("a cross-encoder needs a package; pip install sentence-transformers") from error
    try:
        model = CrossEncoder(name, trust_remote_code=False, model_kwargs={"use_safetensors": True})  # no pickles
    except Exception as error:  # a damaged folder raises whatever the loader stumbles on
        raise GeneratorError(f"the cross-encoder {name!r} cannot be loaded: {error}") from error

    def rerank(question: str, texts: Sequence[str]) -> list[float]:
        import torch

        scores = model.predict([(question, text) for text in texts], activation_fn=torch.nn.Sigmoid())
        return [float(score) for score in scores]

    return rerank
