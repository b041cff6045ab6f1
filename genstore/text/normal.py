"""A text in its normal form: what two texts have in common when they are the same but for how they were typed."""

from __future__ import annotations

import unicodedata


def normalised(text: str, ignore_case: bool = False) -> str:
    """The text in Unicode's NFC, its runs of white space each one space, none at its ends.

    ignore_case: also casefolded, so that "STRASSE" and "straße" are one text.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    if ignore_case:
        text = text.casefold()
        if not text.isascii():  # folding may take a composed letter apart
            text = unicodedata.normalize("NFC", text)
    return " ".join(text.split())
