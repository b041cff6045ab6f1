"""Retrieved text is data: what in it could pass for the prompt's own structure is made harmless.

Every replacement is of one character by one, so that offsets into the neutral text are offsets into the text itself.
"""

from __future__ import annotations

import re

# Look-alikes: a reader sees the same, a parser of markers, tags or special tokens does not.
_SAFE = str.maketrans({"[": "［", "]": "］", "<": "‹", ">": "›", "|": "¦"})
_FORGERIES = re.compile(
    r"\[\s*\d[\d\s,;–-]*\]"  # a citation marker
    r"|<\s*/?\s*sources?\b[^<>]{0,200}>?"  # the delimiters of passages
    r"|<\s*\|[^<>|]{0,100}\|\s*>"  # special tokens of chat models, in their three customary forms
    r"|\[\s*/?\s*(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS)\s*\]|<<\s*/?\s*SYS\s*>>"
    r"|<\s*/?\s*(?:s|bos|eos|pad|unk|mask|start_of_turn|end_of_turn|system|user|assistant|think)\s*>",
    re.I,
)  # fmt: skip


def neutral(text: str) -> str:
    """The text with markers, delimiters and special tokens written in look-alikes; as long as it was."""
    return _FORGERIES.sub(lambda match: match[0].translate(_SAFE), text)


def neutral_line(text: str) -> str:
    """The same for a title in the prompt: on one line, without quotes."""
    return " ".join(neutral(text).split()).replace('"', "'").translate(_SAFE)
