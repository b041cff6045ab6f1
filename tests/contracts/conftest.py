"""Every implementation of the VectorIndex protocol, opened for one test."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from genstore.index.edge import EdgeIndex
from genstore.index.points import VectorIndex
from genstore.index.server import ServerIndex

DIMENSION = 16
SERVER_URL = os.environ.get("GENSTORE_TEST_QDRANT_URL", "")

OpenIndex = Callable[[], VectorIndex]


@pytest.fixture(params=["edge", "memory", "server"])
def open_index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenIndex]:
    """Opens the test's index; each call gives a new object on the same data."""
    opened: list[VectorIndex] = []
    collection = f"genstore-test-{uuid.uuid4().hex}"

    def open_it() -> VectorIndex:
        index: VectorIndex
        if request.param == "edge":
            index = EdgeIndex(tmp_path / "索引 é", DIMENSION)
        elif request.param == "memory":
            index = ServerIndex(":memory:", collection, DIMENSION)
        else:
            index = ServerIndex(SERVER_URL, collection, DIMENSION)
        opened.append(index)
        return index

    if request.param == "server" and not SERVER_URL:
        pytest.skip("GENSTORE_TEST_QDRANT_URL is not set")
    yield open_it
    for index in opened:
        index.close()
    if request.param == "server":
        ServerIndex(SERVER_URL, collection, DIMENSION).drop()


@pytest.fixture
def index(open_index: OpenIndex) -> VectorIndex:
    return open_index()
