"""Any server that speaks OpenAI's embeddings protocol: POST {"model", "input"} to …/embeddings."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np
from numpy.typing import NDArray

from genstore.errors import DimensionMismatch, EmbedderUnavailable, InvalidInput
from genstore.text.passages import CUT_VERSION, OVERLAP_TOKENS, Cutter, estimating_cutter, printable

if TYPE_CHECKING:
    import httpx

_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_LONGEST_WAIT_S = 30.0


class HttpEmbedder:
    """url: the endpoint with the model's name after "#"; "/embeddings" is added if its path does not end so.

    timeout_s: of one request; retries: further attempts after a refusal that may pass or a broken connection;
    backoff_s: wait before the first, doubled before each next; batch: texts in one request.
    Raises InvalidInput for an address without a model.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout_s: float = 60.0,
        retries: int = 4,
        backoff_s: float = 0.5,
        batch: int = 64,
        max_tokens: int = 254,
    ) -> None:
        parts = urlsplit(url)
        if not parts.fragment or not parts.hostname:
            raise InvalidInput(
                f'{url!r} names no model: write it after "#", as in "http://127.0.0.1:8080/v1#bge-small"'
            )
        path = parts.path.rstrip("/")
        path = path if path.endswith("/embeddings") else f"{path}/embeddings"
        host = parts.netloc.rpartition("@")[2]
        self._auth = (parts.username, parts.password or "") if parts.username else None
        self._model = parts.fragment
        self._url = urlunsplit((parts.scheme, host, path, parts.query, ""))
        # Recorded in the store, so without a password that the address may carry.
        self.name = urlunsplit((parts.scheme, host, parts.path, "", parts.fragment))
        self.max_tokens = max_tokens
        self._api_key = api_key
        self._timeout_s = timeout_s
        self._retries = retries
        self._backoff_s = backoff_s
        self._batch = batch
        self._dimension: int | None = None
        self._lock = threading.Lock()
        self._opened_client: httpx.Client | None = None

    @property
    def dimension(self) -> int:
        """Length of a vector; asks the endpoint the first time."""
        if self._dimension is None:
            self._embed(["dimension"])
        assert self._dimension is not None
        return self._dimension

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of the texts: (len(texts), dimension), length 1, in order.

        Raises EmbedderUnavailable when the endpoint refuses or does not answer, DimensionMismatch when it changes.
        """
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        batches = [texts[start : start + self._batch] for start in range(0, len(texts), self._batch)]
        return np.concatenate([self._embed(batch) for batch in batches])

    def encode_query(self, text: str) -> NDArray[np.float32]:
        """Vector of one text: (dimension,)."""
        vector: NDArray[np.float32] = self._embed([text])[0]
        return vector

    def cutter(self, overlap_tokens: int = OVERLAP_TOKENS) -> Cutter:
        """Cuts by an estimate: the endpoint's tokenizer is not known here."""
        overlap = f"+{overlap_tokens}" if overlap_tokens else ""
        return estimating_cutter(f"estimate/{self.max_tokens}{overlap}/v{CUT_VERSION}", self.max_tokens, overlap_tokens)

    def _embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        # Servers refuse an empty text; a space means the same.
        body = {"model": self._model, "input": [printable(text) or " " for text in texts], "encoding_format": "float"}
        vectors = self._parsed(self._post(body), len(texts))
        found = vectors.shape[1]
        if self._dimension is None:
            self._dimension = found
        if found != self._dimension:
            raise DimensionMismatch(f"{self.name} gave {found}-d vectors after {self._dimension}-d ones")
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        normalised: NDArray[np.float32] = vectors / np.maximum(length, 1e-12)
        return normalised

    def _parsed(self, answer: Any, count: int) -> NDArray[np.float32]:
        try:
            rows = sorted(answer["data"], key=lambda row: row["index"])
            vectors = np.asarray([row["embedding"] for row in rows], dtype=np.float32)
        except (KeyError, TypeError, ValueError) as error:
            raise EmbedderUnavailable(f"{self._url} did not answer as OpenAI's embeddings endpoint does") from error
        if vectors.ndim != 2 or len(vectors) != count or not np.isfinite(vectors).all():
            raise EmbedderUnavailable(f"{self._url} gave vectors of shape {vectors.shape} for {count} texts")
        return vectors

    def _post(self, body: dict[str, Any]) -> Any:
        import httpx

        for attempt in range(self._retries + 1):
            last = attempt == self._retries
            wait_s = self._backoff_s * 2**attempt
            try:
                response = self._client.post(self._url, json=body)
            except httpx.TransportError as error:
                if last:
                    raise EmbedderUnavailable(
                        f"{self._url} cannot be reached: {error or type(error).__name__}"
                    ) from error
            else:
                if response.is_success:
                    return _json(response)
                if last or response.status_code not in _RETRIED:
                    raise EmbedderUnavailable(f"{self._url} refused: {response.status_code} {response.text[:200]}")
                wait_s = max(wait_s, _asked_wait_s(response.headers.get("retry-after")))
            time.sleep(min(wait_s, _LONGEST_WAIT_S))
        raise AssertionError("the last attempt returns or raises")

    @property
    def _client(self) -> httpx.Client:
        with self._lock:
            if self._opened_client is None:
                import httpx

                headers = {"Authorization": f"Bearer {self._api_key}"} if self._api_key else {}
                self._opened_client = httpx.Client(headers=headers, timeout=self._timeout_s, auth=self._auth)
            return self._opened_client


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _asked_wait_s(header: str | None) -> float:
    try:
        wait_s = float(header or 0)
    except ValueError:  # a date
        return 0.0
    return wait_s if math.isfinite(wait_s) and wait_s > 0 else 0.0
