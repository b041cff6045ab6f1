"""`@store.record`: what a function was given and gave is logged; the function itself does not notice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from genstore import Record, Store


def only(store: Store) -> Record:
    (record,) = store.list().records
    return record


def test_a_call_is_logged_with_its_argument_result_and_duration(store: Store) -> None:
    @store.record
    def shout(text: str) -> str:
        """Louder."""
        return text.upper()

    assert shout("hello") == "HELLO"
    assert (shout.__name__, shout.__doc__) == ("shout", "Louder.")
    record = only(store)
    assert (record.prompt_text, record.output_text, record.status) == ("hello", "HELLO", "ok")
    assert record.name is not None
    assert record.name.endswith("shout")
    assert record.operation == "execute_function"
    assert record.duration_s is not None
    assert 0 <= record.duration_s < 60


def test_several_arguments_are_logged_as_json_by_name(store: Store) -> None:
    @store.record(model="gpt-4o", tags=["t"], operation="chat")
    def ask(question: str, *, temperature: float = 0.0, **more: Any) -> dict[str, Any]:
        return {"answer": question, "n": 1}

    assert ask("q", temperature=0.5, top_p=1) == {"answer": "q", "n": 1}
    record = only(store)
    assert json.loads(record.prompt_text) == {"question": "q", "temperature": 0.5, "more": {"top_p": 1}}
    assert json.loads(record.output_text) == {"answer": "q", "n": 1}
    assert (record.output[0].media_type, record.model, record.tags, record.operation) == (
        "application/json", "gpt-4o", ("t",), "chat",
    )  # fmt: skip


def test_an_exception_is_logged_and_raised(store: Store) -> None:
    @store.record
    def fail(text: str) -> str:
        raise ValueError("no such thing")

    with pytest.raises(ValueError, match="no such thing"):
        fail("q")
    record = only(store)
    assert (record.status, record.error, record.output) == ("error", "ValueError: no such thing", ())


def test_a_method_is_logged_without_its_object(store: Store) -> None:
    class Model:
        @store.record
        def answer(self, question: str) -> str:
            return "a"

    assert Model().answer("q") == "a"
    assert only(store).prompt_text == "q"


def test_an_async_function_is_logged_when_it_has_answered(store: Store) -> None:
    @store.record
    async def answer(question: str) -> str:
        await asyncio.sleep(0)
        return "later"

    assert asyncio.run(answer("q")) == "later"
    assert only(store).output_text == "later"


def test_a_stream_is_logged_when_it_ends(store: Store) -> None:
    @store.record
    def stream(question: str) -> Iterator[str]:
        yield "one "
        yield "two"

    assert list(stream("q")) == ["one ", "two"]
    record = only(store)
    assert (record.prompt_text, record.output_text, record.status) == ("q", "one two", "ok")


def test_a_stream_that_is_left_early_is_logged_as_partial(store: Store) -> None:
    @store.record
    def stream(question: str) -> Iterator[str]:
        yield "one "
        yield "two"

    reading = iter(stream("q"))
    next(reading)
    reading.close()  # type: ignore[attr-defined]
    record = only(store)
    assert (record.output_text, record.status) == ("one ", "partial")


def test_a_stream_that_breaks_is_logged_with_what_came_before(store: Store) -> None:
    @store.record
    def stream(question: str) -> Iterator[str]:
        yield "one"
        raise RuntimeError("cut")

    with pytest.raises(RuntimeError, match="cut"):
        list(stream("q"))
    record = only(store)
    assert (record.output_text, record.status, record.error) == ("one", "error", "RuntimeError: cut")


def test_an_async_stream_is_logged_when_it_ends(store: Store) -> None:
    @store.record
    async def stream(question: str) -> AsyncIterator[str]:
        yield "one "
        await asyncio.sleep(0)
        yield "two"

    async def read() -> list[str]:
        return [piece async for piece in stream("q")]

    assert asyncio.run(read()) == ["one ", "two"]
    record = only(store)
    assert (record.output_text, record.status) == ("one two", "ok")


def test_what_is_no_json_is_logged_as_it_prints(store: Store) -> None:
    @store.record
    def same(value: object) -> object:
        return value

    assert same({1, 2}) == {1, 2}
    record = only(store)
    assert (record.prompt_text, record.output_text) == ("{'value': {1, 2}}", "{1, 2}")


def test_a_call_with_wrong_arguments_raises_what_it_would_without_recording(store: Store) -> None:
    @store.record
    def two(a: int, b: int) -> int:
        return a + b

    with pytest.raises(TypeError, match=r"missing 1 required positional argument: 'b'"):
        two(1)  # type: ignore[call-arg]


def test_a_result_reaches_its_caller_though_it_cannot_be_recorded(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    @store.record(metadata={"a": {1}})
    def answer(question: str) -> str:
        return "a"

    assert answer("q") == "a"
    assert "was not recorded: metadata.a is a set" in caplog.text
    store.close()
    assert answer("q") == "a"
    assert "closed" in caplog.text


def test_a_recorded_function_may_log_on_its_own(store: Store, tmp_path: Path) -> None:
    @store.record
    def outer(text: str) -> str:
        store.log(prompt="inner")
        return text

    outer("outer")
    assert {record.prompt_text for record in store.list().records} == {"inner", "outer"}
