from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from genstore.embed.embedder import resolve
from genstore.embed.http import HttpEmbedder
from genstore.errors import DimensionMismatch, EmbedderUnavailable


class Endpoint(ThreadingHTTPServer):
    """A small server of OpenAI's embeddings protocol: a text's vector is (its length, 1, 0), rows in reverse order."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.refusals: list[int] = []
        self.width = 3

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1#test-model"


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.requests.append(body)
        self.server.keys.append(self.headers.get("authorization"))
        if self.server.refusals:
            return self._answer(self.server.refusals.pop(0), {"error": {"message": "not now"}})
        if self.path != "/v1/embeddings":
            return self._answer(404, {})
        rows = [
            {"index": at, "embedding": [float(len(text)), 1.0, *[0.0] * (self.server.width - 2)]}
            for at, text in enumerate(body["input"])
        ]
        return self._answer(200, {"data": rows[::-1]})

    def _answer(self, status: int, body: Any) -> None:
        payload = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_texts_go_out_in_batches_and_vectors_come_back_in_order(endpoint: Endpoint) -> None:
    embedder = HttpEmbedder(endpoint.url, batch=2, api_key="secret")
    vectors = embedder.encode(["a", "bb", "ccc", "", "\ud800"])
    assert [len(request["input"]) for request in endpoint.requests] == [2, 2, 1]
    assert vectors[:, 0] / vectors[:, 1] == pytest.approx([1, 2, 3, 1, 1])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1)
    assert endpoint.requests[0]["model"] == "test-model"
    assert set(endpoint.keys) == {"Bearer secret"}


def test_the_dimension_comes_from_the_first_answer(endpoint: Endpoint) -> None:
    embedder = resolve(endpoint.url)
    assert embedder.dimension == 3
    assert embedder.encode([]).shape == (0, 3)
    endpoint.width = 4
    with pytest.raises(DimensionMismatch, match="4-d vectors after 3-d"):
        embedder.encode_query("x")


def test_a_busy_endpoint_is_asked_again(endpoint: Endpoint) -> None:
    endpoint.refusals = [429, 503]
    assert HttpEmbedder(endpoint.url, backoff_s=0.01).encode_query("x").shape == (3,)
    assert len(endpoint.requests) == 3


def test_a_refusal_that_will_not_pass_is_told_at_once(endpoint: Endpoint) -> None:
    endpoint.refusals = [401]
    with pytest.raises(EmbedderUnavailable, match=r"refused: 401.*not now"):
        HttpEmbedder(endpoint.url).encode_query("x")
    assert len(endpoint.requests) == 1


def test_retries_end(endpoint: Endpoint) -> None:
    endpoint.refusals = [500] * 9
    with pytest.raises(EmbedderUnavailable, match="refused: 500"):
        HttpEmbedder(endpoint.url, retries=2, backoff_s=0.01).encode_query("x")
    assert len(endpoint.requests) == 3


def test_an_endpoint_that_is_not_there_is_named() -> None:
    with pytest.raises(EmbedderUnavailable, match=r"http://127\.0\.0\.1:1/v1/embeddings cannot be reached"):
        HttpEmbedder("http://127.0.0.1:1/v1#m", retries=1, backoff_s=0.01).encode_query("x")


def test_the_recorded_name_holds_no_password() -> None:
    assert resolve("http://user:secret@host:80/v1#m").name == "http://host:80/v1#m"


def test_passages_for_an_endpoint_are_cut_by_estimate(endpoint: Endpoint) -> None:
    cutter = resolve(endpoint.url).cutter()
    assert len(cutter.cut("words of a text. " * 200)) > 4
    assert not endpoint.requests
