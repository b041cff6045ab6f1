"""A small server that speaks OpenAI's chat protocol on loopback, streamed and not, and fails in the ways servers do."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = Callable[[list[dict[str, str]]], str]
"""The messages of a request -> the text to answer with."""

USAGE = {
    "prompt_tokens": 120,
    "completion_tokens": 8,
    "total_tokens": 128,
    "prompt_tokens_details": {"cached_tokens": 20},
    "completion_tokens_details": {"reasoning_tokens": 3},
}


class ChatServer(ThreadingHTTPServer):
    """reply: what it answers. mode: "ok", "empty" (no choices), "cut" (a stream that ends too soon), "garbled" (one
    that is no JSON), "silent" (no
    answer before the server ends), or a status to refuse with; failures: statuses to refuse the next requests with.
    odd: fields that take the place of a whole reply's; path: of the last request, with its query."""

    daemon_threads = True

    def __init__(self, reply: Reply) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reply = reply
        self.mode: str | int = "ok"
        self.failures: list[int] = []
        self.odd: dict[str, Any] = {}
        self.path = ""
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.ended = threading.Event()

    @property
    def address(self) -> str:
        """The generator's name for it."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1#tiny-chat"

    @property
    def prompt(self) -> str:
        """The user's message of the last request."""
        return str(self.requests[-1]["messages"][-1]["content"])


class _Handler(BaseHTTPRequestHandler):
    server: ChatServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.requests.append(body)
        self.server.keys.append(self.headers.get("authorization"))
        self.server.path = self.path
        if self.path.partition("?")[0] != "/v1/chat/completions":
            self._json(404, {"error": {"message": f"no {self.path} here"}})
        elif self.server.failures:
            self._json(self.server.failures.pop(0), {"error": {"message": "not now"}})
        elif isinstance(self.server.mode, int):
            self._json(self.server.mode, {"error": {"message": "the model fell over"}})
        elif self.server.mode == "silent":
            self.server.ended.wait(30)
        elif body.get("stream"):
            self._stream(body)
        else:
            self._whole(body)

    def _whole(self, body: dict[str, Any]) -> None:
        message = {"role": "assistant", "content": self.server.reply(body["messages"])}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}] if self.server.mode != "empty" else []
        self._json(200, {"id": "1", "object": "chat.completion", "created": 0, "model": body["model"],
                         "choices": choices, "usage": USAGE, **self.server.odd})  # fmt: skip

    def _stream(self, body: dict[str, Any]) -> None:
        """The answer in pieces of three characters: words and markers are cut anywhere."""
        text = self.server.reply(body["messages"])
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        if self.server.mode == "garbled":
            self.wfile.write(b"data: {not json\n\n")
            return
        pieces = [text[start : start + 3] for start in range(0, len(text), 3)]
        if self.server.mode == "cut":
            pieces = pieces[: len(pieces) // 2]
        if self.server.mode != "empty":
            for piece in pieces:
                self._event({"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]})
        if self.server.mode == "cut":
            return
        if self.server.mode != "empty":
            self._event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        self._event({"choices": [], "usage": USAGE})
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, fields: dict[str, Any]) -> None:
        chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "tiny-chat", **fields}
        self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.flush()

    def _json(self, status: int, body: dict[str, Any]) -> None:
        payload = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(reply: Reply) -> Iterator[ChatServer]:
    """The server, running in a thread until the block ends."""
    with ChatServer(reply) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.ended.set()
            server.shutdown()
            thread.join()
