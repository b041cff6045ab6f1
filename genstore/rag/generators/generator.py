"""What every generator is, and which one a name stands for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from genstore.config import Settings
from genstore.errors import InvalidInput
from genstore.rag.evidence import words
from genstore.rag.packing import Messages
from genstore.rag.sources import Source
from genstore.records import Usage

EXTRACTIVE = "extractive"

Emit = Callable[[str], None]
"""Called with each piece of the answer as it comes."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be answered. messages: the prompt; question and sources: what it was made of."""

    question: str
    messages: Messages
    sources: Sequence[Source]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a generation ended, besides its text."""

    finish_reason: str | None = None
    usage: Usage = field(default_factory=Usage)


class Generator(Protocol):
    """Writes answers. Every method may be called from any thread."""

    @property
    def name(self) -> str:
        """What is recorded as the answer's model."""

    @property
    def provider(self) -> str:
        """Who runs it: a host's name, or the library in this process."""

    @property
    def extractive(self) -> bool:
        """Whether it quotes and writes nothing of its own."""

    @property
    def neighbours(self) -> int:
        """Passages before and after each source that help it."""

    @property
    def budget_tokens(self) -> int:
        """Tokens of the longest prompt."""

    def count(self, text: str) -> int:
        """Tokens of a text, never far too few."""

    def generate(self, request: Request, emit: Emit, *, stream: bool) -> Outcome:
        """Write the answer through emit; stream: in pieces as they come, if it can.

        Raises GeneratorError; what was emitted before it is kept as the partial output.
        """


def resolve(name: str, settings: Settings, quotes: int) -> Generator:
    """The generator of a name: "extractive", an address with the model after "#" ("http://127.0.0.1:11434/v1#llama3"),
    or the name or folder of a Hugging Face model. quotes: sentences of an extractive answer, at most.

    Nothing is loaded or asked yet, except a local model. Raises InvalidInput for a name that means nothing.
    """
    if name == EXTRACTIVE:
        from genstore.rag.generators.extractive import ExtractiveGenerator

        return ExtractiveGenerator(words, quotes)
    if name.startswith(("http://", "https://")):
        from genstore.rag.generators.openai import OpenAiGenerator

        return OpenAiGenerator(name, settings)
    if not name.strip() or "://" in name:
        shown = f"{name.partition('://')[0]}://…" if "://" in name else name  # behind it may stand a password
        raise InvalidInput(
            f"{shown!r} is no generator; pass extractive, http://host/v1#model, or a Hugging Face model's name "
            "or folder"
        )
    from genstore.rag.generators.huggingface import load_model

    return load_model(name, settings)
