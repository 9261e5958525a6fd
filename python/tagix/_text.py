"""What the text of a table's cells says."""

from __future__ import annotations


def is_number(text: str) -> bool:
    """Whether Python reads the text as a number; NaN and infinity are such."""
    try:
        float(text)
    except ValueError:
        return False
    return True
