"""Any server that speaks OpenAI's chat protocol: Ollama, vLLM, llama.cpp, hosted services."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from genstore.config import Settings
from genstore.errors import GeneratorError, InvalidInput, MissingDependency
from genstore.rag.generators.generator import Emit, Outcome, Request
from genstore.records import Usage

if TYPE_CHECKING:
    from openai import OpenAI

# Tokens a message takes beside its text, in the chat formats there are.
_PER_PROMPT = 64


class OpenAiGenerator:
    """address: the endpoint's base with the model's name after "#".

    settings: generator_api_key, generator_timeout_s, generator_attempts, prices, context_tokens, max_output_tokens.
    Raises InvalidInput for an address without a model, MissingDependency without the openai package.
    """

    extractive = False
    neighbours = 1

    def __init__(self, address: str, settings: Settings) -> None:
        parts = urlsplit(address)
        if not parts.fragment or not parts.hostname:
            raise InvalidInput(
                'the address names no model: write it after "#", as in "http://127.0.0.1:11434/v1#llama3"'
            )
        self.name = parts.fragment
        self.provider = parts.hostname
        url = urlunsplit((parts.scheme, parts.netloc, parts.path, parts.query, ""))
        # What errors say, and records keep: without a password that the address may carry.
        self._url = url.replace(parts.netloc, parts.netloc.rpartition("@")[2], 1)
        self._settings = settings
        self.budget_tokens = settings.context_tokens - settings.max_output_tokens - _PER_PROMPT
        if self.budget_tokens <= 0:
            raise InvalidInput(
                f"context_tokens is {settings.context_tokens} and max_output_tokens {settings.max_output_tokens}, "
                "which leaves no room for a question; raise the one or lower the other"
            )
        self._client = _client(url, settings)

    def count(self, text: str) -> int:
        """An estimate from above: the endpoint's tokenizer is not known here. Three bytes of UTF-8 a token."""
        return -(-len(text.encode("utf-8", "replace")) // 3)

    def generate(self, request: Request, emit: Emit, *, stream: bool) -> Outcome:
        """One completion. Raises GeneratorError for a time-out, a refusal, a cut stream, an answer without choices."""
        import httpx
        import openai

        try:
            return self._streamed(request, emit) if stream else self._whole(request, emit)
        except openai.APITimeoutError as error:
            raise GeneratorError(
                f"{self._url} did not answer in {self._settings.generator_timeout_s:g} s; "
                "is it up? generator_timeout_s sets the time"
            ) from error
        except openai.APIStatusError as error:
            raise GeneratorError(f"{self._url} refused: {error.status_code} {error.message[:200]}") from error
        except (openai.OpenAIError, httpx.HTTPError, ValueError) as error:  # ValueError: a piece that is not JSON
            reason = str(error) or type(error).__name__
            raise GeneratorError(f"{self._url} cannot be reached, or broke off: {reason[:200]}") from error

    def _whole(self, request: Request, emit: Emit) -> Outcome:
        answer = self._client.chat.completions.create(**self._arguments(request))
        choice = _first(getattr(answer, "choices", None))
        if choice is None:
            raise GeneratorError(f"{self._url} answered without choices; is {self.name!r} a chat model?")
        emit(getattr(choice.message, "content", None) or "")
        return Outcome(choice.finish_reason, self._usage(answer.usage))

    def _streamed(self, request: Request, emit: Emit) -> Outcome:
        finish_reason: str | None = None
        usage: Any = None
        chunks = self._client.chat.completions.create(
            **self._arguments(request), stream=True, stream_options={"include_usage": True}
        )
        seen = False
        with chunks:
            for chunk in chunks:
                usage = chunk.usage or usage
                choice = _first(getattr(chunk, "choices", None))  # the last chunk, of the usage, has none
                if choice is None:
                    continue
                seen = True
                finish_reason = choice.finish_reason or finish_reason
                if choice.delta is not None and choice.delta.content:
                    emit(choice.delta.content)
        if not seen:
            raise GeneratorError(f"{self._url} answered without choices; is {self.name!r} a chat model?")
        if finish_reason is None:
            raise GeneratorError(f"{self._url} cut the stream before the answer's end")
        return Outcome(finish_reason, self._usage(usage))

    def _arguments(self, request: Request) -> dict[str, Any]:
        # OpenAI's own newer models refuse the name that every other server knows.
        limit = "max_completion_tokens" if self.provider.endswith("openai.com") else "max_tokens"
        return {"model": self.name, "messages": request.messages, limit: self._settings.max_output_tokens}

    def _usage(self, usage: Any) -> Usage:
        """What the server counted; its own cost where it says one, else by the prices that are set."""
        if usage is None:
            return Usage()
        read, written = usage.prompt_tokens or 0, usage.completion_tokens or 0
        cost = getattr(usage, "cost", None)
        return Usage(
            input_tokens=read,
            output_tokens=written,
            cached_tokens=getattr(usage.prompt_tokens_details, "cached_tokens", None),
            reasoning_tokens=getattr(usage.completion_tokens_details, "reasoning_tokens", None),
            cost_usd=float(cost) if isinstance(cost, int | float) else self._priced(read, written),
        )

    def _priced(self, read: int, written: int) -> float | None:
        prices = (self._settings.generator_input_price, self._settings.generator_output_price)
        if prices == (None, None):
            return None
        return (read * (prices[0] or 0.0) + written * (prices[1] or 0.0)) / 1_000_000


def _client(url: str, settings: Settings) -> OpenAI:
    try:
        import openai
    except ModuleNotFoundError as error:
        raise MissingDependency('an endpoint needs the openai client; pip install "genstore[openai]"') from error
    return openai.OpenAI(
        base_url=url,
        api_key=settings.generator_api_key or "none",  # local servers want none, the client insists on one
        timeout=settings.generator_timeout_s,
        max_retries=settings.generator_attempts - 1,
    )


def _first(choices: Iterable[Any] | None) -> Any:
    return next(iter(choices or ()), None)
