"""Retrieved text is data: what in it could pass for the prompt's own structure is made harmless.

Every replacement is of one character by one, so that offsets into the neutral text are offsets into the text itself.
"""

from __future__ import annotations

import re

from genstore.rag.markers import MARKER

# Look-alikes: a reader sees the same, a parser of markers, tags or special tokens does not.
_SAFE = str.maketrans({"[": "［", "]": "］", "<": "‹", ">": "›", "|": "¦", "【": "〖", "】": "〗"})
# Between a bracket and its word: a model reads over what cannot be seen.
_GAP = r"[\s/\\\u200b-\u200f\u2060\ufeff]{0,20}"
_TAGS = "s|bos|eos|pad|unk|mask|im_start|im_end|im_sep|start_of_turn|end_of_turn|turn|system|user|assistant|human|think"
_TOOLS = "tools?|tool_calls?|tool_responses?|tool_results?|function_calls?"
_FORGERIES = re.compile(
    rf"{MARKER}|\[\s*\d[\d\s,;–-]*\]"  # a citation marker
    rf"|<{_GAP}sources?\b[^<>]{{0,200}}>?"  # the delimiters of passages
    r"|<\s*[|｜][^<>]{0,100}>|<[^<>|｜\s]{1,40}[|｜]\s*>"  # special tokens of chat models, in their customary forms
    rf"|\[{_GAP}(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT)\s*\]|<<{_GAP}SYS\s*>>"
    rf"|<{_GAP}(?:{_TAGS}|{_TOOLS})\s*>",
    re.I,
)


def neutral(text: str) -> str:
    """The text with markers, delimiters and special tokens written in look-alikes; as long as it was."""
    return _FORGERIES.sub(lambda match: match[0].translate(_SAFE), text)


def neutral_line(text: str) -> str:
    """The same for a title in the prompt: on one line, without quotes."""
    return " ".join(neutral(text).split()).replace('"', "'").translate(_SAFE)
