"""Any server that speaks OpenAI's chat protocol: Ollama, vLLM, llama.cpp, hosted services."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qsl, urlsplit, urlunsplit

from genstore.config import Settings
from genstore.errors import GeneratorError, InvalidInput, MissingDependency
from genstore.rag.generators.generator import Emit, Outcome, Request
from genstore.rag.generators.replies import count, field, first_choice, said, text_of, word
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
        parts = _parsed(address)
        if not parts.fragment or not parts.hostname:
            raise InvalidInput(
                'the address names no model: write it after "#", as in "http://127.0.0.1:11434/v1#llama3"'
            )
        self.name = parts.fragment
        self.provider = parts.hostname
        # What errors say, and records keep: without the password or key that an address may carry.
        self._url = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
        self._settings = settings
        self.budget_tokens = settings.context_tokens - settings.max_output_tokens - _PER_PROMPT
        if self.budget_tokens <= 0:
            raise InvalidInput(
                f"context_tokens is {settings.context_tokens} and max_output_tokens {settings.max_output_tokens}, "
                "which leaves no room for a question; raise the one or lower the other"
            )
        self._client = _client(parts, settings)

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
        choice = first_choice(answer)
        if choice is None:
            raise self._no_choices(answer)
        emit(text_of(field(choice, "message")))
        return Outcome(word(field(choice, "finish_reason")), self._usage(field(answer, "usage")))

    def _streamed(self, request: Request, emit: Emit) -> Outcome:
        finish_reason: str | None = None
        usage: Any = None
        seen: Any = None
        chunk: Any = None
        chunks = self._client.chat.completions.create(
            **self._arguments(request), stream=True, stream_options={"include_usage": True}
        )
        with chunks:
            for chunk in chunks:
                usage = field(chunk, "usage") or usage
                choice = first_choice(chunk)  # the last chunk, of the usage, has none
                if choice is None:
                    continue
                seen = choice
                finish_reason = word(field(choice, "finish_reason")) or finish_reason
                if text := text_of(field(choice, "delta")):
                    emit(text)
        if seen is None:
            raise self._no_choices(chunk)
        if finish_reason is None:
            raise GeneratorError(f"{self._url} cut the stream before the answer's end")
        return Outcome(finish_reason, self._usage(usage))

    def _no_choices(self, answer: Any) -> GeneratorError:
        reason = f": {text[:200]}" if (text := said(answer)) else f"; is {self.name!r} a chat model?"
        return GeneratorError(f"{self._url} answered without choices{reason}")

    def _arguments(self, request: Request) -> dict[str, Any]:
        # OpenAI's own newer models refuse the name that every other server knows.
        limit = "max_completion_tokens" if self.provider.endswith("openai.com") else "max_tokens"
        return {"model": self.name, "messages": request.messages, limit: self._settings.max_output_tokens}

    def _usage(self, usage: Any) -> Usage:
        """What the server counted; its own cost where it says one, else by the prices that are set."""
        read, written = count(field(usage, "prompt_tokens")), count(field(usage, "completion_tokens"))
        cost = count(field(usage, "cost"), whole=False)
        return Usage(
            input_tokens=read,
            output_tokens=written,
            cached_tokens=count(field(field(usage, "prompt_tokens_details"), "cached_tokens")),
            reasoning_tokens=count(field(field(usage, "completion_tokens_details"), "reasoning_tokens")),
            cost_usd=self._priced(read, written) if cost is None else cost,
        )

    def _priced(self, read: int | None, written: int | None) -> float | None:
        prices = (self._settings.generator_input_price, self._settings.generator_output_price)
        if prices == (None, None) or (read, written) == (None, None):
            return None
        return ((read or 0) * (prices[0] or 0.0) + (written or 0) * (prices[1] or 0.0)) / 1_000_000


def _parsed(address: str) -> SplitResult:
    """The address in its pieces. Raises InvalidInput, which says what is wrong and repeats no password."""
    try:
        parts = urlsplit(address)
        _ = parts.port  # checked when it is asked for
    except ValueError as error:
        raise InvalidInput("the generator's address has a host or port that cannot be read") from error
    return parts


def _client(parts: SplitResult, settings: Settings) -> OpenAI:
    try:
        import httpx
        import openai
    except ModuleNotFoundError as error:
        raise MissingDependency('an endpoint needs the openai client; pip install "genstore[openai]"') from error
    try:
        return openai.OpenAI(
            base_url=urlunsplit((parts.scheme, parts.netloc, parts.path, "", "")),
            # Not in the address, behind which the client would write its path.
            default_query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            api_key=settings.generator_api_key or "none",  # local servers want none, the client insists on one
            timeout=settings.generator_timeout_s,
            max_retries=settings.generator_attempts - 1,
        )
    except httpx.InvalidURL as error:
        raise InvalidInput("the generator's address has a host or port that cannot be read") from error
