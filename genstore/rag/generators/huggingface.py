"""A language model of Hugging Face's transformers, by name or folder, in this process."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from genstore.config import Settings
from genstore.errors import GeneratorError, MissingDependency
from genstore.rag.generators.generator import Emit, Outcome, Request
from genstore.records import Usage

if TYPE_CHECKING:
    from genstore.rag.packing import Messages

# Tokens that a chat template adds around the messages.
_PER_PROMPT = 64
_SHORTEST_BUDGET = 64


class HuggingFaceGenerator:
    """model and tokenizer: loaded; max_output_tokens: of an answer. Greedy, so that the same prompt gives the same."""

    provider = "transformers"
    extractive = False
    neighbours = 1

    def __init__(self, name: str, model: Any, tokenizer: Any, max_output_tokens: int) -> None:
        self.name = name
        self._model = model
        self._tokenizer = tokenizer
        self._lock = threading.Lock()
        context = int(getattr(model.config, "max_position_embeddings", None) or 2_048)
        # A model of a short context still has to read something.
        self._output_tokens = min(max_output_tokens, context // 2)
        self.budget_tokens = max(context - self._output_tokens - _PER_PROMPT, _SHORTEST_BUDGET)
        self._most_input = context - self._output_tokens

    def count(self, text: str) -> int:
        return len(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def generate(self, request: Request, emit: Emit, *, stream: bool) -> Outcome:
        """The model's continuation, in pieces either way. Raises GeneratorError when it fails, out of memory too."""
        import torch

        prompt = self._checked_prompt(request.messages)
        read = prompt["input_ids"].shape[1]  # (1, tokens)
        if read > self._most_input:
            raise GeneratorError(
                f"the prompt has {read} tokens, {self.name!r} reads {self._most_input}; ask for fewer passages"
            )
        pieces = _pieces_to(self._tokenizer, emit)
        try:
            with self._lock, torch.inference_mode():
                written = self._model.generate(
                    **prompt, max_new_tokens=self._output_tokens, do_sample=False, streamer=pieces,
                    pad_token_id=self._tokenizer.pad_token_id or self._tokenizer.eos_token_id,
                )[0, read:]  # fmt: skip
        except (RuntimeError, IndexError, ValueError) as error:
            raise GeneratorError(f"{self.name!r} failed: {error}") from error
        ended = len(written) < self._output_tokens
        return Outcome("stop" if ended else "length", Usage(input_tokens=read, output_tokens=len(written)))

    def _checked_prompt(self, messages: Messages) -> Any:
        """The prompt as tokens. A chat format that knows no system message has it before the user's first."""
        try:
            return self._prompt(messages)
        except Exception as error:  # what a template raises is its author's choice
            if messages[0]["role"] != "system":
                raise GeneratorError(f"the chat format of {self.name!r} failed: {error}") from error
        system, first, *rest = messages
        return self._checked_prompt([{**first, "content": f"{system['content']}\n\n{first['content']}"}, *rest])

    def _prompt(self, messages: Messages) -> Any:
        """The messages as the model was trained to read them, or one after the other where it has no chat format."""
        if getattr(self._tokenizer, "chat_template", None):
            return self._tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"
            )
        text = "\n\n".join(message["content"] for message in messages)
        return self._tokenizer(f"{text}\n\nAnswer:", return_tensors="pt", return_token_type_ids=False)


def _pieces_to(tokenizer: Any, emit: Emit) -> Any:
    """A streamer that hands on each piece of text once no later token can change it."""
    from transformers import TextStreamer

    class Pieces(TextStreamer):
        def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
            if text:
                emit(text)

    return Pieces(tokenizer, skip_prompt=True, skip_special_tokens=True)


def load_model(name: str, settings: Settings) -> HuggingFaceGenerator:
    """The model of this name or folder; kept for the next question.

    Raises GeneratorError when it cannot be had, MissingDependency without transformers and torch.
    """
    return _loaded(name, settings.max_output_tokens)


@lru_cache(maxsize=1)
def _loaded(name: str, max_output_tokens: int) -> HuggingFaceGenerator:
    try:
        import torch  # noqa: F401 transformers without it says so only when a model is asked for
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        raise MissingDependency(f"the model {name!r} needs packages; pip install transformers torch") from error
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        # Weights that are pickles would run what they hold.
        model: Any = AutoModelForCausalLM.from_pretrained(name, trust_remote_code=False, use_safetensors=True)
        model.eval()
    except Exception as error:  # a damaged folder raises whatever the loader stumbles on
        raise GeneratorError(
            f"the model {name!r} cannot be loaded: {str(error)[:300]}; pass a Hugging Face model's name or folder"
        ) from error
    return HuggingFaceGenerator(name, model, tokenizer, max_output_tokens)
