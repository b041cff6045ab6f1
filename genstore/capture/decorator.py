"""`@store.record`: log what a function was given, what it returned, how long it took and how it failed."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar, cast

from genstore.errors import GenstoreError
from genstore.identity import canonical_json
from genstore.records import Part

P = ParamSpec("P")
R = TypeVar("R")

Log = Callable[..., Any]


def recorded(log: Log, function: Callable[P, R], fields: Mapping[str, Any]) -> Callable[P, R]:
    """The function, wrapped; plain or async. A stream, plain or async, is logged when it ends.

    A lone text argument is the prompt itself; otherwise the prompt is the arguments by name, as JSON.
    """
    signature = inspect.signature(function)

    def entry(args: Any, kwargs: Any, started: float, output: Any, error: BaseException | None) -> dict[str, Any]:
        return {
            "prompt": _prompt(signature, args, kwargs),
            "output": _output(output),
            "duration_s": time.perf_counter() - started,
            "error": error,
            "name": function.__qualname__,
            "operation": "execute_function",
            **fields,
        }

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def run_async(*args: P.args, **kwargs: P.kwargs) -> Any:
            started = time.perf_counter()
            try:
                output = await function(*args, **kwargs)
            except BaseException as error:
                log(**entry(args, kwargs, started, None, error))
                raise
            log(**entry(args, kwargs, started, output, None))
            return output

        return cast("Callable[P, R]", run_async)

    if inspect.isasyncgenfunction(function):

        @functools.wraps(function)
        async def run_async_generator(*args: P.args, **kwargs: P.kwargs) -> Any:
            started, pieces = time.perf_counter(), []
            error: BaseException | None = None
            try:
                async for piece in function(*args, **kwargs):
                    pieces.append(piece)
                    yield piece
            except BaseException as caught:
                error = caught
                raise
            finally:
                log(**_streamed(entry, args, kwargs, started, pieces, error))

        return cast("Callable[P, R]", run_async_generator)

    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def run_generator(*args: P.args, **kwargs: P.kwargs) -> Any:
            started, pieces = time.perf_counter(), []
            error: BaseException | None = None
            try:
                for piece in function(*args, **kwargs):
                    pieces.append(piece)
                    yield piece
            except BaseException as caught:
                error = caught
                raise
            finally:
                log(**_streamed(entry, args, kwargs, started, pieces, error))

        return cast("Callable[P, R]", run_generator)

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        started = time.perf_counter()
        try:
            output = function(*args, **kwargs)
        except BaseException as error:
            log(**entry(args, kwargs, started, None, error))
            raise
        log(**entry(args, kwargs, started, output, None))
        return output

    return run


def _streamed(
    entry: Callable[..., dict[str, Any]], args: Any, kwargs: Any, started: float, pieces: list[Any], error: Any
) -> dict[str, Any]:
    """The entry of a stream that ended; one that its reader left early is partial."""
    if isinstance(error, GeneratorExit):
        return {**entry(args, kwargs, started, _joined(pieces), None), "status": "partial"}
    return entry(args, kwargs, started, _joined(pieces), error)


def _prompt(signature: inspect.Signature, args: Any, kwargs: Any) -> Any:
    try:
        arguments = dict(signature.bind(*args, **kwargs).arguments)
    except TypeError:  # the call itself has just failed of it, and says so
        arguments = {"args": args, "kwargs": kwargs}
    arguments.pop("self", None)
    if len(arguments) == 1 and isinstance(value := next(iter(arguments.values())), str):
        return value
    return Part(text=_as_text(arguments), media_type="application/json")


def _output(value: Any) -> Any:
    if value is None or isinstance(value, str | bytes | Part):
        return value
    return Part(role="assistant", text=_as_text(value), media_type="application/json")


def _joined(pieces: list[Any]) -> Any:
    return "".join(pieces) if pieces and all(isinstance(piece, str) for piece in pieces) else pieces or None


def _as_text(value: Any) -> str:
    """JSON where the value is JSON, its repr where it is not: recording must not make a working call fail."""
    try:
        return canonical_json(value)
    except GenstoreError:
        return repr(value)
